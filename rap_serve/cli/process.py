"""The processes of one home's service: found, followed and ended."""

import contextlib
import os
import random
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import psutil

from rap_serve.cli.home import Home

MODULE = "deployments.local"
MARK = "RAP_SERVICE_HOME"
"""Set for everything that ``rap up`` starts, so that what outlives its parent can still be told apart."""

GRACE_SHARE = 0.7
"""Of the timeout, for the service to stop by itself; the rest is for finding and killing what is left."""

QUIET_PORTS = range(20_000, 32_768)
"""Between the ports of Ray's workers and those that Linux gives to outgoing connections."""

KILL_SECONDS = 3.0
_POLL_SECONDS = 0.2


def service_process(home: Home) -> psutil.Process | None:
    """The running service of ``home``, if there is one."""
    for process in psutil.process_iter():
        if is_alive(process) and _serves(process, home):
            return process
    return None


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; a finished child that nobody has waited for does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def stop_service(home: Home, timeout_seconds: float) -> int:
    """How many processes were ended: the service's, asked to stop and then made to, within the timeout."""
    service = service_process(home)
    family = _family(service, home)
    if not family:
        return 0
    deadline = time.monotonic() + timeout_seconds * GRACE_SHARE
    if service is not None:
        _terminate(service)
        while is_alive(service) and home.status().state != "stopped" and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            family |= _family(service, home)
    family |= _family(None, home)
    _kill(family)
    return len(family)


def serves(arguments: Sequence[str], directory: Path, home: Home) -> bool:
    """Whether this command line, run in ``directory``, is a service of ``home``."""
    if MODULE not in arguments:
        return False
    given = [after for before, after in pairwise(arguments) if before == "--home"]
    given += [word.removeprefix("--home=") for word in arguments if word.startswith("--home=")]
    return any((directory / path).resolve() == home.path for path in given)


def free_port() -> int:
    """A loopback port that nobody listens on.

    One that the system would choose, it may give to some connection before somebody listens on it.
    """
    while True:
        port = random.SystemRandom().choice(QUIET_PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def _serves(process: psutil.Process, home: Home) -> bool:
    try:
        arguments = process.cmdline()
        return MODULE in arguments and serves(arguments, Path(process.cwd()), home)
    except psutil.Error:
        return False


def _family(service: psutil.Process | None, home: Home) -> set[psutil.Process]:
    """The service, all that descends from it, and all that carries the home's mark."""
    roots = [*([service] if service else []), *_marked(home)]
    ours = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    return {p for root in roots for p in _with_descendants(root) if p.pid not in ours and is_alive(p)}


def _with_descendants(root: psutil.Process) -> Iterator[psutil.Process]:
    yield root
    try:
        yield from root.children(recursive=True)
    except psutil.Error:
        return


def _marked(home: Home) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(home.path):
                yield process
        except psutil.Error:
            continue


def _terminate(process: psutil.Process) -> None:
    try:
        process.terminate()
    except psutil.NoSuchProcess:
        return


def _kill(processes: Iterable[psutil.Process]) -> None:
    """Ends what is still alive and waits until it is; a zombie that its new parent never collects is gone too."""
    left = [p for p in processes if is_alive(p)]
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    deadline = time.monotonic() + KILL_SECONDS
    while any(map(is_alive, left)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
