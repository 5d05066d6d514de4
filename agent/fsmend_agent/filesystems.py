"""The filesystems mounted on this host, followed as mounts come and go.

The table is changed on the event loop's thread only; `read_mounted` blocks and belongs into another thread.
"""

import asyncio
import errno
import logging
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fsmend_agent import superblock, sysfs
from fsmend_agent.errors import DecodeError
from fsmend_agent.event import text
from fsmend_agent.kernel import btrfs, mounts, syscall
from fsmend_agent.kernel.filesystem import fs_uuid
from fsmend_proto.v1 import event_pb2

LOGGER = logging.getLogger(__name__)

SETTLE_SECONDS = 0.1
"""How long `follow` waits after a change: a boot or a container start makes dozens of mounts in a row."""

REREAD_SECONDS = 30.0
"""How often `follow` reads without being told: an error that turns a filesystem read-only changes no mount."""

# fuseblk names a block device too, but a call into it waits for a process, perhaps for ever.
_NOT_OURS = frozenset({"fuseblk", "fuse"})


@dataclass(frozen=True, slots=True)
class MountedFilesystem:
    """One filesystem, whatever the number of its mounts.

    `uuid` is canonical lower case, empty when unknown; `fsid` is statfs f_fsid as 16 hex digits, and `fsids` all of
    them: btrfs has another one for each subvolume that is mounted. `major` and `minor` are the superblock's, which
    for btrfs are of no device; `device_numbers` are those of `device_names`. There is more than one device for a btrfs
    of several (in devid order) and for an XFS with a log or realtime device (data device first). `mount_points` are
    bytes because nothing makes them UTF-8, and sorted by mount id, oldest first.
    """

    uuid: str
    type: str
    fsid: str
    major: int
    minor: int
    device_names: tuple[str, ...]
    mount_points: tuple[bytes, ...]
    read_only: bool
    options: str
    device_numbers: tuple[tuple[int, int], ...] = ()
    fsids: tuple[str, ...] = ()

    def ref(self) -> event_pb2.FilesystemRef:
        """Name it in an event."""
        return event_pb2.FilesystemRef(
            uuid=self.uuid,
            type=self.type,
            fsid=self.fsid,
            mount_point=self.mount_points[0] if self.mount_points else b"",
            device_name=self.device_names[0] if self.device_names else "",
        )


Listener = Callable[[frozenset[MountedFilesystem], frozenset[MountedFilesystem]], None]
"""Called with what was added and what was removed; a filesystem that changed is in both, in its two forms.

Both are empty when the mount table changed and reads the same: a filesystem may have been unmounted and mounted again
in between, and then a fanotify mark on it is gone. Who depends on that must set its marks again.
"""


class FilesystemTable:
    """Look-ups over the mounted filesystems; refreshed by `follow`.

    Clones share a UUID, and on ext4 their fsid too. Nothing then says which one is meant, and to guess would mean to
    repair the wrong one: `by_uuid` and `by_fsid` return None for them, `with_uuid` and `with_fsid` return all.
    """

    def __init__(self, filesystems: Iterable[MountedFilesystem] = ()) -> None:
        self._listeners: list[Listener] = []
        self._index(frozenset(filesystems))

    def _index(self, filesystems: frozenset[MountedFilesystem]) -> None:
        """Build the look-ups anew."""
        self._all = filesystems
        self._by_uuid: defaultdict[str, list[MountedFilesystem]] = defaultdict(list)
        self._by_fsid: defaultdict[str, list[MountedFilesystem]] = defaultdict(list)
        self._by_device: dict[tuple[int, int], MountedFilesystem] = {}
        self._by_name: dict[str, MountedFilesystem] = {}
        self._by_mount_point: dict[bytes, MountedFilesystem] = {}
        for filesystem in self:
            if filesystem.uuid:
                self._by_uuid[filesystem.uuid].append(filesystem)
            for fsid in {filesystem.fsid, *filesystem.fsids} - {""}:
                self._by_fsid[fsid].append(filesystem)
            for number in ((filesystem.major, filesystem.minor), *filesystem.device_numbers):
                self._by_device[number] = filesystem
            self._by_name.update(dict.fromkeys(filesystem.device_names, filesystem))
            self._by_mount_point.update(dict.fromkeys(filesystem.mount_points, filesystem))

    def __iter__(self) -> Iterator[MountedFilesystem]:
        """Yield every filesystem, in a fixed order."""
        return iter(sorted(self._all, key=lambda one: (one.major, one.minor, one.mount_points)))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._all)

    def by_uuid(self, uuid: str) -> MountedFilesystem | None:
        """Return the one filesystem with this UUID, in any case; None when there is none, or more than one."""
        return _only(self.with_uuid(uuid))

    def with_uuid(self, uuid: str) -> tuple[MountedFilesystem, ...]:
        """Return every filesystem with this UUID: more than one when a clone is mounted beside its original."""
        return tuple(self._by_uuid.get(uuid.lower(), ()))

    def by_fsid(self, fsid: str) -> MountedFilesystem | None:
        """Return the one filesystem with this f_fsid (16 hex digits); None when there is none, or more than one."""
        return _only(self.with_fsid(fsid))

    def with_fsid(self, fsid: str) -> tuple[MountedFilesystem, ...]:
        """Return every filesystem with this f_fsid (16 hex digits)."""
        return tuple(self._by_fsid.get(fsid.lower(), ()))

    def by_device(self, major: int, minor: int) -> MountedFilesystem | None:
        """Return the filesystem with this superblock number, or with this device among its own."""
        return self._by_device.get((major, minor))

    def by_name(self, name: str) -> MountedFilesystem | None:
        """Return the filesystem on the device with this kernel name, such as loop0."""
        return self._by_name.get(name)

    def by_mount_point(self, mount_point: bytes) -> MountedFilesystem | None:
        """Return the filesystem that is mounted there."""
        return self._by_mount_point.get(mount_point)

    def clones(self) -> Mapping[str, tuple[MountedFilesystem, ...]]:
        """Return the filesystems that share a UUID, by that UUID."""
        return {uuid: tuple(same) for uuid, same in self._by_uuid.items() if len(same) > 1}

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after every change; return what ends that. It is not called for what is there already."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def update(self, filesystems: Iterable[MountedFilesystem], *, remounted: bool = False) -> bool:
        """Replace everything, tell the listeners, and return whether anything changed.

        Args:
            filesystems: all that are mounted now.
            remounted: tell the listeners even when nothing changed, see `Listener`.
        """
        new = frozenset(filesystems)
        added, removed = new - self._all, self._all - new
        if not added and not removed and not remounted:
            return False
        known = self.clones()
        self._index(new)
        for uuid, same in self.clones().items():
            if uuid not in known:
                LOGGER.warning(
                    "UUID %s is mounted from %d devices: %s", uuid, len(same), [one.device_names for one in same]
                )
        for listener in tuple(self._listeners):
            listener(added, removed)
        return bool(added or removed)


