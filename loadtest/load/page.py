"""The report: one HTML file that needs nothing else."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby

import numpy as np

from loadtest.load.plots import plots
from loadtest.load.record import Run
from loadtest.load.verdicts import (
    LATENCIES,
    SLO_FIRST_MS,
    SLO_TOKEN_MS,
    Verdict,
    errors,
    goodput,
    growths,
    judged,
    latencies,
    percentiles,
    saturation,
    throughput,
)

CSS = """
:root { --ink: #1c2434; --soft: #5b6577; --line: #e3e7ee; --good: #1d8a57; --bad: #c9352b; --open: #8a7411; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7fa; color: var(--ink); }
body { font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { margin: 0; font-size: 28px; letter-spacing: -0.01em; }
h2 { margin: 40px 0 12px; font-size: 18px; }
.about { color: var(--soft); margin: 4px 0 24px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(185px, 1fr)); gap: 12px; }
.card, .verdict, figure, .table { background: #fff; border: 1px solid var(--line); border-radius: 10px; }
.card { padding: 14px 16px; }
.card b { display: block; font-size: 21px; font-variant-numeric: tabular-nums; letter-spacing: -0.02em; }
.card span { color: var(--soft); font-size: 13px; }
.verdicts { display: grid; gap: 8px; }
.verdict { display: grid; grid-template-columns: 84px 1.3fr 1.6fr 1.1fr; gap: 16px; }
.verdict { padding: 10px 16px; align-items: baseline; }
.verdict .mark { font-weight: 700; }
.kept { border-left: 4px solid var(--good); } .kept .mark { color: var(--good); }
.broken { border-left: 4px solid var(--bad); } .broken .mark { color: var(--bad); }
.open { border-left: 4px solid var(--open); } .open .mark { color: var(--open); }
.verdict .promised { color: var(--soft); }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(520px, 1fr)); gap: 14px; }
figure { margin: 0; padding: 12px 12px 6px; } figure svg { width: 100%; height: auto; display: block; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 8px 16px; text-align: right; border-top: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; border-top: 0; }
th:first-child, td:first-child { text-align: left; }
tr.bad td { color: var(--bad); font-weight: 600; }
footer { margin-top: 40px; color: var(--soft); font-size: 13px; }
@media (max-width: 720px) { .verdict { grid-template-columns: 1fr; gap: 2px; } .plots { grid-template-columns: 1fr; } }
"""
_MARKS = {True: ("kept", "kept"), False: ("broken", "not kept"), None: ("open", "open")}


def page(run: Run) -> str:
    """The whole of it."""
    verdicts = judged(run)
    sections = [
        _cards(run),
        f"<h2>Promises</h2><div class=verdicts>{''.join(map(_verdict, verdicts))}</div>",
        *(
            f"<h2>{escape(section)}</h2><div class=plots>{''.join(f'<figure>{p.svg}</figure>' for p in group)}</div>"
            for section, group in groupby(plots(run), key=lambda plot: plot.section)
        ),
        _tables(run),
    ]
    title = f"Load test: {run.scenario.name}"
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escape(title)}</title>"
        f'<meta name=viewport content="width=device-width, initial-scale=1"><style>{CSS}</style></head>'
        f"<body><main><h1>{escape(title)}</h1><p class=about>{_about(run)}</p>{''.join(sections)}"
        f"<footer>{_footer(run)}</footer></main></body></html>"
    )


def _about(run: Run) -> str:
    scenario = run.scenario
    if scenario.loop == "open":
        load = f"Open loop: arrivals at random, {scenario.rate:g} per second at 100 %"
    else:
        load = f"Closed loop: {', '.join(stage.name for stage in scenario.stages)}"
    owners = f"{run.about['tenants']} tenants with {run.about['users']} users each, Zipf both"
    began = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(run.started))
    return escape(f"{load} · {run.seconds / 60:.1f} minutes from {began} · {owners}")


def _cards(run: Run) -> str:
    first = percentiles(latencies(run.acts, "time to first token"))
    token = percentiles(latencies(run.acts, "time per output token"))
    failed = sum(errors(run.acts, overloaded=run.scenario.name == "overload").values())
    cards = [
        (f"{len(run.acts):,}", "acts"),
        (f"{throughput(run.acts, run.seconds):.2f}", "answered rightly per second"),
        (f"{failed:,}", "errors"),
        (f"{first.get('p50', 0):,.0f} / {first.get('p95', 0):,.0f} ms", "time to first token, p50 / p95"),
        (f"{token.get('p50', 0):,.1f} / {token.get('p95', 0):,.1f} ms", "time per output token, p50 / p95"),
        (
            f"{goodput(run.acts, run.seconds):.2f}",
            f"streams per second within {SLO_FIRST_MS:.0f} + {SLO_TOKEN_MS:.0f} ms",
        ),
    ]
    if run.scenario.name == "saturation":
        cards.append((f"{saturation(run):.2f}", "acts per second at saturation"))
    return f"<div class=cards>{''.join(f'<div class=card><b>{b}</b><span>{s}</span></div>' for b, s in cards)}</div>"


def _verdict(verdict: Verdict) -> str:
    kind, mark = _MARKS[verdict.kept]
    cells = f"<span>{escape(verdict.name)}</span><span>{escape(verdict.found)}</span>"
    promised = f"<span class=promised>{escape(verdict.promised)}</span>"
    return f"<div class='verdict {kind}'><span class=mark>{mark}</span>{cells}{promised}</div>"


def _tables(run: Run) -> str:
    tables = [
        ("Acts", ("act", "n", "errors", "p50 ms", "p90", "p95", "p99"), _acts(run)),
        ("Streams", ("", "n", "p50 ms", "p90", "p95", "p99"), _streams(run)),
        (
            "Stages",
            ("stage", "seconds", "acts", "per second", "streams within objective/s", "rejected", "errors"),
            _stages(run),
        ),
        ("Errors by kind", ("act and kind", "n"), [(k, f"{n:,}") for k, n in _errors(run).most_common()]),
        (
            "Memory after warm-up",
            ("process", "pid", "first quarter MB", "last MB", "MB a minute", "grown MB"),
            _memory(run),
        ),
        ("Requests, as the service counted them", ("route", "status", "n"), _requests(run)),
    ]
    return "".join(_table(title, head, list(rows)) for title, head, rows in tables)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<h2>{escape(title)}</h2><div class=table><table><tr>{top}</tr>{body}</table></div>"


def _acts(run: Run) -> Iterable[Sequence[str]]:
    for act in sorted({d.act for d in run.acts}):
        mine = [d for d in run.acts if d.act == act]
        found = [d.total_ms for d in mine if d.error is None]
        times = [f"{v:,.0f}" for v in np.percentile(found, (50, 90, 95, 99))] if found else ["–"] * 4
        yield act, f"{len(mine):,}", f"{sum(d.error is not None for d in mine):,}", *times


def _streams(run: Run) -> Iterable[Sequence[str]]:
    for which in LATENCIES:
        found = percentiles(latencies(run.acts, which))
        if found:
            yield which, f"{found['n']:,}", *(f"{found[p]:,.1f}" for p in ("p50", "p90", "p95", "p99"))


def _stages(run: Run) -> Iterable[Sequence[str]]:
    overloaded = run.scenario.name == "overload"
    for stage, acts in run.stages():
        yield (
            stage.name,
            f"{stage.seconds:.0f}",
            f"{len(acts):,}",
            f"{throughput(acts, stage.seconds):.2f}",
            f"{goodput(acts, stage.seconds):.2f}",
            f"{sum(d.rejected for d in acts):,}",
            f"{sum(errors(acts, overloaded=overloaded).values()):,}",
        )


def _errors(run: Run) -> Counter[str]:
    return errors(run.acts, overloaded=False)


def _memory(run: Run) -> Iterable[Sequence[str]]:
    for g in sorted(growths(run), key=lambda growth: -growth.grown_mb):
        before, after = f"{g.before_mb:,.1f}", f"{g.after_mb:,.1f}"
        yield g.role, str(g.pid), before, after, f"{g.mb_per_minute:+.2f}", f"{g.grown_mb:+.1f}"


def _requests(run: Run) -> Iterable[Sequence[str]]:
    if len(run.scrapes) < 2:
        return
    first, last = run.scrapes[0], run.scrapes[-1]
    for r in sorted(last.readings, key=lambda r: r.labels):
        if r.name == "ray_rap_requests_total":
            before = next((b.value for b in first.readings if (b.name, b.labels) == (r.name, r.labels)), 0.0)
            if r.value > before:
                yield r.labels[0], r.labels[1], f"{r.value - before:,.0f}"


def _footer(run: Run) -> str:
    mix = ", ".join(f"{act} {share:g}" for act, share in run.scenario.mix.items())
    return escape(f"The mix, in percent: {mix}. Every answer's evidence is checked against what its owner holds. ")
