"""What diagnosis reads again and again is found by an index."""

import pytest
from sqlalchemy import event

from fsmend_collector.diagnose.reading import commands_since
from fsmend_collector.store.engine import make_engine
from fsmend_collector.store.migrate import migrate


@pytest.fixture
def connection(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    migrate(url, tmp_path / "lock")
    engine = make_engine(url, writes=False)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def test_commands_that_changed_are_found_without_reading_all_of_them(connection):
    asked = []
    event.listen(
        connection, "before_cursor_execute", lambda _one, _cursor, text, values, *_: asked.append((text, values))
    )
    commands_since(connection, 5)
    text, values = asked[-1]
    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).fetchall()
    assert "USING INDEX ix_commands_updated_ns (updated_ns>?)" in str(plan)
