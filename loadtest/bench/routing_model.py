"""The rules by which replicas are chosen, compared in simulated time: no machine is too busy for it.

    python -m loadtest.bench.routing_model --rate 10 --seconds 120 --out routing-model.json

The engines are those of ``loadtest.simulated``, on a clock that jumps to the next event instead of waiting for it; each
rule sees the loads as they are. What Ray adds and what a router knows too late is left out: ``loadtest.bench.routing``
has both. ``power-of-two`` takes the less loaded of two replicas, ``consistent-hash`` the owner's whatever its load.
"""

import argparse
import asyncio
import json
import random
import selectors
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console
from rich.table import Table

from loadtest.bench.layouts import tokens_of
from loadtest.bench.simulated_mllm import Asker, Traffic
from loadtest.simulated.engine import Costs, Prompt, SleepingEngine
from rap_serve.cli.scoring import percentiles
from rap_serve.domain.prompt import LAYOUTS
from rap_serve.domain.routing import LoadBound, preferences, ranked

Rule: TypeAlias = Callable[[str, Mapping[str, int]], str]


def rules(seed: int) -> dict[str, Rule]:
    """By name."""
    rng = random.Random(seed)
    return {
        "owner": lambda key, loads: ranked(key, loads, LoadBound())[0],
        "power-of-two": lambda key, loads: min(rng.sample(sorted(loads), k=min(2, len(loads))), key=loads.__getitem__),
        "consistent-hash": lambda key, loads: preferences(key, loads)[0],
    }


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: time has passed instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0.0
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop in simulated time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._jumping.now


class Replicas:
    """Engines behind one rule."""

    def __init__(self, rule: Rule, replicas: int, costs: Costs) -> None:
        self._rule = rule
        self._costs = costs
        self.engines = {f"replica-{n}": SleepingEngine(costs) for n in range(replicas)}
        self._loads = dict.fromkeys(self.engines, 0)
        self.spilled = 0

    async def first_token(self, key: str, prompt: Prompt) -> float:
        """Seconds until it is there; returns when the answer has ended."""
        loop = asyncio.get_running_loop()
        chosen, began, first = self._rule(key, self._loads), loop.time(), 0.0
        self.spilled += chosen != preferences(key, self._loads)[0]
        self._loads[chosen] += 1
        async for _ in self.engines[chosen].generate(prompt, self._costs.answer_tokens):
            first = first or loop.time() - began
        self._loads[chosen] -= 1
        return first


async def _driven(replicas: Replicas, traffic: Traffic, layout: str, costs: Costs, seed: int) -> list[float]:
    """Milliseconds to the first token of all but the first quarter; Poisson arrivals."""
    asker, rng = Asker(traffic, LAYOUTS[layout], seed), random.Random(seed)
    loop, tasks = asyncio.get_running_loop(), []
    due = began = loop.time()
    while (due := due + rng.expovariate(traffic.rate)) < began + traffic.seconds:
        await asyncio.sleep(due - loop.time())
        owner, turn = asker.next()
        prompt = Prompt(*tokens_of(turn.parts, owner.scope, costs.picture_tokens))
        tasks.append(loop.create_task(replicas.first_token(owner.scope, prompt)))
    seconds = await asyncio.gather(*tasks)
    return [1_000 * s for s in seconds[len(seconds) // 4 :]]


def measured(rule: str, traffic: Traffic, *, replicas: int, layout: str, seed: int) -> dict[str, Any]:
    """One cell."""
    costs = Costs()
    behind = Replicas(rules(seed)[rule], replicas, costs)
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        milliseconds = runner.run(_driven(behind, traffic, layout, costs, seed))
    works = [engine.work for engine in behind.engines.values()]
    tokens = [w.prompt_tokens for w in works]
    ttft = percentiles(milliseconds)
    return {
        "reuse": traffic.reuse,
        "layout": layout,
        "rule": rule,
        "ttft_p50_ms": ttft["p50"],
        "ttft_p99_ms": ttft["p99"],
        "n": ttft["n"],
        "pictures_not_encoded": round(1 - sum(w.encodings for w in works) / sum(w.pictures for w in works), 3),
        "tokens_held": round(sum(w.held_tokens for w in works) / sum(tokens), 3),
        "busiest_by_mean": round(max(tokens) * replicas / sum(tokens), 2),
        "not_the_first_choice": round(behind.spilled / (ttft["n"] * 4 / 3), 2),
    }


def main() -> None:
    """Parses the command line; prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--rate", type=float, default=10, help="requests a second")
    parser.add_argument("--seconds", type=float, default=120, help="simulated")
    parser.add_argument("--reuse", type=float, nargs="+", default=[0.0, 0.5, 0.8])
    parser.add_argument("--layouts", nargs="+", default=["rap"], choices=LAYOUTS)
    parser.add_argument("--rules", nargs="+", default=list(rules(0)), choices=rules(0))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for reuse in options.reuse:
        traffic = Traffic(reuse=reuse, rate=options.rate, seconds=options.seconds)
        for layout in options.layouts:
            for rule in options.rules:
                rows.append(measured(rule, traffic, replicas=options.replicas, layout=layout, seed=options.seed))
                print(json.dumps(rows[-1]), flush=True)
                if options.out:
                    options.out.write_text(json.dumps(rows, indent=1))
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
