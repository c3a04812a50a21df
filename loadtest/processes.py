"""The processes behind a home directory."""

from pathlib import Path

import psutil

from rap_serve.cli.process import MARK

_ROLES = {
    "deployments.local": "driver",
    "rap_serve.adapters.milvus_lite_server": "Milvus Lite",
    "dashboard.py": "Ray dashboard",
    "log_monitor.py": "Ray log monitor",
    "monitor.py": "Ray autoscaler",
    "resource_tracker": "resource tracker",
}


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


def role(process: psutil.Process) -> str:
    """What a process of the service does, in words."""
    try:
        line = process.cmdline()
    except psutil.Error:
        return "ended"
    for word, name in _ROLES.items():
        if any(word in argument for argument in line):
            return name
    title = process.name()
    if title.startswith("ray::"):
        return title.removeprefix("ray::").removeprefix("ServeReplica:rap:").partition(".")[0]
    return title


def milvus_uri(home: Path) -> str:
    """Where the Milvus that belongs to the home listens: its own Lite server, or one of ``loadtest.milvus_server``."""
    for process in service_processes(home):
        line = process.cmdline()
        if "rap_serve.adapters.milvus_lite_server" in line:
            return f"http://127.0.0.1:{line[-1]}"
        if "loadtest.milvus_server" in line:
            return f"http://127.0.0.1:{line[line.index('--port') + 1]}"
    raise LookupError(f"The service of {home} runs no Milvus of its own.")


CLIENT = "client"


class CpuMeter:
    """CPU seconds by role of process: those of a home, and this one as the client."""

    def __init__(self, home: Path | None) -> None:
        self._processes = {} if home is None else {p: role(p) for p in service_processes(home)}

    def read(self) -> dict[str, float]:
        """Seconds since each process began, by role."""
        spent = {CLIENT: _cpu_seconds(psutil.Process())}
        for process, name in self._processes.items():
            spent[name] = spent.get(name, 0.0) + _cpu_seconds(process)
        return spent

    def since(self, before: dict[str, float]) -> dict[str, float]:
        """What was spent since an earlier reading."""
        return {name: seconds - before.get(name, 0.0) for name, seconds in self.read().items()}


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
