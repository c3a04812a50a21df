"""A job on Ray Data: three stages that shards stream through, on all cores, in bounded memory.

Cutting and writing are tasks; describing, which waits for an endpoint, is an actor of its own between them, so
that the next shards are cut meanwhile. A row is a shard, and no more rows are under way than the object store's
limit holds: a slow stage holds the others up.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.describe import Describer, Endpoint, EndpointFailed
from training.data.footprint import Watch
from training.data.job import Job, Row, cut_shard, finish_shard, packed, unpacked
from training.data.problems import BadData
from training.data.shards import DESCRIPTIONS, Refused, join_shards, unfinished

OBJECT_STORE_BYTES = 256 << 20
LARGEST_BLOCK_BYTES = 32 << 20
START_ATTEMPTS = 3
_RAYS_ADVICE = "\nFailed to apply UDF"  # which Ray Data writes into the text of any error


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a run. ``records``: of the shards made now; ``kept``: shards that were there before."""

    records: int
    problems: int
    made: int
    kept: int
    seconds: float
    largest_rss: int
    total_private: int

    def json(self) -> dict[str, Any]:
        """Figures of this very run; they differ from run to run."""
        return {
            "records made": self.records,
            "shards made": self.made,
            "shards kept": self.kept,
            "seconds": round(self.seconds, 1),
            "records per second": round(self.records / self.seconds, 2) if self.records else 0,
            "largest process, MiB": self.largest_rss >> 20,
            "all processes, MiB": self.total_private >> 20,
            "object store limit, MiB": OBJECT_STORE_BYTES >> 20,
        }


def run(job: Job, *, workers: int, progress: Callable[[int, int], None]) -> Run:
    """Make what is missing of the job, then join the shards.

    ``progress`` is told how many shards are there, of how many. Raises BadData, EndpointFailed or Refused.
    """
    todo = unfinished(job.out, job.shards)
    kept = job.shards - len(todo)
    records = problems = done = 0
    began = time.monotonic()
    progress(kept, job.shards)
    with Watch() as memory:
        for row in _rows(job, todo, workers) if todo else ():
            records, problems, done = records + row["records"], problems + row["problems"], done + 1
            progress(kept + done, job.shards)
    seconds = time.monotonic() - began
    if unfinished(job.out, job.shards):
        raise Refused("Not every shard was made. The same command goes on from here.")
    join_shards(job.out, job.shards, job.listed)
    return Run(records, problems, done, kept, seconds, memory.largest_rss, memory.total_private)


def _rows(job: Job, todo: list[int], workers: int) -> Iterator[Row]:
    """What the last stage says of each shard, as they are done."""
    _start_ray(workers)
    import ray

    try:
        yield from _dataset(job, todo, workers).iter_rows()
    except Exception as error:
        raise _own(error) from error
    finally:
        ray.shutdown()


def _start_ray(workers: int) -> None:
    """The cluster at RAY_ADDRESS, or a Ray of this run's own; raises Refused where it does not come up."""
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray

    own = {"address": "local", "num_cpus": workers, "object_store_memory": OBJECT_STORE_BYTES}
    options: dict[str, Any] = {} if os.environ.get("RAY_ADDRESS") else {**own, "include_dashboard": False}
    options |= {"log_to_driver": False, "logging_level": "error"}
    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(**options)
            return
        except Exception as error:  # Ray raises no class of its own when a busy machine starts it too slowly
            ray.shutdown()
            if attempt == START_ATTEMPTS - 1:
                raise Refused(f"Ray did not start: {error}") from error


def _dataset(job: Job, todo: list[int], workers: int) -> Any:
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # the command tells of progress and errors
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = LARGEST_BLOCK_BYTES
    context.execution_options.resource_limits = ray.data.ExecutionResources(object_store_memory=OBJECT_STORE_BYTES / 2)
    context.raise_original_map_exception = True  # Ray's own wrapper loses it on the way
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    shards = ray.data.from_items([{"shard": shard} for shard in todo], override_num_blocks=len(todo))
    tasks: dict[str, Any] = {
        "fn_kwargs": {"job": job},
        "compute": ray.data.TaskPoolStrategy(size=min(workers, len(todo))),
    }
    rows = shards.map(_cut, **tasks)
    if job.endpoint is not None:
        setup = (job.endpoint, job.out / DESCRIPTIONS)
        rows = rows.map(_Describing, fn_constructor_args=setup, compute=ray.data.ActorPoolStrategy(size=1), num_cpus=0)
    return rows.map(_finish, **tasks)


def _cut(row: Row, *, job: Job) -> Row:
    shard = int(row["shard"])
    return packed(shard, cut_shard(job, shard))


def _finish(row: Row, *, job: Job) -> Row:
    shard = int(row["shard"])
    records, problems = finish_shard(job, shard, unpacked(row))
    return {"shard": shard, "records": records, "problems": problems}


class _Describing:
    """The middle stage, an actor."""

    def __init__(self, endpoint: Endpoint, cache: Path) -> None:
        self._describer = Describer(endpoint, cache)

    def __call__(self, row: Row) -> Row:
        shard = int(row["shard"])
        return packed(shard, self._describer.described(unpacked(row), shard=f"shard {shard}"))


def _own(error: BaseException) -> BaseException:
    """The error of ours inside one of Ray's, whose own text is a whole traceback; else the error itself."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BadData | EndpointFailed | Refused):
        return type(cause)(str(cause).split(_RAYS_ADVICE, 1)[0])
    return error
