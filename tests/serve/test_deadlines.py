"""Work that nobody waits for is not begun, and not gone on with: on each hop, on a real Ray Serve."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

import numpy as np
import pytest
from ray import serve
from ray.exceptions import RayTaskError
from ray.serve.handle import DeploymentHandle

from deployments.detector import DetectorDeployment
from deployments.embedder import EmbedderDeployment
from loadtest.local_ray import local_ray
from rap_serve.adapters.ray_handle import RayDetector, RayEmbedder, RayMllm, translated
from rap_serve.domain.chat import Delta, Sampling
from rap_serve.domain.concept import Owner
from rap_serve.domain.deadline import NEVER, Deadline, within
from rap_serve.domain.errors import DeadlineExceeded, RapError
from rap_serve.domain.region import Region
from rap_serve.settings import Settings

PAST = Deadline(1.0)
CROWD = 24
"""Calls that keep a model busy for several batches, a third of a second at least."""

SOON_SECONDS = 0.1
FREED_SECONDS = 1.0
PIXELS = np.zeros((64, 64, 3), np.uint8)
WHOLE = ((0.0, 0.0, 64.0, 64.0),)
NOT_A_PICTURE = None
"""Whoever looks at it fails otherwise than by the deadline."""


class Patient:
    """A model that takes for ever, and says how many calls it is busy with."""

    def __init__(self) -> None:
        self._busy = 0

    async def detect(self, *_: object) -> tuple[Region, ...]:
        """Never comes to an end by itself."""
        self._busy += 1
        try:
            await asyncio.sleep(60)
        finally:
            self._busy -= 1
        return ()

    async def answer(self, *_: object, **__: object) -> AsyncGenerator[Delta, None]:
        """A piece every now and then."""
        self._busy += 1
        try:
            while True:
                yield Delta("word ")
                await asyncio.sleep(0.05)
        finally:
            self._busy -= 1

    async def whole_answer(self, *_: object, **__: object) -> Delta:
        """Never comes to an end by itself, either."""
        self._busy += 1
        try:
            await asyncio.sleep(60)
        finally:
            self._busy -= 1
        return Delta("word")

    async def busy(self) -> int:
        """Calls under way."""
        return self._busy


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    """One for all tests of this file."""
    with local_ray():
        yield


@pytest.fixture(scope="module")
def detector(ray: None) -> DeploymentHandle:
    """The real one."""
    settings = Settings.load("local").detector
    shell = serve.deployment(DetectorDeployment, ray_actor_options={"num_cpus": 0.2}, max_ongoing_requests=32)
    return serve.run(shell.bind(settings), name="detector", route_prefix=None)


@pytest.fixture(scope="module")
def embedder(ray: None) -> DeploymentHandle:
    """The real one."""
    settings = Settings.load("local").embedder
    shell = serve.deployment(EmbedderDeployment, ray_actor_options={"num_cpus": 0.2}, max_ongoing_requests=32)
    return serve.run(shell.bind(settings), name="embedder", route_prefix=None)


@pytest.fixture(scope="module")
def patient(ray: None) -> DeploymentHandle:
    """A model that takes for ever."""
    shell = serve.deployment(Patient, ray_actor_options={"num_cpus": 0.1}, max_ongoing_requests=1)
    return serve.run(shell.bind(), name="patient", route_prefix=None)


class Unobserved:
    """Nobody counts pictures here."""

    def pictures(self, sent: int, spared: int) -> None:
        """See PictureObserver."""

    def pictures_lacking(self) -> None:
        """See PictureObserver."""


def answering(patient: DeploymentHandle) -> RayMllm:
    """The adapter in front of the model that takes for ever."""
    return RayMllm(patient, deadline_seconds=60, secret=b"secret", observer=Unobserved())


def detections(detector: DeploymentHandle) -> list[Awaitable[object]]:
    """Calls that the detector is busy with from now on."""
    return [detector.detect.remote(PIXELS, ("dog",), NEVER) for _ in range(CROWD)]


def embeddings(embedder: DeploymentHandle) -> list[Awaitable[object]]:
    """Calls that the embedder is busy with from now on, of a batch each."""
    return [embedder.embed.remote(PIXELS, WHOLE * 16, NEVER) for _ in range(CROWD)]


async def refused(call: Awaitable[object]) -> bool:
    """Whether a raw call was answered with the deadline's error."""
    try:
        await call
    except (RayTaskError, RapError) as error:
        return isinstance(translated(error), DeadlineExceeded)
    return False


async def until_free(patient: DeploymentHandle) -> float:
    """Seconds until the model is busy with nothing, measured from now."""
    began = time.monotonic()
    while await patient.options(method_name="busy").remote() > 0:
        assert time.monotonic() - began < 30, "the call goes on"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_expired_pictures_are_not_looked_at(detector: DeploymentHandle, embedder: DeploymentHandle) -> None:
    """Dropped before preprocessing: what is no picture at all is answered with the deadline's error."""
    assert await refused(detector.detect.remote(NOT_A_PICTURE, ("dog",), PAST))
    assert await refused(embedder.embed.remote(NOT_A_PICTURE, WHOLE, PAST))


