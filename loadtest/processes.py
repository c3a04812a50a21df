"""The processes behind a home directory."""

from pathlib import Path

import psutil

from rap_serve.cli.process import MARK


def service_processes(home: Path) -> list[psutil.Process]:
    """Every process that was started for ``home``, whoever its parent is."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(home.resolve()):
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    return found


def open_files(home: Path) -> int:
    """File descriptors of all of them together."""
    return sum(p.num_fds() for p in service_processes(home) if p.is_running())


def milvus_uri(home: Path) -> str:
    """Where the service's own Milvus Lite server listens."""
    for process in service_processes(home):
        line = process.cmdline()
        if "rap_serve.adapters.milvus_lite_server" in line:
            return f"http://127.0.0.1:{line[-1]}"
    raise LookupError(f"The service of {home} runs no Milvus Lite server.")


KINDS = {
    "ray::ServeReplica:rap:Ingress": "gateway",
    "ray::ServeReplica:rap:Detector": "detector",
    "ray::ServeReplica:rap:Embedder": "embedder",
    "ray::ServeReplica:rap:Mllm": "mllm replica",
    "VLLM::": "engine core",
    "ray::ProxyActor": "proxy",
    "milvus": "memory server",
}
"""What a process's command line begins with or holds, and what it is called."""

OTHER = "ray and rest"
CLIENT = "client"


class CpuMeter:
    """CPU seconds by kind of process: those of a home, and this one as the client."""

    def __init__(self, home: Path | None) -> None:
        self._processes = {} if home is None else {p: _kind(p) for p in service_processes(home)}

    def read(self) -> dict[str, float]:
        """Seconds since each process began, by kind."""
        spent = {CLIENT: _cpu_seconds(psutil.Process())}
        for process, kind in self._processes.items():
            spent[kind] = spent.get(kind, 0.0) + _cpu_seconds(process)
        return spent

    def since(self, before: dict[str, float]) -> dict[str, float]:
        """What was spent since an earlier reading."""
        return {kind: seconds - before.get(kind, 0.0) for kind, seconds in self.read().items()}


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _kind(process: psutil.Process) -> str:
    try:
        line = " ".join(process.cmdline()) or process.name()
    except psutil.NoSuchProcess:
        return OTHER
    return next((kind for mark, kind in KINDS.items() if mark in line), OTHER)
