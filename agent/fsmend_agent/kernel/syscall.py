"""Make the system calls that Python's standard library lacks; the one place where errno becomes OSError.

Every call goes through libc by cffi, which lets other threads run meanwhile. `fcntl.ioctl` would hold the
interpreter for buffers above 1024 bytes, and a scrub or a bulkstat can take minutes (Python 3.11, fcntlmodule.c).

Capabilities: `fanotify_init` with a filesystem mark, `mount` and most ioctls need CAP_SYS_ADMIN; `open_by_handle_at`
needs CAP_DAC_READ_SEARCH; `ioprio_set` to the idle class needs none.
"""

import errno
import os
import struct
from dataclasses import dataclass

from fsmend_agent.kernel._ffi import ffi

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
O_PATH = 0o10000000
"""open(2); not in Python's os module."""

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MNT_DETACH = 2

IOPRIO_WHO_PROCESS = 1
IOPRIO_CLASS_BEST_EFFORT = 2
IOPRIO_CLASS_IDLE = 3
_IOPRIO_CLASS_SHIFT = 13
# libc has no wrapper; asm/unistd_64.h of x86_64 and asm-generic/unistd.h of everything newer.
_SYS_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "loongarch64": 30, "ppc64le": 273, "s390x": 282}

# The same numbers on every machine that Linux 5.2 or newer runs on, besides alpha (asm-generic/unistd.h).
_SYS_FSCONFIG = 431
_SYS_FSPICK = 433
FSPICK_CLOEXEC = 1
FSPICK_EMPTY_PATH = 8
FSCONFIG_SET_FLAG = 0
FSCONFIG_CMD_RECONFIGURE = 7

MAX_HANDLE_BYTES = 128
_HANDLE_HEADER = struct.Struct("=Ii")

_libc = ffi.dlopen(None)


@dataclass(frozen=True, slots=True)
class FileHandle:
    """A file's kernel handle: the same bytes as in a fanotify FID record."""

    handle_type: int
    handle: bytes
    mount_id: int


def _checked(result: int, path: str | bytes | None) -> int:
    """Return `result`, or raise what errno says when it is negative."""
    if result < 0:
        number = ffi.errno
        name = os.fsdecode(path) if path is not None else None
        raise OSError(number, os.strerror(number), name)
    return int(result)


def ioctl(fd: int, request: int, argument: bytearray | memoryview | None, path: str | bytes | None = None) -> int:
    """Issue an ioctl with `argument` as a buffer that the kernel reads and fills in place.

    Raises:
        OSError: what the kernel answered, with `path` as its file name.
    """
    pointer = ffi.NULL if argument is None else ffi.from_buffer(argument)
    return _checked(_libc.ioctl(fd, request, pointer), path)


def syncfs(fd: int) -> None:
    """Write to disk what a filesystem holds in memory, its log too.

    See the manual page syncfs in section 2.

    Raises:
        OSError: EIO of a disk that fails, or of a filesystem that shut down.
    """
    _checked(_libc.syncfs(fd), None)


def fanotify_init(flags: int, event_flags: int) -> int:
    """Return the descriptor of a new fanotify group.

    Needs CAP_SYS_ADMIN for filesystem marks. See fanotify_init(2).
    """
    return _checked(_libc.fanotify_init(flags, event_flags), "fanotify_init")


def fanotify_mark(group_fd: int, flags: int, mask: int, path: str | bytes) -> None:
    """Add or remove a mark on what `path` names.

    Needs CAP_SYS_ADMIN. See fanotify_mark(2).
    """
    _checked(_libc.fanotify_mark(group_fd, flags, mask, AT_FDCWD, os.fsencode(path)), path)


def open_by_handle_at(mount_fd: int, handle_type: int, handle: bytes, flags: int) -> int:
    """Open the file that a handle names, on the filesystem of `mount_fd`.

    Raises:
        OSError: ESTALE when the file is gone or its inode does not open; EPERM without CAP_DAC_READ_SEARCH.

    See open_by_handle_at(2).
    """
    buffer = bytearray(_HANDLE_HEADER.pack(len(handle), handle_type) + handle)
    pointer = ffi.cast("struct file_handle *", ffi.from_buffer(buffer))
    return _checked(_libc.open_by_handle_at(mount_fd, pointer, flags), "open_by_handle_at")


