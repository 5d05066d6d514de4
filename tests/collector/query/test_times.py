"""Times as operators type them."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.query.times import parse_length, parse_time, to_ns

ZONE = timezone(timedelta(hours=2))
NOW = datetime(2026, 11, 22, 15, 30, 45, 123456, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-1h", NOW - timedelta(hours=1)),
        ("1h", NOW - timedelta(hours=1)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("2d ago", NOW - timedelta(days=2)),
        ("90s", NOW - timedelta(seconds=90)),
        ("now", NOW),
        ("today", datetime(2026, 11, 22, tzinfo=ZONE)),
        ("Yesterday", datetime(2026, 11, 21, tzinfo=ZONE)),
        ("13:00", datetime(2026, 11, 22, 13, tzinfo=ZONE)),
        ("9:05", datetime(2026, 11, 22, 9, 5, tzinfo=ZONE)),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=ZONE)),
        ("2026-11-22 13:00", datetime(2026, 11, 22, 13, tzinfo=ZONE)),
        ("2026-11-22T13:00:05Z", datetime(2026, 11, 22, 13, 0, 5, tzinfo=UTC)),
        ("2026-11-22T13:00:05.25+01:00", datetime(2026, 11, 22, 12, 0, 5, 250000, tzinfo=UTC)),
        ("@1700000000", datetime.fromtimestamp(1700000000, UTC)),
    ],
)
def test_parse_time_takes(text, expected):
    assert parse_time(text, NOW) == expected


@pytest.mark.parametrize(
    "text", ["", "-", "1x", "1h2", "25:00", "2026-13-01", "last week", "h", "-1e9", "9" * 50 + "s"]
)
def test_parse_time_refuses(text):
    with pytest.raises((ValueError, OverflowError)):
        parse_time(text, NOW)


@given(st.text())
def test_parse_time_fails_in_no_other_way(text):
    with contextlib.suppress(ValueError, OverflowError):
        assert parse_time(text, NOW).tzinfo is not None


def test_a_length_may_be_bare_seconds():
    assert parse_length("3600") == 3600
    assert parse_length("1h30m") == 5400


def test_to_ns_ends_where_a_signed_number_of_nanoseconds_does():
    latest = datetime(2262, 4, 11, 23, 47, 16, 854775, tzinfo=UTC)
    assert to_ns(latest) == 9223372036854775000
    with pytest.raises(ValueError, match="later than 2262-04-11"):
        to_ns(latest + timedelta(microseconds=1))


def test_to_ns_is_exact_and_never_zero():
    assert to_ns(datetime(2026, 11, 22, 13, 0, 0, 123456, tzinfo=UTC)) == 1795352400123456000
    assert to_ns(datetime(1960, 1, 1, tzinfo=UTC)) == 1
