"""Concepts as archives: taken in and given out, as jobs."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rap_serve.domain.catalogue import Jobs
from rap_serve.domain.concept import Avatar, Concept, Owner
from rap_serve.domain.errors import NotFound, RapError, Unavailable
from rap_serve.domain.job import Job
from rap_serve.domain.pack import PackedAvatar, PackLine, PackProblem, head_line, line_of
from rap_serve.domain.ports import BlobStore, Pictures
from rap_serve.domain.region import scaled
from rap_serve.services.enrol import AvatarDraft
from rap_serve.services.recall import Recall
from rap_serve.services.remember import ConceptBatch, ConceptDraft, Remember
from rap_serve.services.run_jobs import Progress, queued

GROUP = 64
"""Concepts that become one write."""

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
    """Lines of an archive, what they ask for, and what was made of that."""

    lines: Sequence[PackLine]
    drafts: Sequence[ConceptDraft | PackProblem]
    batch: ConceptBatch


class Import:
    """Takes an archive in, group by group.

    A group becomes one write, while the next one is being embedded. What of it is there already, since the gateway died
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
                done += len(group.lines)
                kept = {**progress.job.kept, "line": done}
                await progress.keep(done=done, kept=kept, result=tally.result(problems[:MOST_PROBLEMS]))
        await self._blobs.delete(owner, [key])
        return tally.result(problems[:MOST_PROBLEMS])

    async def _made_ahead(
        self, owner: Owner, pack: PackReader, lines: Sequence[PackLine], known: Mapping[str, Concept]
    ) -> AsyncGenerator[_Group, None]:
        """Group after group, each made while the one before is stored."""
        groups = (lines[start : start + GROUP] for start in range(0, len(lines), GROUP))
        making: asyncio.Task[_Group] | None = None
        try:
            for group in groups:
                ahead = asyncio.create_task(self._made(owner, pack, group, known))
                made, making = making, ahead
                if made is not None:
                    yield await made
            if making is not None:
                yield await making
        finally:
            if making is not None:
                making.cancel()

    async def _made(
        self, owner: Owner, pack: PackReader, lines: Sequence[PackLine], known: Mapping[str, Concept]
    ) -> _Group:
        drafts = await asyncio.gather(*(self._draft(pack, line) for line in lines))
        batch = await self._remember.made(owner, [d for d in drafts if isinstance(d, ConceptDraft)], known=known)
        return _Group(lines, drafts, batch)

    async def _stored(self, group: _Group, known: dict[str, Concept], tally: Tally) -> list[dict[str, Any]]:
        """The problems of a group, after what can be taken in of it was; that is ``known`` then."""
        outcomes = await self._remember.stored(group.batch, known=known)
        lines = [line for line, d in zip(group.lines, group.drafts, strict=True) if isinstance(d, ConceptDraft)]
        problems = [d for d in group.drafts if isinstance(d, PackProblem)]
        for line, outcome in zip(lines, outcomes, strict=True):
            if isinstance(outcome, RapError):
                problems.append(PackProblem(line.line, outcome.code, str(outcome), line.name))
            elif outcome == "unchanged":
                tally.unchanged += 1
            else:
                tally.added += 1
                known[outcome.folded_name] = outcome
        tally.failed += len(problems)
        return [_problem(p) for p in sorted(problems, key=lambda p: p.line)]

    async def _draft(self, pack: PackReader, line: PackLine) -> ConceptDraft | PackProblem:
        if isinstance(line, PackProblem):
            return line
        try:
            avatars = [await self._avatar(pack, avatar) for avatar in line.avatars]
            return ConceptDraft(
                name=line.name,
                avatars=tuple(avatars),
                category=line.category,
                info=line.info,
                metadata=line.metadata,
            )
        except Unavailable:
            raise
        except RapError as error:
            return PackProblem(line.line, error.code, str(error), line.name)

    async def _avatar(self, pack: PackReader, avatar: PackedAvatar) -> AvatarDraft:
        data = await asyncio.to_thread(pack.picture, avatar.picture)
        return AvatarDraft(await self._pictures.load(data), avatar.box_xyxy, avatar.shows)


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


def _so_far(job: Job) -> tuple[Tally, list[dict[str, Any]]]:
    """What an earlier gateway had done before it died."""
    result = job.result
    tally = Tally(*(int(result.get(name, 0)) for name in ("added", "unchanged", "failed")))
    return tally, list(result.get("problems", ()))


def _problem(problem: PackProblem) -> dict[str, Any]:
    return {"line": problem.line, "name": problem.name, "code": problem.code, "message": problem.message}
