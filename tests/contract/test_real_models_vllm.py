"""What the converter and the tuning write, in vLLM: its greedy tokens against references that know neither.

A checkpoint under the original names is converted and served with an adapter tuned over it; then the merged export of
another tuning, projector included, is served. One engine after the other.
"""

import base64
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.original_llava import OriginalLlava, random_llava
from tests.rap_records import write_records
from training.convert_llava import convert
from training.lora import read_examples
from training.lora_merge import adapter, merged
from training.lora_model import Recipe, Trainer, adapted, load, save_tuned
from training.lora_records import Collator, Share, Steps

TOKENS = 12
QUESTIONS = (
    ("<image>\n[1.<image>\n Name: <bo>, Info: Bo is a brown dog.]\nWhat is this?", 2),
    ("<image>\nDescribe the picture.", 1),
    ("[1.<image>\n Name: <mug2>, Info: It is blue.]\nWhat do you know about <mug2>?", 1),
    ("<image>\n[1.<image>\n Name: <a>, Info: a]\n[2.<image>\n Name: <b>, Info: b]\nWhich of them is here?", 3),
)
"""Questions with their numbers of pictures."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Tuned:
    """A tuned model as peft runs it, and what tuning left on disk."""

    model: Any
    folder: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of it is written."""
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module")
def original(place: Path) -> OriginalLlava:
    """The original model."""
    return random_llava(place / "tokenizer")


@pytest.fixture(scope="module")
def converted(original: OriginalLlava, place: Path) -> Path:
    """The same model as vLLM loads it."""
    tower = original.write_tower(place / "clip")
    convert(original.write(place / "original", original.weights(), shards=2), place / "converted", tower=tower)
    return place / "converted"


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Pictures of several shapes."""
    rng = np.random.default_rng(0)
    shapes = ((8, 14, 3), (11, 7, 3), (9, 9, 3))
    small = [Image.fromarray(rng.integers(0, 256, shape, np.uint8)) for shape in shapes]
    return [picture.resize((picture.width * 14, picture.height * 14)) for picture in small]


def tune(converted: Path, out: Path, **changed: Any) -> Tuned:
    """A few bold steps, enough to change every answer."""
    recipe = Recipe(rank=16, alpha=32, rate=5e-3, projector_rate=5e-3, batch=2, micro_batch=2, **changed)
    records = out.parent / "records"
    if not records.exists():
        records.mkdir()
        write_records(records, 4)
    base, processor = load(converted, "float32", torch.device("cpu"))
    trainer = Trainer(adapted(base, recipe), recipe, steps=4)
    collate = Collator(processor, max_tokens=1024)
    data = Steps(read_examples(records, records), collate, Share(2, 2), steps=4, seed=0)
    for number in range(4):
        trainer.step(number, data[number])
    save_tuned(trainer.model, out)
    return Tuned(trainer.model.eval(), out)


@torch.inference_mode()
def answers_of(model: Any, converted: Path, pictures: list[Image.Image]) -> list[list[int]]:
    """The greedy tokens of a transformers model for every question."""
    processor = load(converted, "float32", torch.device("cpu"))[1]
    answers = []
    for question, count in QUESTIONS:
        text = processor.apply_chat_template(_chat(question, pictures), tokenize=False, add_generation_prompt=True)
        inputs = processor(text=text, images=pictures[:count], add_special_tokens=False, return_tensors="pt")
        ids = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
        answers.append(ids[0, inputs["input_ids"].shape[1] :].tolist())
    return answers


def _chat(question: str, pictures: list[Image.Image]) -> list[dict[str, Any]]:
    """The question as vLLM takes it, pictures as data URLs."""
    parts: list[dict[str, Any]] = []
    for number, piece in enumerate(question.split("<image>")):
        if number:
            held = io.BytesIO()
            pictures[number - 1].save(held, "PNG")
            url = "data:image/png;base64," + base64.b64encode(held.getvalue()).decode()
            parts.append({"type": "image_url", "image_url": {"url": url}})
        if piece:
            parts.append({"type": "text", "text": piece})
    return [{"role": "user", "content": parts}]


def served(engine: Any, pictures: list[Image.Image], lora: Any = None) -> list[list[int]]:
    """The greedy tokens of vLLM for every question."""
    from vllm import SamplingParams

    conversations = [_chat(question, pictures) for question, _ in QUESTIONS]
    sampling = SamplingParams(temperature=0, max_tokens=TOKENS)
    outputs = engine.chat(conversations, sampling, use_tqdm=False, lora_request=lora)
    return [list(output.outputs[0].token_ids) for output in outputs]


def engine_of(folder: Path, **more: Any) -> Any:
    """vLLM on the CPU in float32."""
    os.environ.update(
        VLLM_CPU_KVCACHE_SPACE="1", HF_HUB_OFFLINE="1", VLLM_CPU_OMP_THREADS_BIND="nobind", OMP_NUM_THREADS="2"
    )
    from vllm import LLM

    limits = {"max_model_len": 1024, "max_num_seqs": 4, "limit_mm_per_prompt": {"image": 3}}
    return LLM(model=str(folder), dtype="float32", enforce_eager=True, **limits, **more)


@pytest.fixture(scope="module")
def tuned(converted: Path, place: Path) -> Tuned:
    """Tuned with the projector frozen, so that an adapter holds all of it."""
    return tune(converted, place / "tuned", freeze_projector=True)


@pytest.fixture(scope="module")
def engine(converted: Path) -> Iterator[Any]:
    """The converted model, ready for adapters."""
    llm = engine_of(converted, enable_lora=True, max_lora_rank=16)
    yield llm
    llm.llm_engine.engine_core.shutdown()


def test_the_converted_model_answers_as_the_original_does(
    engine: Any, original: OriginalLlava, pictures: list[Image.Image]
) -> None:
    """Token for token, against the original's weights under the original's names."""
    expected = [original.answer(question, pictures[:count], tokens=TOKENS) for question, count in QUESTIONS]
    assert served(engine, pictures) == expected
    assert len({tuple(answer) for answer in expected}) == len(QUESTIONS)


def test_an_adapter_answers_as_peft_does(
    engine: Any, tuned: Tuned, converted: Path, pictures: list[Image.Image], place: Path
) -> None:
    """The exported folder as a LoRA request over the converted base; without it the base answers otherwise."""
    from vllm.lora.request import LoRARequest

    adapter(converted, tuned.folder, place / "adapter")
    ours = served(engine, pictures, LoRARequest("tuned", 1, str(place / "adapter")))
    assert ours == answers_of(tuned.model, converted, pictures)
    assert ours != served(engine, pictures)


def test_the_merged_model_answers_as_peft_does(converted: Path, pictures: list[Image.Image], place: Path) -> None:
    """A tuned projector included, in an engine that knows no adapters."""
    tuned = tune(converted, place / "tuned-whole")
    merged(converted, tuned.folder, place / "merged")
    llm = engine_of(place / "merged")
    try:
        assert served(llm, pictures) == answers_of(tuned.model, converted, pictures)
    finally:
        llm.llm_engine.engine_core.shutdown()
