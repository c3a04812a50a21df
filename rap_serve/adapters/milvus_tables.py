"""Milvus as this project uses it, blocking: every call has a deadline and raises Unavailable when it fails."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import grpc  # type: ignore[import-untyped]
from pymilvus import CollectionSchema, MilvusClient, MilvusException

from rap_serve.adapters.milvus_schema import Row, avatars_schema, concepts_schema
from rap_serve.domain.errors import Unavailable
from rap_serve.domain.match import Matrix

PAGE_ROWS = 4_000
PARTITIONS = 16
DIRTY_ROWS = 64
CONSISTENCY = "Strong"
# A server that is back is found within a second; by default the pause grows to two minutes, and new channels
# inherit it.
CHANNEL_OPTIONS = {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 1_000,
    "grpc.max_reconnect_backoff_ms": 1_000,
}


class Deadline:
    """How long a piece of work may still take."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds, more than 0; raises Unavailable past the deadline."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise Unavailable("The concept memory did not answer in time.")
        return left


class Tables:
    """The two collections, created when they are first used.

    Milvus Lite gets its own treatment, found out from the server's version: one job at a time, as its
    readers can miss rows while it flushes; no partition key, which gains nothing there; no index, as it
    would have to be loaded after each restart; a flush every DIRTY_ROWS rows, as it is slow over rows in
    memory. Rows are inserted and deleted, never upserted: Lite's upsert merges old fields into new rows,
    and server 2.3's loses rows of collections that have a partition key.
    """

    def __init__(self, *, uri: str, token: str, dim: int, prefix: str) -> None:
        self.concepts = f"{prefix}_concepts"
        self.avatars = f"{prefix}_avatars_{dim}"
        self._uri = uri
        self._token = token
        self._dim = dim
        self._client: MilvusClient | None = None
        self._opening = threading.Lock()
        self._lite = False
        self._turn = threading.Lock()
        self._dirty_rows = 0
        # It logs a traceback for each error that it raises; ours is logged where it is handled.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

    @contextlib.contextmanager
    def turn(self, deadline: Deadline) -> Iterator[None]:
        """Around each job; on Lite, jobs wait for each other."""
        self._opened(deadline)
        if not self._lite:
            yield
            return
        if not self._turn.acquire(timeout=deadline.left()):
            raise Unavailable("The concept memory is busy.")
        try:
            yield
        finally:
            self._turn.release()

    def ping(self, deadline: Deadline) -> None:
        """Returns if the server answers."""
        with _translated():
            self._opened(deadline).get_server_version(timeout=deadline.left())

    def query(self, table: str, condition: str, fields: Sequence[str], deadline: Deadline) -> list[Row]:
        """All rows that meet ``condition``, however many."""
        client = self._opened(deadline)
        options: Row = {"filter": condition, "output_fields": list(fields), "consistency_level": CONSISTENCY}
        with _translated():
            rows: list[Row] = list(client.query(table, limit=PAGE_ROWS, timeout=deadline.left(), **options))
            if len(rows) < PAGE_ROWS:
                return rows
            pages = client.query_iterator(table, batch_size=PAGE_ROWS, timeout=deadline.left(), **options)
            try:
                rows = []
                while page := pages.next():
                    rows += page
                    deadline.left()
            finally:
                pages.close()
            return rows

    def search(self, condition: str, queries: Matrix, limit: int, deadline: Deadline) -> list[list[Row]]:
        """The ``limit`` avatars of the highest inner product per query, best first, with their ``distance``."""
        with _translated():
            found = self._opened(deadline).search(
                self.avatars,
                data=list(queries),
                anns_field="vector",
                filter=condition,
                limit=limit,
                output_fields=["concept_id", "avatar_id", "version"],
                search_params={"metric_type": "IP", "params": {}},
                consistency_level=CONSISTENCY,
                timeout=deadline.left(),
            )
        return [[{**hit["entity"], "distance": hit["distance"]} for hit in hits] for hits in found]

    def insert(self, table: str, rows: list[Row], deadline: Deadline) -> None:
        """Adds rows; durable and visible to the next query when it returns."""
        with _translated():
            self._opened(deadline).insert(table, rows, timeout=deadline.left())
        self._dirty_rows += len(rows)

    def delete(self, table: str, pks: Sequence[str], deadline: Deadline) -> None:
        """Removes what is there of ``pks``, as one operation."""
        if not pks:
            return
        with _translated():
            self._opened(deadline).delete(table, ids=list(pks), timeout=deadline.left())
        self._dirty_rows += len(pks)

    @property
    def flush_due(self) -> bool:
        """Whether enough rows lie in Lite's memory to slow its readers."""
        return self._lite and self._dirty_rows >= DIRTY_ROWS

    def flush(self, deadline: Deadline) -> None:
        """Writes rows out of memory; they were durable before."""
        self._dirty_rows = 0
        with _translated():
            client = self._opened(deadline)
            client.flush(self.concepts, timeout=deadline.left())
            client.flush(self.avatars, timeout=deadline.left())

    def close(self) -> None:
        """Ends the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _opened(self, deadline: Deadline) -> MilvusClient:
        if self._client is not None:
            return self._client
        with self._opening, _translated():
            if self._client is None:
                client = MilvusClient(
                    self._uri, token=self._token, timeout=deadline.left(), grpc_options=CHANNEL_OPTIONS
                )
                version = str(client.get_server_version(timeout=deadline.left()))
                self._lite = version.startswith("milvus_lite")  # the embedded server 2.3 says "v2.3.5-lite"
                self._create(client, self.concepts, concepts_schema(partitioned=not self._lite), "L2", deadline)
                self._create(
                    client, self.avatars, avatars_schema(self._dim, partitioned=not self._lite), "IP", deadline
                )
                self._dirty_rows = DIRTY_ROWS  # what an earlier process left in memory
                self._client = client
            return self._client

    def _create(
        self, client: MilvusClient, table: str, schema: CollectionSchema, metric: str, deadline: Deadline
    ) -> None:
        """Creates, indexes and loads a collection, whatever of it is there already."""
        if not client.has_collection(table, timeout=deadline.left()):
            options = {} if self._lite else {"num_partitions": PARTITIONS, "consistency_level": CONSISTENCY}
            try:
                client.create_collection(table, schema=schema, timeout=deadline.left(), **options)
            except MilvusException:
                if not client.has_collection(table, timeout=deadline.left()):
                    raise
        if not self._lite:  # the same index once more is no error
            index = client.prepare_index_params()
            index.add_index("vector", index_type="FLAT", metric_type=metric)
            client.create_index(table, index, timeout=deadline.left())
        client.load_collection(table, timeout=deadline.left())


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The one seam at which the vendor's errors become ours."""
    try:
        yield
    except (MilvusException, grpc.RpcError, grpc.FutureTimeoutError) as error:
        raise Unavailable(f"The concept memory failed: {_reason(error)}") from error


def _reason(error: Any) -> str:
    """A few words for the log, without the vendor's nesting."""
    return str(getattr(error, "message", "") or type(error).__name__).split("\n", 1)[0][:200]
