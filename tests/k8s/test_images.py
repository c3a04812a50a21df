"""The images: what their Dockerfiles may do, and that the scripts that do it work outside a container.

Not run here: a build, as there is no container engine.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.k8s.dockerfile import bases, instructions, last_stage
from tests.k8s.rendered import K8S, ROOT, rendered
from tests.k8s.workloads import workloads

DOCKERFILES = sorted((K8S / "images").glob("*.Dockerfile"))
CYCLONEDX = ROOT / ".venv-k8s" / "bin" / "cyclonedx-py"
pytestmark = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda p: p.stem)


def test_each_step_is_a_script_of_ours(path: Path) -> None:
    """So that whatever an image is built with can be run and tested without one."""
    for step in (i.value for i in instructions(path) if i.name == "RUN"):
        assert re.fullmatch(r"scripts/[\w/]+( [\w./-]+)*", step), step
        script = ROOT / step.split()[0]
        assert script.is_file() and os.access(script, os.X_OK)


def test_bases_are_pinned(path: Path) -> None:
    """To a version in full, or to nothing at all; a digest is put in where images are built."""
    for base in bases(instructions(path)):
        assert base == "scratch" or re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*", base), base


def test_it_is_installed_from_locks(path: Path) -> None:
    """Every version is named, in files that are there."""
    (install,) = (i.value for i in instructions(path) if i.name == "RUN" and "image/install" in i.value)
    for lock in install.split()[2:]:
        pins = [line for line in (ROOT / lock).read_text().splitlines() if line and not line.startswith("#")]
        assert pins and all(re.fullmatch(r"[\w.-]+==[\w.!+]+", pin) for pin in pins), lock


def test_nobody_is_root_in_it(path: Path) -> None:
    """By number, since Kubernetes cannot tell from a name; the number that the Pods run as."""
    user = [i.value for i in last_stage(instructions(path)) if i.name == "USER"]
    ray = [w.spec["securityContext"] for w in workloads(rendered("prod")) if w.group is not None]
    assert user == [f"{c['runAsUser']}:{c['runAsGroup']}" for c in ray[:1]]
    assert len({c["runAsUser"] for c in ray}) == 1 and ray[0]["runAsUser"] >= 10000


def test_what_is_copied_is_there_and_not_ignored(path: Path) -> None:
    """The build's context holds these and nothing else: neither stores, nor secrets, nor the history."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = [i.value.split()[:-1] for i in instructions(path) if i.name == "COPY" and "--from" not in i.value]
    sources = {source for sources in copied for source in sources}
    assert sources <= let_in
    assert all((ROOT / source).exists() for source in let_in)


def test_its_contents_are_listed(path: Path, tmp_path: Path) -> None:
    """As CycloneDX, each pin of its locks once."""
    if not CYCLONEDX.is_file():
        pytest.skip("needs .venv-k8s: make .venv-k8s/installed")
    subprocess.run([ROOT / "scripts" / "sbom", tmp_path], check=True, capture_output=True)
    listed = json.loads((tmp_path / f"rap-serve-{path.stem}.cdx.json").read_text())
    found = {(c["name"].lower(), c["version"]) for c in listed["components"]}
    assert listed["bomFormat"] == "CycloneDX"
    (install,) = (i.value for i in instructions(path) if i.name == "RUN" and "image/install" in i.value)
    pins = [line for lock in install.split()[2:] for line in (ROOT / lock).read_text().splitlines() if "==" in line]
    assert found == {tuple(pin.lower().split("==")) for pin in pins if not pin.startswith("#")}
