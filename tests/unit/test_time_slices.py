"""That Linux gives threads the time slices they ask for."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rap_serve.adapters.time_slices import COMPUTING_SECONDS, for_computing_on, of_this_process, of_what_starts

SCHED = Path("/proc/thread-self/sched")
_TOLD = "import pathlib; print(pathlib.Path('/proc/thread-self/sched').read_text())"


def slice_seconds(sched: str | None = None) -> float:
    """Of this thread, or of what it printed of itself."""
    lines = (sched or SCHED.read_text()).splitlines()
    return float(next(line.split()[-1] for line in lines if line.startswith("se.slice"))) / 1e9


def in_new_thread() -> float:
    """What a thread started now gets."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(slice_seconds).result()


@pytest.fixture
def heard() -> None:
    try:
        with of_what_starts(COMPUTING_SECONDS):
            given = in_new_thread() == COMPUTING_SECONDS
    except (OSError, StopIteration):
        given = False
    if not given:
        pytest.skip("This system gives every thread the same time slices.")


@pytest.mark.parametrize(
    ("device", "seconds"), [("cpu", COMPUTING_SECONDS), ("cpu:0", COMPUTING_SECONDS), ("cuda:1", 0)]
)
def test_only_a_cpu_has_its_core_for_long(device: str, seconds: float) -> None:
    """What waits for an accelerator does not compute."""
    assert for_computing_on(device) == seconds


@pytest.mark.usefixtures("heard")
def test_what_is_started_inside_has_it_and_the_thread_itself_has_not() -> None:
    """A process that outlives the block."""
    before = slice_seconds()
    with of_what_starts(COMPUTING_SECONDS):
        child = subprocess.Popen([sys.executable, "-c", _TOLD], stdout=subprocess.PIPE, text=True)
    assert slice_seconds() == before
    told, _ = child.communicate(timeout=30)
    assert slice_seconds(told) == COMPUTING_SECONDS


@pytest.mark.usefixtures("heard")
def test_a_process_asks_for_the_threads_it_has_and_for_those_to_come() -> None:
    """And takes it back."""
    before = slice_seconds()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(slice_seconds).result() == before
        of_this_process(COMPUTING_SECONDS)
        try:
            assert pool.submit(slice_seconds).result() == slice_seconds() == in_new_thread() == COMPUTING_SECONDS
        finally:
            of_this_process(0)
        assert pool.submit(slice_seconds).result() == slice_seconds() == in_new_thread() == before
