"""Answers about things never seen in training: ``python -m training.evaluate_world --home DIR``.

Each user remembers a library of generated things of the test split, one avatar with its box each. Each picture
shows one of them among up to two things that nobody remembered; the negatives show such things only.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.table import Table

from rap_serve.cli.client import CliError, NewAvatar, NewConcept, RapClient, data_url, service_of
from rap_serve.cli.console import fail, out, tracked
from rap_serve.cli.evaluate import DETECTED, Labelled, asked, report, write_report
from rap_serve.cli.home import DEFAULT_HOME
from rap_serve.cli.report import latency_table, percent, rate_table
from rap_serve.cli.scoring import Outcome, Rate, Target, handles_in, names_in, rate
from rap_serve.domain.concept import fold_name
from training.world.scene import Scene, sample_scene
from training.world.text import info_text, sample_name
from training.world.things import Thing, sample_thing

QUESTIONS = (
    "What is this?",
    "What is in this picture?",
    "What do you see here?",
    "Who or what is shown here?",
    "Which of my things is in this picture?",
    "Do you recognise anything in this photo?",
)
SIDE_PX = 320
MOST_STRANGERS = 2
NEGATIVE_SHARE = 4
MAX_TOKENS = 64
IN_FLIGHT = 2


@dataclass(frozen=True, slots=True)
class Library:
    """What one user has shown the service: things by name."""

    user: str
    things: dict[str, Thing]


@dataclass(frozen=True, slots=True)
class Case:
    """A question about a picture. ``picture.targets`` is empty in a negative."""

    library: Library
    picture: Labelled
    question: str


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a case."""

    outcome: Outcome
    answer: str
    right: frozenset[str]
    wrong: frozenset[str]


def main() -> int:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME)
    parser.add_argument("--n", type=int, default=200, help="pictures to ask about")
    parser.add_argument("--library", type=int, default=20, help="concepts per user")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the report here")
    options = parser.parse_args()
    try:
        content = evaluate(options.home, n=options.n, size=options.library, seed=options.seed)
    except CliError as error:
        fail(str(error))
        return 1
    if options.json is not None:
        write_report(options.json, content)
    return 0


