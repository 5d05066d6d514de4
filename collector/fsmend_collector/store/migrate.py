"""Bring a store to the schema of this version, under a lock, before anything else uses it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from fsmend_collector.errors import StoreUnusable
from fsmend_collector.store.engine import make_engine

MIGRATIONS = Path(__file__).parent / "migrations"


def alembic_config(url: str = "") -> Config:
    """Return Alembic's configuration, without any file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


@contextmanager
def file_lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel lets go of it when the process ends.

    Raises:
        BlockingIOError: another process holds it and `wait` is false.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def migrate(url: str, lock_path: Path) -> tuple[str, str]:
    """Bring the store to the newest schema; return the revisions before and after, empty for an empty store.

    Raises:
        StoreUnusable: the store cannot be opened, or was written by a newer version.
    """
    engine = make_engine(url, writes=True)
    try:
        with file_lock(lock_path, wait=True), engine.connect() as connection:
            return _upgrade(connection, alembic_config(url))
    except DBAPIError as error:
        raise StoreUnusable(f"cannot open the store {url}: {error.orig}") from error
    finally:
        engine.dispose()


def _upgrade(connection: Connection, config: Config) -> tuple[str, str]:
    with connection.begin():
        before = MigrationContext.configure(connection).get_current_revision() or ""
        script = ScriptDirectory.from_config(config)
        if before and before not in {revision.revision for revision in script.walk_revisions()}:
            raise StoreUnusable(f"the store has schema {before}, which this version does not know; upgrade fsmend")
        after = script.get_current_head() or ""
        if before != after:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return before, after
