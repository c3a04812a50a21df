"""Who is calling: the tenant behind an API key, and what the key may do."""

import asyncio
import time
from collections.abc import Mapping

from rap_serve.domain.catalogue import Tenants
from rap_serve.domain.errors import Conflict, TenantSuspended, Unauthorised, Unavailable
from rap_serve.domain.tenancy import OPERATOR, SCOPES, ApiKey, Caller, Limits, Tenant, digest_of, shared_shelf

LEAST_PAUSE_SECONDS = 0.2
"""Between two looks at the catalogue, however many unknown keys are presented."""


class Authenticate:
    """Knows all keys by their digests, as they were a moment ago.

    What changes elsewhere is known here after ``refresh_seconds``. Where the catalogue cannot be asked for
    ``max_age_seconds``, nobody is let in any more: a key might have been revoked meanwhile.
    """

    def __init__(
        self,
        tenants: Tenants,
        *,
        pepper: bytes,
        keys: Mapping[str, str],
        operator_key: str | None,
        shelves: int = 1,
        refresh_seconds: float = 1.0,
        max_age_seconds: float = 4.0,
    ) -> None:
        """``keys``: tenant to a key of the settings, which has every scope and ends with the settings.

        ``shelves``: over how many these tenants are spread.
        """
        self._catalogue = tenants
        self._pepper = pepper
        self._fixed = {digest_of(k, pepper): Caller(t, f"settings:{t}", frozenset(SCOPES)) for t, k in keys.items()}
        if operator_key:
            operator = Caller("", OPERATOR, frozenset({"admin", OPERATOR}))
            self._fixed[digest_of(operator_key, pepper)] = operator
        self._shelves = shelves
        self._refresh_seconds = refresh_seconds
        self._max_age_seconds = max_age_seconds
        self._tenants: dict[str, Tenant] = {}
        self._keys: dict[str, ApiKey] = {}
        self._revision = 0
        self._looked_at = -float("inf")
        self._looking = asyncio.Lock()

    async def start(self) -> None:
        """Makes the tenants that the settings name, and learns all others. Raises Unavailable."""
        for caller in self._fixed.values():
            if caller.tenant:
                try:
                    shelf = shared_shelf(caller.tenant, self._shelves)
                    await self._catalogue.add(Tenant(id=caller.tenant, created_at=_now_ms(), shelf=shelf), None)
                except Conflict:
                    continue
        await self._look()

    async def watch(self) -> None:
        """Keeps looking; for ever."""
        while True:
            await asyncio.sleep(self._refresh_seconds)
            try:
                await self._look()
            except Unavailable:
                continue  # who comes meanwhile is told, once this is too long ago

    async def __call__(self, authorization: str | None) -> Caller:
        """The caller of an ``Authorization: Bearer`` header.

        Raises Unauthorised, TenantSuspended, or Unavailable where nobody can tell.
        """
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthorised("Send an API key: 'Authorization: Bearer rap_...'.")
        if self._age() > self._max_age_seconds:
            await self._look()
        digest = digest_of(key.strip(), self._pepper)
        if digest not in self._fixed and digest not in self._keys:
            await self._look()
        return self._admitted(digest)

    def limits(self, tenant: str) -> Limits:
        """A tenant's limits as they were a moment ago."""
        found = self._tenants.get(tenant)
        return found.limits if found else Limits()

    def _admitted(self, digest: str) -> Caller:
        caller = self._fixed.get(digest) or self._holder(digest)
        tenant = self._tenants.get(caller.tenant)
        if caller.tenant and (tenant is None or tenant.state == "erased"):
            raise Unauthorised("This API key opens nothing here.")
        if tenant is not None and tenant.state == "suspended":
            raise TenantSuspended("This tenant is suspended; ask whoever runs the service.")
        return caller

    def _holder(self, digest: str) -> Caller:
        key = self._keys.get(digest)
        if key is None or not key.opens_at(_now_ms()):
            raise Unauthorised("This API key opens nothing here.")
        return Caller(key.tenant, key.id, frozenset(key.scopes))

    async def _look(self) -> None:
        """Takes over what has changed; who comes while somebody looks, waits for that look."""
        came = time.monotonic()
        async with self._looking:
            if self._looked_at > came:
                return
            await asyncio.sleep(max(0.0, LEAST_PAUSE_SECONDS - self._age()))
            began = time.monotonic()
            changes = await self._catalogue.changes(since=self._revision)
            self._tenants.update({t.id: t for t in changes.tenants})
            self._keys.update({k.digest: k for k in changes.keys})
            self._revision, self._looked_at = changes.revision, began

    def _age(self) -> float:
        return time.monotonic() - self._looked_at


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
