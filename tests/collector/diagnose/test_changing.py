"""What is changed on a part of the fleet reaches diagnosis, from inventories and from operators."""

from click.testing import CliRunner
from collector.diagnose.rack import Racks, enrol_all, lost_disk, names, started
from collector.rig import eventually, make_config
from collector.test_kill import config_file

from fsmend_collector import diagnose as diagnose_package
from fsmend_collector.cli import main
from fsmend_collector.diagnose import changing, following
from fsmend_collector.diagnosis.groups import Change


async def fleet_of(tmp_path, racks, hosts):
    config = make_config(tmp_path)
    identities = enrol_all(config, names(racks, hosts))
    rig = await started(config)
    fleet = Racks(rig.collector.servers.link_port, identities)
    await fleet.connect()
    await fleet.introduce()
    return rig, fleet


async def test_a_roll_out_of_a_kernel_is_seen_in_the_inventories_and_survives_a_restart(tmp_path, monkeypatch):
    monkeypatch.setattr(diagnose_package, "POSITION_SECONDS", 0.1)
    rig, fleet = await fleet_of(tmp_path, 2, 3)
    population = rig.collector.diagnose.population.sizes

    async def known():
        return population.get(("kernel", "6.8.0"), [0, 0, 0])[2] == 6

    await eventually(known)
    await fleet.introduce(kernel="6.8.12")

    async def moved():
        return population.get(("kernel", "6.8.12"), [0, 0, 0])[2] == 6 and ("kernel", "6.8.0") not in population

    await eventually(moved)
    await fleet.close()
    named = "SELECT * FROM changes WHERE kind='rollout' AND name LIKE '%6 hosts'"
    rows = await eventually(lambda: rig.rows(named))
    assert [(row.dimension, row.value) for row in rows] == [("kernel", "6.8.12")]
    await rig.stop()
    again = await started(rig.config)
    (change,) = again.collector.diagnose._following.engine.scan.changes
    assert change.name == "roll-out of kernel 6.8.12, 6 hosts"
    assert again.collector.diagnose.population.sizes == population
    await again.stop()


async def test_what_fails_in_a_maintenance_window_is_no_shared_cause(tmp_path, monkeypatch):
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.1)
    rig, fleet = await fleet_of(tmp_path, 4, 6)
    path = str(config_file(tmp_path, rig.config))
    run = CliRunner().invoke
    wrong = run(main, ["maintenance", "declare", "power", "--scope", "r1", "--config", path])
    assert wrong.exit_code == 1
    assert "such as rack=r1" in wrong.output
    declared = run(main, ["maintenance", "declare", "power supply", "--scope", "rack=r1", "--config", path])
    change_id = declared.output.strip()
    scan = rig.collector.diagnose._following.engine.scan

    async def taken():
        return [one.scope for one in scan.changes] == [("rack", "r1")]

    await eventually(taken)
    assert f"{change_id}  " in run(main, ["maintenance", "list", "--config", path]).output
    for place in range(6):
        name = f"h-1-{place:02}"
        await fleet.send(name, lambda at, name=name: lost_disk(at, name, 0))

    async def diagnosed():
        return len(await rig.rows("SELECT id FROM incidents WHERE code='DEVICE_GONE'")) == 6

    await eventually(diagnosed)
    assert scan.swallowed == 6
    assert "has ended" in run(main, ["maintenance", "end", change_id, "--config", path]).output
    ended = run(main, ["maintenance", "end", change_id, "--config", path])
    assert (ended.exit_code, "there is no" in ended.output) == (1, True)
    assert await rig.rows("SELECT id FROM incidents WHERE code='RACK_FAULT'") == []
    await fleet.close()
    await rig.stop()


async def test_of_more_changes_than_are_read_the_newest_count(rig, monkeypatch):
    monkeypatch.setattr(changing, "_LISTED", 2)

    def declare(connection):
        for number in range(3):
            one = Change(f"rack {number}", ("rack", f"r{number}"), number, 100)
            changing.write_change(connection, changing.Declared(f"maintenance-{number}", "maintenance", one), 1)

    await rig.collector.store.write(declare)
    found = await rig.collector.store.read(changing.stored_changes, 50)
    assert [one.id for one in found] == ["maintenance-1", "maintenance-2"]
