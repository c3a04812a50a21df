"""Packs as folders: ``pack.json`` and the pictures that it names. See docs/evaluation.md for the format."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rap_serve.cli.client import CliError, NewAvatar
from rap_serve.cli.eval.pack import (
    FORMAT,
    PACK_FILE,
    VERSION,
    Pack,
    PackConcept,
    PackLibrary,
    PackPicture,
    Pair,
    Question,
    Shown,
)
from rap_serve.cli.eval.problems import Policy, Problems, box_in, read_object
from rap_serve.cli.json_place import Place
from rap_serve.domain.concept import checked_name, fold_name


def read_pack(folder: Path, *, bad: Policy = "skip") -> Pack:
    """The pack in a folder. Raises CliError where there is none, or a bad record is to be refused."""
    file = folder / PACK_FILE
    content = read_object(file)
    if content.get("format") != FORMAT or content.get("version") != VERSION:
        raise CliError(f"{file} is not a pack of format {FORMAT!r}, version {VERSION}.")
    reader = _Reader(file, content, Problems(bad))
    libraries = reader.libraries()
    reader.known = {each.user: frozenset(fold_name(n) for n in each.names) for each in libraries}
    return Pack(
        name=str(content.get("name") or folder.name),
        libraries=libraries,
        pictures=tuple(reader.records("pictures", reader.picture)),
        questions=tuple(reader.records("questions", reader.question)),
        pairs=tuple(reader.records("pairs", reader.pair)),
        settings=content.get("settings") or {},
        problems=tuple(reader.problems.found),
    )


def write_pack(pack: Pack, folder: Path) -> None:
    """Writes ``pack.json``; the pictures must be inside the folder already."""

    def path(image: Path) -> str:
        return Path(os.path.relpath(image, folder)).as_posix()

    content = {
        "format": FORMAT,
        "version": VERSION,
        "name": pack.name,
        "settings": dict(pack.settings),
        "libraries": [
            {"user": each.user, "concepts": [_concept_json(c, path) for c in each.concepts]} for each in pack.libraries
        ],
        "pictures": [
            {"image": path(p.image), "user": p.user, "tag": p.tag, "objects": [_shown_json(o) for o in p.objects]}
            for p in pack.pictures
        ],
        "questions": [_question_json(q, path) for q in pack.questions],
        "pairs": [{"user": p.user, "first": p.first, "second": p.second, "attribute": p.attribute} for p in pack.pairs],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PACK_FILE).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")


class _Reader:
    """Turns the records of one file into values; what is wrong with one goes to ``problems``."""

    def __init__(self, file: Path, content: dict[str, Any], problems: Problems) -> None:
        self.file = file
        self.content = content
        self.problems = problems
        self.known: dict[str, frozenset[str]] = {}

    def libraries(self) -> tuple[PackLibrary, ...]:
        """The libraries, each without its bad concepts."""
        found = []
        for i, raw in enumerate(self.content.get("libraries") or ()):
            concepts: list[PackConcept] = []
            for j, concept in enumerate(raw.get("concepts") or ()):
                with self.problems.record(self.file, ("libraries", i, "concepts", j)):
                    concepts.append(self._concept(concept, {fold_name(c.name) for c in concepts}))
            with self.problems.record(self.file, ("libraries", i)):
                found.append(PackLibrary(str(raw["user"]), tuple(concepts)))
        return tuple(found)

    def records(self, key: str, read: Any) -> list[Any]:
        """What ``read`` makes of each good record under ``key``."""
        found = []
        for i, raw in enumerate(self.content.get(key) or ()):
            place: Place = (key, i)
            with self.problems.record(self.file, place):
                found.append(read(raw))
        return found

    def picture(self, raw: dict[str, Any]) -> PackPicture:
        image, user = self._image(raw["image"]), self._user(raw)
        objects = tuple(self._shown(image, user, o) for o in raw.get("objects") or ())
        box_in(image, None)
        return PackPicture(image, user, objects, str(raw.get("tag") or ""))

    def question(self, raw: dict[str, Any]) -> Question:
        user = self._user(raw)
        options = {str(k): str(v) for k, v in (raw.get("options") or {}).items()}
        answer, kind = str(raw["answer"]), raw["kind"]
        if kind not in ("choice", "open", "yes-no"):
            raise CliError(f"a question is of kind choice, open or yes-no, not {kind!r}")
        if kind == "choice" and answer not in options:
            raise CliError(f"the answer {answer!r} is none of the options {list(options)}")
        return Question(
            text=str(raw["text"]),
            user=user,
            concept=self._name(user, raw["concept"]),
            kind=kind,
            answer=answer,
            image=self._image(raw["image"]) if raw.get("image") else None,
            options=options,
            about=str(raw.get("about") or ""),
            style="rap" if raw.get("style") == "rap" else "line",
            seen=raw.get("seen"),
        )

    def pair(self, raw: dict[str, Any]) -> Pair:
        user = self._user(raw)
        return Pair(user, self._name(user, raw["first"]), self._name(user, raw["second"]), str(raw["attribute"]))

    def _concept(self, raw: dict[str, Any], taken: set[str]) -> PackConcept:
        name = checked_name(str(raw["name"]))
        if fold_name(name) in taken:
            raise CliError(f"there are two concepts named {name!r}")
        avatars = []
        for avatar in raw["avatars"]:
            image = self._image(avatar["image"])
            avatars.append(NewAvatar(image, box_in(image, avatar.get("box_xyxy"))))
        if not avatars:
            raise CliError(f"{name!r} has no avatar")
        return PackConcept(
            name, tuple(avatars), str(raw.get("category") or ""), str(raw.get("info") or ""), raw.get("seen")
        )

    def _shown(self, image: Path, user: str, raw: dict[str, Any]) -> Shown:
        name = None if raw.get("name") is None else self._name(user, raw["name"])
        box = box_in(image, raw.get("box_xyxy"))
        return Shown(name, str(raw.get("category") or ""), box, str(raw.get("group") or ""), raw.get("seen"))

    def _image(self, path: object) -> Path:
        image = self.file.parent / str(path)
        if not image.is_file():
            raise CliError(f"there is no picture {str(path)!r}")
        return image

    def _user(self, raw: dict[str, Any]) -> str:
        user = str(raw["user"])
        if user not in self.known:
            raise CliError(f"there is no library of {user!r}")
        return user

    def _name(self, user: str, raw: object) -> str:
        name = checked_name(str(raw))
        if fold_name(name) not in self.known[user]:
            raise CliError(f"{user!r} has no concept {name!r}")
        return name


def _concept_json(concept: PackConcept, path: Any) -> dict[str, Any]:
    avatars = [{"image": path(a.path), "box_xyxy": _box(a.box_xyxy)} for a in concept.avatars]
    about = {"category": concept.category, "info": concept.info, "seen": concept.seen}
    return {"name": concept.name, **about, "avatars": avatars}


def _shown_json(shown: Shown) -> dict[str, Any]:
    about = {"name": shown.name, "category": shown.category, "group": shown.group, "seen": shown.seen}
    return {**about, "box_xyxy": _box(shown.box_xyxy)}


def _question_json(question: Question, path: Any) -> dict[str, Any]:
    fields = ("text", "user", "concept", "kind", "answer", "about", "style", "seen")
    image = None if question.image is None else path(question.image)
    return {**{f: getattr(question, f) for f in fields}, "image": image, "options": dict(question.options)}


def _box(box: Sequence[float] | None) -> list[float] | None:
    return None if box is None else [round(float(v), 1) for v in box]
