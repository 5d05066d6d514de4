"""The units that a fault names are those that its incident shows."""

from collector.diagnosis.findings import engine, feed
from collector.diagnosis.test_order import findings
from hypothesis import given, settings
from hypothesis import strategies as st
from soak import examples


def shown(incident):
    """Return the units of an incident in the order in which a shared cause is looked for."""
    unit = incident.unit
    own = [unit.device_id, unit.filesystem_uuid, incident.cause.value]
    members = [one.device_id for one in incident.members] + [one.filesystem_uuid for one in incident.members]
    return list(filter(None, own + members))


@settings(deadline=None, max_examples=examples(25))
@given(st.lists(findings(), min_size=1, max_size=12))
def test_the_units_named_are_those_shown_in_the_same_order(stream):
    diagnosis = engine()
    feed(diagnosis, stream)
    for agent_id in ("a1", "a2"):
        told = diagnosis.views_of(agent_id)
        assert [shown(one.incident) for one in told] == [list(one.names) for one in told]
