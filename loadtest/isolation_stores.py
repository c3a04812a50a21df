"""What of two tenants lies in Redis, in the concept memory and on disk, and whether any of it is common to both."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
from pymilvus import MilvusClient

from loadtest.processes import milvus_uri
from rap_serve.adapters.redis_cache import SINCE

PAGE_ROWS = 1_000


def stored(tenants: Sequence[str], marks: Sequence[str], home: Path, redis_port: int) -> dict[str, Any]:
    """By store: how much there is of each tenant, how much of it is equal at both, and how often a mark is readable."""
    return {
        "redis": _redis(tenants, marks, redis_port),
        "pictures": _pictures(tenants, marks, home / "blobs"),
        "memory": _memory(tenants, marks, milvus_uri(home)),
    }


def _redis(tenants: Sequence[str], marks: Sequence[str], port: int) -> dict[str, Any]:
    client, values, unowned = redis.Redis(port=port), [set[bytes](), set[bytes]()], 0
    for key in client.scan_iter(count=1_000):
        owner = key.partition(b"{")[2].partition(b"}")[0].partition(b"/")[0].partition(b":")[0].decode()
        unowned += not owner and key != SINCE.encode()
        if owner in tenants and client.type(key) == b"string":
            values[tenants.index(owner)].add(key.rpartition(b"}")[2] + b"=" + (client.get(key) or b""))
    return {**_common(values, marks), "keys_of_nobody": unowned}


def _pictures(tenants: Sequence[str], marks: Sequence[str], blobs: Path) -> dict[str, Any]:
    files = [[p for p in (blobs / tenant).rglob("*") if p.is_file()] for tenant in tenants]
    names = [{p.name for p in some} for some in files]
    contents = [{p.read_bytes() for p in some} for some in files]
    return {**_common(contents, marks), "equal_names": len(names[0] & names[1])}


def _memory(tenants: Sequence[str], marks: Sequence[str], uri: str) -> dict[str, Any]:
    client = MilvusClient(uri)
    rows = [set[bytes](), set[bytes]()]
    ids = [set[str](), set[str]()]
    try:
        for number, tenant in enumerate(tenants):
            for table in client.list_collections():
                pages = client.query_iterator(
                    table, filter=f'scope like "{tenant}/%"', output_fields=["*"], batch_size=PAGE_ROWS
                )
                while page := pages.next():
                    ids[number] |= {row["concept_id"] for row in page}
                    texts = [{k: v for k, v in row.items() if k != "vector" and v} for row in page]
                    rows[number] |= {repr(sorted(text.items())).encode() for text in texts}
    finally:
        client.close()
    return {**_common(rows, marks), "common_concepts": len(ids[0] & ids[1])}


def _common(found: Sequence[set[bytes]], marks: Sequence[str]) -> dict[str, Any]:
    readable = sum(mark.encode() in value for values in found for value in values for mark in marks)
    digests = [{hashlib.sha256(value).digest() for value in values} for values in found]
    return {"entries": [len(d) for d in digests], "equal": len(digests[0] & digests[1]), "readable": readable}
