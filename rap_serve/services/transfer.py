"""Concepts as archives: taken in and given out, as jobs."""

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from rap_serve.domain.catalogue import Jobs
from rap_serve.domain.concept import Avatar, Concept, Owner
from rap_serve.domain.errors import NotFound, RapError
from rap_serve.domain.job import Job
from rap_serve.domain.pack import PackedAvatar, PackedConcept, PackLine, PackProblem, head_line, line_of
from rap_serve.domain.ports import BlobStore, Picture, Pictures
from rap_serve.domain.region import scaled
from rap_serve.services.enrol import AvatarDraft
from rap_serve.services.recall import Recall
from rap_serve.services.remember import ConceptBatch, ConceptDraft, Remember
from rap_serve.services.run_jobs import Progress, queued

GROUP = 64
"""Concepts that become one write."""

GROUPS_AHEAD = 2
"""Groups that are being made while one is stored: one is embedded, one is read and its pictures are stored."""

MOST_PROBLEMS = 1_000
ARCHIVE_TYPE = "application/octet-stream"


class PackReader(Protocol):
    """An archive that is being read."""

    def lines(self) -> Iterator[PackLine]:
        """What it lists, in order. Raises InvalidInput."""

    def picture(self, name: str) -> bytes:
        """One of its files. Raises NotFound, TooLarge."""


class StartTransfers:
    """Queues imports and exports, and hands out what came of an export."""

    def __init__(self, *, jobs: Jobs, blobs: BlobStore, open_pack: Callable[[bytes], PackReader]) -> None:
        """``open_pack``: raises InvalidInput or TooLarge for what is no archive of concepts."""
        self._jobs = jobs
        self._blobs = blobs
        self._open_pack = open_pack

    async def take_in(self, owner: Owner, archive: bytes) -> Job:
        """An import of ``archive``, durable when this returns. Raises InvalidInput, TooLarge."""
        await asyncio.to_thread(self._open_pack, archive)
        key = await self._blobs.put(owner, hashlib.sha256(archive).hexdigest(), archive, ARCHIVE_TYPE)
        job = queued(owner.tenant, owner.user, "import", archive=key)
        await self._jobs.add(job)
        return job

    async def give_out(self, owner: Owner) -> Job:
        """An export of all of the owner's concepts."""
        job = queued(owner.tenant, owner.user, "export")
        await self._jobs.add(job)
        return job

    async def archive(self, job: Job) -> bytes:
        """What an export made. Raises NotFound before it is done, and once it was erased."""
        if job.kind != "export" or "archive" not in job.result:
            raise NotFound("The job has made no archive, or not yet.")
        data, _ = await self._blobs.get(Owner(job.tenant, job.user), str(job.result["archive"]))
        return data


