"""What operators and tenants do to tenants and keys. Every act is written down with who did it."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rap_serve.domain.catalogue import Tenants
from rap_serve.domain.errors import InvalidInput
from rap_serve.domain.tenancy import (
    Act,
    ApiKey,
    Caller,
    Limits,
    Tenant,
    TenantState,
    checked_scopes,
    checked_tenant_id,
    new_key,
    new_secret,
    shared_shelf,
)

MAX_LABEL_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Issued:
    """A fresh key. ``secret`` is shown this once, and kept nowhere."""

    key: ApiKey
    secret: str = field(repr=False)


class Administer:
    """Changes tenants and keys."""

    def __init__(self, tenants: Tenants, *, pepper: bytes, shelves: int = 1) -> None:
        """``shelves``: over how many new tenants are spread."""
        self._tenants = tenants
        self._shelves = shelves
        self._pepper = pepper

    async def create(self, caller: Caller, tenant: str, limits: Limits) -> Tenant:
        """Raises InvalidName, Conflict."""
        shelf = shared_shelf(checked_tenant_id(tenant), self._shelves)
        created = Tenant(id=tenant, limits=limits, created_at=_now_ms(), shelf=shelf)
        await self._tenants.add(created, _act(caller, tenant, "tenant.create", tenant))
        return created

    async def change(
        self, caller: Caller, tenant: str, *, limits: Limits | None = None, state: TenantState | None = None
    ) -> Tenant:
        """Changes what is not None; raises TenantNotFound."""
        detail = {"limits": limits is not None, "state": state}
        act = _act(caller, tenant, "tenant.change", tenant, **detail)
        return await self._tenants.change(tenant, limits=limits, state=state, act=act)

    async def issue(
        self, caller: Caller, tenant: str, *, label: str, scopes: Iterable[str], expires_in: float | None = None
    ) -> Issued:
        """A new key; ``expires_in``: seconds from now. Raises InvalidInput, TenantNotFound."""
        secret, now_ms = new_secret(), _now_ms()
        key = new_key(
            tenant,
            secret,
            self._pepper,
            label=_checked_label(label),
            scopes=checked_scopes(scopes),
            now_ms=now_ms,
            expires_at=None if expires_in is None else now_ms + round(expires_in * 1_000),
        )
        await self._tenants.add_key(key, _act(caller, tenant, "key.issue", key.id, scopes=sorted(key.scopes)))
        return Issued(key, secret)

    async def rotate(self, caller: Caller, tenant: str, key_id: str, *, overlap: float) -> Issued:
        """A key like the old one, which stays valid for ``overlap`` seconds. Raises NotFound."""
        now_ms = _now_ms()
        old = next((k for k in await self._tenants.keys(tenant) if k.id == key_id and k.opens_at(now_ms)), None)
        if old is None:
            raise InvalidInput(f"The tenant has no valid key {key_id!r} to replace.")
        secret = new_secret()
        key = new_key(tenant, secret, self._pepper, label=old.label, scopes=old.scopes, now_ms=now_ms)
        act = _act(caller, tenant, "key.rotate", key_id, successor=key.id, overlap_seconds=overlap)
        await self._tenants.end_key(tenant, key_id, at=now_ms + round(overlap * 1_000), act=act, successor=key)
        return Issued(key, secret)

    async def revoke(self, caller: Caller, tenant: str, key_id: str) -> ApiKey:
        """Ends a key now; every gateway knows within its ``refresh_seconds``. Raises NotFound."""
        act = _act(caller, tenant, "key.revoke", key_id)
        return await self._tenants.end_key(tenant, key_id, at=_now_ms(), act=act)


def _act(caller: Caller, tenant: str, action: str, target: str, **detail: Any) -> Act:
    return Act(at=_now_ms(), tenant=tenant, actor=caller.key_id, action=action, target=target, detail=detail)


def _checked_label(label: str) -> str:
    if len(label) > MAX_LABEL_LENGTH or not label.isprintable():
        raise InvalidInput(f"A label is at most {MAX_LABEL_LENGTH} printable characters.")
    return label


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
