"""What an evaluation is made of: libraries to remember, pictures with what they show, questions with their answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from rap_serve.cli.client import Box, CliError, NewAvatar, NewConcept
from rap_serve.cli.scoring import Target
from rap_serve.domain.concept import fold_name

FORMAT, VERSION = "rap-eval-pack", 1
PACK_FILE = "pack.json"

QuestionKind: TypeAlias = Literal["choice", "open", "yes-no"]


@dataclass(frozen=True, slots=True)
class PackConcept:
    """A concept to remember. ``seen``: whether the models were trained on its category; None where unknown."""

    name: str
    avatars: tuple[NewAvatar, ...]
    category: str = ""
    info: str = ""
    seen: bool | None = None

    def new(self, *, with_info: bool = True) -> NewConcept:
        """As the service takes it; without its info only the name stands there, or the service would describe it."""
        return NewConcept(self.name, self.avatars, self.category, self.info if with_info else f"<{self.name}>.")


@dataclass(frozen=True, slots=True)
class PackLibrary:
    """The concepts of one user, in the order in which they are remembered."""

    user: str
    concepts: tuple[PackConcept, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.concepts)


@dataclass(frozen=True, slots=True)
class Shown:
    """Something a picture shows. ``name``: None where it is nobody's; ``group``: a wider word for its category."""

    name: str | None
    category: str = ""
    box_xyxy: Box | None = None
    group: str = ""
    seen: bool | None = None


@dataclass(frozen=True, slots=True)
class PackPicture:
    """A picture to ask one user's service about. ``tag``: what a suite tells apart."""

    image: Path
    user: str
    objects: tuple[Shown, ...] = ()
    tag: str = ""

    @property
    def names(self) -> frozenset[str]:
        """The user's concepts that it shows, in the form in which names are compared."""
        return frozenset(fold_name(o.name) for o in self.objects if o.name is not None)

    @property
    def targets(self) -> tuple[Target, ...]:
        """The user's concepts with their boxes, where these are known."""
        return tuple(Target(o.name, o.box_xyxy) for o in self.objects if o.name is not None and o.box_xyxy is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question with its answer: a letter of ``options``, the words to hold, or ``yes`` and ``no``.

    ``about``: what tells the answer: ``info`` (the text states it), ``fact`` (the text states it and no picture can),
    ``place`` (only this picture shows it), ``looks`` (the avatar or this picture shows it, no text); for yes-no
    questions why the answer is no. ``style``: how options are written, in one line or as RAP's scripts do.
    """

    text: str
    user: str
    concept: str
    kind: QuestionKind
    answer: str
    image: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    about: str = ""
    style: Literal["line", "rap"] = "line"
    seen: bool | None = None

    def asked(self) -> str:
        """The words that go to the service."""
        if not self.options:
            return self.text
        if self.style == "rap":
            listed = "".join(f"{letter}. {words}\n" for letter, words in self.options.items())
            return f"Question: {self.text}\nOptions:\n{listed}Please give a single character from the options above."
        return f"{self.text} " + " ".join(f"{letter}. {words}" for letter, words in self.options.items())


@dataclass(frozen=True, slots=True)
class Pair:
    """Two concepts of one user that differ in exactly one ``attribute``."""

    user: str
    first: str
    second: str
    attribute: str


@dataclass(frozen=True, slots=True)
class Pack:
    """All of an evaluation's data. ``problems``: what was left out, with file and line."""

    name: str
    libraries: tuple[PackLibrary, ...]
    pictures: tuple[PackPicture, ...] = ()
    questions: tuple[Question, ...] = ()
    pairs: tuple[Pair, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def library(self, user: str) -> PackLibrary:
        """The library of that user; raises KeyError."""
        return {each.user: each for each in self.libraries}[user]

    def only_library(self) -> PackLibrary:
        """The one library there is; raises CliError where there are more or none."""
        if len(self.libraries) != 1:
            raise CliError(f"{self.name}: this suite grows one library, and there are {len(self.libraries)}.")
        return self.libraries[0]