@dataclass(slots=True)
class Tally:
    """What came of the lines so far."""

    added: int = 0
    unchanged: int = 0
    failed: int = 0

    def result(self, problems: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """As the job shows it."""
        return {"added": self.added, "unchanged": self.unchanged, "failed": self.failed, "problems": list(problems)}


@dataclass(frozen=True, slots=True)
class _Group:
    """So many lines of an archive: those of which something was made, what it is, and what is wrong with the others.

    It holds no pictures: those of the next groups need the room.
    """

    size: int
    lines: Sequence[PackLine]
    problems: Sequence[PackProblem]
    batch: ConceptBatch


class Import:
    """Takes an archive in, group by group.

    A group becomes one write, while the next ones are being made. What of it is there already, since the gateway died
    after that write or the archive came twice, is left as it is.
    """

    def __init__(
        self,
        *,
        blobs: BlobStore,
        pictures: Pictures,
        recall: Recall,
        remember: Remember,
        open_pack: Callable[[bytes], PackReader],
    ) -> None:
        self._blobs = blobs
        self._pictures = pictures
        self._recall = recall
        self._remember = remember
        self._open_pack = open_pack

    async def __call__(self, progress: Progress) -> Mapping[str, Any]:
        """The work of an import; what came of it."""
        job = progress.job
        owner, key = Owner(job.tenant, job.user), str(job.wanted["archive"])
        archive, _ = await self._blobs.get(owner, key)
        pack = await asyncio.to_thread(self._open_pack, archive)
        lines = await asyncio.to_thread(lambda: list(pack.lines()))
        tally, problems = _so_far(job)
        done = int(job.kept.get("line", 0))
        await progress.keep(total=len(lines), done=done)
        known = {c.folded_name: c for c in (await self._recall(owner)).concepts}
        async with contextlib.aclosing(self._made_ahead(owner, pack, lines[done:], known)) as groups:
            async for group in groups:
                problems += await self._stored(group, known, tally)
                done += group.size
                kept = {**progress.job.kept, "line": done}
                await progress.keep(done=done, kept=kept, result=tally.result(problems[:MOST_PROBLEMS]))
        await self._blobs.delete(owner, [key])
        return tally.result(problems[:MOST_PROBLEMS])

    async def _made_ahead(
        self, owner: Owner, pack: PackReader, lines: Sequence[PackLine], known: Mapping[str, Concept]
    ) -> AsyncGenerator[_Group, None]:
        """Group after group, the next ones being made while one is stored."""
        making: deque[asyncio.Task[_Group]] = deque()
        try:
            for start in range(0, len(lines), GROUP):
                group = self._made(owner, pack, lines[start : start + GROUP], known)
                making.append(asyncio.create_task(group))
                if len(making) > GROUPS_AHEAD:
                    yield await making.popleft()
            while making:
                yield await making.popleft()
        finally:
            for task in making:
                task.cancel()

    async def _made(
        self, owner: Owner, pack: PackReader, lines: Sequence[PackLine], known: Mapping[str, Concept]
    ) -> _Group:
        drafts = await self._drafts(pack, lines)
        good = [n for n, draft in enumerate(drafts) if isinstance(draft, ConceptDraft)]
        problems = [draft for draft in drafts if isinstance(draft, PackProblem)]
        batch = await self._remember.made(owner, [d for d in drafts if isinstance(d, ConceptDraft)], known=known)
        return _Group(len(lines), [lines[n] for n in good], problems, batch)

    async def _stored(self, group: _Group, known: dict[str, Concept], tally: Tally) -> list[dict[str, Any]]:
        """The problems of a group, after what can be taken in of it was; that is ``known`` then."""
        outcomes = await self._remember.stored(group.batch, known=known)
        problems = list(group.problems)
        for line, outcome in zip(group.lines, outcomes, strict=True):
            if isinstance(outcome, RapError):
                problems.append(PackProblem(line.line, outcome.code, str(outcome), line.name))
            elif outcome == "unchanged":
                tally.unchanged += 1
            else:
                tally.added += 1
                known[outcome.folded_name] = outcome
        tally.failed += len(problems)
        return [_problem(p) for p in sorted(problems, key=lambda p: p.line)]

    async def _drafts(self, pack: PackReader, lines: Sequence[PackLine]) -> list[ConceptDraft | PackProblem]:
        """What the lines ask for, their pictures read; all pictures in two turns of a thread."""
        files = [a.picture for line in lines if not isinstance(line, PackProblem) for a in line.avatars]
        read = await asyncio.to_thread(lambda: [_read(pack, name) for name in files])
        decoded = iter(await self._pictures.load_each([data for data in read if isinstance(data, bytes)]))
        pictures = iter([next(decoded) if isinstance(data, bytes) else data for data in read])
        return [
            line if isinstance(line, PackProblem) else _draft(line, list(islice(pictures, len(line.avatars))))
            for line in lines
        ]


class Export:
    """Gives an owner's concepts out as an archive, with boxes in the pixels of the pictures in it."""

    def __init__(
        self,
        *,
        blobs: BlobStore,
        pictures: Pictures,
        recall: Recall,
        zipped: Callable[[Sequence[str], Sequence[tuple[str, bytes]]], bytes],
    ) -> None:
        self._blobs = blobs
        self._pictures = pictures
        self._recall = recall
        self._zipped = zipped

    async def __call__(self, progress: Progress) -> Mapping[str, Any]:
        """The work of an export; where its archive is."""
        owner = Owner(progress.job.tenant, progress.job.user)
        concepts = (await self._recall(owner)).concepts
        await progress.keep(total=len(concepts), done=0)
        lines, files = [head_line()], dict[str, bytes]()
        for number, concept in enumerate(concepts, 1):
            lines.append(line_of(concept, [await self._packed(owner, a, files) for a in concept.avatars]))
            if number % GROUP == 0:
                await progress.keep(done=number)
        archive = await asyncio.to_thread(self._zipped, lines, sorted(files.items()))
        key = await self._blobs.put(owner, hashlib.sha256(archive).hexdigest(), archive, ARCHIVE_TYPE)
        await progress.keep(done=len(concepts))
        return {"concepts": len(concepts), "archive": key, "bytes": len(archive)}

    async def _packed(self, owner: Owner, avatar: Avatar, files: dict[str, bytes]) -> PackedAvatar:
        data, media_type = await self._blobs.get(owner, avatar.image_key)
        name = f"pictures/{hashlib.sha256(data).hexdigest()[:32]}.{media_type.rpartition('/')[2]}"
        files[name] = data
        if avatar.box_xyxy is None:
            return PackedAvatar(name, shows=avatar.shows)
        width = (await self._pictures.load(data)).original_size[0]
        return PackedAvatar(name, scaled(avatar.box_xyxy, width / avatar.picture_size[0]), avatar.shows)


def _read(pack: PackReader, name: str) -> bytes | RapError:
    try:
        return pack.picture(name)
    except RapError as error:
        return error


def _draft(line: PackedConcept, pictures: Sequence[Picture | RapError]) -> ConceptDraft | PackProblem:
    try:
        return ConceptDraft(
            name=line.name,
            avatars=tuple(map(_avatar, line.avatars, pictures)),
            category=line.category,
            info=line.info,
            metadata=line.metadata,
        )
    except RapError as error:
        return PackProblem(line.line, error.code, str(error), line.name)


def _avatar(avatar: PackedAvatar, picture: Picture | RapError) -> AvatarDraft:
    if isinstance(picture, RapError):
        raise picture
    return AvatarDraft(picture, avatar.box_xyxy, avatar.shows)


def _so_far(job: Job) -> tuple[Tally, list[dict[str, Any]]]:
    """What an earlier gateway had done before it died."""
    result = job.result
    tally = Tally(*(int(result.get(name, 0)) for name in ("added", "unchanged", "failed")))
    return tally, list(result.get("problems", ()))


def _problem(problem: PackProblem) -> dict[str, Any]:
    return {"line": problem.line, "name": problem.name, "code": problem.code, "message": problem.message}
