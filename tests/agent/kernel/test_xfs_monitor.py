"""Events of the XFS health monitor, laid out as in Linux 7.0."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.errors import DecodeError
from fsmend_agent.kernel import xfs_monitor
from fsmend_agent.kernel.xfs_monitor import Domain, EventType, MonitorEvent, ShutdownReason, decode_monitor_events


def event(domain, event_type, union=b"", time_ns=1):
    return struct.pack("=IIQ32s16x", domain, event_type, time_ns, union)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (event(0, 0, b"\xff" * 32), MonitorEvent(Domain.MOUNT, EventType.RUNNING, 1)),
        (event(0, 1, struct.pack("=Q", 17)), MonitorEvent(Domain.MOUNT, EventType.LOST, 1, lost=17)),
        (event(0, 6, struct.pack("=I", 0x11)), MonitorEvent(Domain.MOUNT, EventType.SHUTDOWN, 1, shutdown=0x11)),
        (event(1, 3, struct.pack("=I", 0x80)), MonitorEvent(Domain.FS, EventType.SICK, 1, mask=0x80)),
        (event(2, 4, struct.pack("=II", 0x10, 3)), MonitorEvent(Domain.AG, EventType.CORRUPT, 1, mask=0x10, group=3)),
        (event(4, 5, struct.pack("=II", 1, 2)), MonitorEvent(Domain.RTGROUP, EventType.HEALTHY, 1, mask=1, group=2)),
        (
            event(3, 3, struct.pack("=IIQ", 0x10, 7, 131)),
            MonitorEvent(Domain.INODE, EventType.SICK, 1, mask=0x10, generation=7, inode=131),
        ),
        (
            event(5, 7, struct.pack("=QQ", 2048, 8)),
            MonitorEvent(Domain.DATADEV, EventType.MEDIA_ERROR, 1, sector=2048, sectors=8),
        ),
        (
            event(8, 8, struct.pack("=QQQII", 4096, 512, 131, 7, 5)),
            MonitorEvent(
                Domain.FILERANGE,
                EventType.BUFREAD,
                1,
                position_bytes=4096,
                length_bytes=512,
                inode=131,
                generation=7,
                error=5,
            ),
        ),
    ],
)
def test_each_domain_fills_its_own_fields(data, expected):
    assert list(decode_monitor_events(data)) == [expected]


def test_shutdown_reasons_have_names():
    (record,) = decode_monitor_events(event(0, 6, struct.pack("=I", 0x11)))
    assert ShutdownReason(record.shutdown) == ShutdownReason.META_IO_ERROR | ShutdownReason.CORRUPT_ONDISK


def decode_all(data):
    records = []
    try:
        records.extend(decode_monitor_events(data))
    except DecodeError as error:
        return records, error.raw
    return records, b""


@pytest.mark.parametrize("bad", [event(9, 3), event(1, 13), event(1 << 31, 0)])
def test_an_unknown_kind_is_kept_raw_and_hides_no_other(bad):
    good = event(1, 3, struct.pack("=I", 1))
    records, raw = decode_all(bad + good + bad)
    assert len(records) == 1
    assert raw == bad * 2


def test_a_truncated_event_is_kept_raw():
    assert decode_all(event(0, 0) + b"half")[1] == b"half"


@given(st.binary(max_size=300))
def test_random_bytes_are_decoded_or_kept(data):
    records, raw = decode_all(data)
    assert len(records) * 64 + len(raw) == len(data)


def test_opening_asks_for_verbose_events_and_does_not_block(monkeypatch):
    seen = []
    monkeypatch.setattr(
        xfs_monitor.syscall, "ioctl", lambda fd, request, buffer, _path: seen.append((fd, request, bytes(buffer))) or 9
    )
    monkeypatch.setattr(xfs_monitor.os, "set_blocking", lambda fd, flag: seen.append((fd, flag)))
    assert xfs_monitor.open_monitor(4) == 9
    assert seen == [(4, 0x40205844, struct.pack("=QB23x", 1, 0)), (9, False)]


def test_a_repair_can_ask_whether_the_mount_is_still_the_same(monkeypatch):
    seen = []
    monkeypatch.setattr(
        xfs_monitor.syscall, "ioctl", lambda fd, request, buffer: seen.append((fd, request, bytes(buffer)))
    )
    xfs_monitor.is_on_monitored(9, 4)
    assert seen == [(9, 0x40085845, struct.pack("=iI", 4, 0))]
