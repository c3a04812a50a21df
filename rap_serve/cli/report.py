"""Measurements as tables."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from rap_serve.cli.scoring import Outcome, Rate, latency, rates

Measured = Mapping[tuple[str, str], Sequence[Outcome]]
SHOWN = {
    "top1": "top-1",
    "top3": "top-3",
    "top5": "top-5",
    "detector_recall": "detector recall",
    "concepts_in_evidence": "concepts in evidence",
    "pictures_with_wrong_name": "pictures with a wrong name",
}


def rate_table(measured: Measured, *, title: str) -> Table:
    """Rates in percent with their 95 % intervals and what they are of."""
    table = Table("set", "regions", "measure", "%", "95 % interval", "of", title=title, header_style="bold")
    for (name, mode), outcomes in measured.items():
        for key, found in rates(outcomes).items():
            if not (key == "detector_recall" and mode != "detector"):
                table.add_row(name, mode, SHOWN[key], *percent(found))
        table.add_section()
    return table


def percent(rate: Rate) -> tuple[str, str, str]:
    """Value, interval and count as they are printed."""
    return f"{100 * rate.value:.1f}", f"{100 * rate.low:.1f} - {100 * rate.high:.1f}", f"{rate.hits} / {rate.n}"


def latency_table(measured: Measured) -> Table:
    """Percentiles in milliseconds, by both clocks."""
    table = Table("set", "regions", "clock", "p50", "p90", "p99", "n", title="Latency, ms", header_style="bold")
    for (name, mode), outcomes in measured.items():
        for clock, found in latency(outcomes).items():
            table.add_row(name, mode, clock, *(f"{found[p]:.1f}" for p in ("p50", "p90", "p99")), str(found["n"]))
        table.add_section()
    return table
