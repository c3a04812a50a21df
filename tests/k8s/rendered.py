"""What ``kubectl kustomize`` makes of each overlay."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
K8S = ROOT / "k8s"
OVERLAYS = ("dev", "prod")
OLDEST_KUSTOMIZE = 5

Object = dict[str, Any]


@cache
def rendered(overlay: str) -> tuple[Object, ...]:
    """Every object of ``overlay``, in the order that they are applied in. Not to be changed."""
    command = [kubectl(), "kustomize", str(K8S / "overlays" / overlay)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return tuple(yaml.safe_load_all(text))


@cache
def kubectl() -> str:
    """The one that ``make check`` fetched, or the machine's; skips the test where neither is new enough."""
    for candidate in (str(ROOT / ".venv-k8s" / "bin" / "kubectl"), shutil.which("kubectl")):
        if candidate and os.access(candidate, os.X_OK) and _kustomize_version(candidate) >= OLDEST_KUSTOMIZE:
            return candidate
    pytest.skip("needs a kubectl with kustomize 5 (kubectl 1.27 or later): run scripts/k8s_tools, or install it")


def _kustomize_version(command: str) -> int:
    told = subprocess.run([command, "version", "--client"], check=False, capture_output=True, text=True).stdout
    found = re.search(r"Kustomize Version: v(\d+)", told)
    return int(found.group(1)) if found else 0


def of_kind(objects: tuple[Object, ...] | list[Object], kind: str) -> list[Object]:
    """Those of ``kind``."""
    return [o for o in objects if o["kind"] == kind]


def name_of(thing: Object) -> str:
    """For messages: kind, namespace and name."""
    metadata = thing["metadata"]
    return f"{thing['kind']} {metadata.get('namespace', '-')}/{metadata['name']}"
