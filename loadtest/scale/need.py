"""What a workload needs: pure formulas over ``Workload`` and ``Costs``."""

import math
from dataclasses import dataclass

from loadtest.scale.accelerators import accelerator_seconds, step_seconds
from loadtest.scale.workload import Costs, Prices, Workload

PIXEL_BYTES = 3
BASE64 = 4 / 3
DAY, YEAR_DAYS = 86_400, 365


@dataclass(frozen=True, slots=True)
class Stores:
    """Bytes at rest. ``redis``: copies of an hour; ``redis_working``: of the sessions under way. ``catalogue_a_year``:
    what usage adds, which is kept for ever."""

    milvus_rows: float
    milvus_memory: float
    milvus_disk: float
    pictures: float
    redis: float
    redis_working: float
    catalogue: float
    catalogue_a_year: float
    shelves: int


@dataclass(frozen=True, slots=True)
class Serving:
    """Replicas of each deployment, whole accelerators, and cores of all processes.

    ``slots``: of the lane ``models`` at each gateway, so that nobody waits for one. ``held_by_gateway``: the share of
    requests whose gateway has the user's library.
    """

    gateways: int
    slots: int
    detectors: int
    embedders: int
    engines: int
    accelerators: int
    cores: int
    milvus_cores: int
    held_by_gateway: float

    @property
    def replicas(self) -> int:
        """All of them."""
        return self.gateways + self.detectors + self.embedders + self.engines


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes a second, and calls a second to what all gateways share."""

    clients: float
    pixels: float
    redis: float
    commands: float
    statements: float
    library_reads: float
    object_reads: float


@dataclass(frozen=True, slots=True)
class Money:
    """Dollars a month, mean load served by capacity for the peak."""

    accelerators: float
    cores: float
    memory: float
    storage: float
    object_reads: float

    @property
    def total(self) -> float:
        """Of all."""
        return self.accelerators + self.cores + self.memory + self.storage + self.object_reads


@dataclass(frozen=True, slots=True)
class Need:
    """``parts``: what each limit of one cluster asks for by itself, as a number of clusters."""

    stores: Stores
    serving: Serving
    traffic: Traffic
    money: Money
    parts: dict[str, float]

    @property
    def clusters(self) -> int:
        """How many, each with tenants of its own."""
        return max(1, math.ceil(max(self.parts.values())))

    @property
    def first_to_break(self) -> str:
        """The limit that is reached first, none where one cluster is enough."""
        return max(self.parts, key=lambda name: self.parts[name]) if self.clusters > 1 else "none"


def need(load: Workload, costs: Costs | None = None, prices: Prices | None = None) -> Need:
    """All of it, as one cluster; where that is too much ``clusters`` says into how many it falls."""
    costs, prices = costs or Costs(), prices or Prices()
    serving = _serving(load, costs)
    stores = _stores(load, costs)
    traffic = _traffic(load, costs, serving.held_by_gateway)
    parts = {
        "memory of Milvus": stores.milvus_memory / costs.milvus_bytes,
        "memory of Redis": stores.redis_working / costs.redis_bytes,
        "bytes through Redis": traffic.redis / costs.redis_bytes_per_s,
        "commands of Redis": traffic.commands / costs.redis_commands_per_s,
        "statements of the catalogue": traffic.statements / costs.statements_per_s,
        "replicas of one Ray": serving.replicas / costs.replicas,
    }
    return Need(stores, serving, traffic, _money(load, stores, serving, traffic, prices), parts)


def row_bytes(avatars: float, costs: Costs) -> float:
    """Of a concept's rows in Milvus: the concept's own and those of its avatars."""
    return costs.row_bytes + avatars * (costs.row_avatar_bytes + costs.row_number_bytes * costs.dim)


def copy_bytes(concepts: float, avatars: float, costs: Costs) -> float:
    """Of a library as it lies in Redis."""
    return concepts * (costs.copy_concept_bytes + avatars * (costs.copy_avatar_bytes + 4 * costs.dim))


def features_bytes(regions: float, costs: Costs) -> float:
    """Of what a picture shows, as it lies in Redis."""
    return regions * (costs.region_bytes + 4 * costs.dim)


def _stores(load: Workload, costs: Costs) -> Stores:
    rows = load.concepts * (row_bytes(load.avatars, costs) + load.versions * costs.version_bytes)
    library = copy_bytes(load.library, load.avatars, costs)
    features = load.new * features_bytes(load.regions, costs)
    users = min(load.users, load.rate * costs.held_seconds / load.a_session)
    sessions = min(load.users, load.rate * load.session_seconds / load.a_session)
    asked_a_day = load.rate * load.mean * DAY
    users_a_day = min(load.users, asked_a_day / load.a_session)
    return Stores(
        milvus_rows=rows,
        milvus_memory=rows * costs.loaded,
        milvus_disk=rows * costs.stored,
        pictures=load.concepts * load.avatars * load.avatar_bytes,
        redis=users * library + features * costs.held_seconds,
        redis_working=sessions * library + features * load.session_seconds,
        catalogue=load.users * costs.owner_row_bytes + asked_a_day * load.writes * costs.reply_bytes,
        catalogue_a_year=users_a_day * YEAR_DAYS * costs.usage_row_bytes,
        shelves=shelves(load, costs),
    )


def shelves(load: Workload, costs: Costs) -> int:
    """As many as keep what a read of a library looks through short; Milvus has a setting for it, with a bound."""
    return min(costs.most_shelves, _whole(load.concepts / costs.partitions / costs.partition_rows))


def _serving(load: Workload, costs: Costs) -> Serving:
    seconds, core = accelerator_seconds(load, costs), _core_seconds(load, costs)
    gateways = _replicas(core["gateway"], costs.busy_gateway)
    mllm = load.rate * (seconds["prefill"] + seconds["decoding"]) / costs.busy_accelerator
    # Where all three fit one accelerator they share it; a replica is otherwise one accelerator.
    detector, embedder = (load.new * seconds[name] / costs.busy_accelerator for name in ("detector", "embedder"))
    engines = _whole(mllm)
    shared = detector + embedder + mllm
    accelerators = 1 if shared <= 1 else _whole(detector + embedder) + engines * costs.mllm.parallel
    return Serving(
        gateways=gateways,
        slots=_whole(_answering(load, costs, seconds["prefill"]) * (2 - load.again) / gateways),
        detectors=_whole(detector),
        embedders=_whole(embedder),
        engines=engines,
        accelerators=accelerators,
        cores=_whole(sum(core.values()) / costs.busy_core),
        milvus_cores=_whole(_scanned_seconds(load, costs) / costs.busy_core),
        held_by_gateway=held_by_gateway(load, gateways),
    )


def _answering(load: Workload, costs: Costs, prefill: float) -> float:
    """Chats under way: an answer takes its prompt's time and a step a token."""
    return load.rate * (prefill + load.answer_tokens * step_seconds(load, costs))


