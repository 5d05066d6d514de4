"""What diagnosis reads again and again is found by an index."""

from sqlalchemy import event

from fsmend_collector.diagnose.reading import commands_since, learnt_after


def plans(connection, read, *arguments):
    """Return how SQLite finds the rows of each statement that `read` asks."""
    asked = []

    def note(_connection, _cursor, text, values, *_):
        if text.startswith("SELECT"):
            asked.append((text, values))

    event.listen(connection, "before_cursor_execute", note)
    read(connection, *arguments)
    event.remove(connection, "before_cursor_execute", note)
    return [str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).fetchall()) for text, values in asked]


def test_commands_that_changed_are_found_without_reading_all_of_them(connection):
    (plan,) = plans(connection, commands_since, 5)
    assert "USING INDEX ix_commands_updated_ns (updated_ns>?)" in plan


def test_what_was_learnt_is_found_without_reading_or_sorting_any_table(connection):
    found = plans(connection, learnt_after, 5)
    assert len(found) == 5
    assert not any("SCAN" in plan or "TEMP B-TREE" in plan for plan in found)
    assert "USING INDEX ix_hosts_record_id (record_id>?)" in found[-1]
