"""What an operator calls a part of the fleet is found, or the error says what there is."""

from functools import partial

import pytest
from collector.diagnose.rack import inventory
from collector.rig import batch, eventually

from fsmend_collector.diagnose.scoping import scope_in
from fsmend_collector.errors import CommandRefused, NoSuchObject
from fsmend_collector.fleet import revoke


async def reported(rig, name="h-0-00", rack=0):
    agent = await rig.agent(name)
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, inventory(1, name, rack)))
    await stream.acked(1)
    return agent


async def test_a_host_is_called_by_its_name_and_a_label_as_it_is_listed(rig):
    agent = await reported(rig)
    read = rig.collector.store.read
    assert await read(scope_in, "host=h-0-00") == ("host", agent.identity.agent_id)
    assert await read(scope_in, "label:rack=r0") == ("label:rack", "r0")
    assert await read(scope_in, "rack=r0") == ("rack", "r0")
    assert await read(scope_in, "kernel=6.8.0") == ("kernel", "6.8.0")
    assert await read(scope_in, "fleet=all") == ("fleet", "all")
    with pytest.raises(CommandRefused, match="there is no host 'web-2'\nwrite its name"):
        await read(scope_in, "host=web-2")
    with pytest.raises(CommandRefused, match="500 at most"):
        await read(scope_in, f"rack={'r' * 500}")


async def test_what_nobody_has_is_an_error_unless_it_is_to_come(rig):
    for number in range(12):
        await reported(rig, f"h-{number}-00", number)
    read = rig.collector.store.read
    for text, problem in (
        ("rack=r12", "no host has rack=r12\nof rack there are r2, r1, r11, r0, .* and 4 more; with --force"),
        ("role=db", "no host has a label 'role'\nthere are host, kernel, model, rack, row"),
        ("kernel=6.8", "of kernel there are 6.8.0"),
    ):
        with pytest.raises(NoSuchObject, match=problem):
            await read(scope_in, text)
        name, _, value = text.partition("=")
        assert (await read(partial(scope_in, to_come=True), text))[1] == value, name


async def test_the_groups_of_disks_are_those_that_the_population_counts(rig):
    await reported(rig)
    await eventually(lambda: rig.rows("SELECT 1 FROM counted_hosts"))
    read = rig.collector.store.read
    assert await read(scope_in, "filesystem_type=btrfs") == ("filesystem_type", "btrfs")
    with pytest.raises(NoSuchObject, match="of filesystem_type there are btrfs"):
        await read(scope_in, "filesystem_type=btrf")


async def test_a_host_that_left_the_fleet_has_no_labels(rig):
    agent = await reported(rig)
    await rig.collector.store.write(revoke, agent.identity.agent_id, "operator:test", 1)
    with pytest.raises(NoSuchObject, match="no host has a label 'rack'"):
        await rig.collector.store.read(scope_in, "rack=r0")
