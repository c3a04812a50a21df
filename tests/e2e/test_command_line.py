"""``rap`` as a person types it, against the running service."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loadtest import drawn
from tests.running_service import ROOT, RunningService


@pytest.fixture
def rap(service: RunningService, user: str):
    """Runs one command; its output, and whether it succeeded."""

    def run(*arguments: str) -> tuple[str, bool]:
        command = [sys.executable, "-m", "rap_serve.cli.main", *arguments, "--home", str(service.home), "--user", user]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        return done.stdout + done.stderr, done.returncode == 0

    return run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture of the thing that the tests remember."""
    path = tmp_path / "photo.png"
    Image.fromarray(drawn.scene([drawn.thing(1)], 1).image).save(path)
    return path


def test_what_was_remembered_is_listed_asked_about_and_forgotten(rap, photo: Path, tmp_path: Path) -> None:
    """The whole life of a concept, with the annotated picture on the way."""
    said, fine = rap("remember", str(photo), "--name", "bo", "--category", "robot", "--info", "<bo> is mine.")
    assert fine, said
    listed, _ = rap("concepts", "--json")
    assert [c["name"] for c in json.loads(listed)] == ["bo"]
    marked = tmp_path / "marked.png"
    answer, fine = rap("ask", str(photo), "What is this?", "--save", str(marked))
    assert fine and "bo" in answer and "similarity" in answer, answer
    assert np.asarray(Image.open(marked)).shape[2] in (3, 4)
    assert rap("forget", "bo")[1]
    assert json.loads(rap("concepts", "--json")[0]) == []


def test_an_error_says_what_to_do_and_shows_no_traceback(rap, tmp_path: Path) -> None:
    """A file that is not there, a file that is no picture."""
    missing, fine = rap("ask", str(tmp_path / "nothing.png"), "What is this?")
    assert not fine and "nothing.png" in missing and "Traceback" not in missing
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    refused, fine = rap("remember", str(text), "--name", "bo")
    assert not fine and "invalid_image" in refused and "Traceback" not in refused


def test_real_photographs_are_imported_and_measured(rap, photographs: Path, tmp_path: Path) -> None:
    """RAP's own database format in, a report out, above what a plain colour histogram reaches."""
    database = photographs / "database.json"
    said, fine = rap("import", str(database))
    assert fine, said
    assert rap("import", str(database))[1], "importing again changes nothing and succeeds"
    report = tmp_path / "report.json"
    said, fine = rap("eval", "retrieval", "--database", str(database), "--json", str(report))
    assert fine, said
    rates = json.loads(report.read_text())["queries"]["given_boxes"]["rates"]
    assert rates["top1"]["n"] == 120
    assert [rates[k]["value"] > floor for k, floor in (("top1", 0.54), ("top3", 0.72), ("top5", 0.79))] == [True] * 3
