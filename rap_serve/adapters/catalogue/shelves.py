"""On which shelf of the memory each owner is."""

from sqlalchemy import Connection, select, update

from rap_serve.adapters.catalogue.audit import note
from rap_serve.adapters.catalogue.database import Database, next_revision
from rap_serve.adapters.catalogue.owners import at, know
from rap_serve.adapters.catalogue.schema import owners, tenants
from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import TenantNotFound
from rap_serve.domain.tenancy import Act


class SqlShelves:
    """See Shelves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, owner: Owner) -> str:
        """See Shelves."""

        def work(connection: Connection) -> str:
            own = connection.execute(select(owners.c.shelf).where(at(owner))).first()
            if own is not None:
                return str(own.shelf)
            tenant = connection.execute(select(tenants.c.shelf).where(tenants.c.id == owner.tenant)).scalar()
            return str(tenant or "")

        return await self._database.read(work)

    async def place(self, owner: Owner, shelf: str) -> None:
        """See Shelves."""

        def work(connection: Connection) -> None:
            know(connection, owner)
            moved = update(owners).where(at(owner), owners.c.shelf != shelf)
            connection.execute(moved.values(left_on=owners.c.shelf, shelf=shelf))

        await self._database.write(work)

    async def left_on(self, owner: Owner) -> str | None:
        """See Shelves."""
        query = select(owners.c.left_on).where(at(owner))
        return await self._database.read(lambda connection: connection.execute(query).scalar())

    async def cleared(self, owner: Owner) -> None:
        """See Shelves."""
        change = update(owners).where(at(owner)).values(left_on=None)
        await self._database.write(lambda connection: connection.execute(change))

    async def assign(self, tenant: str, shelf: str, act: Act) -> None:
        """See Shelves."""
        change = update(tenants).where(tenants.c.id == tenant)

        def work(connection: Connection) -> None:
            if not connection.execute(change.values(shelf=shelf, revision=next_revision(connection))).rowcount:
                raise TenantNotFound(f"There is no tenant {tenant!r}.")
            note(connection, act)

        await self._database.write(work)
