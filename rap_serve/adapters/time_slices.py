"""For how long a thread that computes keeps its core while others wait for one.

By default Linux changes between them every few milliseconds, and whoever comes next finds the caches next to the core
full of somebody else's weights. Since Linux 6.12 a thread may ask for longer. What was measured is in
``docs/adr/0030-long-time-slices.md``.
"""

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator
from pathlib import Path

COMPUTING_SECONDS = 0.03
"""Of the order of a forward pass on a CPU."""

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
"""The system call's number; libc has no name for it before glibc 2.41."""


class _Attributes(ctypes.Structure):
    """``struct sched_attr``, man page sched_setattr(2)."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime_ns", ctypes.c_uint64),
        ("deadline_ns", ctypes.c_uint64),
        ("period_ns", ctypes.c_uint64),
    )


def for_computing_on(device: str) -> float:
    """What to ask for where the passes run on ``device``, in seconds: 0, the default, unless that is a CPU."""
    return COMPUTING_SECONDS if device.partition(":")[0] == "cpu" else 0.0


def of_this_process(seconds: float) -> None:
    """For the threads that it has, and those to come; 0 for the default.

    All of them: where a thread that asks for little waits among those that ask for much, nobody is left alone for long.
    """
    for thread in Path("/proc/self/task").iterdir():
        _ask(int(thread.name), seconds)


@contextlib.contextmanager
def of_what_starts(seconds: float) -> Iterator[None]:
    """Threads and processes started inside; this thread itself goes on as others do."""
    _ask(0, seconds)
    try:
        yield
    finally:
        _ask(0, 0.0)


def _ask(thread: int, seconds: float) -> None:
    """Without effect where the system knows nothing of it. ``thread``: 0 for this one."""
    if (number := _SCHED_SETATTR.get(platform.machine())) is None:
        return
    with contextlib.suppress(ProcessLookupError):  # a thread that has ended meanwhile
        wanted = _Attributes(
            size=ctypes.sizeof(_Attributes),
            policy=os.sched_getscheduler(thread),
            nice=os.getpriority(os.PRIO_PROCESS, thread),
            runtime_ns=round(seconds * 1e9),
        )
        if wanted.policy in (os.SCHED_OTHER, os.SCHED_BATCH):
            ctypes.CDLL(None).syscall(number, thread, ctypes.byref(wanted), 0)
