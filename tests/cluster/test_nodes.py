"""A cluster of several nodes on one machine: what dies comes back, and nobody notices."""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.cluster.__main__ import tried
from loadtest.cluster.hosts import missing
from loadtest.cluster.trials import TRIALS

SECONDS = 180.0


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path: sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="rap", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "c"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_a_node_the_head_and_a_version_go_while_clients_ask(home: Path, tmp_path: Path) -> None:
    """One after another under load: what is asked is answered, at most after another try, and answered rightly."""
    crowd = {"tenants": 2, "users": 2, "concepts": 2, "retries": 2, "seed": 0}
    options = argparse.Namespace(trial="everything", rate=1.0, seconds=SECONDS, home=home, out=tmp_path, **crowd)
    found = tried(TRIALS["everything"], options)
    assert found["kept"] and found["wrong"] == 0 and found["asked"] > SECONDS / 2, found
    assert [what for _, what in found["events"]][-1] == "it is all that runs", found
