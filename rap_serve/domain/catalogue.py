"""What the use cases need from the catalogue: who there is, what they may, hold and use, and what is being done.

All of it is durable when a call returns, and every call raises Unavailable where the catalogue does not answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rap_serve.domain.concept import Owner
from rap_serve.domain.job import Backlog, Job
from rap_serve.domain.share import Share
from rap_serve.domain.tenancy import (
    Act,
    Allowance,
    Amounts,
    ApiKey,
    Audited,
    Consumption,
    Limits,
    Tenant,
    TenantState,
)


class Seal(Protocol):
    """Closes what one owner stores, so that only this seal opens it again.

    ``epoch``: grows with each erasure; what another epoch's seal closed is beyond reach.
    """

    @property
    def epoch(self) -> int: ...

    def close(self, data: bytes, purpose: str) -> bytes:
        """``data``, unreadable and unchangeable; the same bytes never twice."""

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """What was closed for this purpose; raises ValueError for anything else."""

    def hashed(self, text: str) -> str:
        """Equal for equal texts of this owner and epoch, and tells nothing of them: 64 hexadecimal digits."""


class Seals(Protocol):
    """The seals of all owners. Raises Unavailable."""

    async def of(self, owner: Owner) -> Seal | None:
        """The owner's seal; None for one that never stored anything, or was erased since."""

    async def made(self, owner: Owner) -> Seal:
        """The owner's seal, a fresh one if there is none."""


class Owners(Protocol):
    """The owners there are, and how often each was erased. Raises Unavailable."""

    async def epoch(self, owner: Owner) -> int:
        """How often the owner was erased, plus one."""

    async def erase(self, owner: Owner, act: Act | None) -> int:
        """Begins a new epoch and forgets the seal of the old one, which is returned. Ends all shares of the owner's."""

    async def page(self, tenant: str, *, after: str, limit: int) -> Sequence[str]:
        """Up to ``limit`` users of a tenant that ever stored something, after ``after``, in order."""

    async def all_after(self, owner: Owner | None, *, limit: int) -> Sequence[Owner]:
        """Up to ``limit`` owners of all tenants that ever stored something, after one of them, in order."""

    async def count(self) -> int:
        """How many owners ever stored something."""


class Shelves(Protocol):
    """Where in the memory each owner is. Raises Unavailable."""

    async def of(self, owner: Owner) -> str:
        """The name of the owner's shelf; for one who never stored anything, the tenant's."""

    async def place(self, owner: Owner, shelf: str) -> None:
        """The owner is on that shelf from now on; copies are left where it was."""

    async def left_on(self, owner: Owner) -> str | None:
        """The shelf where copies of the owner were left; None where there are none."""

    async def cleared(self, owner: Owner) -> None:
        """They are there no more."""

    async def assign(self, tenant: str, shelf: str, act: Act) -> None:
        """The tenant's new owners go to that shelf. Raises TenantNotFound."""


class Spaces(Protocol):
    """Which embedding space answers. Raises Unavailable."""

    async def current(self) -> str:
        """The version of the space; empty while none was ever chosen."""

    async def switch(self, version: str) -> None:
        """That one answers from now on."""


class Shares(Protocol):
    """Who lets whom know what. A share that has ended is not found. Raises Unavailable.

    Who changes what a user has accepted does so inside that user's ``writing``, so that no gateway goes by what it
    knew before.
    """

    async def offer(self, share: Share, *, epoch: int) -> Share:
        """Keeps an offer; the share that is there already where it says the same.

        ``epoch``: the giver's, of when the request came in. Raises Conflict past MAX_SHARES, Erased, TenantNotFound.
        """

    async def get(self, owner: Owner, share_id: str) -> Share:
        """One that the owner gives or takes. Raises NotFound."""

    async def page(self, owner: Owner, *, after: str, limit: int) -> Sequence[Share]:
        """Up to ``limit`` that the owner gives or takes, after the one of that id, oldest first."""

    async def accepted(self, taker: Owner) -> Sequence[Share]:
        """All that a user has accepted, in the order in which they were."""

    async def accept(self, taker: Owner, share_id: str, *, at: int) -> Share:
        """From now on it is accepted; the first ``at`` counts. Raises NotFound for any but its taker."""

    async def end(self, share: Share) -> None:
        """Forgets it, if nobody has already."""

    async def ended(self, owner: Owner) -> Sequence[Share]:
        """Those that the owner gave or took until it was erased; each is there until ``end``."""


