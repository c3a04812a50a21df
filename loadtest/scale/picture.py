"""How many clusters each limit asks for, by the number of users, as a picture."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from loadtest.bench import figures
from loadtest.scale.need import need
from loadtest.scale.workload import Costs, Workload

LOAD = Workload(users=1e6, concepts=1e8, rate=1e3)


def draw(folder: Path, costs: Costs | None = None) -> None:
    """``limits.png`` in the folder: 100 concepts a user, a chat a second for every 1,000 users."""
    users = np.logspace(3, 7, 41)
    found = [need(replace(LOAD, users=u, concepts=100 * u, rate=u / 1e3), costs).parts for u in users]
    with figures.sheet(folder, "limits", size_inches=(8.0, 4.2)) as axes:
        for limit in found[0]:
            axes.plot(users, [parts[limit] for parts in found], label=limit)
        axes.axhline(1, color="black", linestyle="--", linewidth=1)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(1e-3, 30)
        axes.set_xlabel("users, with 100 concepts each and a chat a second for every 1,000")
        axes.set_ylabel("clusters that the limit asks for")
        axes.legend(fontsize=8)
