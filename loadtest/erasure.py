"""Users erased under concurrent writes: is any of it readable, or left in any file?

    python -m loadtest.erasure --home .rap --users 10 --writers 4 --redis-port 6379 --also /data/milvus

All that is written bears a mark: names, categories, texts, metadata and the bytes of the pictures. Writers go on while
their user is erased; what was acknowledged before must be out of reach at once, by every route. Each user is erased a
second time when the writers have stopped. Then memory is flushed and compacted, Redis saved, and every file of the
home, of Ray's session, of Redis and of ``--also`` is searched for the marks, in several spellings. Ids of what was
erased say nothing and may stay where writes are logged; in which files they do is reported beside.
"""

import argparse
import asyncio
import base64
import json
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyarrow
import pyarrow.parquet
import redis
from pymilvus import MilvusClient, MilvusException
from tqdm import tqdm

from loadtest import drawn
from loadtest.limits import client
from loadtest.processes import milvus_uri, service_processes

CONCEPTS = 4
WRITE_SECONDS = 3.0
PATIENCE_SECONDS = 120.0
CHUNK_BYTES = 64_000_000
PARQUET = b"PAR1"


@dataclass(eq=False)
class Marked:
    """A user all of whose data bear one mark, and what was acknowledged of it."""

    user: str
    mark: str
    concepts: list[str] = field(default_factory=list)
    edits: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)
    exports: list[str] = field(default_factory=list)
    erasing: bool = False
    erased: bool = False

    def concept(self, number: int) -> dict[str, Any]:
        """A body with the mark in all its parts."""
        mark = f"{self.mark} {number}"
        picture = drawn.jpeg(drawn.scene([drawn.thing(number % 40)], 1).image)
        comment = b"\xff\xfe" + (len(self.mark) + 2).to_bytes(2, "big") + self.mark.encode()
        avatars = [{"image": drawn.data_url(picture[:2] + comment + picture[2:]), "box_xyxy": [2, 2, 90, 90]}]
        return {"name": mark, "category": mark, "info": mark, "metadata": {self.mark: mark}, "avatars": avatars}

    @property
    def path(self) -> str:
        return f"/v1/users/{self.user}"


async def write(http: httpx.AsyncClient, marked: Marked, number: int) -> None:
    """Remembers, edits and exports until a while after the user was erased."""
    end = None
    while end is None or time.monotonic() < end:
        number += 100
        made = await http.post(f"{marked.path}/concepts", json=marked.concept(number))
        if marked.erased:
            end = end or time.monotonic() + 0.5
            continue
        if made.status_code == 201 and not marked.erasing:
            concept, body, key = made.json()["id"], {"info": f"{marked.mark} edited"}, secrets.token_hex(8)
            marked.concepts.append(concept)
            path = f"{marked.path}/concepts/{concept}"
            edited = await http.patch(path, json=body, headers={"Idempotency-Key": key})
            if edited.status_code == 200 and not marked.erasing:
                marked.edits.append((path, body, key))


async def erased(http: httpx.AsyncClient, marked: Marked) -> dict[str, Any]:
    """The receipt."""
    marked.erasing = True
    job = (await http.delete(marked.path)).raise_for_status().json()
    marked.erased = True
    patience = time.monotonic() + PATIENCE_SECONDS
    while job["state"] != "done":
        if job["state"] == "failed" or time.monotonic() > patience:
            raise TimeoutError(f"The erasure of {marked.user} is not done: {job}")
        await asyncio.sleep(0.2)
        job = (await http.get(f"/v1/jobs/{job['id']}")).raise_for_status().json()
    return dict(job["result"]["receipt"])


async def reached(http: httpx.AsyncClient, marked: Marked) -> list[str]:
    """By which route what was acknowledged before the erasure can still be seen."""
    seen = []
    for concept in marked.concepts:
        for path in (f"{marked.path}/concepts/{concept}", f"{marked.path}/concepts/{concept}/history"):
            if (await http.get(path)).status_code != 404:
                seen.append(path)
    page = (await http.get(f"{marked.path}/concepts", params={"limit": "100"})).json()
    seen += [c["id"] for c in page["data"] if c["id"] in marked.concepts]
    for job in marked.exports:
        if (await http.get(f"/v1/jobs/{job}/archive")).status_code != 404:
            seen.append(job)
    for path, body, key in marked.edits:
        again = await http.patch(path, json=body, headers={"Idempotency-Key": key})
        if again.status_code != 404 or marked.mark in again.text:
            seen.append(f"replayed {path}")
    return seen


async def exported(http: httpx.AsyncClient, marked: Marked) -> None:
    """An archive of what there is so far."""
    marked.exports.append((await http.post(f"{marked.path}/concepts:export")).raise_for_status().json()["id"])


async def one(url: str, key: str, marked: Marked, writers: int) -> dict[str, Any]:
    """A user's life and end."""
    async with client(url, key) as http:
        for number in range(CONCEPTS):
            made = (await http.post(f"{marked.path}/concepts", json=marked.concept(number))).raise_for_status()
            marked.concepts.append(made.json()["id"])
        await exported(http, marked)
        at_work = [asyncio.create_task(write(http, marked, n)) for n in range(CONCEPTS, CONCEPTS + writers)]
        await asyncio.sleep(WRITE_SECONDS)
        receipt = await erased(http, marked)
        await asyncio.gather(*at_work)
        resurrected = await reached(http, marked)
        await erased(http, marked)
        left = (await http.get(f"{marked.path}/concepts")).json()["data"]
        return {"resurrected": resurrected, "left": len(left), "receipt": receipt}


