"""Open the store: SQLite through pysqlite3, one writer thread, and readers that never wait for it.

The SQLite that comes with a distribution is often one of 3.7.0 to 3.51.2, which can corrupt a database when its WAL is
reset while another connection checkpoints; `pysqlite3` carries its own, and `Store` refuses an older one.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import pysqlite3.dbapi2 as sqlite
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError

from fsmend_collector.errors import CollectorError, StoreError, StoreUnusable
from fsmend_collector.store.writer import Writer

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

FIRST_SOUND_SQLITE = (3, 51, 3)
READERS = 4
BUSY_TIMEOUT_MS = 10_000
# Larger than the default of 1,000 pages: under a storm every checkpoint costs two more fsync.
CHECKPOINT_PAGES = 8_192
# A reader that stays open keeps the WAL from being reset; afterwards it shrinks back to this.
JOURNAL_LIMIT_BYTES = 64 << 20
STATEMENT_CACHE = 512


def check_sqlite_version(version: tuple[int, ...]) -> None:
    """Refuse a SQLite that can corrupt a database in WAL mode.

    Raises:
        StoreUnusable: `version` is older than 3.51.3.
    """
    if version < FIRST_SOUND_SQLITE:
        found = ".".join(map(str, version))
        raise StoreUnusable(f"SQLite {found} can corrupt a database when its WAL is reset; install pysqlite3 >= 0.6.1")


def make_engine(url: str, *, writes: bool) -> Engine:
    """Make an engine for one role.

    Raises:
        StoreUnusable: the URL names no engine that this version supports, or a SQLite that corrupts data.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise StoreUnusable(f"store.url: {parsed.drivername} is not supported; use sqlite:////absolute/path")
    check_sqlite_version(sqlite.sqlite_version_info)
    arguments = {"check_same_thread": False, "cached_statements": STATEMENT_CACHE, "timeout": BUSY_TIMEOUT_MS / 1000}
    pool_size = 1 if writes else READERS
    engine = create_engine(parsed, module=sqlite, connect_args=arguments, pool_size=pool_size, max_overflow=0)
    event.listen(engine, "connect", functools.partial(_prepare, writes=writes))
    event.listen(engine, "begin", functools.partial(_begin, writes=writes))
    return engine


def _prepare(connection: Any, _record: Any, *, writes: bool) -> None:
    """Set up one new SQLite connection."""
    # None: pysqlite begins no transactions by itself, `_begin` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA foreign_keys=ON")
    if writes:
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        cursor.execute(f"PRAGMA journal_size_limit={JOURNAL_LIMIT_BYTES}")
        cursor.execute("PRAGMA cache_size=-65536")
    else:
        cursor.execute("PRAGMA query_only=ON")
        cursor.execute("PRAGMA cache_size=-16384")
    cursor.close()


def _begin(connection: Connection, *, writes: bool) -> None:
    # IMMEDIATE: a transaction that reads first and writes later must not find out at the end that it lost the race.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


class Store:
    """One open store.

    Use `await store.write(function, ...)` for changes and `await store.read(function, ...)` for reads; the functions
    get a Connection first and run in a thread, inside one transaction.
    """

    def __init__(self, url: str, group_commit_seconds: float = 0.005) -> None:
        self.url = url
        self._write_engine = make_engine(url, writes=True)
        self._read_engine = make_engine(url, writes=False)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self.writer = Writer(self._write_engine, group_commit_seconds)

    async def __aenter__(self) -> Self:
        """Start the writer."""
        self.writer.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Commit what was submitted, then close."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Commit what was submitted, then close every connection."""
        self.writer.stop()
        self._readers.shutdown(wait=True)
        self._read_engine.dispose()
        self._write_engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection that reads one snapshot and cannot write; blocks while all readers are busy."""
        with self._read_engine.connect() as connection, connection.begin():
            yield connection

    def _read(self, call: Callable[[Connection], T]) -> T:
        try:
            with self.reading() as connection:
                return call(connection)
        except DBAPIError as error:
            raise StoreError(f"cannot read the store: {error.orig}") from error

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(connection, ...)` in a reader thread.

        Raises:
            StoreError: the database could not be read.
        """
        call = functools.partial(_call, function, args, kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, call)

    async def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(connection, ...)` in the writer's thread and return once it is durable.

        The function may run twice, when another job of the same transaction failed: it must change nothing but rows.

        Raises:
            WriteFailed: nothing of it was committed.
            CollectorError: what the function raised.
        """
        call: Callable[[Connection], T] = functools.partial(_call, function, args, kwargs)
        return await self.writer.submit(_run_each, call)

    def write_soon(self, function: Callable[..., object], *args: object) -> None:
        """Submit a change whose result nobody waits for; a failure is logged."""
        call: Callable[[Connection], object] = functools.partial(_call, function, args, {})
        try:
            future: asyncio.Future[object] = self.writer.submit(_run_each, call)
        except CollectorError as error:
            log.warning("not written: %s", error)
        else:
            future.add_done_callback(_log_failure)


def _log_failure(future: asyncio.Future[Any]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        log.warning("not written: %s", error)


def _call(function: Callable[..., T], args: Any, kwargs: Any, connection: Connection) -> T:
    return function(connection, *args, **kwargs)


def _run_each(connection: Connection, calls: list[Callable[[Connection], T]]) -> list[T | CollectorError]:
    return [_run_one(connection, call) for call in calls]


def _run_one(connection: Connection, call: Callable[[Connection], T]) -> T | CollectorError:
    """Run one call; what it refuses is undone alone, and does not break the transaction for the others."""
    try:
        with connection.begin_nested():
            return call(connection)
    except CollectorError as error:
        return error


def default_url(state_directory: Path) -> str:
    """Return the URL of the embedded store in the state directory."""
    return f"sqlite:///{state_directory / 'store.sqlite'}"
