"""`fsmend events`: order, filters, following without hole or repeat, at once."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from fsmend_collector.query.client import Client
from fsmend_collector.query.contexts import load_context
from fsmend_proto.v1 import query_pb2 as pb
from fsmend_proto.v1 import record_pb2

CLI = [sys.executable, "-c", "from fsmend_collector.query.cli import main; main(prog_name='fsmend')"]


def numbers(text):
    return [int(json.loads(line)["event"]["message"]) for line in text.splitlines()]


@pytest.fixture
def follower(collector):
    """Start `fsmend events …` as a process of its own; it is ended by Ctrl-C."""
    file = collector.contexts("follower")
    started = []

    def start(*arguments, environment=None):
        command = [*CLI, "--contexts-file", str(file), "events", *arguments]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **(environment or {})}
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_events_are_shown_oldest_first_and_only_the_newest(fsmend, collector, host, make):
    collector.report(host, *(make.event(str(number)) for number in range(150)))
    assert numbers(fsmend("events", "-o", "jsonl").stdout) == list(range(50, 150))
    assert numbers(fsmend("events", "-n", "3", "-o", "jsonl").stdout) == [147, 148, 149]
    assert numbers(fsmend("events", "-n", "0", "-o", "jsonl").stdout) == list(range(150))
    assert json.loads(fsmend("events", "-n", "3", "-o", "json").stdout)["more"] is True
    heading, *rows = fsmend("events").stdout.splitlines()
    assert heading.split() == ["TIME", "SEVERITY", "HOST", "WHERE", "MESSAGE"]
    assert len(rows) == 100


def test_events_are_filtered_by_kind_severity_source_and_time(fsmend, collector, host, make):
    collector.report(host, make.event("1", kind=10, severity=1, source="agent"), make.event("2"))
    middle = time.time()
    time.sleep(0.01)
    collector.report(host, make.event("3", severity=5))

    def shown(*arguments):
        return numbers(fsmend("events", "-o", "jsonl", *arguments).stdout)

    assert shown("--kind", "fs_unmounted") == [1]
    assert shown("--kind", "fs-unmounted,fs_error") == [1, 2, 3]
    assert shown("--severity", "critical") == [3]
    assert shown("--source", "agent") == [1]
    assert shown("--host", "web1", "-S", "1h") == [1, 2, 3]
    split = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(middle)) + f".{int(middle % 1 * 1e6):06d}Z"
    assert shown("-S", split) == [3]
    assert shown("-U", split) == [1, 2]


def test_follow_prints_an_event_as_soon_as_it_is_committed(collector, host, make, follower):
    collector.report(host, make.event("before"))
    process = follower("-f")
    assert process.stdout.readline().split()[0] == b"TIME"
    for number in range(3):
        sent = time.monotonic()
        collector.report(host, make.event(f"number {number}"))
        assert f"number {number}".encode() in process.stdout.readline()
        assert time.monotonic() - sent < 2
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=10)
    assert (process.returncode, out, error) == (0, b"", b"")


def test_follow_from_a_cursor_has_no_hole_and_no_repeat_while_events_are_committed(collector, host, make):
    """A follower that breaks off again and again, while another thread reports, sees every event once and in order."""
    total = 600

    def report():
        for start in range(0, total, 20):
            collector.report(host, *(make.event(str(start + index)) for index in range(20)))

    seen = []
    cursor = "0"
    writer = threading.Thread(target=report)
    writer.start()
    with Client(load_context(collector.contexts("cursor"), None), 10) as client:
        while len(seen) < total:
            stream = client.follow_events(pb.FollowEventsRequest(cursor=cursor))
            for reply in stream:
                if reply.HasField("event"):
                    seen.append(int(reply.event.event.message))
                    cursor = reply.event.id
                    if len(seen) % 37 == 0 or len(seen) == total:
                        break
            stream.close()
    writer.join()
    assert seen == list(range(total))


def test_follow_reads_a_long_backlog_in_one_go_with_other_records_between(collector, host, make):
    total = 1330  # more than two batches of the server, and no batch ends where a gap stands
    for start in range(0, total, 70):
        gap = record_pb2.Record(gap=record_pb2.Gap(reason=1, lost=1))
        collector.report(host, *(make.event(str(start + index)) for index in range(70)), gap)
    with Client(load_context(collector.contexts("long"), None), 10) as client:
        stream = client.follow_events(pb.FollowEventsRequest(cursor="0"))
        events = (reply.event for reply in stream if reply.HasField("event"))
        assert [int(event.event.message) for event in itertools.islice(events, total)] == list(range(total))
        stream.close()


def test_follow_goes_on_where_it_was_when_the_collector_comes_back(collector, host, make, follower):
    process = follower("--cursor", "0", "-o", "jsonl")
    collector.report(host, make.event("1"), make.event("2"))
    assert [json.loads(process.stdout.readline())["event"]["message"] for _ in range(2)] == ["1", "2"]
    collector.run(collector.server.stop(0))
    collector.report(host, make.event("3"))  # committed while nobody can be asked
    time.sleep(0.7)
    collector.run(collector.serve())
    collector.report(host, make.event("4"))
    assert [json.loads(process.stdout.readline())["event"]["message"] for _ in range(2)] == ["3", "4"]
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=10)
    assert out == b""
    assert b"go on after event" in error


def test_follow_filters_on_the_server_and_still_moves_the_cursor(collector, host, make):
    collector.report(host, make.event("first"))
    with Client(load_context(collector.contexts("filter"), None), 10) as client:
        stream = client.follow_events(pb.FollowEventsRequest(filter=pb.Filter(min_severity=5)))
        start = next(stream)
        assert start.cursor
        assert not start.HasField("event")
        for _ in range(3):
            collector.report(host, *(make.event("noise") for _ in range(300)))
        moved = next(stream)
        assert not moved.HasField("event")
        assert int(moved.cursor) > int(start.cursor) + 400
        collector.report(host, make.event("signal", severity=5))
        while not (reply := next(stream)).HasField("event"):
            pass
        assert reply.event.event.message == "signal"
        stream.close()


def test_follow_since_begins_in_the_past_and_tail_shows_some_before_following(collector, host, make, follower):
    collector.report(host, *(make.event(str(number)) for number in range(5)))
    since = follower("-f", "-S", "1h", "-o", "jsonl")
    tail = follower("-f", "-n", "2", "-o", "jsonl")
    assert [json.loads(since.stdout.readline())["event"]["message"] for _ in range(5)] == list("01234")
    assert [json.loads(tail.stdout.readline())["event"]["message"] for _ in range(2)] == ["3", "4"]
    collector.report(host, make.event("5"))
    assert json.loads(tail.stdout.readline())["event"]["message"] == "5"


def test_get_events_watch_is_follow(collector, host, make):
    file = collector.contexts("watch")
    command = [*CLI, "--contexts-file", str(file), "get", "ev", "-w", "-o", "name"]
    # In its own session of the runner: -o name prints no heading, so wait until it shows up as a follower.
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            deadline = time.monotonic() + 20
            while not collector.feed._followers.get("records"):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            collector.report(host, make.event("now"))
            assert process.stdout.readline().startswith(b"event/")
        finally:
            process.kill()


def test_a_reader_that_goes_away_ends_the_follower_without_a_traceback(collector, host, make, follower):
    process = follower("--cursor", "0")
    assert process.stdout.readline()
    process.stdout.close()
    for number in range(5):
        collector.report(host, make.event(str(number)))
        time.sleep(0.05)
    assert process.wait(10) is not None
    assert b"Traceback" not in process.stderr.read()
