"""An engine that takes the time an accelerator would take, and remembers what vLLM would remember.

Like vLLM it works in passes: each gives every answer under way its next token and computes as much of the waiting
prompts as fits beside them. What a pass takes is counted, and slept.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from loadtest.simulated.memory import Encodings, Prefixes, Token


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What one replica's accelerator takes and holds.

    The times are of the order of a 7 B model with 576 tokens a picture on one large GPU. ``slots``: answers under way
    at once. ``pass_tokens``: prompt tokens that one pass computes at most. ``pictures_held``: encodings of pictures;
    ``tokens_held``: tokens of prompts.
    """

    slots: int = 16
    pass_seconds: float = 0.02
    picture_seconds: float = 0.02
    prompt_token_seconds: float = 0.0001
    pass_tokens: int = 2_048
    picture_tokens: int = 576
    answer_tokens: int = 32
    pictures_held: int = 64
    tokens_held: int = 64_000


@dataclass(frozen=True, slots=True)
class Prompt:
    """Tokens in order, and the pictures among them: each one's key, and where its tokens end."""

    tokens: Sequence[Token]
    pictures: Sequence[tuple[str, int]]


@dataclass(slots=True)
class Work:
    """What was asked of the engine so far, and what it was spared."""

    pictures: int = 0
    encodings: int = 0
    prompt_tokens: int = 0
    held_tokens: int = 0


@dataclass(slots=True, eq=False)
class _Request:
    prompt: Prompt
    left: int | None = None
    """Prompt tokens still to compute; None before the first pass."""
    made: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    gone: bool = False


class SleepingEngine:
    """One replica's engine."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._encodings = Encodings(costs.pictures_held)
        self._prefixes = Prefixes(costs.tokens_held)
        self._waiting: deque[_Request] = deque()
        self._computing: list[_Request] = []
        self._answering: list[_Request] = []
        self._passes: asyncio.Task[None] | None = None
        self.work = Work()

    async def generate(self, prompt: Prompt, tokens: int) -> AsyncGenerator[None, None]:
        """Yields when a token of the answer is there; leaving early frees the slot with the next pass."""
        request = _Request(prompt)
        self._waiting.append(request)
        if self._passes is None or self._passes.done():
            self._passes = asyncio.create_task(self._run())
        try:
            for _ in range(tokens):
                await request.made.get()
                yield
        finally:
            request.gone = True

    async def _run(self) -> None:
        """Passes, one after another without a gap, while there is anything to do."""
        loop = asyncio.get_running_loop()
        clock = loop.time()
        while self._admit():
            seconds, ready = self._pass()
            clock += seconds
            await asyncio.sleep(max(0.0, clock - loop.time()))
            for request in ready:
                request.made.put_nowait(None)

    def _admit(self) -> bool:
        """Fills free slots with those who wait; whether any slot is taken."""
        self._answering = [r for r in self._answering if not r.gone]
        self._computing = [r for r in self._computing if not r.gone]
        while self._waiting and len(self._answering) + len(self._computing) < self._costs.slots:
            request = self._waiting.popleft()
            if not request.gone:
                self._computing.append(request)
        return bool(self._answering or self._computing)

    def _pass(self) -> tuple[float, list[_Request]]:
        """The seconds of a pass, and whose next token it makes."""
        ready = list(self._answering)
        seconds = self._costs.pass_seconds
        room = self._costs.pass_tokens - len(ready)
        for request in list(self._computing):
            if room <= 0:
                break
            if request.left is None:
                request.left, encoded = self._looked_up(request.prompt)
                seconds += self._costs.picture_seconds * encoded
            share = min(room, request.left)
            request.left -= share
            room -= share
            seconds += self._costs.prompt_token_seconds * share
            if request.left == 0:
                ready.append(self._computed(request))
        return seconds, ready

    def _computed(self, request: _Request) -> _Request:
        """The request, its prompt remembered; the pass that ends a prompt makes the first token."""
        self._prefixes.hold(request.prompt.tokens)
        self._computing.remove(request)
        self._answering.append(request)
        return request

    def _looked_up(self, prompt: Prompt) -> tuple[int, int]:
        """The tokens that must be computed, and how many pictures must be encoded for them."""
        held = self._prefixes.held(prompt.tokens)
        needed = [key for key, end in prompt.pictures if end > held]
        encoded = sum(not self._encodings.take(key) for key in needed)
        self.work.pictures += len(prompt.pictures)
        self.work.encodings += encoded
        self.work.prompt_tokens += len(prompt.tokens)
        self.work.held_tokens += held
        return len(prompt.tokens) - held, encoded
