"""What was used, added up per tenant, user, day and kind."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.schema import usage
from rap_serve.domain.concept import Owner
from rap_serve.domain.tenancy import Consumption

COUNTED = ("requests", "prompt_tokens", "completion_tokens")
KEYED = ("tenant", "day", "user", "kind")
NOBODY = "erased"
"""Under which name the use of erased users is added up."""


class SqlUsage:
    """See Usage."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, consumptions: Sequence[Consumption]) -> None:
        """See Usage."""
        if consumptions:
            await self._database.write(lambda connection: _added(connection, consumptions))

    async def between(self, tenant: str, first_day: str, last_day: str, *, user: str | None) -> Sequence[Consumption]:
        """See Usage."""
        query = select(usage).where(usage.c.tenant == tenant, usage.c.day >= first_day, usage.c.day <= last_day)
        if user is not None:
            query = query.where(usage.c.user == user)
        ordered = query.order_by(usage.c.day, usage.c.user, usage.c.kind)
        rows = await self._database.read(lambda connection: connection.execute(ordered).mappings().all())
        return [Consumption(**{name: row[name] for name in (*KEYED, *COUNTED)}) for row in rows]

    async def anonymise(self, owner: Owner) -> int:
        """See Usage."""
        theirs = (usage.c.tenant == owner.tenant) & (usage.c.user == owner.user)

        def work(connection: Connection) -> list[Consumption]:
            rows = connection.execute(select(usage).where(theirs)).mappings().all()
            connection.execute(delete(usage).where(theirs))
            found = [Consumption(**{name: row[name] for name in (*KEYED, *COUNTED)}) for row in rows]
            _added(connection, [replace(consumption, user=NOBODY) for consumption in found])
            return found

        return len(await self._database.write(work))


def _added(connection: Connection, consumptions: Sequence[Consumption]) -> None:
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    for consumption in sorted(consumptions, key=lambda c: tuple(getattr(c, name) for name in KEYED)):  # no deadlocks
        row = {name: getattr(consumption, name) for name in (*KEYED, *COUNTED)}
        added = {name: usage.c[name] + row[name] for name in COUNTED}
        connection.execute(make(usage).values(**row).on_conflict_do_update(index_elements=KEYED, set_=added))
