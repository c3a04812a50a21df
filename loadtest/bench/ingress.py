"""What a request costs besides the models, hop by hop, in each of Ray Serve's modes.

    python -m loadtest.bench.ingress --modes default,proxy,core --times 300

Each mode starts a service of its own with a simulated engine that answers at once. One client asks, one request at a
time:

``noop``: a deployment that does nothing, beside the gateway. ``healthz``: the gateway's cheapest route. ``models``: one
with a key. ``text``: a question without a picture, one token. ``again``: a retrieval of a picture sent before. ``new``:
of a new one, less detector and embedder. ``late``: how often the gateway's event loop was late by how much.
"""

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from loadtest import drawn
from loadtest.bench.retrieval import own, summary
from rap_serve.cli.home import Home
from rap_serve.cli.process import free_port, stop_service

MODES: dict[str, dict[str, str]] = {
    "default": {},
    "proxy": {"RAY_SERVE_ENABLE_HA_PROXY": "0"},
    "loops": {"RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "1", "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "1"},
    "core": {"RAY_SERVE_USE_GRPC_BY_DEFAULT": "0"},
    "buffered-log": {"RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000", "RAY_SERVE_LOG_TO_STDERR": "0"},
}
"""What each takes back of what the service sets for itself, or adds. ``proxy``: Ray's own in the place of HAProxy;
``loops``: several in each replica; ``core``: calls between replicas through Ray's core."""

START_SECONDS = 420
STOP_SECONDS = 20.0
WARM_UP = 20
CONCEPTS = 20
EXPORT_SECONDS = 12


class Asker:
    """One client of a service."""

    def __init__(self, home: Path) -> None:
        service = json.loads((home / "service.json").read_text())
        headers = {"Authorization": f"Bearer {service['api_key']}"}
        self._http = httpx.Client(base_url=service["url"], headers=headers, timeout=120, trust_env=False)
        self._seeds = itertools.count(time.time_ns() % 1_000_000)
        self._known = drawn.scene([drawn.thing(0)], 0).data_url

    def remember(self) -> None:
        """Something to look for."""
        for n in range(CONCEPTS):
            body = drawn.concept(f"thing-{n}", drawn.thing(n), n)
            self._http.post("/v1/users/ingress/concepts", json=body).raise_for_status()

    def get(self, path: str) -> float:
        """Milliseconds of a GET."""
        began = time.perf_counter()
        self._http.get(path).raise_for_status()
        return 1_000 * (time.perf_counter() - began)

    def text(self) -> float:
        """Milliseconds of a question without a picture."""
        began = time.perf_counter()
        messages = [{"role": "user", "content": "What is this?"}]
        body = {"model": "rap-tiny", "user": "ingress", "max_tokens": 1, "messages": messages}
        self._http.post("/v1/chat/completions", json=body).raise_for_status()
        return 1_000 * (time.perf_counter() - began)

    def again(self) -> float:
        """Milliseconds of a retrieval whose picture is known."""
        return self._retrieved(self._known)[0]

    def new(self) -> float:
        """Milliseconds of a retrieval besides its models."""
        seed = next(self._seeds)
        whole, timings = self._retrieved(drawn.scene([drawn.thing(seed % 100)], seed).data_url)
        return whole - (timings["total"] - own(timings))

    def late(self) -> dict[str, float]:
        """How often the gateway's event loop was late by no more than so many seconds."""
        lines = self._http.get("/metrics").text.splitlines()
        return dict(_buckets(line for line in lines if "rap_event_loop_late_seconds_bucket" in line))

    def _retrieved(self, picture: str) -> tuple[float, dict[str, float]]:
        began = time.perf_counter()
        answer = self._http.post("/v1/users/ingress/retrieve", json={"image": picture}).raise_for_status()
        return 1_000 * (time.perf_counter() - began), answer.json()["timings_ms"]


def _buckets(lines: Iterator[str]) -> Iterator[tuple[str, float]]:
    for line in lines:
        yield line.split('le="')[1].split('"')[0], float(line.rsplit(" ", 1)[1])


def asked(asker: Asker, times: int) -> dict[str, dict[str, float]]:
    """The figures of one mode. The kinds take turns, so that a busy machine is busy for all of them."""
    kinds: dict[str, Callable[[], float]] = {
        "noop": lambda: asker.get("/noop"),
        "healthz": lambda: asker.get("/healthz"),
        "models": lambda: asker.get("/v1/models"),
        "text": asker.text,
        "again": asker.again,
        "new": asker.new,
    }
    values: dict[str, list[float]] = {name: [] for name in kinds}
    for round_ in range(WARM_UP + times):
        for name, ask in kinds.items():
            taken = ask()
            if round_ >= WARM_UP:
                values[name].append(taken)
    time.sleep(EXPORT_SECONDS)
    return {name: summary(v) for name, v in values.items()} | {"late": asker.late()}


def serve_one(home: Path, times: int) -> None:
    """Serves in this process, in whatever mode the environment says, until its client has asked everything."""
    from deployments.local import prepare_environment

    os.environ["RAP_MLLM__SERVE__MIN_REPLICAS"] = "1"
    prepare_environment(home)
    from ray import serve

    from deployments.local_service import LocalService
    from loadtest.simulated.engine import Costs
    from loadtest.simulated.mllm import simulated

    def ask() -> None:
        """The client, beside the service."""
        try:
            while not (home / "service.json").exists():
                time.sleep(0.2)
            serve.run(
                serve.deployment(Noop, ray_actor_options={"num_cpus": 0.1}).bind(), name="noop", route_prefix="/noop"
            )
            asker = Asker(home)
            asker.remember()
            (home / "figures.json").write_text(json.dumps(asked(asker, times)))
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask, daemon=True).start()
    at_once = Costs(pass_seconds=0.0, prompt_token_seconds=0.0, picture_seconds=0.0)
    LocalService(home, free_port(), "local", simulated(at_once, "power-of-two")).run()


class Noop:
    """What any request through Serve costs."""

    async def __call__(self) -> str:
        return "ok"


def measured(mode: str, times: int) -> dict[str, dict[str, float]]:
    """One mode, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="ingress-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        command = [sys.executable, "-m", "loadtest.bench.ingress", "--serve", str(home), "--times", str(times)]
        log = Path(folder) / "log"
        with log.open("w") as out:
            process = subprocess.Popen(command, env={**os.environ, **MODES[mode]}, stdout=out, stderr=out)
        try:
            process.wait(START_SECONDS + times)
        finally:
            stop_service(Home(home), STOP_SECONDS)
        if not (home / "figures.json").exists():
            raise RuntimeError(f"{mode}: status {process.returncode}\n{log.read_text()[-4_000:]}")
        figures: dict[str, dict[str, float]] = json.loads((home / "figures.json").read_text())
        return figures


def table(figures: dict[str, dict[str, dict[str, float]]]) -> Table:
    """The figures, for people."""
    kinds = [k for k in next(iter(figures.values())) if k != "late"]
    shown = Table("mode", *kinds, title="Milliseconds at the client, p50 / p99")
    for mode, rows in figures.items():
        shown.add_row(mode, *(f"{rows[k]['p50']} / {rows[k]['p99']}" for k in kinds))
    return shown


def main() -> None:
    """Parses the command line and prints JSON, and a table for people on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", default="default,proxy,loops,core", help=", ".join(MODES))
    parser.add_argument("--times", type=int, default=300)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve_one(options.serve, options.times)
        return
    figures = {}
    for mode in options.modes.split(","):  # a mode that does not start takes nothing away from those before
        figures[mode] = measured(mode, options.times)
        Console(stderr=True).print(table(figures))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
