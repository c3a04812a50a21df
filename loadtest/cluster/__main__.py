"""A cluster of several nodes on this machine, used by many clients while something happens to it.

    python -m loadtest.cluster worker --rate 2 --seconds 150 --home /tmp/rap-nodes --out out/worker
    python -m loadtest.cluster head|upgrade|everything|scale ...

``worker``: the node of a gateway is killed (kill -9 of all that runs there). ``head``: the same with the head, which
comes back from what it kept in Redis. ``upgrade``: another version of all that runs. ``everything``: one after another.
``scale``: more clients than one replica of the MLLM may have, and few again; ``--rate`` says how many.

Nodes are network namespaces, so it needs root. The Serve config is that of ``k8s/``; detector, embedder, gateways and
memory are the service's own, the MLLM is simulated. Clients try again twice, as OpenAI's do.
"""

import argparse
import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from loadtest.cluster.cluster import Cluster
from loadtest.cluster.hosts import missing
from loadtest.cluster.trials import TRIALS, Trial
from loadtest.cluster.verdict import outcome
from loadtest.load.record import ACTS
from loadtest.load.watch import recorded
from loadtest.run import Target, load_test

STATE_SECONDS = 2.0


def tried(trial: Trial, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one trial."""
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / ACTS).unlink(missing_ok=True)
    scenario = trial.scenario(options.seconds, options.rate)
    began = time.monotonic()
    with Cluster(options.home, environment=trial.environment, answer_tokens=trial.answer_tokens) as cluster:
        up = time.monotonic() - began
        target = Target(cluster.url, cluster.operator_key, None)
        events: list[tuple[float, str]] = []
        states = recorded(lambda: _state(cluster), options.out / "cluster.jsonl", STATE_SECONDS)
        with states, _disturbed(trial, cluster, options, events):
            run = load_test(target, scenario, options, options.out)
    found, replicas = outcome(run, trial.calm * options.seconds), _replicas(options.out / "cluster.jsonl")
    return {
        "trial": options.trial,
        "up_after_seconds": round(up, 1),
        **found.json(),
        "kept": trial.kept(found, replicas),
        "events": [[round(at - run.started, 1), what] for at, what in events],
        "replicas": replicas,
    }


@contextmanager
def _disturbed(
    trial: Trial, cluster: Cluster, options: argparse.Namespace, events: list[tuple[float, str]]
) -> Iterator[None]:
    """Does what the trial does once so much of the time is over; what goes wrong with that ends the trial."""

    def disturb() -> None:
        while not (options.out / ACTS).exists() or '"started"' not in (options.out / ACTS).read_text():
            time.sleep(0.2)
        time.sleep(trial.calm * options.seconds)
        trial.disturb(cluster, lambda what: events.append((time.time(), what)))

    with ThreadPoolExecutor(max_workers=1) as pool:
        done = pool.submit(disturb)
        yield
        done.result()


def _state(cluster: Cluster) -> dict[str, Any]:
    """How many replicas run; nothing while the head is away."""
    try:
        return {"at": time.time(), "replicas": cluster.deployments().counts}
    except (httpx.HTTPError, KeyError, ValueError):
        return {"at": time.time(), "replicas": {}}


def _replicas(record: Path) -> dict[str, tuple[int, int, int]]:
    """The fewest, the most and the last of each deployment."""
    counts: dict[str, list[int]] = {}
    for line in record.read_text().splitlines():
        for name, count in json.loads(line)["replicas"].items():
            counts.setdefault(name, []).append(count)
    return {name: (min(n), max(n), n[-1]) for name, n in counts.items()}


def main() -> int:
    """Parses the command line and prints JSON; 0 where the trial's promise was kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trial", choices=TRIALS)
    parser.add_argument("--rate", type=float, default=2.0, help="requests a second; of scale, clients at most")
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--home", type=Path, default=Path("/tmp/rap-nodes"), help="emptied; a short path")
    parser.add_argument("--out", type=Path, default=Path("out/cluster"))
    parser.add_argument("--tenants", type=int, default=3)
    parser.add_argument("--users", type=int, default=3, help="of each tenant")
    parser.add_argument("--concepts", type=int, default=3, help="of each user at first")
    parser.add_argument("--retries", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if why := missing():
        raise SystemExit(f"No hosts can be made here: {why}.")
    shutil.rmtree(options.home, ignore_errors=True)
    found = tried(TRIALS[options.trial], options)
    (options.out / "trial.json").write_text(json.dumps(found, indent=1))
    print(json.dumps(found, indent=1))
    return 0 if found["kept"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
