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
    """Where the Milvus that belongs to the home listens: its own Lite server, or one of ``loadtest.milvus_server``."""
    for process in service_processes(home):
        line = process.cmdline()
        if "rap_serve.adapters.milvus_lite_server" in line:
            return f"http://127.0.0.1:{line[-1]}"
        if "loadtest.milvus_server" in line:
            return f"http://127.0.0.1:{line[line.index('--port') + 1]}"
    raise LookupError(f"The service of {home} runs no Milvus of its own.")
