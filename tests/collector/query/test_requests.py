"""Requests that no CLI of ours would send: an answer or a clear refusal, never a broken service."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from soak import examples

from fsmend_collector.query.client import Client
from fsmend_collector.query.contexts import load_context
from fsmend_collector.query.errors import QueryError
from fsmend_proto.v1 import query_pb2 as pb


@pytest.fixture
def client(collector, host, make):
    collector.report(host, make.event("one"))
    collector.incident(make.incident("inc-1", host))
    with Client(load_context(collector.contexts("raw"), None), 20) as client:
        yield client


texts = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(["web1", "x" * 500, "%", "_", "\0", "1"])
numbers = st.integers(0, 2**64 - 1)
filters = st.builds(
    pb.Filter, since_ns=numbers, until_ns=numbers, host=texts, filesystem_uuid=texts, device=texts, source=texts,
    kinds=st.lists(st.integers(-5, 1000), max_size=3), min_severity=st.integers(-(2**31), 2**31 - 1), incident_id=texts,
    include_closed=st.booleans(), labels=st.dictionaries(texts, texts, max_size=2),
)  # fmt: skip
requests = st.builds(
    pb.ListRequest, kind=st.integers(-1, 12), filter=filters | st.just(pb.Filter()), id=texts | st.just(""),
    page_size=st.integers(0, 2**32 - 1), page_token=texts | st.just(""), detail=st.booleans(),
)  # fmt: skip


def answers(client):
    assert client.health().agents == 1


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=requests)
def test_any_list_request_is_answered_or_refused_for_a_reason(client, request):
    refused = ""
    try:
        client.list(request)
    except QueryError as error:
        refused = error.message
    assert not refused or "page token" in refused or "there is no" in refused


def test_a_filter_at_the_end_of_time_follows_nothing_and_breaks_nothing(client):
    stream = client.follow_events(pb.FollowEventsRequest(filter=pb.Filter(since_ns=2**64 - 1)))
    assert next(stream).cursor
    stream.close()
    answers(client)


@pytest.mark.parametrize("field", ["host", "device", "source", "filesystem_uuid", "incident_id"])
def test_a_huge_name_gets_an_answer_and_not_a_broken_connection(client, field):
    refused = ""
    try:
        found = client.list(
            pb.ListRequest(kind=pb.OBJECT_KIND_EVENT, filter=pb.Filter(**{field: "é" * 100_000}))
        ).objects
        assert not found
    except QueryError as error:
        refused = error.message
    assert field != "host" or refused.startswith("there is no host")
    assert len(refused) < 5000
    answers(client)


@pytest.mark.parametrize("cursor", ["-1", "x", "1" * 40, "٣", "1.5", " 1"])
def test_a_cursor_that_is_no_event_id_is_refused(client, cursor):
    with pytest.raises(QueryError, match="not the id of an event"):
        next(client.follow_events(pb.FollowEventsRequest(cursor=cursor)))
    answers(client)


def test_orders_without_action_target_or_sense_are_refused(client):
    request = pb.RunRepairRequest()
    with pytest.raises(QueryError, match="does not know the action"):
        client.run_repair(request)
    request.command.scrub_btrfs.SetInParent()
    with pytest.raises(QueryError, match="names no filesystem"):
        client.run_repair(request)
    request.command.target.filesystem_uuid = "6f2c1"
    request.command.reason = "r" * 100_000
    with pytest.raises(QueryError, match="too long"):
        client.run_repair(request)
    with contextlib.suppress(QueryError):
        client.cancel_repair(pb.CancelRepairRequest(command_id="\0"))
    answers(client)


def test_what_the_collector_fills_in_cannot_be_given_by_the_caller(client):
    request = pb.RunRepairRequest(dry_run=True)
    request.command.scrub_btrfs.SetInParent()
    request.command.target.filesystem_uuid = "6f2c1"
    request.command.id, request.command.ordered_by, request.command.approved_by = "mine", "operator:eve", "eve"
    request.command.not_after_wall_ns = 2**63
    request.command.action_class = 1
    command = client.run_repair(request).command
    assert command.id != "mine"
    assert (command.ordered_by, command.approved_by, command.action_class) == ("operator:ada", "", 3)
    assert command.not_after_wall_ns < 2**62
