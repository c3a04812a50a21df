"""The running service as suites use it: users that remember libraries and forget them again, and many questions."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from rap_serve.cli.client import Box, RapClient, ServiceError, data_url
from rap_serve.cli.console import tracked
from rap_serve.cli.eval.pack import PackConcept, PackLibrary
from rap_serve.cli.wire import RetrievalJson
from rap_serve.domain.concept import fold_name

IN_FLIGHT = 4
ASKS_IN_FLIGHT = 2
MAX_TOKENS = 96
TRIES = 4
PAUSE_SECONDS = 5.0

Item = TypeVar("Item")
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to one user's service. ``handed``: the only concepts it may consider, by name; None for all."""

    user: str
    question: str
    image: Path | None = None
    handed: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and the concepts that it rested on, folded."""

    text: str
    evidence: frozenset[str]


@dataclass(frozen=True, slots=True)
class Look:
    """A picture to retrieve for; ``boxes_xyxy`` instead of the detector's regions."""

    user: str
    image: Path
    boxes_xyxy: tuple[Box, ...] | None = None
    top_k: int = 5


class Bench:
    """A connection for one run of a suite. ``oracle``: the true concepts are handed over, nothing is retrieved.

    ``with_info``: whether concepts are remembered with what is known about them, or their names only.
    """

    def __init__(
        self, client: RapClient, *, prefix: str, seed: int = 0, oracle: bool = False, with_info: bool = True
    ) -> None:
        self.client = client
        self.model = client.model()
        self.seed = seed
        self.oracle = oracle
        self._prefix = prefix
        self._with_info = with_info
        self._ids: dict[tuple[str, str], str] = {}

    @contextmanager
    def remembered(self, libraries: Sequence[PackLibrary]) -> Iterator[None]:
        """The libraries' users know their concepts inside, and nothing before and after."""
        users = [library.user for library in libraries]
        try:
            for user in users:
                self._clear(user)
            for library in libraries:
                self.add(library.user, library.concepts)
            yield
        finally:
            for user in users:
                self._clear(user)

    def growing(self, library: PackLibrary, sizes: Sequence[int]) -> Iterator[int]:
        """Each size in turn, with as many of the library's first concepts remembered; nothing before and after."""
        known = 0
        with self.remembered([PackLibrary(library.user, ())]):
            for size in sizes:
                self.add(library.user, library.concepts[known:size])
                known = size
                yield size

    def add(self, user: str, concepts: Sequence[PackConcept]) -> None:
        """Remembers more, a few at a time."""
        bodies = [c.new(with_info=self._with_info) for c in concepts]

        def remember(place: int) -> str:
            return self.client.remember(self._user(user), bodies[place])["id"]

        ids = _each(remember, range(len(bodies)), "remembering", IN_FLIGHT)
        self._ids |= {(user, fold_name(c.name)): i for c, i in zip(concepts, ids, strict=True)}

    def ask(self, asks: Sequence[Ask], what: str) -> list[Reply]:
        """The answers, in the order of the questions."""
        return _each(self._reply, asks, what, ASKS_IN_FLIGHT)

    def look(self, looks: Sequence[Look], what: str) -> list[RetrievalJson]:
        """What was found, in the order of the pictures."""
        return _each(self._found, looks, what, ASKS_IN_FLIGHT)

    def _reply(self, ask: Ask) -> Reply:
        content: list[dict[str, Any]] = [{"type": "text", "text": ask.question}]
        if ask.image is not None:
            content.insert(0, {"type": "image_url", "image_url": {"url": data_url(ask.image)}})
        rap: dict[str, Any] = {"retrieval": True}
        if ask.handed is not None:
            rap["concepts"] = [self._ids[ask.user, fold_name(name)] for name in ask.handed]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "user": self._user(ask.user),
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "seed": self.seed,
            "rap": rap,
        }
        answer = patiently(lambda: self.client.chat(body))
        named = frozenset(fold_name(e["name"]) for e in answer["rap"]["evidence"])
        return Reply(str(answer["choices"][0]["message"]["content"]), named)

    def _found(self, look: Look) -> RetrievalJson:
        user, boxes = self._user(look.user), look.boxes_xyxy or None
        return patiently(lambda: self.client.retrieve(user, look.image, boxes_xyxy=boxes, top_k=look.top_k))

    def _user(self, user: str) -> str:
        return f"{self._prefix}-{user}"

    def _clear(self, user: str) -> None:
        ids = [c["id"] for c in self.client.concepts(self._user(user))]
        _each(lambda i: self.client.forget(self._user(user), i), ids, "forgetting", IN_FLIGHT)


def patiently(call: Callable[[], Done], *, pause_seconds: float = PAUSE_SECONDS) -> Done:
    """What the call gives, tried again while a part of the service is away: quality is measured, not availability.

    Only for calls that change nothing. Raises ServiceError as the last try does.
    """
    for _ in range(TRIES - 1):
        try:
            return call()
        except ServiceError as error:
            if error.status != httpx.codes.SERVICE_UNAVAILABLE:
                raise
        time.sleep(pause_seconds)
    return call()


def _each(call: Callable[[Item], Done], items: Sequence[Item], what: str, in_flight: int) -> list[Done]:
    with ThreadPoolExecutor(in_flight) as pool:
        return list(tracked(pool.map(call, items), what, len(items)))
