"""The scripts that images are built with and end with, run here as they are run there."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from ray.core.generated import autoscaler_pb2
from ray.scripts.scripts import drain_node

from tests.k8s.rendered import ROOT

SCRIPTS = ROOT / "scripts" / "image"


@pytest.mark.slow
def test_a_virtual_environment_is_made_of_a_lock_and_the_project(tmp_path: Path) -> None:
    """Exactly what the lock names, and the project from the folder that it lies in."""
    lock = tmp_path / "some.lock"
    pins = (line for line in (ROOT / "requirements" / "cpu.lock").read_text().splitlines() if "==" in line)
    lock.write_text("\n".join(p for p in pins if p.split("==")[0] in {"setuptools", "six"}) + "\n")
    project = tmp_path / "app"
    for folder in ("rap_serve", "deployments"):
        (project / folder).mkdir(parents=True)
        (project / folder / "__init__.py").write_text(f'"""{folder}, without its parts."""\n')
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        (project / file).write_bytes((ROOT / file).read_bytes())
    venv = tmp_path / "venv"
    made = subprocess.run([SCRIPTS / "install", venv, lock], cwd=ROOT, capture_output=True, text=True, check=False)
    if "No matching distribution" in made.stderr or "Could not" in made.stderr:
        pytest.skip("needs a package index")
    assert made.returncode == 0, made.stderr
    subprocess.run([SCRIPTS / "project", venv], cwd=project, check=True)
    told = subprocess.run(
        [venv / "bin" / "python", "-c", "import deployments, six; print(deployments.__file__, six.__version__)"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert told == [str(project / "deployments" / "__init__.py"), "1.17.0"]


def test_a_drain_asks_ray_what_ray_understands(tmp_path: Path) -> None:
    """The options of a command that Ray hides, held against the Ray that is installed."""
    words = _drain(tmp_path, seconds=1, answers=0)
    known = {option for parameter in drain_node.params for option in parameter.opts}
    assert words[0] == "drain-node"
    assert {word for word in words if word.startswith("--")} <= known
    assert words[words.index("--reason") + 1] in dict(autoscaler_pb2.DrainNodeReason.items())
    assert words[words.index("--deadline-remaining-seconds") + 1] == "1"


def test_a_drain_waits_even_if_ray_does_not_answer(tmp_path: Path) -> None:
    """Streams go on as long as the Pod is there; the head may be away."""
    began = time.monotonic()
    _drain(tmp_path, seconds=1, answers=1)
    assert time.monotonic() - began >= 1


def _drain(folder: Path, seconds: int, answers: int) -> list[str]:
    """Runs the script with a ``ray`` that notes what it is asked, and says so."""
    ray = folder / "ray"
    ray.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/asked\nexit {answers}\n')
    ray.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    subprocess.run([SCRIPTS / "drain", str(seconds)], env=environment, check=True, capture_output=True)
    return (folder / "asked").read_text().splitlines()