async def test_detection_that_expires_before_its_batch_leaves_the_others_alone(detector: DeploymentHandle) -> None:
    """One of a batch gets the error, the other the regions that it gets alone."""
    alone = await detector.detect.remote(PIXELS, ("dog", "cup"), NEVER)
    crowd = detections(detector)
    late = detector.detect.remote(PIXELS, ("dog",), Deadline.after(SOON_SECONDS))
    kept = detector.detect.remote(PIXELS, ("dog", "cup"), NEVER)
    assert await refused(late)
    assert await kept == alone
    await asyncio.gather(*crowd)


async def test_embedding_that_expires_before_its_batch_leaves_the_others_alone(embedder: DeploymentHandle) -> None:
    """The rows of the other are its own."""
    alone = await embedder.embed.remote(PIXELS, WHOLE, NEVER)
    crowd = embeddings(embedder)
    late = embedder.embed.remote(PIXELS, (*WHOLE, *WHOLE), Deadline.after(SOON_SECONDS))
    kept = embedder.embed.remote(PIXELS, WHOLE, NEVER)
    assert await refused(late)
    np.testing.assert_allclose(await kept, alone, atol=1e-5)
    await asyncio.gather(*crowd)


async def test_who_calls_waits_no_longer_than_the_deadline(
    detector: DeploymentHandle, embedder: DeploymentHandle
) -> None:
    """The gateway's own clock ends the wait, whatever the replica does meanwhile."""
    crowd = [*detections(detector), *embeddings(embedder)]
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: RayDetector(detector, deadline_seconds=60).detect(PIXELS, ("dog",)),
        lambda: RayEmbedder(embedder, deadline_seconds=60).embed(PIXELS, WHOLE),
    ]
    for call in calls:
        began = time.monotonic()
        with within(Deadline.after(SOON_SECONDS / 2)), pytest.raises(DeadlineExceeded):
            await call()
        assert time.monotonic() - began < FREED_SECONDS
    await asyncio.gather(*crowd)


async def test_work_of_no_request_has_the_adapters_own_deadline(patient: DeploymentHandle) -> None:
    """Jobs wait for models too, and not for ever."""
    with pytest.raises(DeadlineExceeded):
        await RayDetector(patient, deadline_seconds=0.3).detect(PIXELS, ())
    assert await until_free(patient) < FREED_SECONDS


async def test_a_call_ends_with_the_caller(patient: DeploymentHandle) -> None:
    """At work or still queued for a replica: both are gone when those who asked are."""
    model = RayDetector(patient, deadline_seconds=60)
    calls = [asyncio.create_task(model.detect(PIXELS, ())) for _ in range(3)]
    await asyncio.sleep(0.5)
    for call in calls:
        call.cancel()
    assert all(isinstance(r, asyncio.CancelledError) for r in await asyncio.gather(*calls, return_exceptions=True))
    assert await until_free(patient) < FREED_SECONDS


@pytest.mark.parametrize("pieces", [0, 3])
async def test_a_stream_that_is_left_ends_in_the_replica(patient: DeploymentHandle, pieces: int) -> None:
    """Before its first piece and in the middle."""
    model = answering(patient)
    stream = model.stream((), Sampling(), model="m", owner=Owner("t", "u"), request_id="r")
    waiting = asyncio.create_task(anext(stream))
    await asyncio.sleep(0 if pieces == 0 else 0.3)
    if pieces == 0:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    else:
        await waiting
        for _ in range(pieces):
            await anext(stream)
        await stream.aclose()
    assert await until_free(patient) < FREED_SECONDS


async def test_an_answer_in_one_piece_that_is_left_ends_in_the_replica(patient: DeploymentHandle) -> None:
    """By its caller, or at its deadline."""
    asked = {"model": "m", "owner": Owner("t", "u"), "request_id": "r"}
    waiting = asyncio.create_task(anext(answering(patient).stream((), Sampling(whole=True), **asked)))
    await asyncio.sleep(0.5)
    waiting.cancel()
    assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], asyncio.CancelledError)
    assert await until_free(patient) < FREED_SECONDS
    with within(Deadline.after(0.5)), pytest.raises(DeadlineExceeded):
        await anext(answering(patient).stream((), Sampling(whole=True), **asked))
    assert await until_free(patient) < FREED_SECONDS


async def test_a_stream_ends_at_its_deadline(patient: DeploymentHandle) -> None:
    """What came in time was given, then the error, and the replica is free."""
    model, seen = answering(patient), 0
    with within(Deadline.after(0.5)), pytest.raises(DeadlineExceeded):
        async for _ in model.stream((), Sampling(), model="m", owner=Owner("t", "u"), request_id="r"):
            seen += 1
    assert seen > 1 and await until_free(patient) < FREED_SECONDS
