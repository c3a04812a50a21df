"""What a workload needs: shards, bytes, replicas, accelerators, network, money; and whether that can be foretold.

    python -m loadtest.scale                                                  # the tables of docs/scale.md
    python -m loadtest.scale --users 10e6 --concepts 1e9 --rate 10000         # a workload of yours
    python -m loadtest.scale --users 10e6 --concepts 1e9 --rate 10000 --json
    python -m loadtest.scale --set redis_bytes=400e9 --load again=0.2         # another cost, another habit
    python -m loadtest.scale --check --home .rap                              # low load foretells saturation

``--check`` needs a service that runs on this machine and has nothing else to do; it ends with status 1 where a figure
was foretold by more than 20 % off.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from loadtest.bench import figures
from loadtest.scale import check, picture, tables
from loadtest.scale.need import need
from loadtest.scale.workload import MLLMS, Costs, Workload

T = TypeVar("T", Workload, Costs)

ASKED = ("requests a second", "memory of all processes, MB")
WITHIN = 0.2
"""Figures that have to be foretold, and by how much they may be off; the others say why."""


def changed(value: T, changes: Sequence[str]) -> T:
    """``value`` with ``field=number`` taken over. Raises SystemExit for what is no such thing."""
    found: dict[str, float] = {}
    for change in changes:
        name, _, number = change.partition("=")
        try:
            found[name] = type(getattr(value, name))(float(number))
        except (AttributeError, TypeError, ValueError):
            raise SystemExit(
                f"{change!r}: name a field of {type(value).__name__} and a number, as in rate=100"
            ) from None
    return replace(value, **found)  # type: ignore[arg-type]


def told(options: argparse.Namespace) -> None:
    """The tables, or one workload as JSON."""
    costs = changed(replace(Costs(), mllm=MLLMS[options.mllm]), options.set)
    sizes = dict(tables.SIZES)
    if options.users:
        load = Workload(users=options.users, concepts=options.concepts, rate=options.rate)
        sizes = {"asked for": changed(load, options.load)}
    if options.json:
        found = {name: need(load, costs) for name, load in sizes.items()}
        print(json.dumps({n: {**asdict(f), "clusters": f.clusters} for n, f in found.items()}, indent=1))
        return
    for table in (tables.needs, tables.limits, tables.money):
        print(table(sizes, costs), end="\n\n")
    first = next(iter(sizes.values())) if options.users else Workload()
    print(tables.habits(first, costs), tables.accelerators(first, costs), sep="\n\n")
    if options.picture:
        picture.draw(options.picture, costs)


def checked(options: argparse.Namespace) -> int:
    """1 where something asked for was foretold by too far off, or where it cannot be told."""
    plan = check.Plan(options.home, options.profile, options.seconds, options.pictures, tuple(options.steps))
    report = check.run(plan)
    figures.write(options.out, "scale", report)
    compared: dict[str, Any] = report["compared"]
    figures.show("low load foretells", ("", "predicted", "measured", "ratio"), _rows(compared))
    figures.show(
        "processor ms a request", ("", "predicted", "measured", "ratio"), _rows(report["processor_ms_by_process"])
    )
    for reason in report["void"]:
        print(f"says nothing: {reason}", file=sys.stderr)
    off = any(abs(compared[name]["ratio"] - 1) > WITHIN for name in ASKED)
    return 1 if off or report["void"] else 0


def _rows(compared: dict[str, Any]) -> list[tuple[object, ...]]:
    return [(name, *figures_of.values()) for name, figures_of in compared.items() if figures_of["measured"] > 0.05]


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=float, help="without it: the sizes of docs/scale.md")
    parser.add_argument("--concepts", type=float, default=1e8)
    parser.add_argument("--rate", type=float, default=1e3, help="chats a second in the busiest hour")
    parser.add_argument("--load", nargs="*", default=[], metavar="FIELD=NUMBER", help="of loadtest.scale.Workload")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=NUMBER", help="of loadtest.scale.Costs")
    parser.add_argument("--mllm", choices=tuple(MLLMS), default="llava-13b")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--picture", type=Path, metavar="FOLDER", help="also draw limits.png there")
    parser.add_argument("--check", action="store_true", help="foretell a running service, then measure it")
    parser.add_argument("--home", type=Path, default=Path(".rap"))
    parser.add_argument("--profile", default="local")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each spell of the check")
    parser.add_argument("--pictures", type=int, default=400, help="at most, in each spell")
    parser.add_argument("--steps", type=int, nargs=3, default=[1_000, 1_000, 4_000], help="by which libraries grow")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="where the check writes scale.json")
    options = parser.parse_args()
    if options.check:
        sys.exit(checked(options))
    told(options)


if __name__ == "__main__":
    main()
