"""The whole of it in one go: start the service, show it some things, ask about a picture, stop.

``python demo/run.py [--keep-picture PATH]``. The pictures are drawn; the things were never seen in training.
"""

# ruff: noqa: E402 - a script: the project has to be on the path before it can be imported

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np
from PIL import Image

from rap_serve.cli.ask import Question, ask_service, marks, show_grounds
from rap_serve.cli.client import CliError, NewAvatar, NewConcept, RapClient
from rap_serve.cli.concepts import concept_table
from rap_serve.cli.console import fail, out
from rap_serve.cli.draw import annotated_file
from rap_serve.cli.home import Service
from rap_serve.cli.scoring import handles_in, names_in
from training.world.scene import Scene, sample_scene
from training.world.text import info_text
from training.world.things import Thing, sample_thing

CONCEPTS = {"bo": "dog", "grandmas-teapot": "teapot", "pixel": "robot", "trail-pack": "backpack"}
ASKED_ABOUT = "bo"
STRANGER = "bottle"
QUESTION = "What is this?"
SEED = 11
SIDE_PX = 320
ANSWER_PICTURE = ROOT / "demo" / "out" / "answer.png"


def main() -> int:
    """Runs the demo; 0 where the answer names the right thing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep-picture", type=Path, help="also write the annotated picture here")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="rap-demo-") as folder:
        home = Path(folder) / "home"
        try:
            return run(start(home), Path(folder), options.keep_picture)
        except CliError as error:
            fail(str(error))
            return 1
        finally:
            rap("down", "--home", str(home))


def run(service: Service, folder: Path, keep_picture: Path | None) -> int:
    """Remembers, asks and shows."""
    rng = np.random.default_rng(SEED)
    things = {name: sample_thing(rng, split="test", category=kind) for name, kind in CONCEPTS.items()}
    with RapClient(service) as client:
        for concept in (drawn_concept(name, thing, rng, folder) for name, thing in things.items()):
            client.remember("default", concept)
        heading("What the service was shown")
        out.print(concept_table(client.concepts("default")))
    picture = folder / "question.png"
    save(sample_scene(rng, [things[ASKED_ABOUT], sample_thing(rng, split="test", category=STRANGER)]), picture)
    return ask(service, picture, [ANSWER_PICTURE, *([keep_picture] if keep_picture else [])])


def ask(service: Service, picture: Path, targets: Sequence[Path]) -> int:
    """Asks about the picture, shows the answer, and checks that it names the right thing only."""
    heading(f"Asked about a new picture: {QUESTION}")
    answer = ask_service(service, Question(QUESTION, picture), on_text=print_piece)
    show_grounds(answer)
    for target in targets:
        annotated_file(picture, marks(answer.rap["evidence"]), target)
        out.print(f"Picture  {target}", highlight=False, soft_wrap=True)
    named = names_in(answer.text, CONCEPTS) | handles_in(answer.text)
    if named == {ASKED_ABOUT}:
        return 0
    fail(f"The answer should name {ASKED_ABOUT!r} alone; it names {sorted(named) or 'nothing'}.")
    return 1


def start(home: Path) -> Service:
    """A service of its own on a free port."""
    heading("Starting the service")
    done = rap("up", "--home", str(home), "--port", "0", "--json")
    if done.returncode:
        raise CliError("The demo cannot go on without the service.")
    return Service(**json.loads(done.stdout))


def rap(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The ``rap`` command, as a person would run it; what it says goes to the terminal."""
    command = [sys.executable, "-m", "rap_serve.cli.main", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ, check=False)


def drawn_concept(name: str, thing: Thing, rng: np.random.Generator, folder: Path) -> NewConcept:
    """A thing with one picture of it, ready to be remembered."""
    scene, path = sample_scene(rng, [thing], height=SIDE_PX, width=SIDE_PX), folder / f"{name}.png"
    save(scene, path)
    avatar = NewAvatar(path, [float(v) for v in scene.boxes_xyxy[0]])
    return NewConcept(name, (avatar,), thing.category, info_text(thing, name, rng))


def save(scene: Scene, path: Path) -> None:
    """Writes the scene's picture."""
    Image.fromarray(scene.image).save(path)


def print_piece(piece: str) -> None:
    """Shows a piece of the answer as it comes."""
    out.print(piece, end="", markup=False, highlight=False, soft_wrap=True)


def heading(text: str) -> None:
    """A line that says what comes next."""
    out.rule(f"[bold]{text}", align="left")


if __name__ == "__main__":
    raise SystemExit(main())
