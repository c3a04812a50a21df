"""Who lets whom know what."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, delete, func, insert, select, update

from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.owners import ENDED, at, know, takes_part
from rap_serve.adapters.catalogue.schema import owners, shares, tenants
from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import Conflict, Erased, NotFound, TenantNotFound
from rap_serve.domain.share import MAX_SHARES, Share

OPEN = shares.c.state != ENDED


class SqlShares:
    """See Shares."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def offer(self, share: Share, *, epoch: int) -> Share:
        """See Shares. Offers of one tenant take turns, so that none passes the limits beside another."""

        def work(connection: Connection) -> Share:
            tenant = select(tenants.c.id).where(tenants.c.id == share.giver.tenant).with_for_update()
            if connection.execute(tenant).first() is None:
                raise TenantNotFound(f"There is no tenant {share.giver.tenant!r}.")
            know(connection, share.giver)
            if connection.execute(select(owners.c.epoch).where(at(share.giver))).scalar_one() != epoch:
                raise Erased("The user was erased while this was under way; nothing of it was stored.")
            same = connection.execute(select(shares).where(_same(share))).mappings().first()
            if same is not None:
                return _share(same)
            for mine, does in ((_given_by(share.giver), "gives"), (_taken_by(share.taker), "takes")):
                count = select(func.count()).select_from(shares).where(mine, OPEN)
                if connection.execute(count).scalar_one() >= MAX_SHARES:
                    raise Conflict(f"A user {does} at most {MAX_SHARES} shares, offers included.")
            connection.execute(insert(shares).values(**_columns(share)))
            return share

        return await self._database.write(work)

    async def get(self, owner: Owner, share_id: str) -> Share:
        """See Shares."""
        found = await self._read(select(shares).where(shares.c.id == share_id, takes_part(owner), OPEN))
        return _only(found, share_id)

    async def page(self, owner: Owner, *, after: str, limit: int) -> Sequence[Share]:
        """See Shares."""
        query = select(shares).where(takes_part(owner), OPEN, shares.c.id > after)
        return await self._read(query.order_by(shares.c.id).limit(limit))

    async def accepted(self, taker: Owner) -> Sequence[Share]:
        """See Shares."""
        query = select(shares).where(_taken_by(taker), shares.c.state == "accepted")
        return await self._read(query.order_by(shares.c.accepted_at, shares.c.id))

    async def accept(self, taker: Owner, share_id: str, *, at: int) -> Share:
        """See Shares."""
        mine = _taken_by(taker) & (shares.c.id == share_id)
        change = update(shares).where(mine, shares.c.state == "offered").values(state="accepted", accepted_at=at)

        def work(connection: Connection) -> Sequence[Share]:
            connection.execute(change)
            return _shares(connection, select(shares).where(mine, OPEN))

        return _only(await self._database.write(work), share_id)

    async def end(self, share: Share) -> None:
        """See Shares."""
        gone = delete(shares).where(shares.c.id == share.id)
        await self._database.write(lambda connection: connection.execute(gone))

    async def ended(self, owner: Owner) -> Sequence[Share]:
        """See Shares."""
        return await self._read(select(shares).where(takes_part(owner), shares.c.state == ENDED))

    async def _read(self, query: Select[Any]) -> Sequence[Share]:
        return await self._database.read(lambda connection: _shares(connection, query))


def _same(share: Share) -> Any:
    """The condition that a share says what this one does."""
    covers = shares.c.concepts.is_not_distinct_from(_columns(share)["concepts"])
    return _given_by(share.giver) & _taken_by(share.taker) & covers & OPEN


def _given_by(giver: Owner) -> Any:
    return (shares.c.tenant == giver.tenant) & (shares.c.giver == giver.user)


def _taken_by(taker: Owner) -> Any:
    return (shares.c.tenant == taker.tenant) & (shares.c.taker == taker.user)


def _columns(share: Share) -> dict[str, Any]:
    return {
        "id": share.id,
        "tenant": share.giver.tenant,
        "giver": share.giver.user,
        "taker": share.taker.user,
        "concepts": None if share.concepts is None else json.dumps(sorted(share.concepts)),
        "state": share.state,
        "created_at": share.created_at,
        "accepted_at": share.accepted_at,
    }


def _shares(connection: Connection, query: Select[Any]) -> list[Share]:
    return [_share(row) for row in connection.execute(query).mappings()]


def _share(row: RowMapping) -> Share:
    return Share(
        id=row["id"],
        giver=Owner(row["tenant"], row["giver"]),
        taker=Owner(row["tenant"], row["taker"]),
        concepts=None if row["concepts"] is None else frozenset(json.loads(row["concepts"])),
        created_at=row["created_at"],
        accepted_at=row["accepted_at"],
    )


def _only(found: Sequence[Share], share_id: str) -> Share:
    if not found:
        raise NotFound(f"There is no share {share_id!r} here.")
    return found[0]
