"""The inventory that the agent of a simulated host would send. Pure; `view_of` of it is the host's view again."""

from fsmend_collector import __version__
from fsmend_collector.diagnosis.groups import DeviceView, HostView
from fsmend_proto.v1 import event_pb2, inventory_pb2

MARK = "+simulated"
AGENT_VERSION = __version__ + MARK
_DISK_BYTES = 4_000_787_030_016
_SECTOR_MINOR = 16  # partitions a disk, drivers/scsi/sd.c
_SD_MAJOR = 8


def inventory_of(view: HostView, clocks: event_pb2.Clocks) -> inventory_pb2.Inventory:
    """Return the whole inventory of a host."""
    names = {one.device_id: one.name for one in view.devices}
    return inventory_pb2.Inventory(
        clocks=clocks,
        host=inventory_pb2.Host(
            name=view.host_name,
            machine_id=f"simulated-{view.host_name}",
            kernel_release=view.kernel,
            architecture="x86_64",
            operating_system="simulated",
            agent_version=AGENT_VERSION,
            labels=dict(view.labels),
            capabilities=[
                inventory_pb2.Capability(name="action.collect_evidence", available=True),
                inventory_pb2.Capability(name="action.remount_read_only", reason="a simulated host mounts nothing"),
            ],
            memory_bytes=64 << 30,
            boot_id=clocks.boot_id,
        ),
        devices=[_device(one, at) for at, one in enumerate(view.devices)],
        filesystems=[
            inventory_pb2.Filesystem(
                ref=event_pb2.FilesystemRef(
                    uuid=uuid,
                    type=kind,
                    mount_point=f"/srv/{uuid}".encode(),
                    device_name=f"{target}:/export" if target else names.get(below[0], "") if below else "",
                ),
                devices=[event_pb2.DeviceRef(id=one, name=names.get(one, "")) for one in below],
                mount_points=[f"/srv/{uuid}".encode()],
                options="rw,relatime",
                size_bytes=_DISK_BYTES,
                free_bytes=_DISK_BYTES // 3,
            )
            for uuid, (kind, below, target) in view.filesystems.items()
        ],
    )


def _device(device: DeviceView, at: int) -> inventory_pb2.Device:
    return inventory_pb2.Device(
        ref=event_pb2.DeviceRef(
            id=device.device_id, name=device.name, major=_SD_MAJOR, minor=_SECTOR_MINOR * at, diskseq=at + 1
        ),
        kind="disk",
        vendor="SIMULATE",
        model=device.model,
        firmware=device.firmware,
        serial=device.device_id.rpartition(":")[2],
        wwid=device.device_id.rpartition(":")[2],
        transport="iscsi" if device.target else "sas",
        size_bytes=_DISK_BYTES,
        rotational=True,
        topology_path=_path(device, at),
        state="running",
        host_adapter=device.hba,
        power_on_hours=device.hours,
    )


def _path(device: DeviceView, at: int) -> str:
    """Return where the disk sits, as sysfs tells it: adapter, expander if any, port; of a remote one its target."""
    shelf = device.enclosure.rpartition(" ")[2]
    if device.target:
        return f"{device.target}/{shelf}" if shelf else device.target
    return "/".join(filter(None, ("pci0000:00", device.hba, "host0", shelf, f"port-0:{at}")))