def evaluate(home: Path, *, n: int, size: int, seed: int) -> dict[str, Any]:
    """The report, which is also printed. The users it needs are emptied before and after."""
    rng = np.random.default_rng(seed)
    libraries = [Library(f"world-{seed}-{k}", sample_things(rng, size)) for k in range(-(-n // size))]
    with tempfile.TemporaryDirectory() as folder, RapClient(service_of(home)) as client:
        try:
            for library in tracked(libraries, "remembering", len(libraries)):
                _clear(client, library.user)
                _remember(client, library, rng, Path(folder))
            cases = sample_cases(libraries, rng, Path(folder), n)
            model = client.model()
            results = [_result(client, model, c) for c in tracked(cases, "asking", len(cases))]
        finally:
            for library in libraries:
                _clear(client, library.user)
    return _reported(results, {"n": n, "library": size, "seed": seed, "model": model, "avatar_boxes": "given for all"})


def sample_things(rng: np.random.Generator, count: int) -> dict[str, Thing]:
    """``count`` distinct things of the test split, by distinct names."""
    things: dict[str, Thing] = {}
    while len(things) < count:
        name, thing = sample_name(rng), sample_thing(rng, split="test")
        if name not in things and thing not in things.values():
            things[name] = thing
    return things


def sample_cases(libraries: Sequence[Library], rng: np.random.Generator, folder: Path, n: int) -> list[Case]:
    """``n`` pictures with one remembered thing each, and a quarter as many with none."""
    cases = [_case(libraries[i % len(libraries)], rng, folder / f"case{i}.png", shown=True) for i in range(n)]
    negatives = range(n // NEGATIVE_SHARE)
    return cases + [_case(libraries[i % len(libraries)], rng, folder / f"none{i}.png", shown=False) for i in negatives]


def judge(answer: str, library: Library, expected: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The right names that the answer says, and the wrong ones, invented handles among them."""
    said = {fold_name(n) for n in names_in(answer, library.things)} | {fold_name(h) for h in handles_in(answer)}
    return frozenset(said & expected), frozenset(said - expected)


def _case(library: Library, rng: np.random.Generator, path: Path, *, shown: bool) -> Case:
    name = list(library.things)[int(rng.integers(len(library.things)))] if shown else None
    strangers = [_stranger(library, rng) for _ in range(int(rng.integers(0 if shown else 1, MOST_STRANGERS + 1)))]
    scene = sample_scene(rng, [*([library.things[name]] if name else []), *strangers], height=SIDE_PX, width=SIDE_PX)
    _save(scene, path)
    targets = (Target(name, _box(scene)),) if name else ()
    return Case(library, Labelled(path, targets), QUESTIONS[int(rng.integers(len(QUESTIONS)))])


def _stranger(library: Library, rng: np.random.Generator) -> Thing:
    while (thing := sample_thing(rng, split="test")) in library.things.values():
        continue
    return thing


def _remember(client: RapClient, library: Library, rng: np.random.Generator, folder: Path) -> None:
    concepts = list(_new_concepts(library, rng, folder))
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        list(pool.map(lambda concept: client.remember(library.user, concept), concepts))


def _new_concepts(library: Library, rng: np.random.Generator, folder: Path) -> Iterator[NewConcept]:
    for name, thing in library.things.items():
        scene = sample_scene(rng, [thing], height=SIDE_PX, width=SIDE_PX)
        path = folder / f"{library.user}-{name}.png"
        _save(scene, path)
        yield NewConcept(name, (NewAvatar(path, _box(scene)),), thing.category, info_text(thing, name, rng))


def _clear(client: RapClient, user: str) -> None:
    for concept in client.concepts(user):
        client.forget(user, concept["id"])


def _result(client: RapClient, model: str, case: Case) -> Result:
    """Asks first, which is what is timed; the candidates come from a second look, which the cache answers."""
    began = time.perf_counter()
    completion = client.chat(_chat_body(model, case))
    spent = (time.perf_counter() - began) * 1_000
    rap, answer = completion["rap"], str(completion["choices"][0]["message"]["content"])
    seen = asked(client, case.library.user, case.picture, boxes_given=False)
    outcome = replace(seen, client_ms=spent, service_ms=rap["timings_ms"], cache=rap["cache"])
    right, wrong = judge(answer, case.library, outcome.expected)
    return Result(outcome, answer, right, wrong)


def _chat_body(model: str, case: Case) -> dict[str, Any]:
    content = [
        {"type": "image_url", "image_url": {"url": data_url(case.picture.picture)}},
        {"type": "text", "text": case.question},
    ]
    messages = [{"role": "user", "content": content}]
    return {"model": model, "messages": messages, "user": case.library.user, "max_tokens": MAX_TOKENS}


def answer_rates(results: Sequence[Result]) -> dict[str, Rate]:
    """How often an answer names the right concept and no other, and how often a wrong one."""
    shown = [r for r in results if r.outcome.expected]
    negatives = [r for r in results if not r.outcome.expected]
    found = {
        "answers with the right name and no other": rate([(int(bool(r.right and not r.wrong)), 1) for r in shown]),
        "answers with the right name": rate([(int(bool(r.right)), 1) for r in shown]),
        "answers with a wrong name": rate([(int(bool(r.wrong)), 1) for r in shown]),
        "negatives answered with a name": rate([(int(bool(r.wrong)), 1) for r in negatives]),
    }
    return {name: r for name, r in found.items() if r.n}


def _reported(results: Sequence[Result], settings: dict[str, Any]) -> dict[str, Any]:
    measured = {
        (name, DETECTED): outcomes
        for name, shown in (("shown", True), ("negatives", False))
        if (outcomes := [r.outcome for r in results if bool(r.outcome.expected) is shown])
    }
    answers = answer_rates(results)
    out.print(rate_table(measured, title=f"Retrieval, {settings['library']} concepts per user"))
    table = Table("measure", "%", "95 % interval", "of", title="Answers", header_style="bold")
    for name, found in answers.items():
        table.add_row(name, *percent(found))
    out.print(table)
    out.print(latency_table(measured), "client: until the whole answer was there", style="dim")
    rows = {name.replace(" ", "_"): found.json() for name, found in answers.items()}
    return {**settings, "retrieval": report(measured), "answers": rows, "texts": _texts(results)}


def _texts(results: Sequence[Result]) -> list[dict[str, Any]]:
    return [{"expected": sorted(r.outcome.expected), "answer": r.answer, "wrong": sorted(r.wrong)} for r in results]


def _save(scene: Scene, path: Path) -> None:
    Image.fromarray(scene.image).save(path)


def _box(scene: Scene) -> list[float]:
    """Where the first thing of the scene is."""
    return [float(v) for v in scene.boxes_xyxy[0]]


if __name__ == "__main__":
    raise SystemExit(main())
