import fcntl
import threading

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fsmend_collector.errors import StoreUnusable
from fsmend_collector.store.engine import make_engine
from fsmend_collector.store.migrate import alembic_config, file_lock, migrate
from fsmend_collector.store.schema import metadata

NEWEST = ScriptDirectory.from_config(alembic_config()).get_current_head()


def test_migrations_make_the_schema_that_the_code_uses(url):
    engine = make_engine(url, writes=False)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_migrating_again_changes_nothing(url, tmp_path):
    assert migrate(url, tmp_path / "migrate.lock") == (NEWEST, NEWEST)


def test_every_step_after_the_first_can_be_taken_back_and_done_again(tmp_path):
    url, lock, config = f"sqlite:///{tmp_path / 'new.sqlite'}", tmp_path / "lock", alembic_config()
    migrate(url, lock)
    engine = make_engine(url, writes=True)
    with engine.begin() as config.attributes["connection"]:
        command.downgrade(config, "0001")
    engine.dispose()
    assert migrate(url, lock) == ("0001", NEWEST)


def test_an_empty_store_is_migrated_from_nothing(tmp_path):
    assert migrate(f"sqlite:///{tmp_path / 'new.sqlite'}", tmp_path / "lock") == ("", NEWEST)


def test_a_store_of_a_newer_version_is_refused(url, tmp_path):
    engine = make_engine(url, writes=True)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num='9999'"))
    engine.dispose()
    with pytest.raises(StoreUnusable, match="9999"):
        migrate(url, tmp_path / "migrate.lock")


def test_a_store_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(StoreUnusable, match="unable to open"):
        migrate(f"sqlite:///{tmp_path / 'missing' / 'store.sqlite'}", tmp_path / "lock")


def test_migrating_waits_for_another_process_that_does_it(tmp_path):
    lock, done = tmp_path / "lock", threading.Event()
    url = f"sqlite:///{tmp_path / 'new.sqlite'}"
    with file_lock(lock, wait=True):
        thread = threading.Thread(target=lambda: (migrate(url, lock), done.set()))
        thread.start()
        assert not done.wait(0.3)
    assert done.wait(10)
    thread.join()


def test_a_held_lock_is_found_out(tmp_path):
    path = tmp_path / "lock"
    with file_lock(path, wait=False), path.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_sql_can_be_printed_without_a_database(capsys):
    command.upgrade(alembic_config("sqlite:////nowhere"), "head", sql=True)
    assert "CREATE TABLE events" in capsys.readouterr().out


def test_the_audit_is_append_only(url):
    engine = make_engine(url, writes=True)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO audit (at_ns, actor, action) VALUES (1, 'x', 'y')"))
    for change in ("UPDATE audit SET actor='z'", "DELETE FROM audit"):
        with pytest.raises(DBAPIError, match="append only"), engine.begin() as connection:
            connection.execute(text(change))
    engine.dispose()
