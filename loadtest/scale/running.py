"""A service that runs, as a check sees it: it is filled, asked and left alone, and what that took is read off."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from loadtest.bench.asked import Album, Asked
from loadtest.bench.closed_loop import Served, drive
from loadtest.bench.retrieval import Bench
from loadtest.bench.served import Service
from loadtest.processes import role, service_processes
from loadtest.scale.piece import watched
from loadtest.scale.predict import Footprint, Spell
from rap_serve.settings import Settings

CONCEPTS_OF_A_USER = 500
SLOTS_OF_A_PICTURE = 2
SETTLE_SECONDS = 3.0
SPARE = "IDLE"
"""What Ray calls a worker that it may end at any time."""


@dataclass(slots=True)
class Running:
    """A service under a check, and what it holds and has seen by now. ``seconds``: how long each spell takes."""

    home: Path
    profile: str
    seconds: float
    album: Album = field(default_factory=Album)
    concepts: int = 0
    pictures: int = 0
    failed: int = 0
    _users: list[str] = field(default_factory=list)
    _seeds: Iterator[int] = field(default_factory=lambda: itertools.count(time.time_ns() % 1_000_000))

    @property
    def service(self) -> Service:
        """Where it is."""
        return Service.of(self.home)

    def meet(self) -> str:
        """A user that can ask, with the things of an album."""
        user = self._new_user()
        with self.service.client() as http:
            self.concepts += len(self.album.remembered(http, user))
        return user

    def grow(self, count: int) -> None:
        """So many concepts more, of users of their own."""
        with self.service.client() as http:
            for start in range(0, count, CONCEPTS_OF_A_USER):
                some = min(CONCEPTS_OF_A_USER, count - start)
                Bench(http).filled(self._new_user(), some)
                self.concepts += some

    def drawn(self, count: int) -> list[Asked]:
        """New pictures, drawn before anything is measured."""
        return self.album.pictures(count, seed=next(self._seeds))

    def rest(self) -> Spell:
        """Nobody asks."""
        meter = self.service.meter()
        before, began, busy = meter.read(), time.perf_counter(), _busy_seconds()
        time.sleep(self.seconds)
        took, spent = time.perf_counter() - began, meter.since(before)
        return Spell(0, 0, took, spent, others_cores=_others(busy, spent, took))

    def asked(self, user: str, pictures: Sequence[Asked], clients: int) -> Spell:
        """Clients that each wait for their answer, all about pictures that are new."""
        bodies = ((place, picture.body(user)) for place, picture in enumerate(pictures))
        meter, busy = self.service.meter(), _busy_seconds()
        driven = {"concurrency": clients, "seconds": self.seconds, "meter": meter}
        with watched() as piece:
            window = asyncio.run(drive(self.service.url, self.service.key, bodies, **driven))
        self.pictures += len(window.good)
        self.failed += len(window.served) - len(window.good)
        return Spell(
            under_way=self.under_way(clients),
            requests=len(window.good),
            seconds=window.seconds,
            cpu_seconds=window.cpu_seconds,
            in_engine=_in_engine(window.good),
            others_cores=_others(busy, window.cpu_seconds, window.seconds),
            piece=piece[0],
        )

    def under_way(self, clients: int) -> int:
        """How many of the clients' requests the gateway lets in at once: a new picture's takes two slots."""
        slots = Settings.load(self.profile).ingress.admission.models.slots
        return min(clients, slots // SLOTS_OF_A_PICTURE)

    def footprint(self) -> Footprint:
        """Memory by kind of process."""
        time.sleep(SETTLE_SECONDS)
        found: dict[str, int] = {}
        for process in service_processes(self.home):
            name = role(process)
            found[name] = found.get(name, 0) + own_bytes(process.pid)
        return Footprint(self.concepts, self.pictures, found)

    def processes(self) -> dict[int, str]:
        """Those that have to be the same from beginning to end, by number."""
        named = {process.pid: role(process) for process in service_processes(self.home)}
        return {pid: name for pid, name in named.items() if name != SPARE}

    def leave(self) -> None:
        """Erases all of its users."""
        with self.service.client() as http:
            for user in self._users:
                http.delete(f"/v1/users/{user}").raise_for_status()

    def _new_user(self) -> str:
        self._users.append(f"scale-{time.time_ns()}")
        return self._users[-1]


def own_bytes(pid: int) -> int:
    """Memory of a process with each shared page counted once; pages of files are the machine's to take back."""
    try:
        told = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    except OSError:
        return 0
    return sum(1_024 * int(told[kind].split()[0]) for kind in ("Pss_Anon", "Pss_Shmem"))


def _in_engine(answers: Sequence[Served]) -> float:
    """The part of their time in which the engine was at work on them."""
    return sum(a.rap["timings_ms"]["engine"] for a in answers) / sum(1e3 * a.seconds for a in answers)


def _busy_seconds() -> float:
    """Of all cores, since the machine began."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _others(before: float, spent: dict[str, float], seconds: float) -> float:
    """Cores that went to neither service nor client, those that the machine's host took too."""
    return max(0.0, (_busy_seconds() - before - sum(spent.values())) / seconds)
