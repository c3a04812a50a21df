"""Writes the pack of one suite to a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from rap_serve.cli.eval.pack_file import write_pack
from training.eval_packs.album import Album, Plan
from training.eval_packs.packs import MAKERS


def main() -> int:
    """Parses the command line and writes."""
    parser = argparse.ArgumentParser(prog="python -m training.eval_packs", description=__doc__)
    parser.add_argument("--suite", choices=sorted(MAKERS), required=True)
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--n", type=int, required=True, help="pictures, concepts or pairs, as the suite says")
    parser.add_argument("--library", type=int, default=20, help="concepts per user")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    write(options.suite, options.out, Plan(options.n, options.library), seed=options.seed)
    return 0


def write(suite: str, folder: Path, plan: Plan, *, seed: int) -> None:
    """Draws the suite's pictures into the folder and writes its ``pack.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    number = sorted(MAKERS).index(suite)
    pack = MAKERS[suite](Album(np.random.default_rng([seed, number]), folder), plan)
    write_pack(pack, folder)


if __name__ == "__main__":
    raise SystemExit(main())
