"""A small fleet and its findings for the tests of the group scan."""

import itertools

from fsmend_collector.diagnosis import Evidence
from fsmend_collector.diagnosis.groups import DeviceView, GroupScan, HostView, Population
from fsmend_proto.v1 import event_pb2

SECOND = 1_000_000_000
HOUR, DAY = 3_600 * SECOND, 86_400 * SECOND
START = 1_700_000_000 * SECOND
DISKS = 8
_numbers = itertools.count()
KINDS = {
    "lost": event_pb2.EVENT_KIND_DEVICE_GONE,
    "media": event_pb2.EVENT_KIND_DEVICE_MEDIUM_ERROR,
    "health": event_pb2.EVENT_KIND_DEVICE_HEALTH,
    "corrupt": event_pb2.EVENT_KIND_FS_METADATA_CORRUPTION,
}


def host(number: int) -> HostView:
    """Return the n-th host: ten a rack, five racks a row, two adapters, three models with two firmwares each."""
    devices = tuple(
        DeviceView(f"wwid:{number}-{at}", f"sd{at}", f"M{number % 3}", f"F{number // 3 % 2}", f"hba{at // 4}")
        for at in range(DISKS)
    )
    filesystems = {f"fs-{number}-{at}": ("xfs", (devices[at].device_id,), "") for at in range(DISKS)}
    labels = (("rack", f"r{number // 10}"), ("row", f"w{number // 50}"), ("tier", f"t{number % 7}"))
    return HostView(f"a{number}", f"h{number}", f"6.{number % 4}", labels, devices, filesystems)


HOSTS = [host(number) for number in range(400)]
POPULATION = Population()
for _view in HOSTS:
    POPULATION.add(_view)


def error(number: int, disk: int, aspect: str, seconds: float, **fields) -> Evidence:
    """Return an error of one disk, or of the filesystem on it."""
    time_ns = START + int(seconds * SECOND)
    base = {
        "event_id": f"e{next(_numbers)}",
        "agent_id": f"a{number}",
        "host_name": f"h{number}",
        "kind": KINDS[aspect],
        "severity": event_pb2.SEVERITY_CRITICAL if aspect == "lost" else event_pb2.SEVERITY_ERROR,
        "source": "kmsg",
        "time_ns": time_ns,
        "received_ns": time_ns + DAY,
    }
    names = (
        {"filesystem_uuid": f"fs-{number}-{disk}"} if aspect == "corrupt" else {"device_id": f"wwid:{number}-{disk}"}
    )
    return Evidence(**(base | names | fields))


def feed(scan: GroupScan, stream, *, ticks: bool = True) -> None:
    """Give findings in turn, with the view of a host before its first one."""
    for one in stream:
        if scan.wants_view(one.agent_id):
            scan.learn_view(HOSTS[int(one.agent_id[1:])])
        scan.observe(one)
        if ticks:
            scan.tick(one.received_ns)


def scanned(stream, *, ticks: bool = True) -> GroupScan:
    """Return a scan that saw a stream and settled."""
    scan = GroupScan(POPULATION)
    feed(scan, stream, ticks=ticks)
    scan.settle(START + 2 * DAY)
    return scan


def causes(scan: GroupScan) -> dict[tuple[str, str], int]:
    """Return the groups that are told as causes, with the number of their members."""
    return {one.group: len(one.marks) for one in scan.verdicts.values()}


def content(scan: GroupScan) -> set[object]:
    """Return all of the verdicts that must not depend on order."""
    return {
        (
            key,
            one.code,
            one.group,
            one.onset_ns,
            frozenset(mark.identity for mark in one.marks),
            one.suspects,
            one.signature,
        )
        for key, one in scan.verdicts.items()
    }
