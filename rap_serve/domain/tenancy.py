"""Who may use the service, for what, and how much of it."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias, cast, get_args

from rap_serve.domain.concept import Concept, new_ulid
from rap_serve.domain.errors import Forbidden, InvalidInput, InvalidName

KeyScope: TypeAlias = Literal["read", "write", "admin"]
TenantState: TypeAlias = Literal["active", "suspended", "erased"]

SCOPES: tuple[KeyScope, ...] = get_args(KeyScope)
OPERATOR = "operator"
"""The scope of who runs the cluster; no key of a tenant has it."""

KEY_PREFIX = "rap_"
SHOWN_CHARACTERS = 12
"""So much of a key may be shown again, for its owner to tell keys apart. The rest has 190 bits."""

_SHELF = re.compile(r"[a-z][a-z0-9]{0,31}")
_TENANT_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a tenant may hold and ask for; None is no limit. ``bytes``: of pictures.

    ``weight``: its share where not all can be served, against others'; None is 1.
    """

    concepts: int | None = None
    avatars: int | None = None
    bytes: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    weight: int | None = None

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value is not None and value < 0:
                raise InvalidInput(f"{limit.name} is a limit: 0 or more, or null for none.")
        if self.weight == 0:
            raise InvalidInput("A weight is 1 or more; to shut a tenant out, suspend it.")

    @property
    def share(self) -> int:
        """Its weight."""
        return self.weight or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much is held, or changes hands. ``bytes``: of pictures."""

    concepts: int = 0
    avatars: int = 0
    bytes: int = 0

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            concepts=self.concepts + other.concepts,
            avatars=self.avatars + other.avatars,
            bytes=self.bytes + other.bytes,
        )

    def __neg__(self) -> "Amounts":
        return Amounts(concepts=-self.concepts, avatars=-self.avatars, bytes=-self.bytes)

    def rising(self) -> "Amounts":
        """What of it grows."""
        return Amounts(concepts=max(0, self.concepts), avatars=max(0, self.avatars), bytes=max(0, self.bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A customer of the cluster. ``created_at``: milliseconds since 1970. ``shelf``: where its new owners go."""

    id: str
    state: TenantState = "active"
    limits: Limits = Limits()
    created_at: int = 0
    shelf: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What a key may do and for how long. The key itself is known to nobody but its holder.

    ``shown``: its first characters. ``digest``: HMAC-SHA256 of it, in hexadecimal. Times are milliseconds since 1970.
    """

    id: str
    tenant: str
    label: str
    shown: str
    digest: str
    scopes: frozenset[KeyScope]
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None

    def opens_at(self, now_ms: int) -> bool:
        """Whether it is neither expired nor revoked. Either moment may lie in the future."""
        return all(end is None or now_ms < end for end in (self.expires_at, self.revoked_at))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling. ``tenant`` is empty for the operator."""

    tenant: str
    key_id: str
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """Raises Forbidden where the key was not given ``scope``."""
        if scope not in self.scopes:
            raise Forbidden(f"This API key may not do that: it needs the scope {scope!r}.")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a limit per minute leaves. ``resets_in``: seconds until all of it is there again.

    ``retry_in``: seconds until what was refused would pass; None where nothing was refused.
    """

    limit: int
    remaining: int
    resets_in: float
    retry_in: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that was done in administration. ``actor``: the id of the key that did it.

    ``at``: milliseconds since 1970. ``detail``: plain values, no secrets and nothing of what users store.
    """

    at: int
    tenant: str
    actor: str
    action: str
    target: str
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Audited:
    """An act as it is written down; ids grow with time."""

    id: str
    act: Act


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumption:
    """What requests of one kind used on one day (UTC, ``2026-01-31``)."""

    tenant: str
    user: str
    day: str
    kind: str
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


def holdings(concepts: Iterable[Concept]) -> Amounts:
    """What these concepts count for."""
    total = Amounts()
    for concept in concepts:
        pictures = sum(avatar.size_bytes for avatar in concept.avatars)
        total += Amounts(concepts=1, avatars=len(concept.avatars), bytes=pictures)
    return total


def checked_tenant_id(tenant: str) -> str:
    """``tenant``; raises InvalidName outside ``[A-Za-z0-9._-]{1,64}``."""
    if not _TENANT_ID.fullmatch(tenant):
        raise InvalidName("A tenant id is 1 to 64 characters out of A-Z, a-z, 0-9, '.', '_' and '-'.")
    return tenant


def shared_shelf(tenant: str, shelves: int) -> str:
    """Which of so many shared shelves is a tenant's at first; the one without a name where there is one alone."""
    number = int.from_bytes(hashlib.sha256(tenant.encode()).digest()[:4], "big") % shelves
    return f"s{number:02d}" if shelves > 1 else ""


def checked_shelf(shelf: str) -> str:
    """``shelf``; raises InvalidInput for what cannot be part of a collection's name."""
    if shelf and not _SHELF.fullmatch(shelf):
        raise InvalidInput("A shelf's name is up to 32 small letters and digits, and begins with a letter.")
    return shelf


def checked_scopes(scopes: Iterable[str]) -> frozenset[KeyScope]:
    """``scopes`` as a set; raises InvalidInput for none, or for one that does not exist."""
    found = frozenset(scopes)
    if not found or not found <= set(SCOPES):
        raise InvalidInput(f"A key has at least one of the scopes {', '.join(SCOPES)}, and no other.")
    return cast(frozenset[KeyScope], found)


def new_secret() -> str:
    """A fresh API key."""
    return f"{KEY_PREFIX}{secrets.token_urlsafe(32)}"


def digest_of(key: str, pepper: bytes) -> str:
    """By what a key is known: HMAC-SHA256 under the cluster's secret, in hexadecimal."""
    return hmac.new(pepper, key.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def new_key(
    tenant: str,
    secret: str,
    pepper: bytes,
    *,
    label: str,
    scopes: frozenset[KeyScope],
    now_ms: int,
    expires_at: int | None = None,
) -> ApiKey:
    """What is kept of ``secret``."""
    return ApiKey(
        id=f"key_{new_ulid(now_ms=now_ms)}",
        tenant=tenant,
        label=label,
        shown=secret[:SHOWN_CHARACTERS],
        digest=digest_of(secret, pepper),
        scopes=scopes,
        created_at=now_ms,
        expires_at=expires_at,
    )