@dataclass(frozen=True, slots=True)
class TenancyChanges:
    """Tenants and keys that changed, as they are now. ``revision``: from where to ask next time."""

    revision: int
    tenants: tuple[Tenant, ...]
    keys: tuple[ApiKey, ...]


class Tenants(Protocol):
    """The tenants and their keys. Every change is durable, and written down, when it returns. Raises Unavailable."""

    async def changes(self, *, since: int) -> TenancyChanges:
        """What changed after revision ``since``; all there is for 0."""

    async def add(self, tenant: Tenant, act: Act | None) -> None:
        """A new tenant; raises Conflict where the id is taken. ``act``: None for those of the settings."""

    async def get(self, tenant: str) -> Tenant:
        """Raises TenantNotFound."""

    async def page(self, *, after: str, limit: int) -> Sequence[Tenant]:
        """Up to ``limit`` tenants whose ids come after ``after``, in that order."""

    async def change(self, tenant: str, *, limits: Limits | None, state: TenantState | None, act: Act) -> Tenant:
        """The tenant with what is not None; raises TenantNotFound, for an erased one too."""

    async def add_key(self, key: ApiKey, act: Act) -> None:
        """Raises TenantNotFound."""

    async def keys(self, tenant: str) -> Sequence[ApiKey]:
        """All of a tenant's, oldest first, ended ones included. Raises TenantNotFound."""

    async def end_key(self, tenant: str, key_id: str, *, at: int, act: Act, successor: ApiKey | None = None) -> ApiKey:
        """Ends a key at ``at``, or when it would have ended anyway; ``successor`` is added with it. Raises NotFound."""


class Audit(Protocol):
    """What was done in administration, for ever."""

    async def note(self, act: Act) -> None:
        """Writes down what no other call does."""

    async def page(self, tenant: str | None, *, after: str, limit: int) -> Sequence[Audited]:
        """Up to ``limit`` acts after the one of that id, oldest first; of all tenants for None."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A part of a quota that a write under way has taken, or will give back."""

    id: str
    owner: Owner
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Counted:
    """How many concepts an owner holds: by the writes that were settled, and what others add, and take away (negative).

    The others are under way, or ended nobody knows how.
    """

    settled: int
    rising: int = 0
    falling: int = 0

    @property
    def least(self) -> int:
        """There are no fewer, whatever comes of the writes that are not settled."""
        return self.settled + self.falling

    @property
    def expected(self) -> int:
        """So many there are once all of them have happened."""
        return self.least + self.rising


