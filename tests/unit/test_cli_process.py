"""Finding and ending the processes of a service."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rap_serve.cli.home import Home
from rap_serve.cli.process import MARK, is_alive, serves, service_process, stop_service

STAND_IN = """
import signal, subprocess, sys, time
if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(["sleep", "300"])
subprocess.Popen(["sleep", "300"], start_new_session=True)
print("up", flush=True)
time.sleep(300)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that no other test has."""
    return Home.at(tmp_path / "home")


@pytest.fixture
def service(home: Home, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A process tree that looks like the service's from outside: a parent, a child, a child that left its session."""
    (tmp_path / "deployments").mkdir()
    (tmp_path / "deployments" / "local.py").write_text(STAND_IN)
    command = [sys.executable, "-m", "deployments.local", "--home", "home", *getattr(request, "param", [])]
    environment = {**os.environ, MARK: str(home.path)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process
        process.kill()


def marked(home: Home) -> list[psutil.Process]:
    """What still carries the home's mark."""
    return [p for p in psutil.process_iter() if is_alive(p) and _mark_of(p) == str(home.path)]


def _mark_of(process: psutil.Process) -> str:
    try:
        return str(process.environ().get(MARK))
    except psutil.Error:
        return ""


@pytest.mark.parametrize(
    ("arguments", "is_ours"),
    [
        (["python", "-m", "deployments.local", "--home", "home"], True),
        (["python", "-m", "deployments.local", "--port", "1", "--home=../here/home"], True),
        (["python", "-m", "deployments.local", "--home", "other"], False),
        (["python", "-m", "deployments.local"], False),
        (["vim", "deployments/local.py", "--home", "home"], False),
    ],
)
def test_a_service_is_known_by_its_command_line(tmp_path: Path, arguments: list[str], is_ours: bool) -> None:
    """Relative homes are those of the directory it runs in."""
    here = tmp_path / "here"
    here.mkdir()
    assert serves(arguments, here, Home.at(here / "home")) is is_ours


def test_stopping_leaves_no_process(home: Home, service: subprocess.Popen[bytes]) -> None:
    """Children go too, even one in a session of its own."""
    found = service_process(home)
    assert found is not None and found.pid == service.pid
    assert stop_service(home, 20.0) == 3
    assert service_process(home) is None and marked(home) == []


@pytest.mark.parametrize("service", [["--stubborn"]], indirect=True)
def test_a_service_that_ignores_the_request_is_killed_in_time(home: Home, service: subprocess.Popen[bytes]) -> None:
    """Within the timeout, not after it."""
    began = time.monotonic()
    assert stop_service(home, 4.0) == 3
    assert time.monotonic() - began < 4.0
    assert marked(home) == []


def test_what_outlived_a_crashed_service_is_ended(home: Home, service: subprocess.Popen[bytes]) -> None:
    """Orphans are known by the mark they inherited."""
    os.kill(service.pid, signal.SIGKILL)
    service.wait()
    assert len(marked(home)) == 2
    assert stop_service(home, 20.0) == 2
    assert marked(home) == []


def test_stopping_another_home_touches_nothing(service: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Each home is an island."""
    assert stop_service(Home.at(tmp_path / "another"), 5.0) == 0
    assert service.poll() is None
