import random
from dataclasses import replace

import pytest
from sqlalchemy import insert, text

from fsmend_collector.store.queries import EventFilter, events_after, events_page, first_event_id_since
from fsmend_collector.store.schema import EVENT_CHUNK_BITS, events

COUNT = 3_000


def rows():
    """Ids with holes over several chunks, of three agents; received_ns grows in steps."""
    chance = random.Random(5)
    id_ = 0
    for _ in range(COUNT):
        id_ += chance.choice([1, 1, 2, 50])
        numbers = {"kind": chance.choice([1, 2]), "severity": chance.choice([1, 4]), "errno": 0, "ino": 0, "count": 1}
        texts = {"source": "s", "filesystem_uuid": chance.choice(["u1", "u2"]), "device_id": "", "command_id": ""}
        place = {"agent": chance.choice([1, 2, 3]), "epoch": 1, "sequence": id_, "wall_ns": 0, "record": b""}
        yield {
            "id": id_,
            "chunk": id_ >> EVENT_CHUNK_BITS,
            "received_ns": id_ // 10 * 1000,
            **place,
            **numbers,
            **texts,
        }


@pytest.fixture
async def filled(store):
    everything = list(rows())

    def fill(connection):
        connection.execute(insert(events), everything)
        connection.execute(text("UPDATE meta SET number=:n WHERE key='last_record_id'"), {"n": everything[-1]["id"]})

    await store.write(fill)
    assert everything[-1]["chunk"] > 3
    return store, everything


FILTERS = [
    EventFilter(),
    EventFilter(agents=[2]),
    EventFilter(agents=[1, 3], kinds=[2]),
    EventFilter(agents=[]),
    EventFilter(min_severity=4, filesystem_uuid="u2"),
    EventFilter(agents=[2], since_ns=1_000_000, until_ns=2_500_000),
    EventFilter(after_id=9_000, before_id=20_000),
]


def expected(everything, wanted):
    found = [
        row["id"]
        for row in everything
        if (wanted.agents is None or row["agent"] in wanted.agents)
        and (not wanted.kinds or row["kind"] in wanted.kinds)
        and row["severity"] >= wanted.min_severity
        and (not wanted.filesystem_uuid or row["filesystem_uuid"] == wanted.filesystem_uuid)
        and row["received_ns"] >= wanted.since_ns
        and (not wanted.until_ns or row["received_ns"] < wanted.until_ns)
        and row["id"] > wanted.after_id
        and (not wanted.before_id or row["id"] < wanted.before_id)
    ]
    return found[::-1]


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
async def test_pages_walk_backwards_through_exactly_what_the_filter_lets_pass(filled, wanted):
    store, everything = filled
    found, before = [], wanted.before_id
    while page := await store.read(events_page, replace(wanted, before_id=before), 97):
        found.extend(row.id for row in page)
        before = page[-1].id
    assert found == expected(everything, wanted)


async def test_following_reads_forward_without_holes(filled):
    store, everything = filled
    found, cursor = [], 0
    while page := await store.read(events_after, cursor, 250, EventFilter(agents=[2])):
        found.extend(row.id for row in page)
        cursor = page[-1].id
    assert found == expected(everything, EventFilter(agents=[2]))[::-1]


async def test_a_time_becomes_a_bound_of_ids(filled):
    store, everything = filled
    for since in (0, 1, 1_000, 777_777, everything[-1]["received_ns"]):
        wanted = next(row["id"] for row in everything if row["received_ns"] >= since)
        bound = await store.read(first_event_id_since, since)
        assert next(row["id"] for row in everything if row["id"] >= bound) == wanted
    assert await store.read(first_event_id_since, 1 << 60) == everything[-1]["id"] + 1
