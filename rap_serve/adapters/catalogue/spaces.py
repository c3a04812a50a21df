"""Which embedding space answers."""

import time

from sqlalchemy import insert, select

from rap_serve.adapters.catalogue.database import Database
from rap_serve.adapters.catalogue.schema import spaces


class SqlSpaces:
    """See Spaces."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self) -> str:
        """See Spaces."""
        query = select(spaces.c.version).order_by(spaces.c.number.desc()).limit(1)
        return str(await self._database.read(lambda connection: connection.execute(query).scalar()) or "")

    async def switch(self, version: str) -> None:
        """See Spaces."""
        row = insert(spaces).values(version=version, since=time.time_ns() // 1_000_000)
        await self._database.write(lambda connection: connection.execute(row))
