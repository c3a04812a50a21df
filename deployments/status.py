"""How far the start has come, as a file that anybody who waits can read."""

import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

State: TypeAlias = Literal["waiting", "running", "done", "failed"]
STEP_BY_DEPLOYMENT = {
    "DetectorDeployment": "detector",
    "EmbedderDeployment": "embedder",
    "IngressDeployment": "gateway",
}
MLLM_PREFIX = "Mllm:"


class Status:
    """Steps and their states; each change rewrites the file as a whole."""

    def __init__(self, path: Path, steps: Sequence[str]) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._steps: dict[str, tuple[State, str]] = dict.fromkeys(steps, ("waiting", ""))
        self._state = "starting"
        self._error: str | None = None
        self._write()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Running inside, done after; failed if it raises."""
        self._set(name, "running")
        try:
            yield
        except BaseException:
            self._set(name, "failed")
            raise
        self._set(name, "done")

    def done(self, name: str, detail: str = "") -> None:
        """The step is done."""
        self._set(name, "done", detail)

    def deployment(self, deployment: str, serve_status: str, message: str) -> None:
        """Takes over what Serve says of one deployment."""
        step = "mllm" if deployment.startswith(MLLM_PREFIX) else STEP_BY_DEPLOYMENT[deployment.removeprefix("Next")]
        state: State = "done" if serve_status.endswith("HEALTHY") and "UN" not in serve_status else "running"
        self._set(step, state, message if state == "running" else "")

    @property
    def all_done(self) -> bool:
        return all(state == "done" for state, _ in self._steps.values())

    def ready(self) -> None:
        """Everything serves."""
        self._finish("ready")

    def stopped(self) -> None:
        """Everything was taken down as asked."""
        self._finish("stopped")

    def failed(self, error: str) -> None:
        """The service cannot go on."""
        self._error = error
        self._finish("failed")

    def _finish(self, state: str) -> None:
        self._state = state
        self._write()

    def _set(self, name: str, state: State, detail: str = "") -> None:
        self._steps[name] = (state, detail)
        self._write()

    def _write(self) -> None:
        steps = [{"name": n, "state": s, "detail": d} for n, (s, d) in self._steps.items()]
        payload = {"state": self._state, "steps": steps, "error": self._error, "pid": os.getpid()}
        with self._lock:
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps(payload))
            fresh.replace(self._path)
