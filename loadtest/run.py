"""A load test, from nothing but a running service to one report.

    python -m loadtest.run --scenario mixed --duration 240 --rate 4 --home .rap --out out/mixed
    python -m loadtest.run --scenario soak --duration 1200 --home .rap --out out/soak      # at 80 % of saturation
    python -m loadtest.run --find-saturation --home .rap --out out/saturation
    python -m loadtest.run --scenario ramp --url http://host:8000 --operator-key KEY --out out/ramp

Tenants, keys and concepts are made through the service's own API and erased at the end. ``--home`` also watches the
service's processes. In the folder: ``report.html``, ``verdicts.json``, and what both were made of. The exit status is
0 where every promise was kept. ``--report-only`` makes the report of a folder anew.
"""

import argparse
import json
import math
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from loadtest.load import scenario as scenarios
from loadtest.load.page import page
from loadtest.load.plan import Plan
from loadtest.load.record import ACTS, PROCESSES, SCENARIO, SCRAPES, Run, read
from loadtest.load.scenario import SOAK_SHARE, Scenario
from loadtest.load.verdicts import judged, saturation, summary
from loadtest.load.watch import PROCESS_SECONDS, SCRAPE_SECONDS, Processes, Scrapes, recorded
from rap_serve.cli.home import Home

REPORT, VERDICTS = "report.html", "verdicts.json"
SATURATION_SECONDS = 180.0
DURATIONS = {"mixed": 240.0, "soak": 1_200.0, "ramp": 300.0, "overload": 240.0}


@dataclass(frozen=True, slots=True)
class Target:
    """The service under test. ``home``: None where only its address is known."""

    url: str
    operator_key: str
    home: Path | None


def load_test(target: Target, scenario: Scenario, options: argparse.Namespace, out: Path) -> Run:
    """Runs the scenario and writes the report to ``out``. Raises RuntimeError where no load could be made."""
    out.mkdir(parents=True, exist_ok=True)
    about = {"scenario": scenario.json(), "url": target.url, "tenants": options.tenants, "users": options.users}
    (out / SCENARIO).write_text(json.dumps(about))
    with tempfile.TemporaryDirectory() as private, ExitStack() as stack:
        plan = Path(private) / "plan.json"
        Plan(
            url=target.url,
            operator_key=target.operator_key,
            record=str((out / ACTS).resolve()),
            scenario=scenario.json(),
            tenants=options.tenants,
            users=options.users,
            concepts=options.concepts,
            seed=options.seed,
            retries=options.retries,
        ).write(plan)
        generator = subprocess.Popen([sys.executable, "-m", "loadtest.load.generator", str(plan)])
        stack.callback(_ended, generator)
        processes = Processes(target.home, {"load generator": psutil.Process(generator.pid)})
        stack.enter_context(recorded(processes.sample, out / PROCESSES, PROCESS_SECONDS))
        stack.enter_context(recorded(Scrapes(target.url).sample, out / SCRAPES, SCRAPE_SECONDS))
        if status := generator.wait():
            raise RuntimeError(f"The load generator ended with status {status}.")
    return report(out)


def report(out: Path) -> Run:
    """Writes the page and the verdicts of what is recorded in a folder."""
    run = read(out)
    (out / REPORT).write_text(page(run))
    (out / VERDICTS).write_text(json.dumps(summary(run), indent=1))
    return run


def find_saturation(target: Target, options: argparse.Namespace, out: Path) -> float:
    """Acts per second that the service can do at most."""
    found = saturation(load_test(target, scenarios.saturation(SATURATION_SECONDS), options, out))
    print(f"Saturated at {found:.2f} acts per second; {out / REPORT}", flush=True)
    return found


def main() -> int:
    """Parses the command line; 0 where every promise was kept."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the generator ends too, and erases what it made
    options = _options()
    if options.report_only:
        return _told(report(options.out), options.out)
    target = _target(options)
    if options.find_saturation:
        find_saturation(target, options, options.out)
        return 0
    duration = options.duration or DURATIONS[options.scenario]
    if options.clients:
        scenario = scenarios.crowd(duration, options.clients)
    else:
        scenario = _open_loop(options.scenario, duration, options, target)
    return _told(load_test(target, scenario, options, options.out), options.out)


def _open_loop(name: str, duration: float, options: argparse.Namespace, target: Target) -> Scenario:
    """The scenario at the given rate, otherwise at what the service turns out to bear."""
    most = None if options.rate else find_saturation(target, options, options.out / "saturation")
    if name == "mixed":
        return scenarios.mixed(duration, options.rate or _rounded(SOAK_SHARE * most))
    if name == "soak":
        return scenarios.soak(duration, options.rate or _rounded(SOAK_SHARE * most))
    if name == "ramp":
        return scenarios.ramp(duration, options.rate or most)
    return scenarios.overload(duration, options.rate or most)


def _told(run: Run, out: Path) -> int:
    """Prints the verdicts; 1 where a promise was not kept."""
    verdicts = judged(run)
    for verdict in verdicts:
        mark = {True: "kept", False: "NOT KEPT", None: "open"}[verdict.kept]
        print(f"{mark:8}  {verdict.name}: {verdict.found} (promised: {verdict.promised})")
    print(out / REPORT)
    return int(any(verdict.kept is False for verdict in verdicts))


def _target(options: argparse.Namespace) -> Target:
    if options.url:
        return Target(options.url.rstrip("/"), options.operator_key, None)
    service = Home.at(options.home).service()
    if service is None:
        raise SystemExit(f"No service runs in {options.home}.")
    return Target(service.url, service.operator_key, options.home.resolve())


def _ended(process: "subprocess.Popen[Any]") -> None:
    """Lets the generator erase what it made, should this end before it."""
    if process.poll() is None:
        process.terminate()
        process.wait()


def _rounded(rate: float) -> float:
    """Downwards, to two digits that a person can type again."""
    return math.floor(100 * rate) / 100


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", choices=sorted(DURATIONS), default="mixed")
    parser.add_argument("--find-saturation", action="store_true", help="more and more clients, nothing else")
    parser.add_argument("--duration", type=float, help="seconds")
    parser.add_argument("--rate", type=float, help="arrivals per second at 100 %%; found out where not given")
    parser.add_argument("--clients", type=int, help="so many clients in a closed loop instead of a rate")
    parser.add_argument("--home", type=Path, default=Path(".rap"), help="of a service on this machine")
    parser.add_argument("--url", help="of any service; its processes are not watched")
    parser.add_argument("--operator-key", default="", help="goes with --url")
    parser.add_argument("--out", type=Path, default=Path("out/load"))
    parser.add_argument("--tenants", type=int, default=6)
    parser.add_argument("--users", type=int, default=6, help="of each tenant")
    parser.add_argument("--concepts", type=int, default=3, help="of each user at first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--retries", type=int, default=0, help="further attempts where one fails; OpenAI's client: 2")
    parser.add_argument("--report-only", action="store_true", help="from what is in --out")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
