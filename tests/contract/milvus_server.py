"""A Milvus server (2.3.5, out of the Python package ``milvus``) in a network of its own.

Some of the server's ports cannot be changed, so two of them cannot share a network. It therefore runs in namespaces,
which need no privileges where the kernel lets users have their own. /proc is theirs too: the server reads there how
much memory it has taken before it loads what it stored, and would never come back from a restart without. ``python -m
tests.contract.milvus_server`` is the first process in there: it starts the server, and passes on what arrives at a
socket that was opened outside. When it ends, the kernel ends everything else in there. Where no namespaces can be had,
it does the same outside.
"""

import argparse
import asyncio
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

START_SECONDS = 120.0
STOP_SECONDS = 5.0
PORT = 19_530
PORTS = (2_379, 2_380, 9_091, 13_333, 19_529, PORT, 19_531, 21_121, 21_123, 21_124, 22_930, 53_100)
ISOLATED = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
ISOLATED_FOR_USERS = (*ISOLATED, "--user", "--map-root-user")


def missing() -> str | None:
    """Why no server can run here; None where one can."""
    try:
        import milvus  # noqa: F401
    except ImportError:
        return "the Python package milvus is not installed"
    if not isolation() and not all(map(_is_free, PORTS)):
        return "no network namespace can be made, and the server's ports are taken"
    return None


def isolation() -> tuple[str, ...]:
    """The command that gives a command a network of its own; empty where there is none."""
    if shutil.which("unshare") is not None:
        for command in (ISOLATED_FOR_USERS, ISOLATED):
            if subprocess.run([*command, "true"], capture_output=True).returncode == 0:
                return command
    return ()


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


class MilvusServer:
    """One server with its data in a folder.

    ``programs``: where the package is unpacked, once. ``time_tick_ms``: how long a read waits for what was just
    written, at most. ``sync_seconds``: how long rows are in its log alone. ``channels``: of its log; collections that
    share one can lose rows when it is killed. ``port``: kept across restarts; 0 takes a free one.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        programs: Path,
        time_tick_ms: int = 200,
        sync_seconds: int = 10,
        channels: int = 64,
        port: int = 0,
    ) -> None:
        self._data_dir = data_dir
        self._programs = programs
        self._time_tick_ms = time_tick_ms
        self._sync_seconds = sync_seconds
        self._channels = channels
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """Of the process under which all others of it are."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Returns once it is up; what it says is in ``server.log``."""
        import milvus

        self._programs.mkdir(parents=True, exist_ok=True)
        milvus._initialize_data_files(str(self._programs))
        config = milvus.MilvusServerConfig(data_dir=str(self._data_dir))
        config.resolve_storage()
        config.set("proxy.timeTickInterval", self._time_tick_ms)
        config.set("dataNode.segment.syncPeriod", self._sync_seconds)
        config.set("rootCoord.dmlChannelNum", self._channels)
        config.write_config()
        with socket.create_server(("127.0.0.1", self._port)) as door, (self._data_dir / "server.log").open("ab") as log:
            self._port = door.getsockname()[1]
            inner = [sys.executable, "-m", __name__, str(self._data_dir), str(self._programs), str(door.fileno())]
            self._process = subprocess.Popen(
                [*isolation(), *inner], stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=[door.fileno()]
            )
        self._await_health()

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Ends it with everything that it started."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _await_health(self) -> None:
        from pymilvus import MilvusClient, MilvusException

        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            try:
                client = MilvusClient(self.uri, timeout=5.0)
                client.list_collections(timeout=5.0)
                client.close()
            except MilvusException:
                time.sleep(0.5)
            else:
                return
        self.stop()
        raise RuntimeError(f"The Milvus server did not start; see {self._data_dir / 'server.log'}.")


def main() -> None:
    """The first process in there."""
    parser = argparse.ArgumentParser(description="A Milvus server behind a socket that is open already.")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("programs", type=Path)
    parser.add_argument("door", type=int)
    options = parser.parse_args()
    if os.getpid() == 1:
        _bring_up_loopback()
    programs = options.programs.resolve() / "bin"
    environment = {
        **os.environ,
        "DEPLOY_MODE": "STANDALONE",
        "LD_LIBRARY_PATH": str(programs),
        "MILVUS_RUN_DIR": str(options.data_dir / "run"),
    }
    server = subprocess.Popen(
        [programs / "milvus", "run", "standalone"], cwd=options.data_dir, env=environment, stdin=subprocess.DEVNULL
    )
    asyncio.run(_serve(socket.socket(fileno=options.door), server))


def _bring_up_loopback() -> None:
    """What ``ip link set lo up`` does (netdevice(7)): IFF_UP | IFF_RUNNING by SIOCSIFFLAGS."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh22x", b"lo", 0x1 | 0x40))


async def _serve(door: socket.socket, server: subprocess.Popen[bytes]) -> None:
    """Until the server ends, or whoever started this does: then our standard input ends."""
    await asyncio.start_server(_pass_on, sock=door)
    loop = asyncio.get_running_loop()
    ends = [loop.run_in_executor(None, wait) for wait in (server.wait, sys.stdin.buffer.read)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    server.kill()
    os._exit(0)  # a thread may be waiting still


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", PORT)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_pipe(reader, inner_writer), _pipe(inner_reader, writer), return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


if __name__ == "__main__":
    main()
