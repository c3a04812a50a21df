"""Hosts on one machine: network namespaces, each with an address of its own, that a bridge connects (ip-netns(8)).

What runs on one reaches the others by their addresses only, so that every host can use the same ports, as nodes do. The
machine itself is on the bridge, too. Needs root.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

GATEWAY = 1
FIRST_HOST = 10


def missing() -> str | None:
    """Why no hosts can be made here; None where they can."""
    if shutil.which("ip") is None:
        return "the command ip is not there (Debian package iproute2)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"rap{os.getpid()}try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode == 0:
        _ip("netns", "delete", name)
        return None
    return f"no network namespace can be made: {made.stderr.strip()}"


class Host:
    """One of them."""

    def __init__(self, namespace: str, address: str) -> None:
        self._namespace = namespace
        self.address = address

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], *, disk: Path, at: Path, log: Path
    ) -> "subprocess.Popen[bytes]":
        """Runs a command there, which sees the folder ``disk`` at ``at``, where other hosts see theirs."""
        mounted = ["sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', str(disk), str(at)]
        with log.open("ab") as out:
            return subprocess.Popen(
                ["ip", "netns", "exec", self._namespace, *mounted, *command],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def kill(self) -> int:
        """kill -9 of everything that runs there, as when a Pod's memory runs out; how many there were."""
        pids = [int(pid) for pid in _ip("netns", "pids", self._namespace).split()]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return len(pids)


class Hosts:
    """A network of hosts, gone with all that runs on them when it is left."""

    def __init__(self) -> None:
        self._name = f"rap{os.getpid()}"
        self._subnet = f"10.77.{os.getpid() % 250}"
        self._hosts: list[Host] = []

    @property
    def address(self) -> str:
        """The machine's own."""
        return f"{self._subnet}.{GATEWAY}"

    def __enter__(self) -> "Hosts":
        _ip("link", "add", self._name, "type", "bridge")
        _ip("addr", "add", f"{self.address}/24", "dev", self._name)
        _ip("link", "set", self._name, "up")
        return self

    def add(self) -> Host:
        """One more host."""
        number = FIRST_HOST + len(self._hosts)
        namespace, address = f"{self._name}-{number}", f"{self._subnet}.{number}"
        outer, inner = f"{self._name}o{number}", f"{self._name}i{number}"
        _ip("netns", "add", namespace)
        self._hosts.append(Host(namespace, address))
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner)
        _ip("link", "set", outer, "master", self._name, "up")
        _ip("link", "set", inner, "netns", namespace)
        for command in (("addr", "add", f"{address}/24", "dev", inner), ("link", "set", inner, "up")):
            _ip("-n", namespace, *command)
        _ip("-n", namespace, "link", "set", "lo", "up")
        return self._hosts[-1]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self._hosts:
            host.kill()
        for number in range(FIRST_HOST, FIRST_HOST + len(self._hosts)):
            subprocess.run(["ip", "netns", "delete", f"{self._name}-{number}"], check=False)
            subprocess.run(["ip", "link", "delete", f"{self._name}o{number}"], check=False, capture_output=True)
        _ip("link", "delete", self._name)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
