"""`fsmend same`: is it only this one? Compared exactly with the rest of the fleet."""

import json
import re

import pytest
from scipy.stats import hypergeom
from sqlalchemy import text

from fsmend_collector.diagnosis.groups import view_of
from fsmend_proto.v1 import incident_pb2, inventory_pb2

HOSTS = 12


def disk(host, number, model):
    device = inventory_pb2.Device(
        kind="disk", model=model, firmware="F1", serial=f"S{host}-{number}", host_adapter="00:1f.2"
    )
    device.ref.id, device.ref.name = f"wwid:{host}-{number}", f"sd{'ab'[number]}"
    return device


@pytest.fixture
def fleet(collector, make):
    """Twelve hosts in three racks; a disk fails on three of the four hosts of rack r0, and one elsewhere."""
    population, ids = collector.population, {}
    for at in range(HOSTS):
        name = f"web{at}"
        ids[name] = collector.enrol(name)
        record = make.inventory(name, [], [disk(name, 0, "M0"), disk(name, 1, f"M{at % 4}")], rack=f"r{at // 4}")
        collector.report(ids[name], record)
        population.add(view_of(ids[name], record.inventory))
    for at, name in enumerate(("web1", "web2", "web3", "web9")):
        found = make.incident(f"inc-{at:016x}", ids[name], name, code="DEVICE_GONE")
        found.unit.device_id, found.unit.device_name = f"wwid:{name}-1", "sdb"
        collector.incident(found)
    return ids


def test_the_group_that_is_most_surprising_comes_first_with_an_exact_chance(fsmend, fleet):
    found = json.loads(fsmend("same", "web0:sda", "-o", "json").output)
    first = found["groups"][0]
    assert (first["dimension"], first["value"], first["counted"]) == ("rack", "r0", "hosts")
    assert (first["hosts"], first["failing_hosts"], first["failing_now"]) == (3, 3, 3)
    assert first["p"] == pytest.approx(hypergeom.sf(2, HOSTS - 1, 4, 3))
    assert first["expected"] == pytest.approx(3 * 4 / 11)
    assert {one["id"] for one in first["incidents"]} == {f"inc-{at:016x}" for at in range(3)}
    assert (found["fleet_devices"], found["failing_devices"]) == (2 * HOSTS - 1, 4)
    shared = {(one["dimension"], one["value"]) for one in found["groups"]}
    assert shared >= {("model", "M0"), ("model+firmware", "M0 F1"), ("kernel", "6.18.0"), ("host", "web0")}


def test_the_table_leads_with_the_answer(fsmend, fleet):
    output = fsmend("same", "Sweb0-0").output  # by its serial
    assert output.startswith("It may not be only this one: 3 of 3 other hosts of rack r0 fail too (1.1 expected")
    assert re.search(r"rack r0 +3 +3 +1\.1 +0\.024 +hosts", output)
    assert "rack r0: incidents" in output


def test_the_device_that_is_asked_about_never_counts_against_itself(fsmend, fleet):
    found = json.loads(fsmend("same", "web9:sdb", "-o", "json").output)
    assert [one["id"] for one in found["incidents"]] == ["inc-0000000000000003"]
    rack = next(one for one in found["groups"] if one["dimension"] == "rack")
    assert (rack["failing_hosts"], rack["p"]) == (0, 1.0)
    assert found["failing_devices"] == 3
    assert fsmend("same", "web9:sdb").output.startswith("It looks alone: others fail too, but in no group")


def test_what_is_well_again_counts_as_lately(collector, fsmend, fleet, make):
    now_ns = make.incident("x").onset_ns
    found = make.incident("inc-00000000000000ff", fleet["web5"], "web5", code="DEVICE_GONE", resolved_ns=now_ns)
    found.unit.device_id, found.state = "wwid:web5-1", incident_pb2.INCIDENT_STATE_RESOLVED
    collector.incident(found)
    sql = text("UPDATE incidents SET resolved_ns=:at WHERE id=:name")
    collector.write(lambda c: c.execute(sql, {"at": now_ns, "name": found.id}) and None)
    rack = next(
        one
        for one in json.loads(fsmend("same", "web4:sda", "-o", "json").output)["groups"]
        if one["dimension"] == "rack"
    )
    assert (rack["failing_now"], rack["failed_recently"], rack["failing_hosts"]) == (0, 1, 1)


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("name", "problem", "advice"),
    [
        ("web0:sdz", "there is no device 'web0:sdz'", "HOST:NAME as in web1:sda"),
        ("nowhere:sda", "there is no host 'nowhere'", "fsmend get hosts"),
        ("wwid:web1", "is not unique among the devices: web1:sda (wwid:web1-0)", "more of the id"),
    ],
)
def test_a_device_that_is_not_meant_clearly_is_refused(fsmend, name, problem, advice):
    result = fsmend("same", name, status=1)
    assert problem in result.stderr
    assert advice in result.stderr