def name_to_handle_at(path: str | bytes) -> FileHandle:
    """Return the handle of `path`.

    Raises:
        OSError: EOPNOTSUPP when the filesystem has no handles.

    See name_to_handle_at(2).
    """
    buffer = bytearray(_HANDLE_HEADER.pack(MAX_HANDLE_BYTES, 0) + bytes(MAX_HANDLE_BYTES))
    pointer = ffi.cast("struct file_handle *", ffi.from_buffer(buffer))
    mount_id = ffi.new("int *")
    _checked(_libc.name_to_handle_at(AT_FDCWD, os.fsencode(path), pointer, mount_id, 0), path)
    length, handle_type = _HANDLE_HEADER.unpack_from(buffer)
    start = _HANDLE_HEADER.size
    return FileHandle(handle_type, bytes(buffer[start : start + length]), int(mount_id[0]))


def statfs_fsid(path: str | bytes) -> bytes:
    """Return the eight bytes of f_fsid as statfs(2) gives them, the same as in a fanotify FID record.

    Python's `os.statvfs` folds them into one number in glibc's own way.
    """
    result = ffi.new("struct statfs *")
    _checked(_libc.statfs(os.fsencode(path), result), path)
    start = ffi.offsetof("struct statfs", "f_fsid")
    return bytes(ffi.buffer(result))[start : start + 8]


def mount(source: str, target: str | bytes, fs_type: str | None, flags: int, options: str = "") -> None:
    """Attach a filesystem, or change an attached one.

    Needs CAP_SYS_ADMIN. See mount(2).
    """
    type_name = ffi.NULL if fs_type is None else fs_type.encode()
    # The argument is `const void *`, to which cffi converts no bytes by itself.
    data = ffi.new("char[]", options.encode())
    _checked(_libc.mount(source.encode(), os.fsencode(target), type_name, flags, data), target)


def umount(target: str | bytes, flags: int = 0) -> None:
    """Detach what is mounted on `target`.

    Needs CAP_SYS_ADMIN. See umount2(2).
    """
    _checked(_libc.umount2(os.fsencode(target), flags), target)


def reconfigure_read_only(fd: int) -> None:
    """Make the filesystem that `fd` lies on read-only, and change none of its other options.

    fspick and fsconfig (Linux 5.2) take the filesystem by descriptor. mount(2) with MS_REMOUNT would take a path, and
    would set the flags of that mount (nosuid, nodev) anew as well. Needs CAP_SYS_ADMIN.

    Raises:
        OSError: EBUSY when files are open for writing; ENOSYS before Linux 5.2.
    """
    empty, flag = ffi.new("char[]", b""), ffi.new("char[]", b"ro")
    address = int(ffi.cast("uintptr_t", empty))
    flags = FSPICK_CLOEXEC | FSPICK_EMPTY_PATH
    context = _checked(_libc.syscall(_SYS_FSPICK, fd, address, flags, 0, 0), "fspick")
    try:
        key = int(ffi.cast("uintptr_t", flag))
        _checked(_libc.syscall(_SYS_FSCONFIG, context, FSCONFIG_SET_FLAG, key, 0, 0), "fsconfig ro")
        _checked(_libc.syscall(_SYS_FSCONFIG, context, FSCONFIG_CMD_RECONFIGURE, 0, 0, 0), "fsconfig reconfigure")
    finally:
        os.close(context)


def ioprio_set(io_class: int, level: int = 0, thread_id: int = 0) -> None:
    """Set the I/O priority of one thread (0: the caller).

    The priority belongs to the thread, so call it in the thread that issues the I/O.

    Raises:
        OSError: ENOSYS on a machine whose number of the call is unknown here.

    See ioprio_set(2).
    """
    number = _SYS_IOPRIO_SET.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), "ioprio_set")
    value = io_class << _IOPRIO_CLASS_SHIFT | level
    _checked(_libc.syscall(number, IOPRIO_WHO_PROCESS, thread_id, value, 0, 0), "ioprio_set")