def _core_seconds(load: Workload, costs: Costs) -> dict[str, float]:
    """Cores that work, by kind of process."""
    new, again = load.new, load.rate * load.again
    return {
        "gateway": new * costs.gateway_new + again * costs.gateway_again + load.rate * costs.larger_picture,
        "proxy": load.rate * costs.proxy,
        "ray": new * costs.ray_new + again * costs.ray_again,
        "engine's replica": new * costs.engine_replica_new + again * costs.engine_replica_again,
        "detector": new * costs.letterbox,
        "embedder": new * load.regions * costs.crop,
    }


def _scanned_seconds(load: Workload, costs: Costs) -> float:
    """Cores that look for owners' rows: a filter on ``scope`` sees all concepts of a partition."""
    rows = load.concepts / (shelves(load, costs) * costs.partitions)
    return _library_reads(load) * rows / costs.rows_scanned_per_s


def held_by_gateway(load: Workload, gateways: int) -> float:
    """The share of requests whose gateway has served the user's session before, where any gateway may get any."""
    met = gateways * (1 - (1 - 1 / gateways) ** load.a_session)
    return 1 - met / load.a_session


def _library_reads(load: Workload) -> float:
    """From Milvus: the first of a session, and the next after each write."""
    return load.rate * (1 / load.a_session + load.writes)


def _traffic(load: Workload, costs: Costs, held: float) -> Traffic:
    reads, unheld = _library_reads(load), load.rate * (1 - held)
    library = copy_bytes(load.library, load.avatars, costs)
    features = features_bytes(load.regions, costs)
    return Traffic(
        clients=load.rate * load.picture_bytes * BASE64,
        pixels=2 * load.new * load.picture_pixels * PIXEL_BYTES,
        redis=unheld * library + load.rate * features,
        commands=load.rate * costs.commands,
        statements=unheld * costs.statements_unheld
        + reads * costs.statements_read
        + load.rate * (1 + load.writes * costs.statements_write),
        library_reads=reads,
        object_reads=unheld * load.shown,
    )


def _money(load: Workload, stores: Stores, serving: Serving, traffic: Traffic, prices: Prices) -> Money:
    gb, month = 1e9, prices.hours * 3_600
    disk = stores.milvus_disk + stores.catalogue + stores.catalogue_a_year
    return Money(
        accelerators=serving.accelerators * prices.accelerator_hour * prices.hours,
        cores=(serving.cores + serving.milvus_cores) * prices.core_hour * prices.hours,
        memory=(stores.milvus_memory + stores.redis_working) / gb * prices.memory_gb_hour * prices.hours,
        storage=disk / gb * prices.disk_gb_month + stores.pictures / gb * prices.object_gb_month,
        object_reads=traffic.object_reads * load.mean * month / 1e6 * prices.million_object_reads,
    )


def _replicas(cores: float, busy: float) -> int:
    """Of a process that has one core at most."""
    return _whole(cores / busy)


def _whole(amount: float) -> int:
    return max(1, math.ceil(amount))
