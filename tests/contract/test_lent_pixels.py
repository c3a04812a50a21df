"""Pictures that one process lends to another of its machine."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from rap_serve.adapters.lent_pixels import Elsewhere, GivenPixels, Lender, LentPixels, lent, taken
from rap_serve.domain.region import Pixels

READ_IT = """
import sys, cloudpickle
given = cloudpickle.load(sys.stdin.buffer)
read = given.read()
cloudpickle.dump(read, sys.stdout.buffer)
"""


def in_another_process(given: LentPixels) -> Any:
    """What another process reads of it."""
    read = subprocess.run(
        [sys.executable, "-c", READ_IT], input=cloudpickle.dumps(given), stdout=subprocess.PIPE, check=True
    )
    return cloudpickle.loads(read.stdout)


@pytest.fixture
def pixels() -> Pixels:
    """Large enough to be lent, and a view with gaps, as pictures that were cut out are."""
    return np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)[:, 20:180]


def open_files() -> set[Path]:
    """The descriptors of this process."""
    return set(Path("/proc/self/fd").iterdir())


def test_another_process_reads_what_it_is_lent(pixels: Pixels) -> None:
    """Bit by bit, and nothing stays open here."""
    before = open_files()
    with lent(pixels) as given:
        assert np.array_equal(in_another_process(given), pixels)
    assert open_files() == before


def test_who_has_opened_it_keeps_it_and_cannot_change_it_for_others(pixels: Pixels) -> None:
    """Its lender may stop waiting at any moment."""
    with lent(pixels) as given:
        one, other = given.read(), given.read()
    assert not isinstance(one, Elsewhere) and not isinstance(other, Elsewhere)
    one[:] = 0
    assert np.array_equal(other, pixels)


def test_nothing_is_read_where_the_lender_waits_no_longer(pixels: Pixels) -> None:
    """Nor what has the same number by now: that may be another owner's picture."""
    with lent(pixels) as given:
        pass
    assert given.read() == Elsewhere()
    with lent(np.zeros_like(pixels)) as later:
        assert later.descriptor == given.descriptor
        assert given.read() == Elsewhere()


@pytest.mark.parametrize("change", [{"machine": "another"}, {"process": 2**22 + 1}, {"descriptor": 0}])
def test_nothing_is_read_on_another_machine_or_of_another_process(pixels: Pixels, change: dict[str, Any]) -> None:
    """Whatever lies there under that number."""
    with lent(pixels) as given:
        assert replace(given, **change).read() == Elsewhere()


async def test_what_cannot_be_read_is_sent_and_for_a_while_all_is(pixels: Pixels) -> None:
    """One replica elsewhere is enough: nobody knows which of them will be asked."""
    calls: list[GivenPixels] = []
    lender = Lender()

    async def far(given: GivenPixels) -> int | Elsewhere:
        calls.append(given)
        return Elsewhere() if isinstance(given, LentPixels) else int(given[0, 0, 0])

    assert [await lender(pixels, far) for _ in range(2)] == [pixels[0, 0, 0]] * 2
    assert [isinstance(c, LentPixels) for c in calls] == [True, False, False]


async def test_here_it_is_lent_but_not_where_it_is_small(pixels: Pixels) -> None:
    """A few kilobytes are sent sooner than lent."""
    calls: list[GivenPixels] = []

    async def near(given: GivenPixels) -> bool | Elsewhere:
        calls.append(given)
        read = taken(given)
        return read if isinstance(read, Elsewhere) else bool(read.any())

    lender = Lender()
    assert await lender(pixels, near) and await lender(pixels[:50, :50], near)
    assert [isinstance(c, LentPixels) for c in calls] == [True, False]
