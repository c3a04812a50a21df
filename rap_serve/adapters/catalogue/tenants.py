"""Tenants and their keys."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError

from rap_serve.adapters.catalogue.audit import note
from rap_serve.adapters.catalogue.database import Database, next_revision
from rap_serve.adapters.catalogue.schema import clock, keys, tenants
from rap_serve.domain.catalogue import TenancyChanges
from rap_serve.domain.errors import Conflict, NotFound, TenantNotFound
from rap_serve.domain.tenancy import Act, ApiKey, Limits, Tenant, TenantState, checked_scopes


class SqlTenants:
    """See Tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def changes(self, *, since: int) -> TenancyChanges:
        """See Tenants."""

        def work(connection: Connection) -> TenancyChanges:
            seen = int(connection.execute(select(clock.c.revision)).scalar_one())  # all up to it is committed
            changed = connection.execute(select(tenants).where(tenants.c.revision > since)).mappings()
            issued = connection.execute(select(keys).where(keys.c.revision > since)).mappings()
            return TenancyChanges(seen, tuple(map(_tenant, changed)), tuple(map(_key, issued)))

        return await self._database.read(work)

    async def add(self, tenant: Tenant, act: Act | None) -> None:
        """See Tenants."""
        plain = {name: getattr(tenant, name) for name in ("id", "state", "created_at", "shelf")}
        row = {**plain, **_limits(tenant.limits)}

        def work(connection: Connection) -> None:
            connection.execute(insert(tenants).values(**row, revision=next_revision(connection)))
            note(connection, act)

        try:
            await self._database.write(work)
        except IntegrityError:
            raise Conflict(f"There is already a tenant {tenant.id!r}.") from None

    async def get(self, tenant: str) -> Tenant:
        """See Tenants."""
        return await self._database.read(lambda connection: _tenant(_tenant_row(connection, tenant)))

    async def page(self, *, after: str, limit: int) -> Sequence[Tenant]:
        """See Tenants."""
        query = select(tenants).where(tenants.c.id > after).order_by(tenants.c.id).limit(limit)
        return await self._database.read(lambda c: [_tenant(row) for row in c.execute(query).mappings()])

    async def change(self, tenant: str, *, limits: Limits | None, state: TenantState | None, act: Act) -> Tenant:
        """See Tenants."""
        changed: dict[str, Any] = _limits(limits) if limits is not None else {}
        if state is not None:
            changed["state"] = state

        def work(connection: Connection) -> Tenant:
            if _tenant_row(connection, tenant)["state"] == "erased":
                raise TenantNotFound(f"There is no tenant {tenant!r} any more.")
            changed["revision"] = next_revision(connection)
            connection.execute(update(tenants).where(tenants.c.id == tenant).values(**changed))
            note(connection, act)
            return _tenant(_tenant_row(connection, tenant))

        return await self._database.write(work)

    async def add_key(self, key: ApiKey, act: Act) -> None:
        """See Tenants."""

        def work(connection: Connection) -> None:
            _tenant_row(connection, key.tenant)
            _add_key(connection, key)
            note(connection, act)

        await self._database.write(work)

    async def keys(self, tenant: str) -> Sequence[ApiKey]:
        """See Tenants."""

        def work(connection: Connection) -> list[ApiKey]:
            _tenant_row(connection, tenant)
            query = select(keys).where(keys.c.tenant == tenant).order_by(keys.c.id)
            return [_key(row) for row in connection.execute(query).mappings()]

        return await self._database.read(work)

    async def end_key(self, tenant: str, key_id: str, *, at: int, act: Act, successor: ApiKey | None = None) -> ApiKey:
        """See Tenants."""
        mine = (keys.c.tenant == tenant) & (keys.c.id == key_id)

        def work(connection: Connection) -> ApiKey:
            row = connection.execute(select(keys).where(mine)).mappings().first()
            if row is None:
                raise NotFound(f"The tenant has no key {key_id!r}.")
            end = at if row["revoked_at"] is None else min(at, row["revoked_at"])
            connection.execute(update(keys).where(mine).values(revoked_at=end, revision=next_revision(connection)))
            if successor is not None:
                _add_key(connection, successor)
            note(connection, act)
            return _key(connection.execute(select(keys).where(mine)).mappings().one())

        return await self._database.write(work)


def _add_key(connection: Connection, key: ApiKey) -> None:
    row = {name: getattr(key, name) for name in ("id", "tenant", "label", "shown", "digest", "created_at")}
    ends = {"expires_at": key.expires_at, "revoked_at": key.revoked_at}
    scopes = " ".join(sorted(key.scopes))
    connection.execute(insert(keys).values(**row, **ends, scopes=scopes, revision=next_revision(connection)))


def _tenant_row(connection: Connection, tenant: str) -> RowMapping:
    row = connection.execute(select(tenants).where(tenants.c.id == tenant)).mappings().first()
    if row is None:
        raise TenantNotFound(f"There is no tenant {tenant!r}.")
    return row


def _limits(limits: Limits) -> dict[str, int | None]:
    return {
        "max_concepts": limits.concepts,
        "max_avatars": limits.avatars,
        "max_bytes": limits.bytes,
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "weight": limits.weight,
    }


def _tenant(row: RowMapping) -> Tenant:
    limits = Limits(
        concepts=row["max_concepts"],
        avatars=row["max_avatars"],
        bytes=row["max_bytes"],
        requests_per_minute=row["requests_per_minute"],
        tokens_per_minute=row["tokens_per_minute"],
        weight=row["weight"],
    )
    return Tenant(id=row["id"], state=row["state"], limits=limits, created_at=row["created_at"], shelf=row["shelf"])


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(
        id=row["id"],
        tenant=row["tenant"],
        label=row["label"],
        shown=row["shown"],
        digest=row["digest"],
        scopes=checked_scopes(row["scopes"].split()),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
