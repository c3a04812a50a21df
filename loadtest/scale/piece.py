"""How fast a core is just now: the processor time of a fixed piece of work, which others beside it can double.

python -m loadtest.scale.piece --pause 0.3     # until its input ends; prints the median in seconds
"""

import argparse
import json
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

TOGETHER_SECONDS = 3.0


def seconds_of_a_piece() -> float:
    """Of a core, for some Python and some numpy, which is what a service's processes do; about 5 ms."""
    began = time.process_time()
    numbers = np.random.default_rng(0).normal(size=100_000)
    np.sort(numbers)
    sum(len(str(number)) for number in range(50_000))
    return time.process_time() - began


@contextmanager
def watched(pause: float = 0.3) -> Iterator[list[float]]:
    """What a piece takes while what is inside goes on; the list has it afterwards."""
    found: list[float] = []
    process = _started(pause)
    try:
        yield found
    finally:
        out, _ = process.communicate()
        found.append(float(json.loads(out)))


def together(cores: int) -> float:
    """What a piece takes while every core does the same without a pause; looked at as in ``watched``."""
    others = [_started(0.0) for _ in range(cores)]
    with watched() as found:
        time.sleep(TOGETHER_SECONDS)
    for process in others:
        process.communicate()
    return found[0]


def _started(pause: float) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "loadtest.scale.piece", "--pause", str(pause)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def main() -> None:
    """Parses the command line, works, prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between two pieces")
    pause = parser.parse_args().pause
    seconds_of_a_piece()
    taken = [seconds_of_a_piece()]
    while not select.select([sys.stdin], [], [], pause)[0]:
        taken.append(seconds_of_a_piece())
    print(json.dumps(statistics.median(taken)))


if __name__ == "__main__":
    main()
