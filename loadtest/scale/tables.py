"""Needs as Markdown, as docs/scale.md has them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from loadtest.scale.accelerators import accelerator_seconds, sequences, step_seconds
from loadtest.scale.need import Need, need
from loadtest.scale.workload import MLLMS, Costs, Prices, Workload

SIZES: Mapping[str, Workload] = {
    "a team": Workload(users=1e3, concepts=5e4, rate=2),
    "100 k users": Workload(users=1e5, concepts=1e7, rate=100),
    "1 M users": Workload(users=1e6, concepts=1e8, rate=1e3),
    "10 M users": Workload(users=1e7, concepts=1e9, rate=1e4),
}

Sized = Callable[[Workload, Need], object]

_NEEDS: Sequence[tuple[str, Sized]] = (
    ("users", lambda w, n: count(w.users)),
    ("concepts", lambda w, n: count(w.concepts)),
    ("chats a second", lambda w, n: count(w.rate)),
    ("Milvus: rows", lambda w, n: size(n.stores.milvus_rows)),
    ("Milvus: memory", lambda w, n: size(n.stores.milvus_memory)),
    ("Milvus: disk", lambda w, n: size(n.stores.milvus_disk)),
    ("Milvus: shelves", lambda w, n: count(n.stores.shelves)),
    ("Milvus: cores that look for rows", lambda w, n: count(n.serving.milvus_cores)),
    ("pictures", lambda w, n: size(n.stores.pictures)),
    ("Redis: sessions under way", lambda w, n: size(n.stores.redis_working)),
    ("Redis: all copies of an hour", lambda w, n: size(n.stores.redis)),
    ("catalogue", lambda w, n: size(n.stores.catalogue)),
    ("catalogue: growth a year", lambda w, n: size(n.stores.catalogue_a_year)),
    ("gateways", lambda w, n: count(n.serving.gateways)),
    ("slots of a gateway", lambda w, n: count(n.serving.slots)),
    ("detectors", lambda w, n: count(n.serving.detectors)),
    ("embedders", lambda w, n: count(n.serving.embedders)),
    ("engines", lambda w, n: count(n.serving.engines)),
    ("H200", lambda w, n: count(n.serving.accelerators)),
    ("cores of the service", lambda w, n: count(n.serving.cores)),
    ("from clients", lambda w, n: bits(n.traffic.clients)),
    ("pixels to detectors and embedders", lambda w, n: bits(n.traffic.pixels)),
    ("out of Redis", lambda w, n: bits(n.traffic.redis)),
    ("commands of Redis a second", lambda w, n: count(n.traffic.commands)),
    ("statements of the catalogue a second", lambda w, n: count(n.traffic.statements)),
    ("libraries read from Milvus a second", lambda w, n: count(n.traffic.library_reads)),
    ("pictures read from the store a second", lambda w, n: count(n.traffic.object_reads)),
    ("clusters", lambda w, n: count(n.clusters)),
    ("the limit behind it", lambda w, n: n.first_to_break),
)

_MONEY: Sequence[tuple[str, Sized]] = (
    ("accelerators", lambda w, n: dollars(n.money.accelerators)),
    ("cores", lambda w, n: dollars(n.money.cores)),
    ("memory of Milvus and Redis", lambda w, n: dollars(n.money.memory)),
    ("disks and objects", lambda w, n: dollars(n.money.storage)),
    ("reads of objects", lambda w, n: dollars(n.money.object_reads)),
    ("all", lambda w, n: dollars(n.money.total)),
    ("a thousand chats", lambda w, n: _a_thousand(w, n)),
)


def needs(sizes: Mapping[str, Workload] = SIZES, costs: Costs | None = None) -> str:
    """What each size needs."""
    return _by_size("", _NEEDS, sizes, costs, None)


def money(sizes: Mapping[str, Workload] = SIZES, costs: Costs | None = None, prices: Prices | None = None) -> str:
    """Dollars a month."""
    return _by_size("$ a month", _MONEY, sizes, costs, prices)


def limits(sizes: Mapping[str, Workload] = SIZES, costs: Costs | None = None) -> str:
    """Of what each limit of one cluster is taken up, as a number of clusters."""
    found = {name: need(load, costs).parts for name, load in sizes.items()}
    rows = [(limit, *(_share(parts[limit], parts) for parts in found.values())) for limit in next(iter(found.values()))]
    return markdown(("of one cluster's", *sizes), rows)


def habits(load: Workload = SIZES["1 M users"], costs: Costs | None = None) -> str:
    """One thing changed at a time."""
    costs = costs or Costs()
    changes = {
        "as above": (load, costs),
        "no picture comes again": (replace(load, again=0.0), costs),
        "80 % of pictures come again": (replace(load, again=0.8), costs),
        "answers of 200 tokens": (replace(load, answer_tokens=200), costs),
        "4 regions a picture": (replace(load, regions=4), costs),
        MLLMS["grouped-8b"].name: (load, _with(costs, "grouped-8b")),
    }
    found = {name: (changed, need(changed, of)) for name, (changed, of) in changes.items()}
    rows = [
        (n, count(f.serving.accelerators), count(f.serving.cores), _a_thousand(w, f)) for n, (w, f) in found.items()
    ]
    return markdown(("", "H200", "cores", "a thousand chats"), rows)


def _a_thousand(load: Workload, found: Need) -> str:
    """Dollars for as many chats."""
    return f"${found.money.total / (load.rate * load.mean * Prices().hours * 3.6):.2f}"


def accelerators(load: Workload | None = None, costs: Costs | None = None) -> str:
    """What one accelerator does in a second, by MLLM, and how that is known."""
    load, costs = load or Workload(), costs or Costs()
    columns = [_one_accelerator(load, _with(costs, mllm)) for mllm in MLLMS]
    rows = [(name, *(column[name][0] for column in columns), basis) for name, (_, basis) in columns[0].items()]
    return markdown(("one H200", *(m.name for m in MLLMS.values()), "known by"), rows)


def _one_accelerator(load: Workload, costs: Costs) -> dict[str, tuple[str, str]]:
    """Each figure, and what is assumed for it."""
    device, seconds = costs.accelerator, accelerator_seconds(load, costs)
    models = (1 - load.again) * (seconds["detector"] + seconds["embedder"])
    request = models + seconds["prefill"] + seconds["decoding"]
    rate = costs.busy_accelerator / request
    written = sequences(load, costs)
    return {
        "detector alone, pictures a second": (
            count(1 / seconds["detector"]),
            f"{costs.detector_flops / 1e9:.0f} GFLOP counted, {device.convolutions:.0%} of the peak assumed",
        ),
        "embedder alone, pictures a second": (
            count(1 / seconds["embedder"]),
            f"{load.regions} crops of {costs.crop_flops / 1e9:.0f} GFLOP counted, {device.transformer:.0%} assumed",
        ),
        "a prompt, ms": (
            f"{1e3 * seconds['prefill']:.0f}",
            f"{load.computed_tokens:.0f} tokens counted, {device.prefill:.0%} of the peak assumed",
        ),
        "answers written at once": (count(written), "computed from keys and values; 64 at most assumed"),
        "a token of all of them, ms": (
            f"{1e3 * step_seconds(load, costs):.0f}",
            f"computed; {device.decoding:.0%} of the bandwidth assumed",
        ),
        "an answer, ms of the device": (f"{1e3 * seconds['decoding']:.0f}", f"{load.answer_tokens} tokens assumed"),
        "all three models, chats a second": (f"{1 / request:.1f}", "computed, busy all the time"),
        f"the same, {costs.busy_accelerator:.0%} busy": (f"{rate:.1f}", "assumed, for waits to stay short"),
        "cores beside it": (f"{_cores_beside(load, costs, rate):.1f}", "measured, with the tiny family"),
    }


def _cores_beside(load: Workload, costs: Costs, rate: float) -> float:
    one = need(replace(load, rate=1e3), costs)
    return one.serving.cores / 1e3 * rate


def _with(costs: Costs, mllm: str) -> Costs:
    return replace(costs, mllm=MLLMS[mllm])


def _by_size(
    corner: str,
    rows: Sequence[tuple[str, Sized]],
    sizes: Mapping[str, Workload],
    costs: Costs | None,
    prices: Prices | None,
) -> str:
    found = {name: (load, need(load, costs, prices)) for name, load in sizes.items()}
    return markdown((corner, *sizes), [(name, *(cell(*of) for of in found.values())) for name, cell in rows])


def _share(part: float, parts: Mapping[str, float]) -> str:
    """Bold where it is the first to break."""
    text = f"{part:.0%}" if part < 1 else f"{part:.1f}"
    return f"**{text}**" if part == max(parts.values()) else text


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def count(number: float) -> str:
    """With a thousands' letter where there are many."""
    return _scaled(number, 1e3, ("", " k", " M", " G"))


def size(number: float) -> str:
    """Bytes, decimal."""
    return _scaled(number, 1e3, (" B", " KB", " MB", " GB", " TB", " PB"))


def bits(bytes_a_second: float) -> str:
    """Of a network."""
    return _scaled(8 * bytes_a_second, 1e3, (" bit/s", " kbit/s", " Mbit/s", " Gbit/s", " Tbit/s"))


def dollars(number: float) -> str:
    """A price."""
    return _scaled(number, 1e3, ("", " k", " M"))


def _scaled(number: float, step: float, units: Sequence[str]) -> str:
    unit = 0
    while number >= step and unit < len(units) - 1:
        number, unit = number / step, unit + 1
    return f"{number:.0f}{units[unit]}" if number >= 10 or number == round(number) else f"{number:.1f}{units[unit]}"
