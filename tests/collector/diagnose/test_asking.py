"""The verbs of diagnosis from end to end: the command line as a process, a running collector, a rack that fails."""

import asyncio
import json
import sys
import time

import pytest
from collector.diagnose.rack import Racks, corrupt, enrol_all, lost_disk, names, started
from collector.rig import eventually, make_config

from fsmend_collector.operators import Operator, issue_operator


class Shell:
    """An operator's shell: runs `fsmend` against a collector."""

    def __init__(self, rig, directory):
        self.contexts = directory / "operator" / "contexts.yaml"
        issue_operator(rig.collector.authority, rig.config, Operator("ada", self.contexts))
        port = rig.collector.servers.link_port
        self.contexts.write_text(self.contexts.read_text().replace("localhost:0", f"localhost:{port}"))

    async def __call__(self, *arguments, status=0):
        code = "import sys; from fsmend_collector.query.cli import main; main(prog_name='fsmend')"
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-c", code, "--contexts-file", str(self.contexts), "--timeout", "30", *arguments)
        child = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        output, errors = await child.communicate()
        assert child.returncode == status, (output, errors)
        return output.decode() or errors.decode()


@pytest.fixture
async def failed(tmp_path):
    """A collector, 4 racks of 6 hosts, five hosts of rack r1 lost a disk each, and one filesystem elsewhere is corrupt."""
    config = make_config(tmp_path)
    identities = enrol_all(config, names(4, 6))
    rig = await started(config)
    racks = Racks(rig.collector.servers.link_port, identities)
    await racks.connect()
    await racks.introduce()
    rig.began = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    for place in range(5):
        name = f"h-1-{place:02}"
        await racks.send(name, lambda at, name=name: lost_disk(at, name, 0))
    await racks.send("h-2-03", lambda at: corrupt(at, "h-2-03", 1))

    async def diagnosed():
        return await rig.rows("SELECT id FROM incidents WHERE code='RACK_FAULT' AND occurrences=5") or None

    ((rig.rack_fault,),) = await eventually(diagnosed)
    rig.racks = racks
    yield rig
    await racks.close()
    await rig.stop()


async def test_an_operator_asks_why_who_else_and_again_and_mutes_and_resolves(failed, tmp_path):
    fsmend = Shell(failed, tmp_path)
    why = await fsmend("why", failed.rack_fault)
    assert "rack r1" in why
    assert "nothing is shared when 3 of its 5 hosts fail for a reason of their own" in why
    assert "docs/incidents.md#rack_fault" in why
    found = json.loads(await fsmend("why", failed.rack_fault, "-o", "json"))
    assert found["incident"]["statistics"]["hosts"] == 6
    assert {one["dimension"] for one in found["incident"]["suspects"]} >= {"row", "fleet"}
    assert all(one["figures"]["score"] for one in found["incident"]["suspects"])
    assert len(found["member_incidents"]) == 5

    same = json.loads(await fsmend("same", "h-1-05:sda", "-o", "json"))
    first = same["groups"][0]
    assert (first["dimension"], first["value"], first["failing_hosts"], first["hosts"]) == ("rack", "r1", 5, 5)
    assert (await fsmend("same", "h-1-05:sda")).startswith("It is not only this one: 5 of 5 other hosts of rack r1")

    (member,) = {one["id"] for one in found["member_incidents"] if one["host_name"] == "h-1-00"}
    assert f"mute that one: `fsmend mute {failed.rack_fault}`" in await fsmend("mute", member, "--for", "1h", status=1)
    assert "is muted until" in await fsmend("mute", failed.rack_fault, "--for", "2h", "--reason", "power works")
    assert "Muted until" in await fsmend("describe", "incident", failed.rack_fault)
    assert "is no longer muted" in await fsmend("unmute", failed.rack_fault)

    again = json.loads(await fsmend("diagnose", "--since", failed.began, "-o", "json"))
    assert again["identical"], again
    assert again["same"] == 7
    other = tmp_path / "other.toml"
    other.write_text(
        '[diagnosis]\nagent_silent_seconds = 60\n\n[diagnosis.rules.device_io]\ncount = 2\n[store]\nurl = "secret"\n'
    )
    assert (await fsmend("diagnose", "--since", failed.began, "--config", str(other))).startswith("identical")

    assert "is resolved" in await fsmend("resolve", failed.rack_fault, "--proof", "rack is scrap", "--members")
    assert "is resolved already: operator:ada: rack is scrap" in await fsmend(
        "resolve", failed.rack_fault, "--proof", "again", status=1
    )
    left = json.loads(await fsmend("get", "incidents", "-o", "json"))
    assert [one["code"] for one in left["items"]] == ["FS_DATA_CORRUPTION"]


async def test_a_replay_that_differs_has_its_own_exit_status(failed, tmp_path):
    fsmend = Shell(failed, tmp_path)

    def forget(connection):
        connection.exec_driver_sql("DELETE FROM incidents WHERE code='FS_DATA_CORRUPTION'")

    async def forgotten():
        await failed.collector.store.write(forget)
        await asyncio.sleep(1.5)  # what diagnosis still had to tell of it would bring it back
        return not await failed.rows("SELECT id FROM incidents WHERE code='FS_DATA_CORRUPTION'")

    assert await eventually(forgotten)
    text = await fsmend("diagnose", "--since", failed.began, status=3)
    assert text.startswith("1 of 7 incidents differ")
    assert "Only now" in text
    assert "FS_DATA_CORRUPTION" in text
