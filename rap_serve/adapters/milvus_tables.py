"""Milvus as this project uses it, blocking: every call has a deadline and raises Unavailable when it fails."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import grpc  # type: ignore[import-untyped]
from pymilvus import CollectionSchema, MilvusClient, MilvusException
from pymilvus.client.types import LoadState

from rap_serve.adapters.milvus_schema import Row, avatars_schema, concepts_schema, history_schema, literal
from rap_serve.domain.errors import Unavailable
from rap_serve.domain.match import Matrix
from rap_serve.domain.ports import Moment

PAGE_ROWS = 4_000
PARTITIONS = 16
DIRTY_ROWS = 1_024
"""A row in memory costs each read of a library 2 µs; a flush takes 0.1 ms a row, and merging many small files more."""
STRONG = "Strong"
# A server that is back is found within a second; by default the pause grows to two minutes, and new channels
# inherit it.
CHANNEL_OPTIONS = {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 1_000,
    "grpc.max_reconnect_backoff_ms": 1_000,
}


class Job:
    """A piece of work: how long it may still take, what it must see, and when it wrote.

    It reads what it wrote itself. ``moment``: of its last write; None where there was none, or on Lite, which has no
    timestamps.
    """

    def __init__(self, seconds: float, after: Moment | None = None) -> None:
        """``after``: the moment up to which its reads see everything; None: whatever was written by then."""
        self._at = time.monotonic() + seconds
        self._after = after
        self.moment: Moment | None = None

    def left(self) -> float:
        """Seconds, more than 0; raises Unavailable past the deadline."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise Unavailable("The concept memory did not answer in time.")
        return left

    @property
    def consistency(self) -> dict[str, Any]:
        """Options of a read. "Customized" is what lets a guarantee timestamp through."""
        if self._after is None:
            return {"consistency_level": STRONG}
        return {"consistency_level": "Customized", "guarantee_timestamp": max(self._after, self.moment or 0)}

    def wrote(self, timestamp: int) -> None:
        """Keeps the time of a mutation, 0 on Lite."""
        if timestamp:
            self.moment = Moment(max(timestamp, self.moment or 0))


