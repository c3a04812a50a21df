"""Checkov's rules for Kubernetes, offline, over everything that is applied and every Pod of a Ray cluster."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.k8s.rendered import OVERLAYS, ROOT, Object, rendered
from tests.k8s.workloads import Workload, workloads

CHECKOV = ROOT / ".venv-k8s" / "bin" / "checkov"
SKIPPED = {
    "CKV_K8S_15": "tags are versions that do not move, so an image that is there need not be pulled again",
    "CKV_K8S_35": "the service takes its secrets from the environment",
    "CKV_K8S_38": "Ray's autoscaler, beside the head, asks the API server for Pods",
    "CKV_K8S_40": "the stores' images come with users of their own, below 10000",
    "CKV_K8S_43": "digests are the registry's, and set where images are pushed",
}


@pytest.mark.skipif(not CHECKOV.is_file(), reason="needs .venv-k8s: make .venv-k8s/installed")
def test_checkov_finds_nothing_that_was_not_decided(tmp_path: Path) -> None:
    """What it is told to skip, and why, stands above."""
    for overlay in OVERLAYS:
        pods = [_pod(w) for w in workloads(rendered(overlay)) if w.group is not None]
        (tmp_path / f"{overlay}.yaml").write_text(yaml.safe_dump_all([*rendered(overlay), *pods]))
    options = ["--framework", "kubernetes", "--skip-download", "--skip-check", ",".join(SKIPPED), "--output", "json"]
    ran = subprocess.run([str(CHECKOV), "-d", str(tmp_path), *options], check=False, capture_output=True, text=True)
    told = json.loads(ran.stdout)
    assert told["summary"]["passed"] > 500
    assert [(f["check_id"], f["check_name"], f["resource"]) for f in told["results"]["failed_checks"]] == []


def _pod(workload: Workload) -> Object:
    """As KubeRay will make it, for a tool that knows no RayService."""
    metadata = {"name": workload.name, "namespace": workload.namespace, "labels": workload.labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": workload.spec}