def settled(home: Path, port: int | None) -> tuple[dict[str, str], list[Path]]:
    """How the compaction of each collection ended, after a flush; and where Redis has saved its data."""
    memory = MilvusClient(milvus_uri(home))
    compacted = {table: _compacted(memory, table) for table in memory.list_collections()}
    memory.close()
    if port is None:
        return compacted, []
    cache = redis.Redis(port=port)
    cache.save()
    config = cache.config_get("dir", "dbfilename")
    return compacted, [Path(str(config["dir"])) / str(config["dbfilename"])]


def _compacted(memory: MilvusClient, table: str) -> str:
    memory.flush(table)
    try:
        job = memory.compact(table)
        patience = time.monotonic() + PATIENCE_SECONDS
        while (state := str(memory.get_compaction_state(job))) != "Completed" and time.monotonic() < patience:
            time.sleep(0.5)
        return state
    except MilvusException as error:
        return str(error.message)[:80]


def places(home: Path, also: list[Path]) -> list[Path]:
    """All files that may hold anything of this service."""
    folders = {home, *also}
    for process in service_processes(home):
        logs = [word.partition("=")[2] for word in process.cmdline() if word.startswith("--log_dir=")]
        folders |= {Path(log).parent for log in logs}
    return sorted({p for folder in folders for p in [folder, *folder.rglob("*")] if p.is_file()})


def contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file; what a column store has compressed, once more as it reads it."""
    with path.open("rb") as file:
        before = b""
        while chunk := file.read(CHUNK_BYTES):
            yield before + chunk
            before = chunk[-1_000:]
    yield from tables_in(path.read_bytes())


def tables_in(data: bytes) -> Iterator[bytes]:
    """The values of each Parquet table in it; Milvus wraps them into files of its own."""
    start = data.find(PARQUET)
    while start >= 0 and (end := data.find(PARQUET, start + len(PARQUET))) >= 0:
        with suppress(pyarrow.ArrowException, OSError):
            table = pyarrow.parquet.read_table(pyarrow.BufferReader(data[start : end + len(PARQUET)]))
            yield str(table.to_pydict()).encode()
        start = data.find(PARQUET, end + len(PARQUET))


def spellings(mark: str) -> dict[str, list[bytes]]:
    """How a mark may be written down."""
    plain = mark.encode()
    shifted = [base64.b64encode(b"\0" * n + plain) for n in range(3)]
    return {
        "plain": [plain],
        "base64": [text[4 if n else 0 : -4] for n, text in enumerate(shifted)],
        "utf-16": [mark.encode("utf-16-le"), mark.encode("utf-16-be")],
        "hex": [plain.hex().encode(), plain.hex().upper().encode()],
        "reversed": [plain[::-1]],
    }


def searched(files: list[Path], marks: list[str]) -> dict[str, Any]:
    """Which files hold which spellings."""
    found: Counter[str] = Counter()
    size = 0
    wanted = [(how, word) for mark in marks for how, words in spellings(mark).items() for word in words]
    for path in tqdm(files, desc="files", mininterval=10):
        with suppress(FileNotFoundError):
            for data in contents(path):
                size += len(data)
                found.update(f"{path}: {how}" for how, word in wanted if word in data)
    return {"files": len(files), "bytes": size, "found": dict(found)}


def naming(files: list[Path], ids: list[str]) -> dict[str, int]:
    """How many files hold any of these ids, by the folder that holds them and by ending."""
    held: Counter[str] = Counter()
    words = [concept_id.encode() for concept_id in ids]
    for path in tqdm(files, desc="ids", mininterval=10):
        with suppress(FileNotFoundError):
            held[f"{path.parent.name}/*{path.suffix}"] += any(word in data for data in contents(path) for word in words)
    return dict(+held)


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    service = json.loads((options.home / "service.json").read_text())
    stamp = time.time_ns()
    users = [Marked(f"erase-{stamp}-{n}", f"zq{secrets.token_hex(10)}") for n in range(options.users)]
    outcomes = [
        await one(service["url"], service["api_key"], marked, options.writers)
        for marked in tqdm(users, desc="users", mininterval=10)
    ]
    compacted, saved = await asyncio.to_thread(settled, options.home, options.redis_port)
    marks = [marked.mark for marked in users]
    control = options.home / "control.txt"
    planted = secrets.token_hex(10)
    control.write_bytes(b"\n".join(word for words in spellings(planted).values() for word in words))
    files = places(options.home, [*saved, *options.also])
    found = await asyncio.to_thread(searched, files, marks)
    ids = [concept for marked in users for concept in marked.concepts]
    holding = await asyncio.to_thread(naming, files, ids)
    check = searched([control], [planted])["found"]
    control.unlink()
    return {
        "users": options.users,
        "writers": options.writers,
        "acknowledged": sum(len(marked.concepts) for marked in users),
        "resurrected": [path for outcome in outcomes for path in outcome["resurrected"]],
        "left_in_the_end": sum(outcome["left"] for outcome in outcomes),
        "compacted": compacted,
        "search": found,
        "files_with_ids": holding,
        "spellings_found_where_planted": len(check),
        "receipt": outcomes[0]["receipt"],
    }


def main() -> None:
    """Parses the command line and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".rap"))
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--redis-port", type=int, help="of the service's Redis, to be saved and searched")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="more folders to search")
    print(json.dumps(asyncio.run(run(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
