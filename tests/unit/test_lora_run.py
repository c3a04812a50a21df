"""The tuning command on two workers, stopped in the middle and resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.rap_records import write_records
from training.lora import read_examples
from training.lora_model import Recipe, Trainer, adapted, load, save_tuned
from training.lora_records import Collator, Share, Steps

ROOT = Path(__file__).parents[2]
TINY = ROOT / "models" / "tiny" / "mllm"
STEPS = 4
RECIPE = Recipe(rank=8, alpha=16, dropout=0.0, batch=4, micro_batch=2, dtype="float32")


def changes(run: Path) -> torch.Tensor:
    """All that tuning added: the halves that start at zero, and the projector less the shipped one."""
    pairs, projector = (
        load_file(run / "adapter" / "adapter_model.safetensors"),
        load_file(run / "projector.safetensors"),
    )
    before = load(TINY, "float32", torch.device("cpu"))[0].state_dict()
    moved = [value for name, value in sorted(pairs.items()) if ".lora_B." in name]
    moved += [value - before[name] for name, value in sorted(projector.items())]
    return torch.cat([value.flatten() for value in moved])


def command(records: Path, place: Path) -> list[str]:
    """The command line of the recipe above."""
    told = f"--model {TINY} --data {records} --out {place / 'run'} --checkpoints {place / 'kept'} --workers 2"
    told += f" --steps {STEPS} --save-every 1 --rank 8 --alpha 16 --dropout 0 --batch 4 --micro-batch 2 --dtype float32"
    return [sys.executable, "-m", "training.lora", "tune", *told.split()]


def tuned_alone(records: Path, out: Path) -> Path:
    """What one worker in this process makes of the same steps."""
    base, processor = load(TINY, "float32", torch.device("cpu"))
    trainer = Trainer(adapted(base, RECIPE), RECIPE, steps=STEPS)
    data = Steps(
        read_examples(records, records), Collator(processor, max_tokens=2048), Share(4, 2), steps=STEPS, seed=0
    )
    for number in range(STEPS):
        trainer.step(number, data[number])
    save_tuned(trainer.model, out)
    return out


def wait_for_checkpoint(place: Path, running: "subprocess.Popen[bytes]") -> None:
    """Until the first one is there."""
    while not list((place / "kept").glob("*/checkpoint*/notes.json")):
        assert running.poll() is None, "the run ended by itself"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_killed_run_of_two_workers_ends_as_one_worker_ends(tmp_path: Path) -> None:
    """kill -9 after the first checkpoint, --resume, and then the weights of an uninterrupted run of one worker."""
    records = tmp_path / "records"
    records.mkdir()
    write_records(records, 6, without_picture=2)
    first = subprocess.Popen(command(records, tmp_path), cwd=ROOT, start_new_session=True)
    wait_for_checkpoint(tmp_path, first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    subprocess.run([*command(records, tmp_path), "--resume"], cwd=ROOT, check=True)
    figures = json.loads((tmp_path / "run" / "training.json").read_text())
    assert [row["step"] for row in figures["curve"]] == list(range(STEPS))
    assert (tmp_path / "run" / "loss.png").stat().st_size > 1000
    ours, expected = (changes(folder) for folder in (tmp_path / "run", tuned_alone(records, tmp_path / "alone")))
    assert expected.abs().max() > 0
    assert (ours - expected).norm() < 0.02 * expected.norm()
