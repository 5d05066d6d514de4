"""Who shares something with one device, and whether it is only that one. Pure."""

from fsmend_collector.query.render.escape import visible
from fsmend_collector.query.render.grounds import group_rows
from fsmend_collector.query.render.section import Fact, facts, heading, section
from fsmend_collector.query.render.values import local_time
from fsmend_collector.query.render.why import member_rows
from fsmend_proto.v1 import why_pb2

_SURPRISING = 0.01
_STRIKING = 0.1
_LEAST = 2


def same_lines(same: why_pb2.Same) -> list[str]:
    """Return the whole answer: the verdict first."""
    device = same.device
    since = local_time(same.since_ns)
    pairs: list[Fact] = [
        ("Device", f"{device.ref.name} ({device.ref.id}) on {same.host_name}"),
        ("Model", " ".join(part for part in (device.vendor, device.model, device.firmware) if part)),
        ("Fleet", f"of {same.fleet_devices} other devices {same.failing_devices} fail, or did since {since}"),
    ]
    lines = [heading(verdict(same)), *facts(pairs)]
    if same.hosts_not_looked_at:
        lines.append(f"{same.hosts_not_looked_at} more hosts have older incidents; they are not counted here")
    lines += section("Its own incidents", member_rows(list(same.incidents)))
    lines += section("What it shares, most surprising first", group_rows(list(same.groups)))
    for group in same.groups:
        if group.incidents:
            more = f" ({group.incidents_more} more)" if group.incidents_more else ""
            title = f"{visible(group.dimension)} {visible(group.value)}: incidents{more}"
            lines += section(title, member_rows(list(group.incidents)))
    return lines


def verdict(same: why_pb2.Same) -> str:
    """Answer "is it only me?" in one line."""
    first = same.groups[0] if same.groups else why_pb2.SharedGroup(p=1.0)
    local = first.counted == "devices"
    fail = first.failing_now + first.failed_recently if local else first.failing_hosts
    if fail and (first.p < _SURPRISING or (first.p < _STRIKING and fail >= _LEAST)):
        others = first.devices if local else first.hosts
        sure = "is" if first.p < _SURPRISING else "may"
        text = f"It {sure} not {'' if sure == 'is' else 'be '}only this one: {fail} of {others} other {first.counted}"
        text += f" of {first.dimension} {first.value} fail too"
        return visible(f"{text} ({first.expected:.2g} expected, chance {first.p:.2g})")
    if any(one.failing_hosts for one in same.groups):
        return "It looks alone: others fail too, but in no group that it shares more than the fleet does"
    return "It looks alone: nothing that it shares anything with fails"
