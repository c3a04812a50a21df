"""Owners, their epochs, and the keys that seal what they store.

Each owner has a data key of its own (AES-256-GCM), kept here only under the cluster's secret. Erasing an owner
forgets the key: whatever is still on some disk, in a backup or in a late writer's hands can be read by nobody.
"""

import hashlib
import hmac
import os
import time
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, RowMapping, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from rap_serve.adapters.catalogue.audit import note
from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.schema import owners, shares, tenants
from rap_serve.domain.concept import Owner
from rap_serve.domain.tenancy import Act

NONCE_BYTES = 12
KEY_BYTES = 32
ENDED = "ended"


@dataclass(frozen=True, slots=True)
class AesSeal:
    """See Seal."""

    epoch: int
    scope: str
    key: bytes = field(repr=False)

    def close(self, data: bytes, purpose: str) -> bytes:
        """See Seal."""
        return closed(self.key, data, f"{self.scope} {self.epoch} {purpose}")

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """See Seal."""
        return opened(self.key, sealed, f"{self.scope} {self.epoch} {purpose}")

    def hashed(self, text: str) -> str:
        """See Seal."""
        context = f"{self.scope} {self.epoch} name\n{text}".encode("utf-8", "surrogatepass")
        return hmac.new(self.key, context, hashlib.sha256).hexdigest()


class SqlOwners:
    """See Owners and Seals."""

    def __init__(self, database: Database, *, master_key: bytes) -> None:
        """``master_key``: 32 bytes, the same on every gateway and for ever."""
        self._database = database
        self._master_key = master_key

    async def of(self, owner: Owner) -> AesSeal | None:
        """See Seals."""
        row = await self._database.read(lambda connection: _row(connection, owner))
        return self._seal(owner, row)

    async def made(self, owner: Owner) -> AesSeal:
        """See Seals."""

        def work(connection: Connection) -> RowMapping | None:
            know(connection, owner)
            fresh = closed(self._master_key, os.urandom(KEY_BYTES), owner.scope)
            connection.execute(update(owners).where(at(owner), owners.c.sealed_key.is_(None)).values(sealed_key=fresh))
            return _row(connection, owner)

        found = await self.of(owner) or self._seal(owner, await self._database.write(work))
        assert found is not None
        return found

    async def epoch(self, owner: Owner) -> int:
        """See Owners."""
        row = await self._database.read(lambda connection: _row(connection, owner))
        return 1 if row is None else int(row["epoch"])

    async def erase(self, owner: Owner, act: Act | None) -> int:
        """See Owners."""

        def work(connection: Connection) -> int:
            know(connection, owner)
            gone = {"epoch": owners.c.epoch + 1, "sealed_key": None}
            connection.execute(update(owners).where(at(owner)).values(**gone))
            connection.execute(update(shares).where(takes_part(owner)).values(state=ENDED))
            note(connection, act)
            row = _row(connection, owner)
            assert row is not None
            return int(row["epoch"]) - 1

        return await self._database.write(work)

    async def page(self, tenant: str, *, after: str, limit: int) -> list[str]:
        """See Owners."""
        mine = (owners.c.tenant == tenant) & (owners.c.user > after)
        query = select(owners.c.user).where(mine).order_by(owners.c.user).limit(limit)
        return await self._database.read(lambda connection: list(connection.execute(query).scalars()))

    async def all_after(self, owner: Owner | None, *, limit: int) -> list[Owner]:
        """See Owners."""
        query = select(owners.c.tenant, owners.c.user).order_by(owners.c.tenant, owners.c.user).limit(limit)
        if owner is not None:
            query = query.where(tuple_(owners.c.tenant, owners.c.user) > (owner.tenant, owner.user))
        return await self._database.read(lambda connection: [Owner(*row) for row in connection.execute(query)])

    async def count(self) -> int:
        """See Owners."""
        query = select(func.count()).select_from(owners)
        return int(await self._database.read(lambda connection: connection.execute(query).scalar_one()))

    def _seal(self, owner: Owner, row: RowMapping | None) -> AesSeal | None:
        if row is None or row["sealed_key"] is None:
            return None
        key = opened(self._master_key, bytes(row["sealed_key"]), owner.scope)
        return AesSeal(int(row["epoch"]), owner.scope, key)


def closed(key: bytes, data: bytes, context: str) -> bytes:
    """``data`` under AES-256-GCM with a fresh nonce before it, bound to ``context``."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, context.encode())


def opened(key: bytes, sealed: bytes, context: str) -> bytes:
    """What ``closed`` was given; raises ValueError for another key or context, or where a bit was changed."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())
    except (InvalidTag, ValueError):
        raise ValueError("Another seal closed this, or it was changed.") from None


def know(connection: Connection, owner: Owner) -> None:
    """A row for the owner, if there is none; on the shelf where its tenant's new owners go."""
    shelf = connection.execute(select(tenants.c.shelf).where(tenants.c.id == owner.tenant)).scalar() or ""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    row = {"tenant": owner.tenant, "user": owner.user, "created_at": time.time_ns() // 1_000_000}
    counts = {"concepts": 0, "avatars": 0, "bytes": 0, "epoch": 1}
    connection.execute(make(owners).values(**row, **counts, shelf=shelf).on_conflict_do_nothing())


def at(owner: Owner) -> Any:
    """The condition that a row is the owner's."""
    return (owners.c.tenant == owner.tenant) & (owners.c.user == owner.user)


def takes_part(owner: Owner) -> Any:
    """The condition that a share is one that the owner gives or takes."""
    return (shares.c.tenant == owner.tenant) & ((shares.c.giver == owner.user) | (shares.c.taker == owner.user))


def _row(connection: Connection, owner: Owner) -> RowMapping | None:
    return connection.execute(select(owners.c.epoch, owners.c.sealed_key).where(at(owner))).mappings().first()
