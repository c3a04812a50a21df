"""A Milvus Lite server as a child process, reachable from this machine only.

``python -m rap_serve.adapters.milvus_lite_server DIR PORT`` is the child. It serves for as long as its
standard input stays open, so it ends with whoever started it, however that ends.

Against milvus-lite 3.2.2 as it comes: it serves one request at a time, as its engine allows one writer and
its readers can miss rows during a flush; it syncs its log to the disk before a write is acknowledged and its
data files before the log is dropped, as by default a power cut loses both; a read handles one by one only the rows
that meet its filter, as by default each owner's read slows down with the rows of all others; and it closes its files
on SIGTERM.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rap_serve.domain.errors import Unavailable

HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
LOCK_SECONDS = 10.0

T = TypeVar("T")

_LEAN = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "131072",  # bytes, as it is by default; named, it stays so
}
"""Memory that is freed goes back to the machine: by default Arrow and glibc keep it, in pieces, and take more."""


class MilvusLiteServer:
    """One server on one data folder and port, which it keeps across restarts. No other process may use the folder.

    ``host``: the address at which it listens, to whoever reaches it: it asks for no password.
    """

    def __init__(self, data_dir: Path, port: int, *, host: str = HOST) -> None:
        self._data_dir = data_dir
        self._port = port
        self._host = host
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://{self._host}:{self._port}"

    @property
    def pid(self) -> int | None:
        """Of the running child."""
        return self._process.pid if self._process is not None and self.alive() else None

    def start(self) -> None:
        """Returns once it answers; raises Unavailable where it does not. What it says is in ``server.log``."""
        deadline = time.monotonic() + START_SECONDS
        launched = False
        while time.monotonic() < deadline:
            if self.alive() and _listens(self._host, self._port):
                return
            if not self.alive():
                if launched:
                    break
                self._launch()
                launched = True
            time.sleep(0.05)
        self.stop()
        raise Unavailable(f"Milvus Lite did not start; see {self._data_dir / 'server.log'}.")

    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Ends it: with its files closed if it listens, by force if it does not."""
        if self._process is not None and self.alive():
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._forget()

    def _launch(self) -> None:
        self._forget()
        self._data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = [sys.executable, "-m", __name__, "--host", self._host, str(self._data_dir), str(self._port)]
        with (self._data_dir / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **_LEAN},
            )

    def _forget(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def main() -> int:
    """The child: serves until SIGTERM or until its standard input ends."""
    parser = argparse.ArgumentParser(description="A durable, single-lane Milvus Lite server for its parent process.")
    parser.add_argument("data_dir")
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default=HOST)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _sync_to_disk()
    _filter_first()
    from milvus_lite.adapter.grpc.server import run_server

    _await_lock(Path(options.data_dir) / "LOCK")
    run_server(options.data_dir, host=options.host, port=options.port, max_workers=1)
    return 0


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """What milvus-lite takes as the wish to close."""
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _sync_to_disk() -> None:
    """Sets milvus-lite's strongest log mode, which has no public switch, and syncs what a flush writes."""
    from milvus_lite.engine import compaction, flush
    from milvus_lite.storage.wal import WAL

    def wal_of(wal: WAL, *args: object, **kwargs: object) -> None:
        plain_init(wal, *args, **{**kwargs, "sync_mode": "batch"})

    plain_init = WAL.__init__
    WAL.__init__ = wal_of
    flush.write_data_file = _synced(flush.write_data_file)
    flush.write_delta_file = _synced(flush.write_delta_file)
    compaction.write_data_file = _synced(compaction.write_data_file)


def _synced(write: Callable[..., str]) -> Callable[..., str]:
    """``write``, which returns a path relative to its second argument, followed by a sync of file and folder."""

    def synced(table: object, partition_dir: str, *args: object, **kwargs: object) -> str:
        relative = write(table, partition_dir, *args, **kwargs)
        path = Path(partition_dir) / relative
        for target in (path, path.parent):
            descriptor = os.open(target, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return relative

    return synced


def _filter_first() -> None:
    """Has queries and searches see, of each data file, only the rows that meet their filter."""
    from milvus_lite.engine import collection

    collection.assemble_candidates = _filtered(collection.assemble_candidates, "filter_compiled")
    collection.execute_search_with_index = _filtered(collection.execute_search_with_index, "compiled_filter")


def _filtered(read: Callable[..., T], condition: str) -> Callable[..., T]:
    """``read``, with its segments cut down to what meets the argument named ``condition``.

    Of several rows with one key milvus-lite shows the newest. That stays so, as rows of one key meet a filter together
    or were deleted in between: a key says whose a row is and of which concept, and nothing is upserted.
    """
    from milvus_lite.search.filter import evaluate_mask
    from milvus_lite.storage.segment import Segment

    def part(whole: Segment, rows: NDArray[np.intp]) -> Segment:
        return Segment(
            file_path=whole.file_path,
            partition=whole.partition,
            pk_field=whole._pk_field,
            vector_field=whole._vector_field,
            pks=[whole.pks[row] for row in rows],
            seqs=whole.seqs[rows],
            vectors=whole.vectors[rows],
            table=whole.table.take(rows),
            vector_null_mask=None if whole.vector_null_mask is None else whole.vector_null_mask[rows],
        )

    def filtered(**given: Any) -> T:
        compiled = given[condition]
        if compiled is not None:
            met = [(segment, evaluate_mask(compiled, segment.table).nonzero()[0]) for segment in given["segments"]]
            given["segments"] = [part(segment, rows) for segment, rows in met if rows.size]
        return read(**given)

    return filtered


def _await_lock(path: Path) -> None:
    """Waits while an earlier server on the same folder is still closing its files."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + LOCK_SECONDS
    with path.open("a") as lock:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                time.sleep(0.1)


if __name__ == "__main__":
    raise SystemExit(main())
