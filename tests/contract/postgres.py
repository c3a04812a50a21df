"""A PostgreSQL server of the tests' own, from the Debian package."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rap_serve.cli.process import free_port

USER = "postgres"


def binaries() -> Path | None:
    """The folder of the newest version's programs, None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def running(programs: Path) -> Iterator[str]:
    """The URL of a server on an empty folder; it refuses to run as root, so it then runs as its package's user."""
    folder = Path(tempfile.mkdtemp(prefix="rap-postgres-"))
    port = free_port()
    as_user: list[str] = []
    if os.getuid() == 0:
        as_user = ["runuser", "-u", USER, "--"]
        account = pwd.getpwnam(USER)
        os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"
    quiet = {"check": True, "capture_output": True, "cwd": folder}
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c shared_buffers=32MB"
    subprocess.run([*as_user, programs / "initdb", "-D", data, "-U", "rap", "-A", "trust"], **quiet)
    control = [*as_user, programs / "pg_ctl", "-D", data, "-l", folder / "log", "-w"]
    subprocess.run([*control, "-o", options, "start"], **quiet)
    try:
        yield f"postgresql+psycopg://rap@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder, ignore_errors=True)
