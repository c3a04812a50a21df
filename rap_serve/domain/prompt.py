"""How a question and the concepts that were recognised become one multimodal prompt.

Stored and sent text is data. Whatever a model family reads as control (image placeholders, special
tokens) is neutralised before it reaches the prompt, so that no text can add a picture or end a turn.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rap_serve.domain.places import places_line
from rap_serve.domain.region import BoxShares

MAX_BLOCK_INFO_LENGTH = 600

_CONTROL_WORDS = (
    "image|video|audio|object|img|s|pad|unk|bos|eos|mask"
    "|image_soft_token|start_of_image|end_of_image|start_of_turn|end_of_turn"
)
_CONTROL = re.compile(rf"<(?=\s*/?\s*(?:{_CONTROL_WORDS})\s*>|\|)|\[(?=\s*/?\s*(?:INST|IMG)\])", re.I)
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_TURN = re.compile(r"\b(USER|ASSISTANT|SYSTEM)(?=:)")


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text of a prompt."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class ImagePart:
    """A picture of a prompt: encoded bytes (JPEG, PNG or WebP) and their media type."""

    data: bytes
    media_type: str = "image/jpeg"


@dataclass(frozen=True, slots=True, eq=False)
class ImageRef:
    """A picture of a prompt by its name, its bytes for whoever lacks them. Equal names are equal pixels."""

    name: str
    load: Callable[[], Awaitable[ImagePart]]


ShownImage: TypeAlias = ImagePart | ImageRef
Part: TypeAlias = TextPart | ShownImage


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Literal["user", "assistant", "system"]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ConceptBlock:
    """What a prompt tells the model about one concept. ``box``: where the picture shows it, None where unknown."""

    name: str
    info: str
    avatar: ShownImage
    box: BoxShares | None = None


Layout: TypeAlias = Callable[[ShownImage | None, Sequence[ConceptBlock], str], tuple[Part, ...]]
"""How one model family wants its picture, its concepts and its question arranged."""


def neutralised(text: str) -> str:
    """``text`` with nothing left in it that a model family reads as control."""
    visible = _INVISIBLE.sub("", text)
    bracketed = _CONTROL.sub(lambda m: "(" if m[0] == "[" else "‹", visible)
    return _TURN.sub(lambda m: m[0].capitalize(), bracketed)


def rap_parts(picture: ShownImage | None, blocks: Sequence[ConceptBlock], question: str) -> tuple[Part, ...]:
    """RAP's own layout: ``<image>\\n[1.<image>\\n Name: <bo>, Info: ...]\\n`` per concept, then the question.

    Source: "RAP: Retrieval-Augmented Personalization for Multimodal LLMs", CVPR 2025, section 3.
    ``<image>`` stands where an ImagePart is; the blocks come in the order given. Where the concepts are stands
    after all blocks, which stay the same from picture to picture.
    """
    parts: list[Part] = [picture, TextPart("\n")] if picture else []
    for number, block in enumerate(blocks, 1):
        info = neutralised(block.info[:MAX_BLOCK_INFO_LENGTH])
        parts += [
            TextPart(f"[{number}."),
            block.avatar,
            TextPart(f"\n Name: {handle(block.name)}, Info: {info}]\n"),
        ]
    return merged([*parts, TextPart(_places(picture, blocks)), TextPart(neutralised(question))])


def handle(name: str) -> str:
    """The name as prompts write it: ``<bo>``."""
    return neutralised(f"<{name}>")


def merged(parts: Sequence[Part]) -> tuple[Part, ...]:
    """``parts`` with neighbouring texts joined."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, TextPart) and isinstance(last, TextPart):
            joined[-1] = TextPart(last.text + part.text)
        else:
            joined.append(part)
    return tuple(joined)


def as_text(parts: Sequence[Part], *, placeholder: str = "<image>") -> str:
    """The prompt as one string, a placeholder for each picture."""
    return "".join(part.text if isinstance(part, TextPart) else placeholder for part in parts)


def chat_parts(picture: ShownImage | None, blocks: Sequence[ConceptBlock], question: str) -> tuple[Part, ...]:
    """A layout for general chat models: what is known first, each with its avatar, then picture and question."""
    parts: list[Part] = []
    if blocks:
        parts.append(TextPart("What the user has told you about their own things:\n"))
    for block in blocks:
        info = neutralised(block.info[:MAX_BLOCK_INFO_LENGTH])
        parts += [block.avatar, TextPart(f"\nName: {handle(block.name)}. {info}\n")]
    if blocks:
        parts.append(TextPart("Use a name only where the picture shows that very thing.\n"))
    if picture:
        parts += [picture, TextPart("\n")]
    return merged([*parts, TextPart(_places(picture, blocks)), TextPart(neutralised(question))])


def _places(picture: ShownImage | None, blocks: Sequence[ConceptBlock]) -> str:
    """The line that says where the concepts are; empty without a picture or places."""
    return places_line([(handle(b.name), b.box) for b in blocks if b.box]) if picture else ""


LAYOUTS: Mapping[str, Layout] = {"rap": rap_parts, "chat": chat_parts}
