"""Does one owner's search slow down as tenants come? And what does a concept cost in memory and on disk?

    python -m loadtest.bench.tenants --few 10 --many 1000 --concepts 20

On a Milvus Lite server of its own (or ``--uri``): the library and the nearest avatars of random owners, first among few
tenants, then among many, in one run; then the first read of an owner whom nobody has read before.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from rap_serve.adapters.milvus import MilvusMemory
from rap_serve.adapters.milvus_lite_server import MilvusLiteServer
from rap_serve.cli.process import free_port
from rap_serve.domain.concept import Avatar, Concept, EmbeddingSpace, Owner, new_ulid

SPACE = EmbeddingSpace("bench", 1_280)
READS = 100


def concept(owner: Owner, number: int, rng: np.random.Generator) -> Concept:
    """Something with a random embedding."""
    vector = rng.normal(size=SPACE.dim).astype(np.float32)
    avatar = Avatar(
        id=new_ulid(),
        image_key="k",
        size_bytes=1,
        picture_size=(320, 320),
        box_xyxy=(0.0, 0.0, 9.0, 9.0),
        embeddings={SPACE.version: vector / np.linalg.norm(vector)},
    )
    fields = {"name": f"thing-{number}", "category": "mug", "info": "A mug." * 20}
    return Concept(id=new_ulid(), owner=owner, version=1, created_at=1, updated_at=1, avatars=(avatar,), **fields)


def owner_of(number: int) -> Owner:
    """One user a tenant."""
    return Owner(f"tenant-{number}", "user")


async def fill(memory: MilvusMemory, first: int, last: int, concepts: int) -> None:
    """Tenants ``first`` to ``last``, each in one write."""
    rng = np.random.default_rng(first)
    for number in tqdm(range(first, last), desc="tenants", mininterval=5):
        owner = owner_of(number)
        await memory.add(owner, [concept(owner, n, rng) for n in range(concepts)])


async def measured(memory: MilvusMemory, tenants: int) -> dict[str, float]:
    """Milliseconds of reads of random owners."""
    rng, vectors = random.Random(tenants), np.random.default_rng(tenants)
    library, nearest = [], []
    for _ in range(READS):
        owner = owner_of(rng.randrange(tenants))
        queries = vectors.normal(size=(4, SPACE.dim)).astype(np.float32)
        began = time.perf_counter()
        await memory.library(owner)
        between = time.perf_counter()
        await memory.nearest(owner, queries, k=5)
        library.append(between - began)
        nearest.append(time.perf_counter() - between)
    return {
        f"{name}_{label}_ms": round(1_000 * float(np.percentile(values, share)), 2)
        for name, values in (("library", library), ("nearest", nearest))
        for label, share in (("p50", 50), ("p99", 99))
    }


def size_of(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def run(options: argparse.Namespace, uri: str, folder: Path | None, pid: int | None) -> dict[str, object]:
    """The figures, and the ratio of many to few."""
    memory = MilvusMemory(uri=uri, space=SPACE, timeout_seconds=120)
    await fill(memory, 0, options.few, options.concepts)
    few = await measured(memory, options.few)
    await fill(memory, options.few, options.many, options.concepts)
    await asyncio.sleep(2)
    many = await measured(memory, options.many)
    await memory.close()
    total = options.many * options.concepts
    found: dict[str, object] = {
        "concepts_a_tenant": options.concepts,
        f"{options.few}_tenants": few,
        f"{options.many}_tenants": many,
        "ratio_p50": {k: round(many[k] / few[k], 2) for k in few if "p50" in k},
    }
    if folder is not None and pid is not None:
        found["disk_bytes_a_concept"] = round(size_of(folder) / total)
        found["memory_bytes_a_concept"] = round(psutil.Process(pid).memory_info().rss / total)
    return found


def main() -> None:
    """Parses the command line and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uri", help="a running Milvus instead of a Lite server of its own")
    parser.add_argument("--few", type=int, default=10)
    parser.add_argument("--many", type=int, default=1_000)
    parser.add_argument("--concepts", type=int, default=20)
    options = parser.parse_args()
    if options.uri:
        print(json.dumps(asyncio.run(run(options, options.uri, None, None)), indent=1))
        return
    with tempfile.TemporaryDirectory() as folder:
        server = MilvusLiteServer(Path(folder), free_port())
        server.start()
        try:
            print(json.dumps(asyncio.run(run(options, server.uri, Path(folder), server.pid)), indent=1))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
