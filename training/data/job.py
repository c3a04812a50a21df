"""What a run is to make, and how one shard of it is made: a function of the job and the shard's number."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import training.world
from training.data.assemble import records_of
from training.data.describe import Endpoint, plainly_described
from training.data.drafts import Material, Source, drafts_from_json, drafts_to_json
from training.data.problems import Bad, Problem, refused
from training.data.records import RapRecord
from training.data.shards import shard_name, write_shard

Row: TypeAlias = dict[str, Any]
"""What Ray Data hands from stage to stage: a shard's number, its drafts, the contents of its files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to make. ``pictures`` are spread evenly over the shards; ``listed`` are problems found before."""

    out: Path
    source: Source
    records: int
    pictures: int
    seed: int = 0
    per_picture: int = 2
    shard_pictures: int = 32
    bad: Bad = "skip"
    describe: Literal["truth", "endpoint", "category"] = "truth"
    endpoint: Endpoint | None = None
    listed: tuple[Problem, ...] = ()

    @property
    def shards(self) -> int:
        return math.ceil(self.pictures / self.shard_pictures)

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the bytes of the output; neither the folders nor the endpoint's address do."""
        return {
            "program": program_digest(),
            **self.source.settings,
            "seed": self.seed,
            "records": self.records,
            "pictures": self.pictures,
            "records per picture": self.per_picture,
            "pictures per shard": self.shard_pictures,
            "bad data": self.bad,
            "describe": self.describe,
            "model": self.endpoint.model if self.endpoint else None,
        }

    def places(self, shard: int) -> range:
        """The pictures of a shard."""
        return range(shard * self.pictures // self.shards, (shard + 1) * self.pictures // self.shards)

    def quota(self, place: int) -> int:
        """How many records a picture gives; the last ones may give fewer."""
        return max(0, min(self.per_picture, self.records - place * self.per_picture))


def program_digest() -> str:
    """A digest of the modules that decide the bytes: what two programs made must not be mixed in one folder."""
    digest = hashlib.sha256()
    for package in (Path(__file__).parent, Path(training.world.__file__).parent):
        for path in sorted(package.glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def cut_shard(job: Job, shard: int) -> Material:
    """The first stage: pictures and crops, with what their source knows about them."""
    return job.source.material(job.places(shard), seed=job.seed, folder=f"shards/{shard_name(shard)}")


def finish_shard(job: Job, shard: int, material: Material) -> tuple[int, int]:
    """The last stage: conversations, written to the shard's folder; how many records and problems.

    Raises BadData where bad data is to be refused.
    """
    if material.problems and job.bad == "refuse":
        raise refused(material.problems)
    if job.describe == "category":
        material = plainly_described(material)
    records: list[RapRecord] = []
    for draft in material.drafts:
        records += records_of(draft, seed=job.seed, most=job.quota(draft.place))
    used = {path for record in records for path in record.images}
    files = {path: content for path, content in material.files.items() if path in used}
    write_shard(job.out, shard, records, files, material.problems)
    return len(records), len(material.problems)


def packed(shard: int, material: Material) -> Row:
    """The material as a row of plain columns."""
    sizes = {path: len(content) for path, content in material.files.items()}
    return {
        "shard": shard,
        "drafts": drafts_to_json(material.drafts),
        "sizes": json.dumps(sizes),
        "contents": b"".join(material.files.values()),
        "problems": json.dumps([problem.json() for problem in material.problems]),
    }


def unpacked(row: Row) -> Material:
    """What ``packed`` made."""
    files: dict[str, bytes] = {}
    contents, at = bytes(row["contents"]), 0
    for path, size in json.loads(row["sizes"]).items():
        files[path] = contents[at : at + size]
        at += size
    problems = tuple(Problem(**content) for content in json.loads(row["problems"]))
    return Material(drafts=drafts_from_json(row["drafts"]), files=files, problems=problems)
