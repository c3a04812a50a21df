"""What the answer service tells the model."""

from collections.abc import AsyncGenerator, Sequence

import numpy as np
import pytest

from rap_serve.adapters.blob_store import FsspecBlobStore
from rap_serve.adapters.pictures import PictureLoader
from rap_serve.domain.chat import Delta, Sampling
from rap_serve.domain.concept import NOWHERE, Avatar, Concept, Owner, new_ulid
from rap_serve.domain.library import Library
from rap_serve.domain.match import Evidence
from rap_serve.domain.ports import Picture
from rap_serve.domain.prompt import ImageRef, Part, TextPart, Turn, as_text, rap_parts
from rap_serve.domain.region import BoxXyxy
from rap_serve.services.answer import Answer, Ask, Message
from rap_serve.services.avatars import Avatars
from rap_serve.services.retrieve import Query, Retrieval
from rap_serve.settings import LimitSettings

OWNER = Owner("acme", "ann")
OTHER = Owner("acme", "ben")
PICTURE = Picture(np.zeros((150, 200, 3), np.uint8), (400, 300), b"picture", "image/jpeg", "0" * 64)
"""Seen at half the size at which it was sent."""


class Listener:
    """A model that says nothing and keeps the last prompt, and whose it is."""

    prompt = ""
    owner: Owner | None = None
    held: frozenset[str] = frozenset()
    shown: tuple[Part, ...] = ()

    async def stream(
        self, turns: Sequence[Turn], sampling: Sampling, *, model: str, owner: Owner, request_id: str
    ) -> AsyncGenerator[Delta, None]:
        """See Mllm."""
        self.prompt, self.owner = as_text(turns[-1].parts), owner
        self.shown = tuple(part for part in turns[-1].parts if not isinstance(part, TextPart))
        yield Delta(finish_reason="stop")

    def holds(self, owner: Owner, name: str) -> bool:
        """See Mllm."""
        return name in self.held


def dog(name: str, id_: str, image_key: str) -> Concept:
    """One with a single picture."""
    avatar = Avatar(id="a", image_key=image_key, size_bytes=1, picture_size=(1, 1), box_xyxy=None, embeddings={})
    texts = {"name": name, "category": "dog", "info": "A dog."}
    return Concept(id=id_, owner=OWNER, **texts, version=1, created_at=0, updated_at=0, avatars=(avatar,))


async def asked(
    box: BoxXyxy | None, picture: Picture | None, *, asker: Owner = OWNER, names: Sequence[str] = ("bo",)
) -> Listener:
    """The model after a question about ``names``, found in that box, in pixels as sent; made in their order."""
    blobs = FsspecBlobStore(f"memory://{new_ulid()}")
    key = await blobs.put(OWNER, "0" * 64, b"avatar", "image/jpeg")
    known = [dog(name, str(place), key) for place, name in enumerate(names)]
    found = [Evidence(c.id, c.name, 1, "a", "region" if box else "mention", box) for c in known]

    async def retrieve(owner: Owner, query: Query) -> Retrieval:
        return Retrieval(Library.of(known, NOWHERE), evidence=tuple(found))

    listener = Listener()
    answer = Answer(
        retrieve=retrieve,  # type: ignore[arg-type]
        mllm=listener,
        avatars=Avatars(blobs=blobs, pictures=PictureLoader(LimitSettings()), max_bytes=1_000_000),
        layout=rap_parts,
        model="tiny",
        constrain_names=True,
    )
    ask = Ask(messages=(Message("user", "Where is <bo>?", picture),), model="tiny", request_id="r")
    async for _ in (await answer(asker, ask)).deltas:
        pass
    return listener


async def prompted(box: BoxXyxy | None, picture: Picture | None) -> str:
    """The prompt to that question."""
    return (await asked(box, picture)).prompt


async def test_the_model_is_told_where_a_recognised_concept_is() -> None:
    """The box is in pixels of the picture as sent, however small the copy that was looked at."""
    prompt = await prompted((250.0, 100.0, 350.0, 200.0), PICTURE)
    assert prompt.endswith("Info: A dog.]\nIn the picture: <bo> is on the right.\nWhere is <bo>?")


@pytest.mark.parametrize("picture", [PICTURE, None])
async def test_no_place_is_said_of_a_concept_that_was_only_spoken_of(picture: Picture | None) -> None:
    """A name in the text has no box."""
    assert (await prompted(None, picture)).endswith("Info: A dog.]\nWhere is <bo>?")


async def test_a_shared_concept_is_shown_with_its_owners_picture() -> None:
    """And the prompt is the asker's all the same, with what is kept of it."""
    listener = await asked(None, None, asker=OTHER)
    assert "Info: A dog." in listener.prompt and listener.owner == OTHER


async def test_a_prompt_is_the_same_in_whatever_order_its_concepts_were_made() -> None:
    """So an archive gives the same answers wherever it is taken in."""
    some, others = [await asked(None, PICTURE, names=names) for names in (("bo", "Ann", "cy"), ("cy", "bo", "Ann"))]
    assert some.prompt == others.prompt
    assert some.prompt.index("<Ann>") < some.prompt.index("<bo>") < some.prompt.index("<cy>")


async def test_pictures_of_a_prompt_have_names_and_their_bytes_on_demand() -> None:
    """That of the question after what was sent, that of a concept after the avatar."""
    shown = (await asked(None, PICTURE)).shown
    names = [part.name for part in shown if isinstance(part, ImageRef)]
    assert names[0] == f"picture {PICTURE.digest}" and names[1].startswith("avatar acme/ann a ")
    assert [(await part.load()).data for part in shown if isinstance(part, ImageRef)] == [b"picture", b"avatar"]
