"""The model ports over Ray Serve handles, with Ray's errors as ours.

Pictures are lent to replicas of the same machine, and travel within the calls to others.
"""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from rap_serve.adapters.lent_pixels import Elsewhere, GivenPixels, Lender
from rap_serve.adapters.picture_sender import PictureSender
from rap_serve.domain.chat import Delta, Sampling
from rap_serve.domain.concept import Owner
from rap_serve.domain.deadline import Deadline, current, enforced, until
from rap_serve.domain.errors import Overloaded, RapError, Unavailable
from rap_serve.domain.match import Matrix
from rap_serve.domain.prompt import Turn
from rap_serve.domain.region import BoxXyxy, Pixels, Region
from rap_serve.domain.sent import Lacking
from rap_serve.observability.origin import Origin

ATTEMPTS = 3
PING_SECONDS = 5.0
RETRY_SECONDS = 0.2


class RayDetector:
    """The port ``Detector`` on a detector deployment."""

    def __init__(self, handle: DeploymentHandle, *, deadline_seconds: float) -> None:
        self._handle = handle
        self._deadline_seconds = deadline_seconds
        self._lender = Lender()

    async def detect(self, pixels: Pixels, vocabulary: tuple[str, ...]) -> tuple[Region, ...]:
        """See the port; a replica that dies is replaced by another attempt."""
        deadline, origin = current() or Deadline.after(self._deadline_seconds), Origin.here()

        async def call(given: GivenPixels) -> tuple[Region, ...] | Elsewhere:
            regions: tuple[Region, ...] | Elsewhere = await _retried(
                lambda: self._handle.detect.remote(given, vocabulary, deadline, origin), deadline
            )
            return regions

        return await self._lender(pixels, call)


class RayEmbedder:
    """The port ``Embedder`` on an embedder deployment."""

    def __init__(self, handle: DeploymentHandle, *, deadline_seconds: float) -> None:
        self._handle = handle
        self._deadline_seconds = deadline_seconds
        self._lender = Lender()

    async def embed(self, pixels: Pixels, boxes_xyxy: Sequence[BoxXyxy]) -> Matrix:
        """See the port; a replica that dies is replaced by another attempt."""
        boxes, origin = tuple(boxes_xyxy), Origin.here()
        deadline = current() or Deadline.after(self._deadline_seconds)

        async def call(given: GivenPixels) -> Matrix | Elsewhere:
            rows: Matrix | Elsewhere = await _retried(
                lambda: self._handle.embed.remote(given, boxes, deadline, origin), deadline
            )
            return rows

        return await self._lender(pixels, call)

    async def embed_crops(self, crops: Sequence[Pixels]) -> Matrix:
        """See the port; a replica that dies is replaced by another attempt."""
        cut, origin = tuple(crops), Origin.here()
        deadline = current() or Deadline.after(self._deadline_seconds)
        rows: Matrix = await _retried(lambda: self._handle.embed_crops.remote(cut, deadline, origin), deadline)
        return rows


class PictureObserver(Protocol):
    """Told of the pictures of each prompt."""

    def pictures(self, sent: int, spared: int) -> None: ...

    def pictures_lacking(self) -> None: ...


class RayMllm:
    """The port ``Mllm`` on an MLLM deployment. ``secret`` keys what separates owners inside the engine."""

    def __init__(
        self, handle: DeploymentHandle, *, deadline_seconds: float, secret: bytes, observer: PictureObserver
    ) -> None:
        self._handle = handle
        self._deadline_seconds = deadline_seconds
        self._secret = secret
        self._observer = observer
        self._pictures = PictureSender(observer.pictures)

    def holds(self, owner: Owner, name: str) -> bool:
        """See the port."""
        return self._pictures.holds(self._salt(owner), name)

    async def stream(
        self, turns: Sequence[Turn], sampling: Sampling, *, model: str, owner: Owner, request_id: str
    ) -> AsyncGenerator[Delta, None]:
        """See the port. Once a piece is out there is no other attempt.

        A replica that lacks a picture says so at once; then all pictures are sent, wherever that goes.
        """
        salt = self._salt(owner)
        known = {"model": model, "cache_salt": salt, "request_id": request_id, "origin": Origin.here()}
        call = _in_one_piece if sampling.whole else _in_pieces
        handle = self._handle.options(session_id=salt)
        deadline = current() or Deadline.after(self._deadline_seconds)
        for whole in (False, True):
            sent = await self._pictures.packed(turns, salt, whole=whole)
            try:
                async with aclosing(call(handle, deadline, sent, sampling, **known)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, Lacking):
                            break
                        self._pictures.arrived(sent)
                        yield piece
                    else:
                        return
            except Exception as error:
                raise translated(error) from error
            self._observer.pictures_lacking()
        raise AssertionError("unreachable")

    def _salt(self, owner: Owner) -> str:
        return hmac.new(self._secret, owner.scope.encode(), hashlib.sha256).hexdigest()


async def _in_pieces(
    handle: DeploymentHandle, deadline: Deadline, *asked: Any, **known: Any
) -> AsyncGenerator[Delta | Lacking, None]:
    """The answer as it is made; whoever stops listening ends it, wherever it is made."""
    call = handle.options(method_name="answer", stream=True).remote(*asked, **known, deadline=deadline)
    ended = False
    try:
        async for piece in until(deadline, call):
            yield piece
        ended = True
    finally:
        if not ended:
            call.cancel()


async def _in_one_piece(
    handle: DeploymentHandle, deadline: Deadline, *asked: Any, **known: Any
) -> AsyncGenerator[Delta | Lacking, None]:
    """The same where nobody wants to see it grow."""
    async with enforced(deadline):
        answer = await _or_cancelled(handle.whole_answer.remote(*asked, **known, deadline=deadline))
    yield answer


async def _retried(call: Callable[[], DeploymentResponse], deadline: Deadline) -> Any:
    """The result of a call that may be repeated.

    Raises Overloaded, Unavailable, DeadlineExceeded or the replica's own RapError.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with enforced(deadline):
                return await _or_cancelled(call())
        except RayActorError as error:
            if attempt == ATTEMPTS:
                raise translated(error) from error
            await asyncio.sleep(RETRY_SECONDS * attempt)
        except Exception as error:
            raise translated(error) from error
    raise AssertionError("unreachable")


async def _or_cancelled(response: DeploymentResponse) -> Any:
    """Its result; a caller that goes away takes the call along, wherever that waits or is worked on."""
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise


def translated(error: Exception) -> RapError:
    """What an error means to the caller: Ray's, gRPC's, or one of the replica's, which comes as it was raised there."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, RapError):
        return error.cause
    if isinstance(error, RapError):
        return type(error)(str(error))
    if isinstance(error, BackPressureError):
        return Overloaded("Too many requests are waiting; try again in a moment.")
    return Unavailable("A model is not available right now; try again in a moment.")


async def ping(*handles: DeploymentHandle) -> None:
    """Returns if a replica of each answers that it is healthy; raises Unavailable."""
    try:
        async with asyncio.timeout(PING_SECONDS):
            await asyncio.gather(*(h.options(method_name="check_health", stream=False).remote() for h in handles))
    except Exception as error:
        raise translated(error) from error
