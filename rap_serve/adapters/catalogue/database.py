"""One SQL database, with blocking calls kept off the event loop and its errors translated."""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, make_url, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.schema import CreateColumn

from rap_serve.adapters.catalogue.schema import clock, metadata
from rap_serve.adapters.threads import Threads
from rap_serve.domain.errors import Unavailable

T = TypeVar("T")

THREADS = 8
BUSY_MILLISECONDS = 10_000
WRITES = "rap_writes"


class Database:
    """Runs functions of a connection, each in one transaction: all of it happens, durably, or nothing."""

    def __init__(self, url: str) -> None:
        """``url``: SQLAlchemy's, ``sqlite:///file`` or ``postgresql+psycopg://...``. Connects on first use."""
        self._engine = _engine(url)
        self._threads = Threads(THREADS, "catalogue")
        self._creating = threading.Lock()
        self._created = False

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` returns; raises Unavailable."""
        return await self._in_thread(work, writes=False)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` returns, once it is durable. Raises Unavailable, and what ``work`` raises, undone."""
        return await self._in_thread(work, writes=True)

    async def ping(self) -> None:
        """Returns if the catalogue is there; raises Unavailable."""
        await self.read(lambda connection: connection.execute(select(clock.c.revision)).scalar_one())

    async def close(self) -> None:
        """Ends the connections."""
        await self._threads.close()
        self._engine.dispose()

    async def _in_thread(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        def run() -> T:
            with _translated():
                self._create()
                with self._engine.connect().execution_options(**{WRITES: writes}) as connection, connection.begin():
                    return work(connection)

        # A transaction that was begun is seen to its end even by a caller that is cancelled.
        return await asyncio.shield(self._threads.run(run))

    def _create(self) -> None:
        """The tables and the clock's row, whoever makes them first."""
        with self._creating:
            if self._created:
                return
            with contextlib.suppress(IntegrityError), self._engine.connect() as plain:
                connection = plain.execution_options(**{WRITES: True})
                with connection.begin():
                    metadata.create_all(connection)
                    _grow(connection)
                    if connection.execute(select(clock.c.revision)).first() is None:
                        connection.execute(insert(clock).values(id=1, revision=0))
            self._created = True


def _grow(connection: Connection) -> None:
    """Gives tables that an older version made the columns they lack; what was added later may be empty."""
    inspector = inspect(connection)
    for table in metadata.sorted_tables:
        there = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                definition = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")


def next_revision(connection: Connection) -> int:
    """A number higher than all before it; until the transaction ends nobody else gets one."""
    connection.execute(update(clock).values(revision=clock.c.revision + 1))
    return int(connection.execute(select(clock.c.revision)).scalar_one())


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_size=THREADS, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_MILLISECONDS / 1_000, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        _keep_log(connection)
        for pragma in ("synchronous=FULL", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        """Who writes takes the lock at once: two that read first and then write would refuse each other."""
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _keep_log(connection: Any) -> None:
    """Readers and a writer side by side. Two who ask for that first at once refuse each other without waiting."""
    patience = time.monotonic() + BUSY_MILLISECONDS / 1_000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > patience:
                raise
            time.sleep(0.01)
        else:
            return


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The one seam at which the database's errors become ours. Broken constraints are for who knows their meaning."""
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        raise Unavailable(f"The catalogue failed: {type(error).__name__}.") from error
