"""The mounted filesystems: size, devices, label and the features that decide what can be repaired."""

import logging
import os
from pathlib import Path

from fsmend_agent import superblock, sysfs
from fsmend_agent.devices import DeviceTable
from fsmend_agent.event import text
from fsmend_agent.filesystems import MountedFilesystem, open_mounted
from fsmend_agent.kernel import xfs
from fsmend_agent.kernel.label import fs_label
from fsmend_proto.v1 import inventory_pb2

LOGGER = logging.getLogger(__name__)

# XFS_FSOP_GEOM_FLAGS_* of xfs_fs.h by bit; those that matter to what can be seen or mended.
_XFS_FEATURES = {
    2: "quota",
    15: "crc",
    17: "finobt",
    19: "rmapbt",
    20: "reflink",
    21: "bigtime",
    22: "inobtcount",
    23: "nrext64",
    24: "exchange",
    25: "parent",
    26: "metadir",
    27: "zoned",
}


def describe(
    filesystem: MountedFilesystem,
    table: DeviceTable,
    root: Path = sysfs.SYSFS,
) -> inventory_pb2.Filesystem:
    """Return one filesystem without its capabilities. Blocks.

    What it does not tell (no permission, shut down, unmounted meanwhile) stays empty.
    """
    result = inventory_pb2.Filesystem(
        ref=filesystem.ref(),
        devices=[table.by_name(name) for name in filesystem.device_names],
        mount_points=filesystem.mount_points,
        read_only=filesystem.read_only,
        options=filesystem.options,
        features=_features_from_files(filesystem, root),
    )
    try:
        fd = open_mounted(filesystem)
    except OSError as error:
        LOGGER.debug("%s: %s", filesystem.device_names, error)
        return result
    try:
        _add_space(result, fd)
        _add_label(result, fd)
        _add_xfs_features(result, fd)
    finally:
        os.close(fd)
    return result


def _add_space(result: inventory_pb2.Filesystem, fd: int) -> None:
    """Fill in size and free space as statfs(2) tells them; free includes what is reserved for root."""
    try:
        space = os.fstatvfs(fd)
    except OSError:  # EIO after a shutdown
        return
    result.size_bytes = space.f_frsize * space.f_blocks
    result.free_bytes = space.f_frsize * space.f_bfree


def _add_label(result: inventory_pb2.Filesystem, fd: int) -> None:
    """Fill in the label, where the filesystem tells it."""
    try:
        result.label = text(fs_label(fd))
    except OSError:
        return


def _add_xfs_features(result: inventory_pb2.Filesystem, fd: int) -> None:
    """Fill in what XFS tells about its format."""
    if result.ref.type != "xfs":
        return
    try:
        flags = xfs.geometry(fd).flags
    except OSError:
        return
    result.features.extend(name for bit, name in _XFS_FEATURES.items() if flags >> bit & 1)


def _features_from_files(filesystem: MountedFilesystem, root: Path) -> list[str]:
    """Return the features of ext4 and btrfs; `data_raid1` and the like are btrfs profiles in use."""
    if filesystem.type == "btrfs":
        folder = root / "fs/btrfs" / filesystem.uuid
        profiles = [
            f"{kind}_{name}"
            for kind in ("data", "metadata", "system")
            for name in sysfs.names(folder / "allocation" / kind)
            if (folder / "allocation" / kind / name).is_dir()
        ]
        return profiles + list(sysfs.names(folder / "features"))
    if filesystem.type in {"ext2", "ext3", "ext4"} and filesystem.device_names:
        return superblock.read_ext_features(filesystem.device_names[0])
    return []
