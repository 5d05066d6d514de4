"""The codes of shared causes. The page docs/incidents.md says the same for people; a test compares them."""

from dataclasses import dataclass

from fsmend_proto.v1 import event_pb2


@dataclass(frozen=True, slots=True)
class GroupCode:
    """One row of the table.

    Attributes:
        code: stable name.
        severity: of the incident.
        summary: one line; fields: value, count, counted, what.
        meaning: what it means.
        seen_by: which evidence leads to it, beside what holds for all of them.
        action: what a person should do.
    """

    code: str
    severity: event_pb2.Severity.ValueType
    summary: str
    meaning: str
    seen_by: str
    action: str


SEEN_BY = (
    "The group scan: distinct units that began to fail in one window, against what the population of the group and its "
    "learnt rates let expect; the incident has the figures."
)
CLOSES = "The incidents of all its members are resolved, each by its own proof; or an operator says that it is over."

_WARNING, _ERROR, _CRITICAL = event_pb2.SEVERITY_WARNING, event_pb2.SEVERITY_ERROR, event_pb2.SEVERITY_CRITICAL

GROUP_CODES: dict[str, GroupCode] = {
    row.code: row
    for row in (
        GroupCode(
            "HBA_FAULT",
            _CRITICAL,
            "adapter {value}: {count} devices behind it fail",
            "The devices behind one host bus adapter fail together, the other devices of the host do not.",
            "Devices of one host behind one PCI address (of the adapter, from the inventory) that began to fail "
            "within minutes to a day, while other devices of the host did not.",
            "Look at the adapter, its firmware and its cables before any of the disks; move the disks only after that.",
        ),
        GroupCode(
            "ENCLOSURE_FAULT",
            _CRITICAL,
            "enclosure {value}: {count} devices in it fail",
            "The devices of one shelf or behind one expander fail together.",
            "Devices with one shelf or expander in their path that began to fail within minutes to a day.",
            "Look at the shelf's power, expander and cables; do not replace single disks.",
        ),
        GroupCode(
            "HOST_FAULT",
            _CRITICAL,
            "host {value}: {count} of its {counted} fail",
            "Devices or filesystems of one host fail together, whatever they are connected to: memory, board, power "
            "supply or kernel.",
            "Devices or filesystems of one host, not only those behind one adapter, that began to fail within minutes "
            "to a day.",
            "Drain the host; test memory and power before trusting its disks or repairing its filesystems.",
        ),
        GroupCode(
            "RACK_FAULT",
            _CRITICAL,
            "rack {value}: {count} hosts in it fail",
            "Hosts of one rack fail together.",
            "Distinct hosts with one `rack` label whose devices, filesystems or agents began to fail in one window, "
            "from five minutes to thirty days.",
            "Look at the rack's power and cooling; repair single disks only when it stands again.",
        ),
        GroupCode(
            "POWER_FAULT",
            _CRITICAL,
            "power feed {value}: {count} hosts on it fail",
            "Hosts on one power feed fail together, across racks.",
            "Distinct hosts with one `power_feed` label in several racks that began to fail in one window.",
            "Look at the feed; repair single disks only when it stands again.",
        ),
        GroupCode(
            "AREA_FAULT",
            _CRITICAL,
            "{value}: {count} hosts there fail",
            "Hosts of one row, room or site fail together.",
            "Distinct hosts with one `row`, `room` or `site` label that began to fail in one window, more of them "
            "than of the rest of the fleet.",
            "Look at what the place shares: power, cooling, network.",
        ),
        GroupCode(
            "ENVIRONMENT_DRIFT",
            _ERROR,
            "{value}: faults rise slowly, {count} hosts so far",
            "Disks in one place begin to fail more often than they did, over hours to weeks: heat, vibration, air.",
            "Health, medium or link errors on distinct hosts of one row, room or site, spread over more than six "
            "hours; often found by the sequential test for slow rises.",
            "Look at the temperatures there; replacing disks does not end it.",
        ),
        GroupCode(
            "TARGET_LOST",
            _CRITICAL,
            "target {value}: {count} hosts lost it",
            "Hosts that use one remote target (iSCSI, NVMe over fabrics, NFS) fail on it together.",
            "Devices or filesystems of distinct hosts that one remote target serves and that began to fail in one "
            "window.",
            "Look at the target and the network to it; the hosts are well.",
        ),
        GroupCode(
            "FIRMWARE_FAULT",
            _CRITICAL,
            "firmware {value}: disks of {count} hosts fail",
            "Disks of one model and firmware fail, the same model with other firmware does not.",
            "Hosts with failing disks of one model and firmware, tested exactly against the hosts with the same "
            "model and other firmware.",
            "Stop replacing with the same firmware; look for the vendor's notice and update what still works.",
        ),
        GroupCode(
            "MODEL_FAULT",
            _ERROR,
            "model {value}: disks of {count} hosts fail",
            "Disks of one model fail more often than others, whatever their firmware.",
            "Hosts with failing disks of one model, tested exactly against all hosts of the fleet. Where they fail at "
            "one time in some places only, the summary names the places.",
            "Plan to replace the model; spread its copies over other models.",
        ),
        GroupCode(
            "WEAR_OUT",
            _ERROR,
            "disks of {value} power-on hours: {count} hosts fail",
            "Disks of one age fail, of several models.",
            "Hosts with failing disks in one band of 5,000 power-on hours, tested exactly against all hosts of the "
            "fleet.",
            "Plan the replacement of the age.",
        ),
        GroupCode(
            "KERNEL_REGRESSION",
            _CRITICAL,
            "kernel {value}: {count} hosts fail",
            "Hosts with one kernel release fail, on mixed hardware; other releases do not.",
            "Hosts that run one kernel release and began to fail in one window, tested exactly against all hosts of "
            "the fleet; `changes` names a roll-out that came before. Where most of their filesystems fail at one place "
            "in the code, and others do not, the cause is that signature on the release, `signature+kernel`.",
            "Stop the roll-out and go back; repair filesystems only under a kernel that does not break them.",
        ),
        GroupCode(
            "MODEL_KERNEL_FAULT",
            _CRITICAL,
            "{value}: {count} hosts fail",
            "Disks of one model fail under one kernel release; neither the model nor the release fails elsewhere.",
            "Hosts with failing disks of one model under one kernel release, tested exactly against the model under "
            "other releases and against the release on other models.",
            "Take the release off hosts with that model.",
        ),
        GroupCode(
            "FILESYSTEM_TYPE_FAULT",
            _ERROR,
            "{value} filesystems: {count} hosts fail",
            "Filesystems of one type fail, on mixed hardware and kernels.",
            "Hosts whose filesystems of one type began to fail in one window, tested exactly against all hosts of "
            "the fleet.",
            "Look for what was rolled out to that type: tools, options, agent.",
        ),
        GroupCode(
            "LABEL_FAULT",
            _ERROR,
            "{what} {value}: {count} hosts fail",
            "Hosts with one label of the operator fail together: a role, an image, a delivery.",
            "Hosts with one value of any label that began to fail in one window, tested exactly against all hosts of "
            "the fleet.",
            "Look at what the label stands for.",
        ),
        GroupCode(
            "FLEET_WIDE",
            _WARNING,
            "the whole fleet: {count} hosts report at once",
            "Units all over the fleet report together, with nothing narrower in common: a sweep of health readings, a "
            "roll-out, a clock.",
            "Distinct hosts all over the fleet that began to fail in one window, with no narrower group that "
            "explains more.",
            "Look at what was started fleet-wide at the onset; treat it as one thing.",
        ),
        GroupCode(
            "CONNECTION_LOST",
            _ERROR,
            "{what} {value}: {count} agents are silent",
            "Agents of one group went silent together and no disk there was seen to fail: a network partition, or a "
            "loss of power that left no trace.",
            "Agents of one group that the collector lost within one window, and no finding of a device or filesystem "
            "on their hosts.",
            "Look at the network first. What is silent is not known to be well.",
        ),
    )
}
