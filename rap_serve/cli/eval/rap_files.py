"""The test files of RAP and of Yo'LLaVA, read as packs.

The database is ``concept_dict["<bo>"] = {name, image, info, category}``; all concepts belong to one user.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from rap_serve.cli.client import CliError, NewAvatar
from rap_serve.cli.database import Roots, read_boxes, read_json
from rap_serve.cli.eval.pack import Pack, PackConcept, PackLibrary, PackPicture, Question, Shown
from rap_serve.cli.eval.problems import Policy, Problems, box_in, read_object, readable_size
from rap_serve.domain.concept import checked_name, fold_name

USER = "rap"
PLACEHOLDER = "sks"
"""What stands for the concept in Yo'LLaVA's questions."""

PICTURES = {".png", ".jpg", ".jpeg", ".webp"}


class RapFiles:
    """Reads tests about the concepts of one database. ``root``: where picture paths begin, if not beside the files."""

    def __init__(self, database: Path, *, root: Path | None = None, bad: Policy = "skip") -> None:
        """Raises CliError where the database is none, or a record is bad and to be refused."""
        self.problems = Problems(bad)
        self._root = root
        self.library = self._library(database)
        self._names = {fold_name(name): name for name in self.library.names}

    def captions(self, file: Path) -> Pack:
        """``{picture: name or [names]}``, as RAP's captioning evaluation reads it."""
        pictures = []
        roots = Roots.of(file, self._root)
        for path, concepts in read_object(file).items():
            with self.problems.record(file, (path,)):
                names = [concepts] if isinstance(concepts, str) else list(concepts)
                shown = tuple(Shown(self._known(name)) for name in names)
                pictures.append(PackPicture(_picture(roots, path), USER, shown))
        return self._pack(file, pictures=tuple(pictures))

    def visual_qa(self, file: Path) -> Pack:
        """``{name: {picture: {question, options, correct_answer}}}``, of which one picture may have a list."""
        roots = Roots.of(file, self._root)
        return self._questions(file, lambda path: _picture(roots, path))

    def text_qa(self, file: Path) -> Pack:
        """``{name: {number: {question, option, correct_answer}}}``."""
        return self._questions(file, lambda _: None)

    def recognition(self, test: Path) -> Pack:
        """A list ``[{image, question, concept, correct_answer}]``, or a folder with one folder of pictures per concept.

        In RAP's own list every positive comes twice, once under the type ``negative``; it is asked once. In a folder
        each picture is a positive of its concept and a negative of every other.
        """
        questions = self._folder(test) if test.is_dir() else self._list(test)
        return self._pack(test, questions=tuple(questions))

    def _library(self, database: Path) -> PackLibrary:
        raw = read_object(database).get("concept_dict")
        if not isinstance(raw, dict):
            raise CliError(f"{database} is not a database of RAP's: it has no concept_dict.")
        roots, boxes = Roots.of(database, self._root), read_boxes(database)
        concepts: dict[str, PackConcept] = {}
        for key, value in raw.items():
            with self.problems.record(database, ("concept_dict", key)):
                concept = _concept(key, value, roots, boxes)
                if fold_name(concept.name) in concepts:
                    raise CliError(f"there are two concepts named {concept.name!r}")
                concepts[fold_name(concept.name)] = concept
        return PackLibrary(USER, tuple(concepts.values()))

    def _questions(self, file: Path, picture: Callable[[str], Path | None]) -> Pack:
        questions = []
        for name, records in read_object(file).items():
            for key, record in records.items():
                for place, raw in _each(record):
                    with self.problems.record(file, (name, key, *place)):
                        questions.append(self._choice(name, raw, picture(key)))
        return self._pack(file, questions=tuple(questions))

    def _choice(self, name: str, raw: dict[str, Any], image: Path | None) -> Question:
        known = self._known(name)
        options = {str(k): str(v) for k, v in (raw.get("options") or raw["option"]).items()}
        answer = str(raw.get("correct_answer") or raw["correct"])
        if answer not in options:
            raise CliError(f"the answer {answer!r} is none of the options {list(options)}")
        return Question(
            text=str(raw["question"]).replace(PLACEHOLDER, f"<{known}>"),
            user=USER,
            concept=known,
            kind="choice",
            answer=answer,
            image=image,
            options=options,
            style="rap",
        )

    def _list(self, file: Path) -> Iterator[Question]:
        roots, asked = Roots.of(file, self._root), set()
        records = read_json(file)
        if not isinstance(records, list):
            raise CliError(f"{file} holds no list of questions.")
        for i, raw in enumerate(records):
            with self.problems.record(file, (i,)):
                known = self._known(raw["concept"])
                image, there = _picture(roots, raw["image"]), bool(raw["correct_answer"])
                if (image, known) not in asked:
                    asked.add((image, known))
                    yield _presence(known, image, there, str(raw["question"]).replace("<image>", "").strip())

    def _folder(self, folder: Path) -> Iterator[Question]:
        for concept in sorted(p for p in folder.iterdir() if p.is_dir()):
            with self.problems.record(concept, ()):
                shown = self._known(concept.name)
                for image in sorted(p for p in concept.iterdir() if p.suffix.lower() in PICTURES):
                    with self.problems.record(image, ()):
                        readable_size(image)
                        for name in self.library.names:
                            yield _presence(name, image, name == shown, f"Is <{name}> in this photo?")

    def _known(self, name: object) -> str:
        """The name as the database writes it; raises CliError where it has none such."""
        found = self._names.get(fold_name(checked_name(str(name))))
        if found is None:
            raise CliError(f"the database has no concept {name!r}")
        return found

    def _pack(
        self, file: Path, *, pictures: tuple[PackPicture, ...] = (), questions: tuple[Question, ...] = ()
    ) -> Pack:
        return Pack(file.stem, (self.library,), pictures, questions, problems=tuple(self.problems.found))


Record: TypeAlias = tuple[tuple[int, ...], dict[str, Any]]


def _each(record: Any) -> Iterator[Record]:
    """One question, or each of a list, with its place."""
    if isinstance(record, list):
        yield from (((i,), raw) for i, raw in enumerate(record))
    else:
        yield (), record


def _concept(key: str, value: dict[str, Any], roots: Roots, boxes: Any) -> PackConcept:
    name, given = checked_name(str(value.get("name") or key)), value["image"]
    paths = [given] if isinstance(given, str) else list(given)
    avatars = []
    for path in paths:
        image = _picture(roots, path)
        avatars.append(NewAvatar(image, box_in(image, boxes.get(str(Path(path))))))
    return PackConcept(name, tuple(avatars), str(value.get("category") or ""), str(value.get("info") or ""))


def _picture(roots: Roots, path: str) -> Path:
    image = roots.find(path)
    readable_size(image)
    return image


def _presence(name: str, image: Path, there: bool, text: str) -> Question:
    return Question(
        text=text,
        user=USER,
        concept=name,
        kind="yes-no",
        answer="yes" if there else "no",
        image=image,
        about="" if there else "other",
    )
