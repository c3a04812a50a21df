"""A question about a picture, answered with what the owner has shown the service."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from rap_serve.domain.chat import Delta, Sampling
from rap_serve.domain.concept import NOWHERE, Owner, fold_name
from rap_serve.domain.errors import InvalidInput, ModelNotFound, NotFound
from rap_serve.domain.library import Library
from rap_serve.domain.match import Evidence
from rap_serve.domain.ports import Mllm, Picture
from rap_serve.domain.prompt import (
    ConceptBlock,
    ImagePart,
    ImageRef,
    Layout,
    Part,
    TextPart,
    Turn,
    handle,
    neutralised,
)
from rap_serve.domain.region import BoxShares, shares_of
from rap_serve.services.avatars import Avatars
from rap_serve.services.retrieve import Query, Retrieval, Retrieve
from rap_serve.services.timings import Timings

Task: TypeAlias = Literal["chat", "caption", "qa", "recognition"]

DEFAULT_QUESTIONS: dict[Task, str] = {
    "chat": "What is in this picture?",
    "caption": "Describe this picture.",
    "qa": "What is in this picture?",
    "recognition": "Which of my things is in this picture?",
}


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One message of a conversation as it came in."""

    role: Literal["user", "assistant", "system"]
    text: str
    picture: Picture | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ask:
    """What is asked. ``retrieval`` off asks the bare model; ``max_evidence`` limits the concepts named.

    ``concepts``: the ids of the only concepts to consider, all of the owner's where None. ``timings``: those of the
    request so far.
    """

    messages: tuple[Message, ...]
    model: str
    request_id: str
    sampling: Sampling = field(default_factory=Sampling)
    retrieval: bool = True
    max_evidence: int | None = None
    concepts: tuple[str, ...] | None = None
    task: Task = "chat"
    timings: Timings = field(default_factory=Timings)


@dataclass(frozen=True, slots=True, eq=False)
class Answering:
    """An answer under way: what it rests on, and its pieces."""

    retrieval: Retrieval
    deltas: AsyncGenerator[Delta, None]


class Answer:
    """Retrieves for the newest picture and the newest words, builds the prompt, and asks the MLLM."""

    def __init__(
        self,
        *,
        retrieve: Retrieve,
        mllm: Mllm,
        avatars: Avatars,
        layout: Layout,
        model: str,
        constrain_names: bool,
    ) -> None:
        """``constrain_names``: the answer can hold no ``<name>`` but those of its evidence."""
        self._retrieve = retrieve
        self._mllm = mllm
        self._avatars = avatars
        self._layout = layout
        self._model = model
        self._constrain_names = constrain_names

    async def __call__(self, owner: Owner, ask: Ask) -> Answering:
        """Raises ModelNotFound, ConceptNotFound, InvalidInput, Overloaded or Unavailable."""
        if ask.model != self._model:
            raise ModelNotFound(f"There is no model {ask.model!r} here; there is {self._model!r}.")
        place = _shown_place(ask.messages)
        retrieval = await self._retrieved(owner, ask, place)
        with retrieval.timings("prompt"):
            blocks = await self._blocks(owner, retrieval, ask.messages[place].picture)
        sampling = replace(ask.sampling, handles=self._handles(blocks))
        turns = self._turns(ask, place, blocks)
        deltas = self._mllm.stream(turns, sampling, model=ask.model, owner=owner, request_id=ask.request_id)
        return Answering(retrieval, deltas)

    async def _retrieved(self, owner: Owner, ask: Ask, place: int) -> Retrieval:
        if not ask.retrieval:
            return Retrieval(Library.of([], NOWHERE), timings=ask.timings)
        query = Query(
            picture=ask.messages[place].picture,
            text=ask.messages[-1].text,
            about_picture=place == len(ask.messages) - 1,
            max_evidence=ask.max_evidence,
            concepts=ask.concepts,
            timings=ask.timings,
        )
        return await self._retrieve(owner, query)

    async def _blocks(self, asker: Owner, retrieval: Retrieval, picture: Picture | None) -> tuple[ConceptBlock, ...]:
        """By name, whatever the similarity, so that prefixes repeat, and after an import elsewhere, too."""
        ordered = sorted(retrieval.evidence, key=lambda e: (fold_name(e.name), e.concept_id))
        blocks = await asyncio.gather(*(self._block(asker, retrieval.library, e, _box_in(picture, e)) for e in ordered))
        return tuple(b for b in blocks if b is not None)

    async def _block(
        self, asker: Owner, library: Library, evidence: Evidence, box: BoxShares | None
    ) -> ConceptBlock | None:
        """None where the concept was deleted since it was retrieved, as far as its picture must be read."""
        concept = library.get(evidence.concept_id)
        avatar = next(a for a in concept.avatars if a.id == evidence.avatar_id)
        named = self._avatars.named(concept.owner, avatar)
        if not self._mllm.holds(asker, named.name):
            try:
                await self._avatars.shown(concept.owner, avatar)
            except NotFound:
                return None
        return ConceptBlock(concept.name, concept.info, named, box)

    def _handles(self, blocks: tuple[ConceptBlock, ...]) -> tuple[str, ...] | None:
        return tuple(handle(b.name) for b in blocks) if self._constrain_names else None

    def _turns(self, ask: Ask, place: int, blocks: tuple[ConceptBlock, ...]) -> tuple[Turn, ...]:
        turns: list[Turn] = []
        for index, message in enumerate(ask.messages):
            text = message.text
            if index == len(ask.messages) - 1 and not text.strip():
                text = DEFAULT_QUESTIONS[ask.task]
            picture = _named(message.picture) if message.picture else None
            turns.append(Turn(message.role, self._parts(message.role, picture, blocks if index == place else (), text)))
        return tuple(turns)

    def _parts(
        self, role: str, picture: ImageRef | None, blocks: tuple[ConceptBlock, ...], text: str
    ) -> tuple[Part, ...]:
        if role == "user":
            return self._layout(picture, blocks, text)
        return (TextPart(neutralised(text)),)


def _shown_place(messages: Sequence[Message]) -> int:
    """Which message the concepts belong to: the last with a picture, otherwise the last."""
    if not messages or messages[-1].role != "user":
        raise InvalidInput("The last message must be the user's.")
    with_picture = [i for i, m in enumerate(messages) if m.picture is not None]
    return with_picture[-1] if with_picture else len(messages) - 1


def _named(picture: Picture) -> ImageRef:
    """The picture by what it is, so that it need not travel when it is asked about again."""

    async def load() -> ImagePart:
        return ImagePart(picture.data, picture.media_type)

    return ImageRef(f"picture {picture.digest}", load)


def _box_in(picture: Picture | None, evidence: Evidence) -> BoxShares | None:
    """Where the picture shows the concept; None where it is only spoken of."""
    if picture is None or evidence.box_xyxy is None:
        return None
    return shares_of(evidence.box_xyxy, *picture.original_size)


async def first_then_rest(answering: Answering) -> Answering:
    """The same answer with its first piece already made, so that what fails early fails before a status is sent."""
    timings = answering.retrieval.timings
    try:
        with timings("first_token"):
            first = await anext(answering.deltas)
    except StopAsyncIteration:
        return answering
    if first.engine_milliseconds is not None:
        timings.count("engine", first.engine_milliseconds)

    async def chained() -> AsyncGenerator[Delta, None]:
        async with aclosing(answering.deltas) as rest:
            yield first
            async for delta in rest:
                yield delta

    return replace(answering, deltas=chained())
