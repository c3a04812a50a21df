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
