"""What the benchmarks make of what they measured."""

import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.bench.asked import Album
from loadtest.bench.closed_loop import Served, Window
from loadtest.bench.hops import hops
from loadtest.bench.open_loop import token_seconds
from loadtest.bench.prompts import Prompts
from rap_serve.adapters.vllm import handles_regex
from rap_serve.settings import Settings

ROOT = Path(__file__).parents[2]

TIMINGS = {
    "key": 1.0,
    "arrival": 4.0,
    "decode": 5.0,
    "memory": 1.0,
    "cache": 1.0,
    "detect": 20.0,
    "embed": 10.0,
    "match": 2.0,
    "total": 36.0,
    "prompt": 3.0,
    "first_token": 40.0,
    "engine": 35.0,
}


def answer(**fields: object) -> Served:
    """One that took 200 ms, 100 of them to its first token."""
    return Served(**({"place": 0, "status": 200, "first_seconds": 0.1, "seconds": 0.2} | fields))  # type: ignore[arg-type]


def test_the_hops_of_a_request_are_all_of_its_time() -> None:
    """Nothing is counted twice, and what the gateway did not see is HTTP's."""
    found = hops(answer(rap={"timings_ms": TIMINGS}))
    assert sum(found.values()) == pytest.approx(200.0)
    assert found["admission"] == 5.0 and found["ingress"] == 3.0 and found["own"] == 2.0
    assert found["HTTP"] == pytest.approx(12.0) and found["further tokens"] == pytest.approx(100.0)


def test_a_rate_is_over_good_answers_alone() -> None:
    """What failed is counted beside it."""
    window = Window(2, 2.0, [answer(completion_tokens=10), answer(status=429)], {"gateway": 0.5}, 5.0)
    found = window.figures()
    assert (found["requests_per_s"], found["tokens_per_s"], found["errors"]) == (0.5, 5.0, 1)
    assert found["cpu_ms_per_request"] == {"gateway": 500.0}


def test_the_first_token_is_no_part_of_the_time_per_token() -> None:
    """As vLLM's own benchmark counts."""
    assert token_seconds(answer(completion_tokens=11)) == pytest.approx(0.01)


def test_the_same_seed_shows_the_same_and_another_something_else() -> None:
    """Floor and service are asked alike, and no picture is known before it should be."""
    album = Album(3)
    first, again, other = (album.pictures(2, seed=s) for s in (1, 1, 2))
    assert [a.jpeg for a in first] == [a.jpeg for a in again]
    assert {a.jpeg for a in first}.isdisjoint(a.jpeg for a in other)


async def test_a_prompt_is_rebuilt_from_the_evidence() -> None:
    """Concepts in the order of their names, each with its crop; only their names may be answered."""
    album = Album(2)
    (asked,) = album.pictures(1, seed=1)
    prompts = Prompts(Settings.load("local"), {"b": album.shown[0], "a": album.shown[1]})
    evidence = [{"concept_id": i, "box_xyxy": [10.0, 10.0, 60.0, 60.0]} for i in ("b", "a")]
    request = await prompts.of(asked, evidence)
    text = "".join(part.get("text", "<image>") for part in request["messages"][0]["content"])
    assert text.startswith(f"<image>\n[1.<image>\n Name: <{album.shown[0].name}>")
    assert text.endswith(asked.question) and text.count("<image>") == 3
    assert request["structured_outputs"] == {"regex": handles_regex(["<thing-0>", "<thing-1>"])}


@pytest.mark.slow
def test_the_roofline_is_drawn_wherever_torch_runs(tmp_path: Path) -> None:
    """Small networks on the CPU take the way that large ones take on a GPU."""
    command = [sys.executable, "-m", "loadtest.bench.roofline", "--device", "cpu", "--out", str(tmp_path)]
    small = ["--detector", "yolov8s-worldv2", "--side", "64", "--embedder", "ViT-S-32-alt", "--batches", "1"]
    subprocess.run([*command, *small, "--matrix", "128", "--repeats", "1"], cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "roofline.png").stat().st_size and (tmp_path / "roofline.json").exists()