class Quotas(Protocol):
    """What owners hold, counted exactly: the sum of all writes that were settled, and of those under way."""

    async def reserve(self, owner: Owner, amounts: Amounts) -> Reservation:
        """Before a write: takes what of ``amounts`` grows. Raises QuotaExceeded, and TenantNotFound."""

    async def settle(self, reservation: Reservation) -> None:
        """After a write that happened."""

    async def release(self, reservation: Reservation) -> None:
        """After a write that did not happen."""

    async def is_behind(self, reservation: Reservation) -> bool:
        """Whether an earlier write of the same owner's may still be under way."""

    async def overdue(self, *, limit: int) -> Sequence[Reservation]:
        """Up to ``limit`` whose writer has died, or did not learn what came of its write."""

    async def recount(self, reservation: Reservation, actual: Amounts) -> None:
        """Ends an overdue reservation: its owner holds ``actual``."""

    async def correct(self, owner: Owner, actual: Amounts) -> None:
        """The owner holds ``actual``, whatever was counted."""

    async def counted(self, owner: Owner) -> Counted:
        """How many concepts an owner holds."""

    async def held(self, tenant: str) -> Amounts:
        """What a tenant's owners hold, reservations included. Raises TenantNotFound."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Leave to do what a request with an idempotency key asks for.

    ``write_id``: the same for every attempt at it. ``number``: a later one than 1 follows a gateway that died.
    """

    tenant: str
    key: str
    write_id: str
    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Replies(Protocol):
    """What was answered to requests with an idempotency key, for 24 hours."""

    async def begin(self, tenant: str, key: str, *, user: str, fingerprint: str) -> Attempt | Reply:
        """Leave to do it, or what was answered before.

        Raises KeyReused where the key came with another fingerprint, InProgress where somebody is at it.
        """

    async def finish(self, attempt: Attempt, reply: Reply) -> None:
        """Keeps the answer."""

    async def abandon(self, attempt: Attempt) -> None:
        """Forgets the attempt: the request may be tried again as if for the first time."""

    async def purge(self, owner: Owner) -> int:
        """Forgets what was answered to requests of a user's; how many there were."""


class Jobs(Protocol):
    """Long work, each piece of it one gateway's at a time. Raises Unavailable."""

    async def add(self, job: Job) -> None:
        """Queues it; durable when this returns."""

    async def get(self, tenant: str, job_id: str) -> Job:
        """Raises JobNotFound, for another tenant's too."""

    async def page(self, tenant: str, *, after: str, limit: int) -> Sequence[Job]:
        """Up to ``limit`` of a tenant's jobs after the one of that id, oldest first."""

    async def added(self, *, at_most_seconds: float) -> None:
        """Returns once a job was added at this gateway, or after so long: others' are found by ``claim`` alone."""

    async def claim(self) -> Job | None:
        """The oldest that waits, or whose gateway died; it is this gateway's from now on."""

    async def backlog(self) -> Backlog:
        """What ``claim`` would give out, all of it."""

    async def keep(self, job: Job) -> bool:
        """How far it is, and a sign of life. False where it is to stop: cancelled, or another gateway's by now."""

    async def hold(self, job_id: str) -> None:
        """A sign of life and nothing else."""

    async def rest(self, job_id: str, *, until_ms: int) -> None:
        """Nobody's until then, and to be claimed after; nothing where it is another gateway's by now."""

    async def purge(self, owner: Owner) -> int:
        """Forgets a user's imports and exports, under way or ended; how many there were."""

    async def end(self, job: Job) -> None:
        """What came of it; nothing where it is another gateway's by now."""

    async def cancel(self, tenant: str, job_id: str) -> Job:
        """Asks it to stop; what is done stays done. Raises JobNotFound."""


class Usage(Protocol):
    """What was used, per tenant, user, day and kind."""

    async def add(self, consumptions: Sequence[Consumption]) -> None:
        """Adds to what is there, all or nothing."""

    async def between(self, tenant: str, first_day: str, last_day: str, *, user: str | None) -> Sequence[Consumption]:
        """What a tenant, or one user of it, used on these days, both included; oldest first."""

    async def anonymise(self, owner: Owner) -> int:
        """Counts what a user used as nobody's; how many rows there were."""


class RateLimits(Protocol):
    """Limits per minute, shared by all gateways where they can be."""

    async def take(self, bucket: str, amount: int, *, per_minute: int) -> Allowance:
        """``amount`` out of ``bucket``, or nothing of it: then ``retry_in`` is set."""

    async def give_back(self, bucket: str, amount: int, *, per_minute: int) -> None:
        """What was taken too much; a negative amount takes more, whether it is there or not."""
