"""`fsmend why`: a shared cause with suspects and figures, one unit's incident with its rates, and names that mean none."""

import json
import re

import pytest
import yaml
from sqlalchemy import text

from fsmend_proto.v1 import event_pb2, incident_pb2, record_pb2

FIGURES = incident_pb2.GroupStatistics(
    aspect="lost", counted="hosts", observed=10, expected=7e-06, population=80, exposure_hours=6.67, ratio_low=6.8e5,
    ratio_high=2.6e6, p=1.6e-50, spent_per_day=9.7e-43, window_seconds=300, aspects=["lost"], hosts=10, least=3,
    group_per_hour=1.05e-06, fleet_per_hour=1.05e-06, score=1298.8, penalty=10.7, explains=80,
    changes=["kernel 6.8 to rack r2"],
)  # fmt: skip
ROW = incident_pb2.GroupStatistics(
    aspect="lost", counted="hosts", observed=10, expected=3.5e-05, population=400, hosts=50, score=1275.4, explains=80
)


def mind(text, kind=incident_pb2.MIND_CHANGE_KIND_MORE_OUTSIDE):
    return incident_pb2.MindChange(kind=kind, count=2, counted="hosts", text=text)


@pytest.fixture
def rack(collector, make, host):
    """A shared cause with one member's incident merged into it."""
    shared = make.incident(
        "inc-676147960e030cae", code="RACK_FAULT", summary="rack r2: 10 hosts in it fail", evidence_count=80,
        cause=incident_pb2.Cause(dimension="rack", value="r2", odds=1e9, mind_changes=[mind("nothing is shared when…")]),
        suspects=[incident_pb2.Cause(dimension="row", value="w0", odds=0.025, figures=ROW,
                                     mind_changes=[mind("row w0 comes first with 2 more hosts")])],
        statistics=FIGURES, recommendation="Look at the rack's power.",
    )  # fmt: skip
    collector.incident(shared)
    member = make.incident("inc-00000000000000aa", host, merged_into=shared.id)
    member.state = incident_pb2.INCIDENT_STATE_MERGED
    collector.incident(member)
    merge(collector, member)
    return shared.id


def merge(collector, member):
    sql = text("UPDATE incidents SET merged_into=:into WHERE id=:name")
    collector.write(lambda c: c.execute(sql, {"into": member.merged_into, "name": member.id}) and None)


def test_a_shared_cause_shows_causes_figures_and_what_would_change_our_mind(fsmend, rack):
    output = fsmend("why", rack[:8]).output
    assert re.search(r"rack r2 +1e\+09:1 +10/10 +7e-06 +1\.4e\+06 +80 +1298\.8", output)
    assert re.search(r"row w0 +1:40 +10/50 +3\.5e-05 +2\.9e\+05 +80 +1275\.4", output)
    for part in (
        "docs/incidents.md#rack_fault",
        "95 % interval 6.8e+05 to 2.6e+06",
        "1.05e-06 an hour for a unit of the group, 1.05e-06 in the fleet",
        "1.6e-50 for so many or more",
        "9.7e-43 false incidents a day",
        "6.67 unit hours; window 5m",
        "at least 3 hosts in the window",
        "row w0 comes first with 2 more hosts",
        "kernel 6.8 to rack r2",
        "inc-00000000000000aa",
        f"80 more: fsmend get events --incident {rack} --limit 0",
        "Hosts of one rack fail together.",
        "The incidents of all its members are resolved",
    ):
        assert part in output
    assert max(map(len, output.splitlines())) < 130


def test_the_same_for_machines_has_every_figure(fsmend, rack):
    found = json.loads(fsmend("why", rack, "-o", "json").output)
    assert (found["apiVersion"], found["kind"]) == ("fsmend/v1", "Why")
    assert found["incident"]["statistics"]["p"] == 1.6e-50
    assert found["incident"]["suspects"][0]["figures"]["hosts"] == 50
    assert found["incident"]["suspects"][0]["mind_changes"][0]["kind"] == "more_outside"
    assert found["evidence_more"] == 80
    assert found["member_incidents"][0]["id"] == "inc-00000000000000aa"
    assert yaml.safe_load(fsmend("why", rack, "-o", "yaml").output) == found


def medium_error(make, sector, **fields):
    device = event_pb2.DeviceRef(id="loop:loop0", name="loop0")
    kind = event_pb2.EVENT_KIND_DEVICE_IO_ERROR
    record = make.event(f"I/O error, sector {sector}", device=device, sectors=event_pb2.SectorRange(start=sector))
    record.event.kind, record.event.source = kind, "trace"
    return record


@pytest.fixture
def slow_disk(collector, make, host):
    """A device's incident whose evidence is six events at five sectors."""
    collector.report(host, *(medium_error(make, sector) for sector in (1, 2, 3, 4, 5, 5)))
    found = make.incident(
        "inc-0123456789abcdef", host, code="DEVICE_IO_ERRORS", evidence_count=6, sources=["trace"],
        insufficient="insufficient evidence of a shared cause: 1 other in rack r1",
        cause=incident_pb2.Cause(dimension="device", value="loop:loop0"),
    )  # fmt: skip
    found.unit.device_id, found.unit.device_name = "loop:loop0", "loop0"
    collector.incident(found)
    link = text("INSERT INTO incident_evidence SELECT :name, id FROM events WHERE kind=:kind")
    values = {"name": found.id, "kind": event_pb2.EVENT_KIND_DEVICE_IO_ERROR}
    collector.write(lambda c: c.execute(link, values) and None)
    return found.id


def test_one_units_incident_shows_its_rates_sources_and_neighbours(fsmend, slow_disk):
    output = fsmend("why", slow_disk.removeprefix("inc-")[:6]).output
    for part in (
        "device_io: 6 errors at 5 places; 5 of 5 (crossed) in 10m, 5 of 20 in 7d, 2 of 200 at one place",
        "insufficient evidence of a shared cause: 1 other in rack r1",
        "I/O error, sector 3",
        "device loop:loop0",
        "docs/incidents.md#device_io_errors",
    ):
        assert part in output
    assert re.search(r"trace +6 +6", output)


def test_lost_telemetry_is_named_as_unknown(collector, fsmend, make, host, slow_disk):
    gap = record_pb2.Record(gap=record_pb2.Gap(reason=record_pb2.GAP_REASON_SPOOL_FULL, lost=7))
    collector.report(host, gap)
    assert re.search(r"web1 +spool_full +7", fsmend("why", slow_disk).output)


@pytest.mark.usefixtures("rack")
def test_an_unknown_incident_names_the_nearest(fsmend):
    result = fsmend("why", "inc-676147960e030cab", status=1)
    assert "there is no incident 'inc-676147960e030cab'" in result.stderr
    assert "nearest: inc-676147960e030cae" in result.stderr
    assert "fsmend get incidents --all" in result.stderr


@pytest.mark.usefixtures("rack")
def test_a_prefix_of_several_names_them(fsmend):
    result = fsmend("why", "inc-", status=1)
    assert "is not unique among the incidents: inc-00000000000000aa, inc-676147960e030cae" in result.stderr
