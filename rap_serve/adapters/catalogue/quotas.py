"""What owners hold, counted so that no crash and no crowd of writers makes it wrong."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, case, delete, func, insert, select, update

from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.owners import at, know
from rap_serve.adapters.catalogue.schema import owners, reservations, tenants
from rap_serve.domain.catalogue import Counted, Reservation
from rap_serve.domain.concept import Owner, new_ulid
from rap_serve.domain.errors import QuotaExceeded, TenantNotFound
from rap_serve.domain.tenancy import Amounts

KINDS = ("concepts", "avatars", "bytes")


class SqlQuotas:
    """See Quotas."""

    def __init__(self, database: Database, *, lease_seconds: float = 120.0) -> None:
        """``lease_seconds``: more than any write takes; then its reservation is overdue."""
        self._database = database
        self._lease_ms = round(lease_seconds * 1_000)

    async def reserve(self, owner: Owner, amounts: Amounts) -> Reservation:
        """See Quotas."""
        now_ms = time.time_ns() // 1_000_000
        reservation = Reservation(new_ulid(now_ms=now_ms), owner, amounts)
        row = {"id": reservation.id, "tenant": owner.tenant, "user": owner.user, **_columns(amounts)}

        def work(connection: Connection) -> None:
            _take(connection, owner.tenant, amounts.rising())
            connection.execute(insert(reservations).values(**row, overdue_at=now_ms + self._lease_ms))

        await self._database.write(work)
        return reservation

    async def settle(self, reservation: Reservation) -> None:
        """See Quotas."""

        def work(connection: Connection) -> None:
            reserved = _ended(connection, reservation)
            if reserved is None:
                self._suspect(connection, reservation.owner)
                return
            change = reservation.amounts + -reserved.rising()
            _add(connection, tenants, tenants.c.id == reservation.owner.tenant, change)
            know(connection, reservation.owner)
            _add(connection, owners, at(reservation.owner), reservation.amounts)

        await self._database.write(work)

    def _suspect(self, connection: Connection, owner: Owner) -> None:
        """Has an owner counted anew: a write outlived its reservation, and was counted or was not."""
        row = {"id": new_ulid(), "tenant": owner.tenant, "user": owner.user, **_columns(Amounts())}
        connection.execute(insert(reservations).values(**row, overdue_at=0))

    async def release(self, reservation: Reservation) -> None:
        """See Quotas."""

        def work(connection: Connection) -> None:
            reserved = _ended(connection, reservation)
            if reserved is not None:
                _add(connection, tenants, tenants.c.id == reservation.owner.tenant, -reserved.rising())

        await self._database.write(work)

    async def is_behind(self, reservation: Reservation) -> bool:
        """See Quotas."""
        owner, now_ms = reservation.owner, time.time_ns() // 1_000_000
        theirs = (reservations.c.tenant == owner.tenant) & (reservations.c.user == owner.user)
        earlier = (reservations.c.id < reservation.id) & (reservations.c.overdue_at > now_ms)
        query = select(reservations.c.id).where(theirs, earlier).limit(1)
        return await self._database.read(lambda connection: connection.execute(query).first() is not None)

    async def overdue(self, *, limit: int) -> Sequence[Reservation]:
        """See Quotas."""
        now_ms = time.time_ns() // 1_000_000
        query = select(reservations).where(reservations.c.overdue_at < now_ms).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [
            Reservation(r["id"], Owner(r["tenant"], r["user"]), Amounts(**{kind: r[kind] for kind in KINDS}))
            for r in rows
        ]

    async def recount(self, reservation: Reservation, actual: Amounts) -> None:
        """See Quotas."""
        owner = reservation.owner

        def work(connection: Connection) -> None:
            reserved = _ended(connection, reservation)
            if reserved is not None:
                _add(connection, tenants, tenants.c.id == owner.tenant, -reserved.rising())
                _correct(connection, owner, actual)

        await self._database.write(work)

    async def correct(self, owner: Owner, actual: Amounts) -> None:
        """See Quotas."""
        await self._database.write(lambda connection: _correct(connection, owner, actual))

    async def counted(self, owner: Owner) -> Counted:
        """See Quotas."""
        theirs = (reservations.c.tenant == owner.tenant) & (reservations.c.user == owner.user)
        change = reservations.c.concepts
        settled = select(owners.c.concepts).where(at(owner)).scalar_subquery()
        rising, falling = (func.sum(case((side, change), else_=0)) for side in (change > 0, change < 0))
        query = select(settled, rising, falling).where(theirs)
        found = await self._database.read(lambda connection: connection.execute(query).one())
        return Counted(*(int(value or 0) for value in found))

    async def held(self, tenant: str) -> Amounts:
        """See Quotas."""
        query = select(*_columns_of(tenants)).where(tenants.c.id == tenant)
        found = await self._database.read(lambda connection: connection.execute(query).first())
        if found is None:
            raise TenantNotFound(f"There is no tenant {tenant!r}.")
        return Amounts(**dict(zip(KINDS, found, strict=True)))


def _take(connection: Connection, tenant: str, rising: Amounts) -> None:
    """Adds to what the tenant holds, in one statement that fails where a limit would be passed."""
    fits = [
        (tenants.c[f"max_{kind}"].is_(None)) | (tenants.c[kind] + amount <= tenants.c[f"max_{kind}"])
        for kind, amount in _columns(rising).items()
        if amount
    ]
    added = {kind: tenants.c[kind] + amount for kind, amount in _columns(rising).items()}
    if connection.execute(update(tenants).where(tenants.c.id == tenant, *fits).values(**added)).rowcount:
        return
    row = connection.execute(select(tenants).where(tenants.c.id == tenant)).mappings().first()
    if row is None:
        raise TenantNotFound(f"There is no tenant {tenant!r}.")
    full = [k for k, n in _columns(rising).items() if row[f"max_{k}"] is not None and row[k] + n > row[f"max_{k}"]]
    limits = ", ".join(f"{row[k]:,} of {row[f'max_{k}']:,} {k}" for k in full)
    raise QuotaExceeded(f"The quota does not allow it: {limits} are taken. Delete something, or ask for more.")


def _correct(connection: Connection, owner: Owner, actual: Amounts) -> None:
    know(connection, owner)
    known = connection.execute(select(*_columns_of(owners)).where(at(owner)).with_for_update()).one()
    counted = Amounts(**dict(zip(KINDS, known, strict=True)))
    _add(connection, tenants, tenants.c.id == owner.tenant, actual + -counted)
    connection.execute(update(owners).where(at(owner)).values(**_columns(actual)))


def _ended(connection: Connection, reservation: Reservation) -> Amounts | None:
    """What was reserved, where this call is the one that ends it."""
    mine = reservations.c.id == reservation.id
    reserved = connection.execute(select(*_columns_of(reservations)).where(mine)).first()
    if reserved is None or not connection.execute(delete(reservations).where(mine)).rowcount:
        return None
    return Amounts(**dict(zip(KINDS, reserved, strict=True)))


def _add(connection: Connection, table: Table, where: Any, amounts: Amounts) -> None:
    added = {kind: table.c[kind] + amount for kind, amount in _columns(amounts).items()}
    connection.execute(update(table).where(where).values(**added))


def _columns(amounts: Amounts) -> dict[str, int]:
    return {kind: getattr(amounts, kind) for kind in KINDS}


def _columns_of(table: Table) -> list[Any]:
    return [table.c[kind] for kind in KINDS]