class Tables:
    """The collections, created when they are first used.

    Milvus Lite gets its own treatment, found out from the server's version: one job at a time, as its
    readers can miss rows while it flushes; no partition key, which gains nothing there; no index, as it
    would have to be loaded after each restart; a flush every DIRTY_ROWS rows, as it is slow over rows in
    memory. Rows are inserted and deleted, never upserted: Lite's upsert merges old fields into new rows,
    and server 2.3's loses rows of collections that have a partition key.
    """

    def __init__(self, *, uri: str, token: str, prefix: str) -> None:
        self.concepts = f"{prefix}_concepts"
        self.history = f"{prefix}_history"
        self._avatars = f"{prefix}_avatars_"
        self._of_dims: dict[int, str] = {}
        self._schemas: dict[str, CollectionSchema] = {}
        self._uri = uri
        self._token = token
        self._client: MilvusClient | None = None
        self._opening = threading.Lock()
        self._lite = False
        self._turn = threading.Lock()
        self._dirty_rows = 0
        # It logs a traceback for each error that it raises; ours is logged where it is handled.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

    @contextlib.contextmanager
    def turn(self, job: Job) -> Iterator[None]:
        """Around each job; on Lite, jobs wait for each other."""
        self._opened(job)
        if not self._lite:
            yield
            return
        if not self._turn.acquire(timeout=job.left()):
            raise Unavailable("The concept memory is busy.")
        try:
            yield
        finally:
            self._turn.release()

    def ping(self, job: Job) -> None:
        """Returns if the server answers."""
        with _translated():
            self._opened(job).get_server_version(timeout=job.left())

    def query(self, table: str, condition: str, fields: Sequence[str], job: Job) -> list[Row]:
        """All rows that meet ``condition``, however many."""
        client = self._opened(job)
        options: Row = {"filter": condition, "output_fields": list(fields), **job.consistency}
        with _translated():
            rows: list[Row] = list(client.query(table, limit=PAGE_ROWS, timeout=job.left(), **options))
            if len(rows) < PAGE_ROWS:
                return rows
            pages = client.query_iterator(table, batch_size=PAGE_ROWS, timeout=job.left(), **options)
            try:
                rows = []
                while page := pages.next():
                    rows += page
                    job.left()
            finally:
                pages.close()
            return rows

    def search(self, table: str, condition: str, queries: Matrix, limit: int, job: Job) -> list[list[Row]]:
        """The ``limit`` avatars of ``table`` nearest each query, best first; their inner product is ``distance``."""
        with _translated():
            found = self._opened(job).search(
                table,
                data=list(queries),
                anns_field="vector",
                filter=condition,
                limit=limit,
                output_fields=["concept_id", "avatar_id", "version"],
                search_params={"metric_type": "IP", "params": {}},
                **job.consistency,
                timeout=job.left(),
            )
        return [[{**hit["entity"], "distance": hit["distance"]} for hit in hits] for hits in found]

    def insert(self, table: str, rows: list[Row], job: Job) -> None:
        """Adds rows; durable when it returns.

        They go as columns: pymilvus checks the texts of rows character by character. ``MilvusClient`` has no such call,
        and drops the timestamp of the one it has.
        """
        if not rows:
            return
        connection, schema = self._opened(job)._get_connection(), self._schemas[table]
        with _translated():
            written = connection.batch_insert(
                table, _columns(rows, schema), schema=schema.to_dict(), timeout=job.left()
            )
            job.wrote(written.timestamp)
        self._dirty_rows += len(rows)

    def delete(self, table: str, pks: Sequence[str], job: Job) -> None:
        """Removes what is there of ``pks``, as one operation."""
        if not pks:
            return
        client = self._opened(job)
        expression = f"pk in [{', '.join(literal(pk) for pk in pks)}]"
        with _translated():
            connection = client._get_connection()
            timestamp = connection.delete(table, expression, timeout=job.left()).timestamp
            if not timestamp and not self._lite:  # server 2.3 keeps it to itself; one from now on is later
                timestamp = connection.alloc_timestamp(timeout=job.left())
            job.wrote(timestamp)
        self._dirty_rows += len(pks)

    def avatars(self, job: Job) -> dict[int, str]:
        """The tables of avatars that are known here, by the length of their embeddings."""
        self._opened(job)
        return dict(self._of_dims)

    def avatars_of(self, dim: int, job: Job) -> str:
        """The table of the avatars whose embeddings are so long."""
        client = self._opened(job)
        if dim not in self._of_dims:
            with self._opening, _translated():
                self._open_avatars(client, dim, job)
        return self._of_dims[dim]

    @property
    def flush_due(self) -> bool:
        """Whether enough rows lie in Lite's memory to slow its readers."""
        return self._lite and self._dirty_rows >= DIRTY_ROWS

    def flush(self, job: Job) -> None:
        """Writes rows out of memory; they were durable before."""
        self._dirty_rows = 0
        with _translated():
            client = self._opened(job)
            for table in (self.concepts, self.history, *self._of_dims.values()):
                client.flush(table, timeout=job.left())

    def close(self) -> None:
        """Ends the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _opened(self, job: Job) -> MilvusClient:
        if self._client is not None:
            return self._client
        with self._opening, _translated():
            if self._client is None:
                client = MilvusClient(self._uri, token=self._token, timeout=job.left(), grpc_options=CHANNEL_OPTIONS)
                version = str(client.get_server_version(timeout=job.left()))
                self._lite = version.startswith("milvus_lite")  # the embedded server 2.3 says "v2.3.5-lite"
                partitioned = not self._lite
                self._create(client, self.concepts, concepts_schema(partitioned=partitioned), "L2", job)
                self._create(client, self.history, history_schema(partitioned=partitioned), "L2", job)
                for table in client.list_collections(timeout=job.left()):
                    if (dim := table.removeprefix(self._avatars)).isdigit():
                        self._open_avatars(client, int(dim), job)
                self._dirty_rows = DIRTY_ROWS  # what an earlier process left in memory
                self._client = client
            return self._client

    def _open_avatars(self, client: MilvusClient, dim: int, job: Job) -> None:
        table = f"{self._avatars}{dim}"
        self._create(client, table, avatars_schema(dim, partitioned=not self._lite), "IP", job)
        self._of_dims[dim] = table

    def _create(self, client: MilvusClient, table: str, schema: CollectionSchema, metric: str, job: Job) -> None:
        """Creates, indexes and loads a collection, whatever of it is there already."""
        self._schemas[table] = schema
        if client.has_collection(table, timeout=job.left()):
            if client.get_load_state(table, timeout=job.left())["state"] == LoadState.Loaded:
                return  # loading once more takes a second
        else:
            options = {} if self._lite else {"num_partitions": PARTITIONS, "consistency_level": STRONG}
            try:
                client.create_collection(table, schema=schema, timeout=job.left(), **options)
            except MilvusException:
                if not client.has_collection(table, timeout=job.left()):
                    raise
        if not self._lite:  # the same index once more is no error
            index = client.prepare_index_params()
            index.add_index("vector", index_type="FLAT", metric_type=metric)
            client.create_index(table, index, timeout=job.left())
        client.load_collection(table, timeout=job.left())


def _columns(rows: Sequence[Row], schema: CollectionSchema) -> list[Row]:
    """The same values by field."""
    return [{"name": f.name, "type": f.dtype, "values": [row[f.name] for row in rows]} for f in schema.fields]


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
