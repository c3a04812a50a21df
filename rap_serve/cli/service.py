"""``rap up`` and ``rap down``: the local service, started in the background and taken down whole."""

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import psutil
import typer

from rap_serve.cli.client import CliError, is_ready
from rap_serve.cli.console import err, out
from rap_serve.cli.home import DEFAULT_HOME, Home, HomeOption, Service, StartStatus
from rap_serve.cli.process import MARK, MODULE, free_port, is_alive, service_process, stop_service
from rap_serve.cli.progress import StartProgress
from rap_serve.settings import PROJECT_ROOT

POLL_SECONDS = 0.3
STOP_SECONDS = 20.0

JsonOption = Annotated[bool, typer.Option("--json", help="Only JSON on standard output.")]


def up(
    home: HomeOption = DEFAULT_HOME,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free port.")] = 8000,
    profile: Annotated[str, typer.Option(help="A name under deployments/profiles, or a YAML file.")] = "local",
    as_json: JsonOption = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait until it serves.")] = 600.0,
) -> None:
    """Starts the service in the background and waits until it serves."""
    place = Home.at(home)
    record = start(place, port=port, profile=profile, timeout_seconds=timeout)
    if as_json:
        typer.echo(json.dumps({"url": record.url, "api_key": record.api_key}))
        return
    out.print(f"[bold green]Ready[/] at {record.url}", highlight=False)
    out.print(f"API key  {record.api_key}\nHome     {place.path}", highlight=False, soft_wrap=True)


def down(
    home: HomeOption = DEFAULT_HOME,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until what is left is killed.")] = STOP_SECONDS,
) -> None:
    """Stops the service and every process that belongs to it."""
    place = Home.at(home)
    ended = stop_service(place, timeout)
    place.service_file.unlink(missing_ok=True)
    out.print(f"Stopped ({ended} processes)." if ended else "Not running.")


def start(home: Home, *, port: int, profile: str, timeout_seconds: float) -> Service:
    """The running service of ``home``, started where it was not. Raises CliError; then nothing keeps running."""
    deadline = time.monotonic() + timeout_seconds
    with _one_at_a_time(home):
        process = service_process(home)
        if process is not None and (record := home.service()) is not None and is_ready(record):
            err.print("The service of this home is already up.")
            return record
        process = process or _spawn(home, port, profile)
    try:
        return _until_ready(home, process, deadline)
    except BaseException:
        stop_service(home, STOP_SECONDS)
        raise


def port_is_free(port: int) -> bool:
    """Whether a service could listen there on this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextmanager
def _one_at_a_time(home: Home) -> Iterator[None]:
    """Inside, no other command starts a service in this home."""
    home.path.mkdir(parents=True, exist_ok=True)
    with (home.path / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _spawn(home: Home, port: int, profile: str) -> psutil.Process:
    if port and not port_is_free(port):
        raise CliError(f"Port {port} is taken: choose another with --port (0 takes a free one).")
    home.forget_last_run()
    command = [sys.executable, "-m", MODULE, "--home", str(home.path), "--port", str(port or free_port())]
    with home.log.open("wb") as log:
        child = subprocess.Popen(
            [*command, "--profile", profile],
            cwd=PROJECT_ROOT,
            env={**os.environ, MARK: str(home.path)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return psutil.Process(child.pid)


def _until_ready(home: Home, process: psutil.Process, deadline: float) -> Service:
    with StartProgress() as progress:
        while True:
            alive, status = is_alive(process), home.status()
            progress.show(status)
            record = home.service()
            if status.state == "ready" and record and is_ready(record):
                return record
            if status.state in {"failed", "stopped"} or not alive:
                raise _failure(home, status, "The service did not start")
            if time.monotonic() > deadline:
                raise _failure(home, status, "The service is not ready in time (--timeout gives it longer)")
            time.sleep(POLL_SECONDS)


def _failure(home: Home, status: StartStatus, what: str) -> CliError:
    reason = f": {status.error}" if status.error else "."
    lines = "\n".join(f"  {line}" for line in home.last_log_lines())
    log = f"\nThe last lines of {home.log}:\n{lines}" if lines else ""
    return CliError(f"{what}{reason}{log}\n`rap doctor` looks for what is missing on this machine.")
