"""The service as a person starts it, for tests that talk to it from outside."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from loadtest.processes import service_processes
from rap_serve.cli.process import free_port

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 300
STOP_SECONDS = 30


class RunningService:
    """One home directory, and the processes that serve it."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.home = home
        self.port = free_port()
        self._environment = environment

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_key(self) -> str:
        return str(json.loads((self.home / "service.json").read_text())["api_key"])

    def start(self) -> None:
        """Runs ``rap up`` and waits until it says that the service is ready."""
        command = [sys.executable, "-m", "rap_serve.cli.main", "up", "--home", str(self.home), "--port", str(self.port)]
        environment = {**os.environ, **self._environment}
        done = subprocess.run(
            [*command, "--json"],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr}\n{self.log_tail()}"

    def stop(self) -> float:
        """Runs ``rap down``; the seconds it took."""
        started = time.monotonic()
        command = [sys.executable, "-m", "rap_serve.cli.main", "down", "--home", str(self.home)]
        subprocess.run(command, cwd=ROOT, timeout=STOP_SECONDS, check=True, capture_output=True)
        return time.monotonic() - started

    def kill_everything(self) -> int:
        """kill -9 of all of it at once; how many there were."""
        victims = service_processes(self.home)
        for process in victims:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(victims, timeout=10)
        return len(victims)

    def client(self, key: str | None = None) -> httpx.Client:
        """An HTTP client with a tenant's key."""
        headers = {"Authorization": f"Bearer {key or self.api_key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def log_text(self) -> str:
        """All of the service's log."""
        log = self.home / "logs" / "service.log"
        return log.read_text() if log.exists() else "no log"

    def log_tail(self) -> str:
        """The last lines of it."""
        return "\n".join(self.log_text().splitlines()[-30:])
