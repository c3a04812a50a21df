"""Replicas come and go by our policy on a real Ray Serve, and nobody's stream is cut."""

import pytest

from loadtest.bench.scaling import OFTEN, deployed, scaled
from loadtest.local_ray import local_ray


@pytest.mark.slow
async def test_replicas_follow_the_load_and_no_stream_is_cut() -> None:
    """One, three under load, one again; every answer came whole."""
    with local_ray(environment=OFTEN):
        figures = await scaled(deployed(), clients=6, load_seconds=25, calm_seconds=90)
    assert figures.counts[0] == 1 and max(figures.counts) == 3 and figures.counts[-1] == 1, figures
    assert figures.answers > 0 and (figures.failed, figures.cut) == (0, 0), figures