def _only(found: tuple[MountedFilesystem, ...]) -> MountedFilesystem | None:
    """Return the one in `found`, if it is one."""
    return found[0] if len(found) == 1 else None


def read_mounted(mount_points: Collection[bytes] = (), path: Path = mounts.MOUNTINFO) -> list[MountedFilesystem]:
    """Return the filesystems on block devices, and btrfs, that this process sees mounted. Blocks.

    Every mount of one superblock is folded into one: bind mounts, subvolumes, other namespaces' copies. What cannot be
    asked (no permission, an I/O error, unmounted meanwhile) stays empty.

    Args:
        mount_points: when given, only filesystems that are mounted on one of them.
        path: the mount table.
    """
    by_superblock: defaultdict[tuple[int, int], list[mounts.Mount]] = defaultdict(list)
    for mount in _decode(path):
        if (mount.major or mount.fs_type == "btrfs") and mount.fs_type not in _NOT_OURS:
            by_superblock[mount.major, mount.minor].append(mount)
    wanted = frozenset(mount_points)
    return [
        _read_one(same)
        for same in by_superblock.values()
        if not wanted or not wanted.isdisjoint(mount.mount_point for mount in same)
    ]


def _read_one(same: list[mounts.Mount]) -> MountedFilesystem:
    """Return what all these mounts of one superblock say, and what it says itself."""
    first = same[0]
    uuid, names = "", _device_names(first)
    fsids: dict[str, None] = {}
    for mount in same:
        found = _ask(mount)
        if found is None:
            continue
        fsids[found.fsid] = None
        uuid, names = uuid or found.uuid, found.device_names or names
        if first.fs_type != "btrfs":
            break  # only btrfs differs between its mounts; a container host may have hundreds of the others
    numbers = (sysfs.device_number(name) for name in names)
    return MountedFilesystem(
        uuid=uuid or (superblock.read_uuid(first.fs_type, names[0]) if names else ""),
        type=first.fs_type,
        fsid=next(iter(fsids), ""),
        major=first.major,
        minor=first.minor,
        device_names=names,
        mount_points=tuple(dict.fromkeys(mount.mount_point for mount in same)),
        # emergency_ro: what an error leaves behind on ext4 from Linux 6.15 on. A read-only bind mount says nothing.
        read_only=not {b"ro", b"emergency_ro"}.isdisjoint(first.super_options),
        options=text(b",".join(first.super_options)),
        device_numbers=tuple(number for number in numbers if number is not None),
        fsids=tuple(fsids),
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a mounted filesystem says of itself; empty for what it does not tell."""

    fsid: str
    uuid: str
    device_names: tuple[str, ...]


def open_mount(mount_point: bytes, mount_id: int) -> int | None:
    """Return a descriptor for ioctls on this mount; None when its path leads elsewhere, as under a later mount.

    Raises:
        OSError: the mount is gone, or may not be read.
    """
    path_fd = os.open(mount_point, syscall.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fdinfo = Path(f"/proc/self/fdinfo/{path_fd}").read_bytes().split()
        mode = os.fstat(path_fd).st_mode
        # Files can be mount points as well; a FIFO or a device node must not be opened for it.
        if fdinfo[fdinfo.index(b"mnt_id:") + 1] != b"%d" % mount_id or not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            return None
        return os.open(b"/proc/self/fd/%d" % path_fd, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(path_fd)


def open_mounted(filesystem: MountedFilesystem, path: Path = mounts.MOUNTINFO) -> int:
    """Return a descriptor for ioctls on this filesystem and no other, whatever was mounted over it or instead of it.

    Raises:
        OSError: it may not be read; ENOENT when it is not mounted any more.
    """
    refused: OSError = FileNotFoundError(errno.ENOENT, "not mounted any more", " ".join(filesystem.device_names))
    for mount in _decode(path):
        if (mount.major, mount.minor, mount.fs_type) != (filesystem.major, filesystem.minor, filesystem.type):
            continue
        try:
            fd = open_mount(mount.mount_point, mount.mount_id)
        except OSError as error:
            refused = error
            continue
        if fd is None:
            continue
        # A loop or anonymous number is soon used again by the next filesystem.
        uuid = _ask_uuid(fd)
        if not uuid or not filesystem.uuid or uuid == filesystem.uuid:
            return fd
        os.close(fd)
    raise refused


def _decode(path: Path) -> Iterator[mounts.Mount]:
    """Yield the mounts; a line that is none is noted and left out, because the others still need a watch."""
    try:
        yield from mounts.decode(path.read_bytes())
    except DecodeError as error:
        LOGGER.warning("%s: %s: %r", path, error.reason, error.raw[:200])


def _ask(mount: mounts.Mount) -> _Answer | None:
    """Ask the filesystem through one of its mounts; None when it cannot be reached through this one."""
    try:
        fd = open_mount(mount.mount_point, mount.mount_id)
    except OSError as error:
        LOGGER.debug("%r: %s", mount.mount_point, error)
        return None
    if fd is None:
        return None
    try:
        fsid = mounts.fsid(b"/proc/self/fd/%d" % fd)
        if mount.fs_type == "btrfs":
            return _Answer(fsid, *_ask_btrfs(fd))
        return _Answer(fsid, _ask_uuid(fd), ())
    except OSError as error:
        LOGGER.debug("%r: %s", mount.mount_point, error)
        return None
    finally:
        os.close(fd)


def _ask_uuid(fd: int) -> str:
    """Return the UUID; empty on a kernel before 6.9, and for a filesystem without one (mkfs.ext4 -U clear)."""
    try:
        uuid = fs_uuid(fd)
    except OSError:
        return ""
    return str(uuid) if uuid and uuid.int else ""


def _ask_btrfs(fd: int) -> tuple[str, tuple[str, ...]]:
    """Return UUID and kernel device names, in devid order and without the missing ones."""
    uuid = str(btrfs.fs_info(fd).uuid)
    names = (_name_of_node(device.path) for device in btrfs.devices(fd) if device.path)
    return uuid, tuple(name for name in names if name)


def _device_names(mount: mounts.Mount) -> tuple[str, ...]:
    """Return what the mount table tells of the devices; for btrfs that is one of them, the one mounted by."""
    if not mount.major:
        name = _name_of_node(mount.source)
        return (name,) if name else ()
    names = [sysfs.device_name(mount.major, mount.minor)]
    for option in mount.super_options if mount.fs_type == "xfs" else ():
        key, _, value = option.partition(b"=")
        if key in {b"logdev", b"rtdev"}:
            names.append(_name_of_node(value))
    return tuple(name for name in names if name)


def _name_of_node(path: bytes) -> str:
    """Return the kernel name of the device that a node in /dev stands for; empty when there is no such node."""
    try:
        number = os.stat(path).st_rdev  # noqa: PTH116  a Path cannot hold every bytes path without a detour
    except (OSError, ValueError):
        return ""
    return sysfs.device_name(os.major(number), os.minor(number))


async def follow(table: FilesystemTable, mount_points: Collection[bytes] = (), path: Path = mounts.MOUNTINFO) -> None:
    """Keep `table` current until cancelled: after every change of the mount table, and every REREAD_SECONDS.

    Raises:
        OSError: the mount table cannot be read or watched now (no memory, no descriptors); what is known stays.
    """
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    watcher = mounts.MountTableWatcher(path)
    changed.set()  # what happened before it was watched is not known

    # That the descriptor became readable is all the news: the kernel forgets the change once it was polled.
    loop.add_reader(watcher.fileno(), changed.set)
    try:
        while True:
            woken = changed.is_set()
            changed.clear()
            table.update(await asyncio.to_thread(read_mounted, mount_points, path), remounted=woken)
            try:
                async with asyncio.timeout(REREAD_SECONDS):
                    await changed.wait()
                    await asyncio.sleep(SETTLE_SECONDS)
            except TimeoutError:
                continue
    finally:
        loop.remove_reader(watcher.fileno())
        watcher.close()
