"""What is asked of a multimodal LLM and what it gives back, whatever hosts it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

FinishReason: TypeAlias = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw the answer. ``temperature`` 0 is greedy.

    ``handles``: the only ``<names>`` that the answer may contain; None leaves it free. ``whole``: it is wanted as one
    piece at its end, which costs less than piece by piece. ``usage_along``: every piece says what was used so far.
    """

    max_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    handles: tuple[str, ...] | None = None
    whole: bool = False
    usage_along: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that an answer cost; pictures count as the tokens they become."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of an answer. The last one has the reason it ended and the usage, which others may have too.

    ``engine_milliseconds``: how long the first piece took where the model runs, None of the others.
    """

    text: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    engine_milliseconds: float | None = None
