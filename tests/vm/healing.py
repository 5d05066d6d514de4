"""The story of a fault as the collector tells it: found, reported, mended; and how long that took."""

from vm.fleet import wait_for

from fsmend_proto.v1 import command_pb2, event_pb2, incident_pb2

SECONDS = 180


def meet(host, collector, uuid, fault, verdict=command_pb2.VERDICT_NOT_HEALED):
    """Touch the fault; or where the kernel cannot notice it by itself, see the calendar's check come and find it."""
    if fault.touch:
        host.machine.run("/bin/sh", "-c", fault.touch)
    else:
        see_scheduled_check(host, collector, uuid, verdict)


def see_scheduled_check(host, collector, uuid, verdict=command_pb2.VERDICT_NOT_HEALED):
    """Wait for the calendar's check of a filesystem, and for its result."""
    check = wait_for(lambda: collector.commands_of(uuid, "scrub_xfs"), 60, lambda: story(host, collector, uuid))[0]
    assert check.command.ordered_by == "calendar"
    view = collector.end_of(check.command.id)
    assert view.state == command_pb2.COMMAND_STATE_SUCCEEDED, view
    assert view.last_update.result.verdict == verdict, view


def corruption(collector, uuid):
    """Return the events that say what is corrupt, oldest first."""
    found = [one for one in collector.events_of(uuid) if one.event.kind == event_pb2.EVENT_KIND_FS_METADATA_CORRUPTION]
    return sorted(found, key=lambda one: int(one.id))


def story(host, collector, uuid):
    """Tell what is known, for a test that failed."""
    return f"{collector.incident_of(uuid)}\n{collector.commands_of(uuid)}\n{host.log_end()}"


def resolved(collector, uuid):
    incident = collector.incident_of(uuid)
    return incident if incident and incident.state == incident_pb2.INCIDENT_STATE_RESOLVED else None


def seconds_to_heal(host, collector, uuid, incident, view):
    """Return the time from the kernel's first notice until the collector has both: resolved, and verified healed."""
    healed_ns = max(incident.resolved_ns, view.updated_ns)
    noticed_ns = corruption(collector, uuid)[0].event.clocks.wall_ns - host.clock_ahead_ns()
    assert noticed_ns < healed_ns
    return (healed_ns - noticed_ns) / 1e9


def found_by(collector, uuid, *, touched):
    """Tell from the machine's own clock what came first: the kernel's notice, or a check that the calendar ordered."""
    noticed_ns = corruption(collector, uuid)[0].event.clocks.wall_ns
    checks = [one for one in collector.commands_of(uuid, "scrub_xfs") if one.command.ordered_by == "calendar"]
    began_ns = [
        step.clocks.wall_ns
        for check in checks
        for step in check.history
        if step.state == command_pb2.COMMAND_STATE_RUNNING
    ]
    if any(one <= noticed_ns for one in began_ns):
        return "the scheduled check"
    return "touching it" if touched else "the mount"
