"""Pictures out of a listed dataset: boxes cut out, seen a second time, and set against those of other pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rap_serve.domain.region import BoxXyxy, Pixels
from training.data.crops import UnreadableImage, augmented, box_fault, cut, jpeg, load_picture
from training.data.drafts import Candidate, Draft, Material
from training.data.listing import ListedBox, ListedPicture, Listing
from training.data.problems import Problem
from training.data.records import BoxFractions
from training.world.facts import sample_fact

MOST_PRESENT = 3
MOST_OTHERS = 3
ABSENT = 3
VIEWS = 2
SMALLEST_SIDE_PX = 24
REMARK_SHARE = 0.3
SAME_CATEGORY_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSource:
    """The pictures of a listing. ``images``: their folder; ``out``: the folder that paths are relative to.

    What is set against a picture as noise comes from other pictures of the same shard, hence of the same split.
    """

    listing: Listing
    images: Path
    out: Path
    inputs: tuple[tuple[str, str], ...]

    @property
    def count(self) -> int:
        return self.listing.count()

    @property
    def settings(self) -> dict[str, Any]:
        """The folder itself is not among them: it may move."""
        return dict(self.inputs)

    def material(self, places: range, *, seed: int, folder: str) -> Material:
        """See ``Source``; pictures that cannot be used are left out and reported."""
        files: dict[str, bytes] = {}
        problems: list[Problem] = []
        drafts = []
        for place, listed in zip(places, self.listing.pictures(places), strict=True):
            rng = np.random.default_rng([seed, place, 0])
            if draft := self._draft(place, listed, rng, f"{folder}/{place:08d}", files, problems):
                drafts.append(draft)
        against = [_with_absent(draft, drafts, np.random.default_rng([seed, draft.place, 1])) for draft in drafts]
        return Material(drafts=tuple(against), files=files, problems=tuple(problems))

    def _draft(
        self,
        place: int,
        listed: ListedPicture,
        rng: np.random.Generator,
        stem: str,
        files: dict[str, bytes],
        problems: list[Problem],
    ) -> Draft | None:
        pixels = self._loaded(listed.path, listed.size, listed, problems)
        if pixels is None:
            return None
        height, width = pixels.shape[:2]
        usable = _usable(listed, (width, height), problems)
        present: list[Candidate] = []
        for box in usable[:MOST_PRESENT]:
            avatar = self._avatar(box, pixels, listed, problems)
            if avatar is not None:
                found = _candidate(box, avatar, rng, f"{stem}-{len(present)}", files)
                present.append(replace(found, box=_fractions(box.box_xyxy, width, height)))
        if not present:
            return None
        others = dict.fromkeys(_article(box.category) for box in usable[MOST_PRESENT:])
        return Draft(
            place=place,
            picture=os.path.relpath(self.images / listed.path, self.out),
            present=tuple(present),
            others=tuple(others)[:MOST_OTHERS],
        )

    def _avatar(self, box: ListedBox, pixels: Pixels, listed: ListedPicture, problems: list[Problem]) -> Pixels | None:
        """What shows the thing: its part of the picture, or of another picture of it."""
        if not box.avatar:
            return cut(pixels, box.box_xyxy)
        own = self._loaded(box.avatar, None, replace(listed, line=box.line, where=box.where), problems)
        if own is None:
            return None
        return cut(own, box.avatar_box_xyxy or (0, 0, own.shape[1], own.shape[0]))

    def _loaded(
        self, path: str, size: tuple[int, int] | None, listed: ListedPicture, problems: list[Problem]
    ) -> Pixels | None:
        def report(kind: Any, detail: str) -> None:
            problems.append(Problem(kind, listed.file, listed.line, listed.where, f"{path}: {detail}"))

        file = (self.images / path).resolve()
        if not file.is_relative_to(self.images.resolve()):
            report("missing image", "it lies outside of the folder of the pictures")
            return None
        try:
            pixels = load_picture(file)
        except (FileNotFoundError, IsADirectoryError):
            report("missing image", "it is not there")
            return None
        except UnreadableImage as error:
            report("unreadable image", str(error).replace(str(file), path))
            return None
        if size and (pixels.shape[1], pixels.shape[0]) != size:
            report("size differs", f"{pixels.shape[1]} x {pixels.shape[0]} pixels, listed as {size[0]} x {size[1]}")
            return None
        return pixels


def _usable(listed: ListedPicture, size: tuple[int, int], problems: list[Problem]) -> list[ListedBox]:
    """The boxes that lie inside and show enough, the largest first, one for each thing."""
    by_key: dict[str, ListedBox] = {}
    for box in sorted(listed.boxes, key=_area, reverse=True):
        if fault := box_fault(box.box_xyxy, size):
            problems.append(Problem("broken box", listed.file, box.line, box.where, f"{list(box.box_xyxy)}: {fault}"))
        elif min(box.box_xyxy[2] - box.box_xyxy[0], box.box_xyxy[3] - box.box_xyxy[1]) >= SMALLEST_SIDE_PX:
            by_key.setdefault(box.key, box)
    return list(by_key.values())


def _fractions(box: BoxXyxy, width: int, height: int) -> BoxFractions:
    x0, x1 = (round(min(1.0, max(0.0, x / width)), 4) for x in box[::2])
    y0, y1 = (round(min(1.0, max(0.0, y / height)), 4) for y in box[1::2])
    return (x0, y0, x1, y1)


def _candidate(
    box: ListedBox, avatar: Pixels, rng: np.random.Generator, stem: str, files: dict[str, bytes]
) -> Candidate:
    crops = tuple(f"{stem}-{view}.jpg" for view in range(VIEWS))
    for view, path in enumerate(crops):
        files[path] = jpeg(augmented(avatar, rng) if view else avatar)
    fact = sample_fact(rng) if rng.random() < REMARK_SHARE else None
    owned = box.text if box.name and f"<{box.name}>" in box.text else ""
    return Candidate(
        key=box.key,
        category=box.category,
        crops=crops,
        name=box.name,
        info=owned,
        phrase=_phrase(box.text, box.name),
        remark=fact.sentence if fact else "",
        questions=tuple((question, f"{{}} {fact.answer}.") for question in fact.questions) if fact else (),
    )


def _with_absent(draft: Draft, all_drafts: Sequence[Draft], rng: np.random.Generator) -> Draft:
    """The draft with things of other pictures that are not in it, half of them of the kinds that are."""
    taken = {candidate.key for candidate in draft.present}
    kinds = {candidate.category for candidate in draft.present}
    pool = [c for other in all_drafts if other.place != draft.place for c in other.present]
    absent: list[Candidate] = []
    for _ in range(ABSENT):
        pool = [c for c in pool if c.key not in taken]
        alike = [c for c in pool if c.category in kinds]
        chosen_from = alike if alike and rng.random() < SAME_CATEGORY_SHARE else pool
        if chosen_from:
            absent.append(replace(chosen_from[int(rng.integers(len(chosen_from)))], box=None))
            taken.add(absent[-1].key)
    return replace(draft, absent=tuple(absent))


def _phrase(text: str, name: str) -> str:
    """A noun phrase out of what a dataset says: "man in a red shirt" becomes "a man in a red shirt"."""
    phrase = " ".join(text.removeprefix(f"<{name}> is ").split()).rstrip(".")
    if not phrase or f"<{name}>" in phrase:
        return ""
    first = phrase.split()[0].lower()
    if first in ("a", "an", "the", "this", "that", "some", "two", "my"):
        return phrase[0].lower() + phrase[1:]
    return _article(phrase)


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _area(box: ListedBox) -> float:
    x0, y0, x1, y1 = box.box_xyxy
    return (x1 - x0) * (y1 - y0)
