"""The process that makes the load: locust, headless, with its own arrivals and clients.

    python -m loadtest.load.generator PLAN.json

It writes a line per act to the plan's record. It keeps nothing that grows with time.
"""

from locust import User, task  # first of all: it makes sockets and sleeps cooperative
from locust.env import Environment
from locust.shape import LoadTestShape

# isort: split
import json
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import gevent
from gevent.pool import Pool

from loadtest.load.acts import Acts
from loadtest.load.album import THINGS, Album
from loadtest.load.done import Done
from loadtest.load.owners import Crowd, Owner
from loadtest.load.plan import Plan
from loadtest.load.scenario import Scenario
from loadtest.load.wire import TIMEOUT_SECONDS, Wire

TENANTS_PATH = "/admin/v1/tenants"
SOURCES = 20
"""So many sources make the arrivals of level 1: Poisson processes add up to one."""

MOST_UNDER_WAY = 1_024
ENROLLING = 4
NOT_SENT = "not sent: too many under way"


class Load:
    """What all locust users share."""

    def __init__(self, plan: Plan, record: TextIO) -> None:
        self.plan = plan
        self.scenario = Scenario.of(plan.scenario)
        self.rng = random.Random(plan.seed)
        self.under_way = Pool(MOST_UNDER_WAY)
        self._record = record
        self._wire = Wire(plan.url, retries=plan.retries)
        self._tenants = [f"load-{time.time_ns():x}-{number}" for number in range(plan.tenants)]

    def prepare(self) -> None:
        """Makes tenants, keys and everybody's first concepts. Raises RuntimeError where the service refuses."""
        album = Album()
        owners = [self._tenant(number, name) for number, name in enumerate(self._tenants)]
        model = self._wire.send("GET", "/v1/models", owners[0][0].key).body["data"][0]["id"]
        self.acts = Acts(self._wire, Crowd(owners), album, model=model, rng=self.rng)
        pool = Pool(ENROLLING)
        made = pool.imap_unordered(self._enrolled, [owner for users in owners for owner in users])
        for number, _ in enumerate(made, 1):
            _say(f"owner {number} of {self.plan.tenants * self.plan.users} has concepts")

    def act(self, environment: Environment) -> None:
        """One act of the mix, written down."""
        mix = self.scenario.mix
        act, at = self.rng.choices(list(mix), list(mix.values()))[0], time.time()
        try:
            done = self.acts.do(act)
        except (KeyError, TypeError, IndexError) as error:
            done = Done(at=at, act=act, status=0, total_ms=0.0, error=f"answer not understood: {error!r}")
        self.write(done, environment)

    def write(self, done: Done, environment: Environment) -> None:
        """A line in the record, and in locust's own statistics."""
        self._record.write(json.dumps(done.json()) + "\n")
        environment.events.request.fire(
            request_type="act",
            name=done.act,
            response_time=done.total_ms,
            response_length=0,
            exception=None if done.error is None else RuntimeError(done.error),
            context={},
        )

    def clean_up(self) -> None:
        """Erases the tenants; what they held is purged by the service's jobs."""
        for tenant in self._tenants:
            self._wire.send("DELETE", f"{TENANTS_PATH}/{tenant}", self.plan.operator_key)

    def _tenant(self, number: int, tenant: str) -> list[Owner]:
        self._managed(TENANTS_PATH, {"id": tenant})
        key = self._managed(f"{TENANTS_PATH}/{tenant}/keys", {})["secret"]
        return [
            Owner(f"t{number}u{u}", f"user-{u}", key, (number * self.plan.users + u) * 3 % THINGS)
            for u in range(self.plan.users)
        ]

    def _managed(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = self._wire.send("POST", path, self.plan.operator_key, body)
        if reply.error is not None:
            raise RuntimeError(f"{path}: {reply.error}")
        return reply.body

    def _enrolled(self, owner: Owner) -> None:
        while len(owner.held) < self.plan.concepts:
            done = self.acts.enrol(owner)
            if done.error is not None:
                raise RuntimeError(f"A first concept could not be remembered: {done.error}")


class Source(User):
    """A locust user of an open loop: acts begin at random moments, whether the ones before have ended or not."""

    load: Load

    def on_start(self) -> None:
        self._next = time.monotonic()

    @task
    def arrive(self) -> None:
        load = self.load
        self._next += load.rng.expovariate(load.scenario.rate / SOURCES)
        gevent.sleep(max(0.0, self._next - time.monotonic()))
        if load.under_way.free_count() == 0:
            load.write(Done(at=time.time(), act="arrival", status=0, total_ms=0.0, error=NOT_SENT), self.environment)
            return
        load.under_way.spawn(load.act, self.environment)


class Client(User):
    """A locust user of a closed loop: the next act begins when the one before has ended."""

    load: Load

    @task
    def act(self) -> None:
        self.load.act(self.environment)


class Stages(LoadTestShape):
    """The scenario's stages, one after the other."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__()
        self._scenario = scenario

    def tick(self) -> tuple[int, float] | None:
        """How many locust users there are now."""
        stage = self._scenario.stage_at(self.get_run_time())
        if stage is None:
            return None
        users = round(stage.level * (SOURCES if self._scenario.loop == "open" else 1))
        return users, max(users, 1)


def main() -> int:
    """Prepares, makes the load, waits for what is under way, and erases what it made."""
    plan = Plan(**json.loads(Path(sys.argv[1]).read_text()))
    with Path(plan.record).open("w", buffering=1) as record:
        load = Load(plan, record)
        Source.load = Client.load = load
        try:
            load.prepare()
            _run(load, record)
        finally:
            load.clean_up()
    return 0


def _run(load: Load, record: TextIO) -> None:
    scenario = load.scenario
    shape = Stages(scenario)
    is_open = scenario.loop == "open"
    environment = Environment(
        user_classes=[Source if is_open else Client],
        shape_class=shape,
        stop_timeout=0 if is_open else TIMEOUT_SECONDS,  # sources end at once, what they began goes on
    )
    runner = environment.create_local_runner()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, runner.quit)
    shape.reset_time()
    record.write(json.dumps({"started": time.time()}) + "\n")
    _say("the load begins")
    runner.start_shape()
    runner.shape_greenlet.join()
    runner.quit()
    load.under_way.join(timeout=TIMEOUT_SECONDS)
    record.write(json.dumps({"ended": time.time()}) + "\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
