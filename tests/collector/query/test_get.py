"""`fsmend get` and `fsmend health` against a real collector."""

import json
import re

import pytest
import yaml

from fsmend_collector.query.client import Client
from fsmend_collector.query.contexts import load_context
from fsmend_collector.query.errors import QueryError
from fsmend_collector.query.fetch import identity
from fsmend_collector.query.kinds import KINDS
from fsmend_proto.v1 import query_pb2 as pb


def test_every_kind_can_be_listed_by_each_of_its_names_in_every_format(fsmend, host):

    for kind in KINDS:
        for name in (kind.singular, kind.plural, kind.short):
            fsmend("get", name)
        for output in ("wide", "json", "jsonl", "yaml", "name"):
            fsmend("get", kind.plural, "-o", output)


def test_hosts_show_their_kernel_state_and_units(fsmend, host):
    heading, row = fsmend("get", "hosts").stdout.splitlines()
    assert heading.split() == ["NAME", "STATE", "KERNEL", "DEV", "FS", "INC", "AGE"]
    assert row.split()[:6] == ["web1", "connected", "6.18.0", "1", "2", "0"]


def test_json_is_versioned_with_numbers_and_rfc_3339_times(fsmend, host):
    document = json.loads(fsmend("get", "fs", "-o", "json").stdout)
    assert document["apiVersion"] == "fsmend/v1"
    assert document["kind"] == "FilesystemList"
    first = document["items"][0]
    assert first["kind"] == "Filesystem"
    assert first["filesystem"]["size_bytes"] == 10 << 30
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", first["seen_time"])


def test_yaml_json_and_jsonl_say_the_same(fsmend, host):
    from_json = json.loads(fsmend("get", "fs", "-o", "json").stdout)
    from_lines = [json.loads(line) for line in fsmend("get", "fs", "-o", "jsonl").stdout.splitlines()]
    assert yaml.safe_load(fsmend("get", "fs", "-o", "yaml").stdout) == from_json
    assert from_lines == from_json["items"]


def test_labels_hosts_and_filesystems_are_filtered_on_the_collector(fsmend, collector, host, make):
    other = collector.enrol("db1")
    collector.report(other, make.inventory("db1", [make.filesystem("99990000-0000-4000-8000-000000000000")], rack="r2"))
    assert fsmend("get", "hosts", "-l", "rack=r2", "-o", "name").stdout == "host/db1\n"
    assert fsmend("get", "hosts", "--host", "web1", "-o", "name").stdout == "host/web1\n"
    assert fsmend("get", "fs", "--host", "db1", "-o", "name").stdout.startswith("filesystem/9999")
    collector.report(host, make.event("on the btrfs", filesystem={"uuid": make.UUID}))
    collector.report(host, make.event("elsewhere"))
    found = fsmend("get", "events", "--fs", "web1:/srv/data", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line)["event"]["message"] for line in found] == ["on the btrfs"]


def test_an_id_may_be_a_unique_prefix(fsmend, host, make):
    assert fsmend("get", "fs", "6f2c1", "-o", "name").stdout == f"filesystem/{make.UUID}\n"
    assert fsmend("get", "agent", "aaaa", "-o", "name").stdout == f"agent/{host}\n"


def test_an_ambiguous_prefix_names_the_candidates_and_what_to_do(fsmend, host, make):
    error = fsmend("get", "fs", "6f2c", status=1).stderr
    assert make.UUID in error
    assert make.UUID_XFS in error
    assert "write more of it" in error
    assert len(error.splitlines()) == 2


def test_an_unknown_id_says_how_to_find_one(fsmend, host):
    error = fsmend("get", "incident", "nope", status=1).stderr
    assert error.splitlines() == ["Error: there is no incident 'nope'", "`fsmend get incidents --all` lists them"]


def test_an_unknown_host_is_an_error_and_not_an_empty_list(fsmend, host):
    assert "there is no host 'wbe1'" in fsmend("get", "events", "--host", "wbe1", status=1).stderr


@pytest.mark.parametrize(
    "arguments",
    [["get", "cats"], ["get", "events", "-S", "tomorrowish"], ["get", "events", "--kind", "boom"],
     ["get", "hosts", "-l", "rack"], ["get", "hosts", "-o", "xml"], ["nonsense"], ["events", "--cursor", "x"],
     ["get", "events", "-S", "1h", "-U", "2h"]],
)  # fmt: skip
def test_wrong_usage_has_status_2(fsmend, arguments):
    assert fsmend(*arguments, status=2).stderr


def test_incidents_come_worst_first_and_closed_ones_only_when_asked_for(fsmend, collector, host, make):
    collector.incident(make.incident("warn1", host, severity=3))
    collector.incident(make.incident("crit1", host, severity=5))
    collector.incident(make.incident("done1", host, severity=5, state=3))
    assert fsmend("get", "inc", "-o", "name").stdout.split() == ["incident/crit1", "incident/warn1"]
    assert fsmend("get", "inc", "--all", "-o", "name").stdout.split()[-1] == "incident/done1"
    assert fsmend("get", "inc", "--severity", "critical", "-o", "name").stdout == "incident/crit1\n"
    assert json.loads(fsmend("get", "host", "web1", "-o", "jsonl").stdout)["incidents_open"] == 2


def test_paging_over_2500_events_gives_each_once_newest_first(fsmend, collector, host, make):
    for start in range(0, 2500, 500):
        collector.report(host, *(make.event(f"number {start + index}") for index in range(500)))
    lines = fsmend("get", "events", "--limit", "0", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line)["event"]["message"] for line in lines] == [f"number {n}" for n in range(2499, -1, -1)]
    cut = json.loads(fsmend("get", "events", "--limit", "1200", "-o", "json").stdout)
    assert len(cut["items"]) == 1200
    assert cut["more"] is True
    assert len(fsmend("get", "events", "-o", "name").stdout.splitlines()) == 100


def test_pages_stay_good_while_objects_come_and_go(collector, make, authority):

    for number in range(0, 30, 2):
        collector.incident(make.incident(f"i{number:02d}", opened_ns=10**18 - number))
    with Client(load_context(collector.contexts("paging"), None), 10) as client:
        request = pb.ListRequest(kind=pb.OBJECT_KIND_INCIDENT, page_size=5)
        first = client.list(request)
        collector.incident(make.incident("i01", opened_ns=10**18 - 1))  # before the next page: it may not shift it
        request.page_token = first.next_page_token
        second = client.list(request)
    assert [identity(one) for one in first.objects] == ["i00", "i02", "i04", "i06", "i08"]
    assert [identity(one) for one in second.objects] == ["i10", "i12", "i14", "i16", "i18"]


def test_a_damaged_page_token_is_refused(collector, make):

    with Client(load_context(collector.contexts("paging"), None), 10) as client:
        for kind in (pb.OBJECT_KIND_EVENT, pb.OBJECT_KIND_HOST):
            for token in ("%%%", "W10", "bnVsbA", "WzEsMiwzLDRd", "A"):
                with pytest.raises(QueryError, match="page token"):
                    client.list(pb.ListRequest(kind=kind, page_token=token))
