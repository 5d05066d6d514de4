import asyncio

from fsmend_collector.feed import Feed
from fsmend_collector.fleet import Presence, quarantine, release, revoke, standing


def test_a_newer_session_keeps_the_agent_connected_when_the_older_ends():
    presence = Presence()
    presence.opened("a", "s1", 1)
    presence.opened("a", "s2", 2)
    assert not presence.closed("a", "s1")
    assert presence.connected("a")
    presence.seen("a", "s1", 3)
    assert presence.last_seen_ns("a") == 2
    assert presence.closed("a", "s2")
    assert not presence.connected("a")
    assert presence.last_seen_ns("a") == 0


def test_what_was_seen_is_written_once():
    presence = Presence()
    presence.opened("a", "s", 1)
    presence.seen("a", "s", 5)
    presence.seen("a", "s", 6)
    assert presence.take_unwritten() == {"a": 6}
    assert presence.take_unwritten() == {}


async def test_quarantine_and_revocation_are_audited_once(rig):
    agent_id = (await rig.agent()).identity.agent_id
    store = rig.collector.store
    await store.write(quarantine, agent_id, "two hosts", 5)
    await store.write(quarantine, agent_id, "again", 6)
    assert agent_id in (await store.read(standing)).quarantined
    assert await store.write(release, agent_id, "operator:kim", 7)
    assert not await store.write(release, agent_id, "operator:kim", 8)
    assert await store.write(revoke, agent_id, "operator:kim", 9)
    assert not await store.write(revoke, agent_id, "operator:kim", 10)
    assert agent_id in (await store.read(standing)).revoked
    rows = await rig.rows("SELECT action FROM audit WHERE object_kind='agent' ORDER BY id")
    assert [row.action for row in rows] == ["agent.quarantined", "agent.released", "agent.revoked"]


async def test_many_commits_wake_a_follower_once_and_none_is_missed():
    feed = Feed()
    wakes = feed.follow("records")
    await anext(wakes)
    for id_ in range(1, 10):
        feed.publish_records(id_)
    await anext(wakes)
    waiting = asyncio.ensure_future(anext(wakes))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    feed.publish_records(9)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    feed.publish_records(10)
    await waiting
    await wakes.aclose()
    assert feed._followers["records"] == set()


async def test_a_follower_can_be_woken_without_a_change():
    wakes = Feed().follow("commands", at_least_every_seconds=0.01)
    await anext(wakes)
    async with asyncio.timeout(5):
        await anext(wakes)
    await wakes.aclose()
