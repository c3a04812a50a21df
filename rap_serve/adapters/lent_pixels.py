"""Pictures that a process lends to others of its machine instead of sending them.

They lie in memory that has no name in any file system and is gone with the last process that holds it; who is lent one
opens it through ``/proc``, which the kernel allows to processes of the same user. What is sent is pickled, cut into
pieces and put together again; what is lent is copied once.
"""

import fcntl
import mmap
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np

from rap_serve.domain.region import Pixels

APART_SECONDS = 60.0
"""For how long pictures are sent to a deployment that has a replica elsewhere, before lending is tried again."""
LEAST_BYTES = 32_768
"""What is smaller is sent."""
_SEALS = 0x0001 | 0x0002 | 0x0004 | 0x0008  # F_SEAL_SEAL, _SHRINK, _GROW and _WRITE of linux/fcntl.h
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Instead of a result: what was lent cannot be read here, so that it must be sent."""


@dataclass(frozen=True, slots=True)
class LentPixels:
    """Where processes of ``machine`` find a picture, as long as its lender waits for them.

    ``name``: by which memory that has the same number later is told from it.
    """

    machine: str
    process: int
    descriptor: int
    name: str
    shape: tuple[int, int, int]

    def read(self) -> Pixels | Elsewhere:
        """The picture; what is written to it, nobody else sees."""
        if self.machine != this_machine():
            return Elsewhere()
        try:
            return self._mapped()
        except OSError:  # its lender has given up waiting, is dead or another user's
            return Elsewhere()

    def _mapped(self) -> Pixels | Elsewhere:
        with Path(f"/proc/{self.process}/fd/{self.descriptor}").open("rb") as opened:
            if str(Path(f"/proc/self/fd/{opened.fileno()}").readlink()) != f"/memfd:{self.name} (deleted)":
                return Elsewhere()
            memory = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY)
        return np.frombuffer(memory, np.uint8).reshape(self.shape)


GivenPixels: TypeAlias = Pixels | LentPixels


class Lender:
    """Gives pictures to the replicas of one deployment: lends them, while all of these are on this machine."""

    def __init__(self) -> None:
        self._apart_until = 0.0 if hasattr(os, "memfd_create") else float("inf")

    async def __call__(self, pixels: Pixels, call: Callable[[GivenPixels], Awaitable[T | Elsewhere]]) -> T:
        """What ``call`` gives; it is made again with the picture itself where a lent one cannot be read."""
        if pixels.nbytes >= LEAST_BYTES and time.monotonic() >= self._apart_until:
            with lent(pixels) as reference:
                result = await call(reference)
            if not isinstance(result, Elsewhere):
                return result
            self._apart_until = time.monotonic() + APART_SECONDS
        sent = await call(pixels)
        assert not isinstance(sent, Elsewhere)
        return sent


@contextmanager
def lent(pixels: Pixels) -> Iterator[LentPixels]:
    """Where others find the picture, while they are waited for; who has opened it keeps it."""
    name = secrets.token_hex(16)
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        _write_all(descriptor, np.ascontiguousarray(pixels).data.cast("B"))
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)  # nobody is lent what may still change
        height, width, channels = pixels.shape
        yield LentPixels(this_machine(), os.getpid(), descriptor, name, (height, width, channels))
    finally:
        os.close(descriptor)


def taken(given: GivenPixels) -> Pixels | Elsewhere:
    """The picture that was given, in whichever way."""
    return given.read() if isinstance(given, LentPixels) else given


@cache
def this_machine() -> str:
    """The same for processes that see each other in ``/proc``."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
