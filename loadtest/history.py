"""What clients did and saw, and whether a memory that keeps its promises could have answered so.

The promises, for each concept: an acknowledged write has a version of its own, one more than what it replaced; what is
read is what the newest write wrote that was acknowledged before the read began, or a later one; nobody sees versions
run backwards.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["write", "delete", "read"]

GONE = 0
"""The version of a concept that is not there."""


@dataclass(frozen=True, slots=True)
class Event:
    """One call of one client. Times in seconds of one clock.

    ``version`` and ``value``: of a write what it made, of a read what it saw; GONE and an empty text where there was
    nothing, and no value where none was shown. ``acknowledged``: whether the client was told that it happened; of other
    writes nobody knows.
    """

    client: int
    concept: str
    kind: Kind
    began: float
    ended: float
    version: int
    value: str | None
    acknowledged: bool = True


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept, and the call that shows it."""

    promise: Literal["lost update", "stale read", "invented", "backwards", "undead"]
    event: Event
    note: str


def violations(events: Sequence[Event]) -> list[Violation]:
    """All that is wrong with a history."""
    by_concept = defaultdict(list)
    for event in sorted(events, key=lambda e: e.began):
        by_concept[event.concept].append(event)
    return [v for history in by_concept.values() for v in _of_one(history)]


def _of_one(history: Sequence[Event]) -> list[Violation]:
    writes = [e for e in history if e.kind == "write" and e.acknowledged]
    reads = [e for e in history if e.kind == "read"]
    deletions = [e for e in history if e.kind == "delete"]
    found = _lost(writes)
    for read in reads:
        problem = _undead(read, deletions) if read.version != GONE else _vanished(read, deletions, writes)
        found += [problem] if problem else []
        if read.version != GONE:
            found += _wrong(read, history, writes)
    return [*found, *_backwards(reads)]


def _lost(writes: Sequence[Event]) -> list[Violation]:
    """Two acknowledged writes of one version: one of them is lost."""
    made: dict[int, Event] = {}
    found = []
    for write in writes:
        if write.version in made:
            found.append(Violation("lost update", write, f"version {write.version} was made twice"))
        made[write.version] = write
    return found


def _wrong(read: Event, history: Sequence[Event], writes: Sequence[Event]) -> list[Violation]:
    newest = max((w.version for w in writes if w.ended <= read.began), default=GONE)
    if read.version < newest:
        return [Violation("stale read", read, f"version {newest} was acknowledged before")]
    written = {w.value for w in writes if w.version == read.version}
    unknown = {w.value for w in history if w.kind == "write" and not w.acknowledged and w.began < read.ended}
    if read.value is None and written:
        return []
    if read.value not in written | unknown:
        return [Violation("invented", read, f"nobody wrote that as version {read.version}")]
    return []


def _undead(read: Event, deletions: Sequence[Event]) -> Violation | None:
    """Ids are never used again: what is deleted stays away."""
    if any(d.acknowledged and d.ended <= read.began for d in deletions):
        return Violation("undead", read, "it was deleted before")
    return None


def _vanished(read: Event, deletions: Sequence[Event], writes: Sequence[Event]) -> Violation | None:
    """Nothing is gone that nobody deleted."""
    there = any(w.ended <= read.began for w in writes)
    if there and not any(d.began < read.ended for d in deletions):
        return Violation("stale read", read, "it was stored before, and nobody deleted it")
    return None


def _backwards(reads: Sequence[Event]) -> list[Violation]:
    """A read that began after another ended sees no older version, whoever reads."""
    found, seen = [], 0
    ended: list[tuple[float, int]] = sorted((r.ended, r.version) for r in reads if r.version != GONE)
    index = 0
    for read in sorted((r for r in reads if r.version != GONE), key=lambda r: r.began):
        while index < len(ended) and ended[index][0] <= read.began:
            seen = max(seen, ended[index][1])
            index += 1
        if read.version < seen:
            found.append(Violation("backwards", read, f"version {seen} was seen before"))
    return found
