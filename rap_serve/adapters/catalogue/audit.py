"""Who did what to tenants, keys and owners; written in the same transaction as what was done."""

import json
from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, insert, select

from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.schema import audit
from rap_serve.domain.concept import new_ulid
from rap_serve.domain.tenancy import Act, Audited


class SqlAudit:
    """See Audit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, act: Act) -> None:
        """See Audit."""
        await self._database.write(lambda connection: note(connection, act))

    async def page(self, tenant: str | None, *, after: str, limit: int) -> Sequence[Audited]:
        """See Audit."""
        query = select(audit).where(audit.c.id > after).order_by(audit.c.id).limit(limit)
        if tenant is not None:
            query = query.where(audit.c.tenant == tenant)
        return await self._database.read(lambda c: [_audited(row) for row in c.execute(query).mappings()])


def note(connection: Connection, act: Act | None) -> None:
    """Writes ``act`` down as part of a transaction; nothing for None."""
    if act is None:
        return
    row = {"id": new_ulid(now_ms=act.at), "at": act.at, "tenant": act.tenant, "actor": act.actor}
    connection.execute(insert(audit).values(**row, action=act.action, target=act.target, detail=json.dumps(act.detail)))


def _audited(row: RowMapping) -> Audited:
    act = Act(
        at=row["at"],
        tenant=row["tenant"],
        actor=row["actor"],
        action=row["action"],
        target=row["target"],
        detail=json.loads(row["detail"]),
    )
    return Audited(row["id"], act)
