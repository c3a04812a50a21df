"""Training loops under the real Ray Train: they keep chapters, and go on from them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from training.run import Place, Run, average_gradients, launch, write_curve

CHAPTERS = 3


@pytest.fixture(scope="module", autouse=True)
def own_ray() -> Iterator[None]:
    """A Ray of this module's own, gone afterwards."""
    yield
    ray.shutdown()


def _loop(config: dict[str, Any]) -> None:
    """Adds up noise chapter by chapter; dies hard after the chapter that ``dies_after`` names, once."""
    run = Run(config)
    state = run.restored() or {"total": torch.zeros(3)}
    for chapter in range(run.chapter, CHAPTERS):
        torch.manual_seed(chapter)
        state = {"total": state["total"] + torch.randn(3)}
        run.curve.append({"step": chapter, "loss": float(state["total"].norm())})
        run.keep(state, chapter + 1)
        if chapter + 1 == config.get("dies_after"):
            os.kill(os.getpid(), signal.SIGKILL)
    torch.save({"total": state["total"], "curve": run.curve, "began": run.chapter}, config["out"])


@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    """The same state and the same curve; the second start goes on from a chapter that was kept."""
    launch(_loop, {"out": str(tmp_path / "whole.pt")}, name="whole", place=Place(tmp_path))
    dying = {"out": str(tmp_path / "killed.pt"), "dies_after": 2}
    with pytest.raises(Exception, match=r"(?i)fail|died|error"):
        launch(_loop, dying, name="killed", place=Place(tmp_path))
    launch(_loop, {"out": dying["out"]}, name="killed", place=Place(tmp_path, resume=True))
    whole, killed = (torch.load(tmp_path / f"{name}.pt") for name in ("whole", "killed"))
    assert torch.equal(whole["total"], killed["total"]) and whole["curve"] == killed["curve"]
    assert (whole["began"], killed["began"]) == (0, 2)


def _averaging(config: dict[str, Any]) -> None:
    run = Run(config)
    weight = torch.nn.Parameter(torch.zeros(1))
    (weight * float(run.rank + 1)).sum().backward()
    average_gradients([weight])
    Path(config["out"], str(run.rank)).write_text(str(float(weight.grad)))  # type: ignore[arg-type]


@pytest.mark.slow
def test_workers_average_their_gradients(tmp_path: Path) -> None:
    """Two workers with gradients 1 and 2 both end with 1.5."""
    launch(_averaging, {"out": str(tmp_path)}, name="averaging", place=Place(tmp_path / "kept", workers=2))
    assert [(tmp_path / rank).read_text() for rank in ("0", "1")] == ["1.5", "1.5"]


def test_a_curve_becomes_a_picture(tmp_path: Path) -> None:
    """Rows that lack a figure are left out of its line."""
    curve = [{"step": 0, "loss": 2.0}, {"step": 10, "loss": 1.0, "top1": 0.5}]
    write_curve(curve, ("loss", "top1"), tmp_path / "curve.png", title="tried")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
