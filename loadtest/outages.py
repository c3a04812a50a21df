"""What is done to a service while it is used: its parts killed, paused and emptied, one outage after another."""

import asyncio
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from tqdm import tqdm

from loadtest.processes import service_processes

Outage: TypeAlias = Callable[[random.Random], Awaitable[None]]
"""Begins an outage and returns once the part is there again, or is being started again by whoever watches it."""

LONGEST_SECONDS = 3.0
START_SECONDS = 10.0
_MARKS = {
    "gateway": ("ServeReplica:rap:IngressDeployment",),
    "milvus": ("rap_serve.adapters.milvus_lite_server", "milvus run standalone"),
}


class LocalRedis:
    """The redis-server on a port of this machine, which keeps nothing on disk; started where there is none."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._client = redis.Redis(port=port, socket_timeout=2, retry=Retry(NoBackoff(), 0))

    def start(self) -> None:
        """Returns once it answers."""
        kept = ["--save", "", "--appendonly", "no", "--dir", tempfile.gettempdir()]
        command = ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1", *kept]
        subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._client.ping()
                return
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    async def flush(self, _: random.Random) -> None:
        """All keys are gone, marks of writes under way among them."""
        self._client.flushall()

    async def kill(self, rng: random.Random) -> None:
        """kill -9; it stays away for a while and comes back empty."""
        self.stop()
        await asyncio.sleep(rng.uniform(0, LONGEST_SECONDS))
        await asyncio.to_thread(self.start)

    async def restart(self, _: random.Random) -> None:
        """Empty, and back before anybody has noticed."""
        self.stop()
        await asyncio.to_thread(self.start)

    async def pause(self, rng: random.Random) -> None:
        """It hangs for a while, then does what was sent meanwhile."""
        process = self._process()
        process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(rng.uniform(0.02, LONGEST_SECONDS))
        finally:
            process.send_signal(signal.SIGCONT)

    @property
    def outages(self) -> dict[str, Outage]:
        """By name."""
        return {"flush": self.flush, "kill": self.kill, "restart": self.restart, "pause": self.pause}

    def stop(self) -> None:
        """kill -9."""
        process = self._process()
        process.kill()
        process.wait(START_SECONDS)

    def _process(self) -> psutil.Process:
        """The server; its title names its port."""
        for process in psutil.process_iter():
            if process.name() == "redis-server" and f":{self._port}" in " ".join(process.cmdline()):
                return process
        raise LookupError(f"No redis-server listens on port {self._port}.")


def kill_of(home: Path, part: str) -> dict[str, Outage]:
    """kill -9 of a process of the service, which watches its parts and starts them again."""

    async def kill(rng: random.Random) -> None:
        victims = [p for p in service_processes(home) if any(m in _line(p) for m in _MARKS[part])]
        if not victims:
            raise LookupError(f"The service of {home} has no {part}.")
        rng.choice(victims).kill()

    return {"kill": kill}


async def outages(
    kinds: Mapping[str, Outage], *, times: int, pause: float, seed: int, recovered: Callable[[], Awaitable[None]]
) -> Counter[str]:
    """``times`` of them at random, ``pause`` seconds apart on average; how many of each there were.

    ``recovered`` is awaited after each.
    """
    rng, had = random.Random(seed), Counter[str]()
    with tqdm(total=times, desc="outages", mininterval=10, position=1) as bar:
        while had.total() < times:
            await asyncio.sleep(rng.uniform(0.5, 1.5) * pause)
            kind = rng.choice(sorted(kinds))
            try:
                await kinds[kind](rng)
            except (LookupError, psutil.NoSuchProcess):  # it is on its way back from the last one
                continue
            had[kind] += 1
            bar.update()
            await recovered()
    return had


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
