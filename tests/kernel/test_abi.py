"""The declarations of kernel/_cdef.py and the layouts of the decoders against the installed kernel headers.

Every struct is compiled with `_Static_assert` on its size and on the offset of every field, and every ioctl number is
compared with the header's macro. What a header is too old to have is skipped with its name.
"""

import re
import shutil
import subprocess

import pytest

from fsmend_agent.kernel import _build, btrfs, fanotify, filesystem, syscall, xfs, xfs_monitor
from fsmend_agent.kernel._cdef import HEADERS
from fsmend_agent.kernel._ffi import ffi

STRUCTS = [
    (header, struct_name)
    for header, text in HEADERS.items()
    for struct_name in re.findall(r"^struct (\w+) \{", text, re.MULTILINE)
]
LIBC_HEADERS = {"statfs": "sys/statfs.h", "file_handle": "fcntl.h"}
# Reserved space that a newer kernel divided up: only what comes before it can be compared with an older header.
GROWN = {"rgextents", "rgcount", "reserved"}

IOCTLS = (
    [("linux/btrfs.h", btrfs, name) for name in vars(btrfs) if name.startswith("BTRFS_IOC_")]
    + [
        ("xfs/xfs_fs.h", module, name)
        for module in (xfs, xfs_monitor)
        for name in vars(module)
        if name.startswith("XFS_IOC_")
    ]
    + [("linux/fs.h", filesystem, name) for name in vars(filesystem) if name.startswith("FS_IOC_")]
)

FANOTIFY_CONSTANTS = [name for name in vars(fanotify) if name.startswith("FAN")]


def compiles(*lines):
    """Compile C lines; return what gcc said when it refused, else an empty string."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    source = "\n".join(["#define _GNU_SOURCE", "#include <stddef.h>", "#include <stdint.h>", *lines, ""])
    command = ["gcc", "-fsyntax-only", "-x", "c", "-"]
    return subprocess.run(command, check=False, input=source, capture_output=True, text=True).stderr


def include(header):
    """Return the lines that include a header, or skip where it is not installed."""
    # linux/fs.h before the xfs header, which uses its names and does not include it.
    lines = ["#include <linux/fs.h>", f"#include <{header}>"] if header == "linux/btrfs.h" else [f"#include <{header}>"]
    if header == "xfs/xfs_fs.h":
        lines = ["#include <xfs/xfs.h>"]
    if compiles(*lines):
        pytest.skip(f"{header} is not installed")
    return lines


@pytest.mark.parametrize(("header", "struct_name"), STRUCTS, ids=lambda value: str(value).replace("/", "_"))
def test_a_struct_is_laid_out_as_in_its_header(header, struct_name):
    lines = include(LIBC_HEADERS.get(struct_name, header))
    name = f"struct {struct_name}"
    if compiles(*lines, f"int size = sizeof({name});"):
        pytest.skip(f"this {header} has no {name}")
    checks = [f'_Static_assert(sizeof({name}) == {ffi.sizeof(name)}, "size");']
    for field_name, field in ffi.typeof(name).fields:
        if struct_name == "xfs_fsop_geom" and field_name in GROWN:
            continue
        checks.append(f'_Static_assert(offsetof({name}, {field_name}) == {field.offset}, "{field_name}");')
    assert compiles(*lines, *checks) == ""


@pytest.mark.parametrize(
    ("header", "module", "name"), IOCTLS, ids=lambda value: getattr(value, "__name__", str(value)).replace("/", "_")
)
def test_an_ioctl_number_is_its_headers(header, module, name):
    lines = include(header)
    if compiles(*lines, f"#ifndef {name}", "#error absent", "#endif"):
        pytest.skip(f"this {header} has no {name}")
    assert compiles(*lines, f'_Static_assert((uint32_t){name} == {getattr(module, name)}u, "number");') == ""


@pytest.mark.parametrize(
    ("number", "struct_name"),
    [
        (btrfs.BTRFS_IOC_SCRUB, "btrfs_ioctl_scrub_args"),
        (btrfs.BTRFS_IOC_SCRUB_PROGRESS, "btrfs_ioctl_scrub_args"),
        (btrfs.BTRFS_IOC_DEV_INFO, "btrfs_ioctl_dev_info_args"),
        (btrfs.BTRFS_IOC_FS_INFO, "btrfs_ioctl_fs_info_args"),
        (btrfs.BTRFS_IOC_LOGICAL_INO, "btrfs_ioctl_logical_ino_args"),
        (btrfs.BTRFS_IOC_GET_DEV_STATS, "btrfs_ioctl_get_dev_stats"),
        (xfs.XFS_IOC_FSGEOMETRY, "xfs_fsop_geom"),
        (xfs.XFS_IOC_AG_GEOMETRY, "xfs_ag_geometry"),
        (xfs.XFS_IOC_RTGROUP_GEOMETRY, "xfs_rtgroup_geometry"),
        (xfs.XFS_IOC_SCRUB_METADATA, "xfs_scrub_metadata"),
        (xfs.XFS_IOC_SCRUBV_METADATA, "xfs_scrub_vec_head"),
        (xfs.XFS_IOC_BULKSTAT, "xfs_bulk_ireq"),
        (xfs_monitor.XFS_IOC_HEALTH_MONITOR, "xfs_health_monitor"),
        (xfs_monitor.XFS_IOC_HEALTH_FD_ON_MONITORED_FS, "xfs_health_file_on_monitored_fs"),
        (filesystem.FS_IOC_GETFSUUID, "fsuuid2"),
    ],
)
def test_an_ioctl_number_carries_the_size_of_its_struct(number, struct_name):
    # asm-generic/ioctl.h: bits 16 to 29 are the size of the argument.
    assert number >> 16 & 0x3FFF == ffi.sizeof(f"struct {struct_name}")


@pytest.mark.parametrize("name", FANOTIFY_CONSTANTS)
def test_a_fanotify_constant_is_its_headers(name):
    value = getattr(fanotify, name)
    assert compiles(*include("linux/fanotify.h"), f'_Static_assert({name} == {value:#x}, "value");') == ""


def test_the_invalid_handle_type_is_the_one_captured_from_a_kernel():
    # FILEID_INVALID is in linux/exportfs.h, which is not exported.
    assert fanotify.FILEID_INVALID == 0xFF


@pytest.mark.parametrize(
    ("layout", "struct_name", "fields"),
    [
        (fanotify._METADATA, "fanotify_event_metadata", ["event_len", "vers", "metadata_len", "mask", "fd", "pid"]),
        (fanotify._INFO, "fanotify_event_info_header", ["info_type", "len"]),
        (xfs._BULKSTAT, "xfs_bulkstat", ["bs_ino", "bs_gen", "bs_sick", "bs_checked", "bs_mode"]),
        (xfs._BULK_REQUEST, "xfs_bulk_ireq", ["ino", "flags", "icount", "ocount", "agno"]),
    ],
)
def test_a_struct_format_reads_the_declared_fields(layout, struct_name, fields):
    name = f"struct {struct_name}"
    assert layout.size == ffi.sizeof(name)
    values = list(range(1, len(fields) + 1))
    record = ffi.new(f"{name} *", dict(zip(fields, values, strict=True)))
    assert list(layout.unpack(bytes(ffi.buffer(record)))) == values


def test_the_error_record_is_read_behind_its_header():
    record = ffi.new("struct fanotify_event_info_error *", {"error": -5, "error_count": 9})
    assert fanotify._ERROR.unpack_from(bytes(ffi.buffer(record)), fanotify._INFO.size) == (-5, 9)


@pytest.mark.parametrize(
    ("domain", "member"),
    [
        (xfs_monitor.Domain.FS, "fs"),
        (xfs_monitor.Domain.AG, "group"),
        (xfs_monitor.Domain.INODE, "inode"),
        (xfs_monitor.Domain.DATADEV, "media"),
        (xfs_monitor.Domain.FILERANGE, "filerange"),
    ],
)
def test_a_health_event_is_read_as_its_member_of_the_union(domain, member):
    event = ffi.new("struct xfs_health_monitor_event *", {"domain": domain, "type": 3, "time_ns": 7})
    union = getattr(event.e, member)
    names = [name for name, _field in ffi.typeof(union).fields]
    for value, name in enumerate(names, 1):
        setattr(union, name, value)
    layout, attributes = xfs_monitor._layout(domain, xfs_monitor.EventType.SICK)
    (decoded,) = xfs_monitor.decode_monitor_events(bytes(ffi.buffer(event)))
    assert len(attributes) == len(names)
    assert [getattr(decoded, name) for name in attributes] == list(range(1, len(names) + 1))
    assert layout.size <= 32
    assert decoded.time_ns == 7


def test_open_flags_are_the_headers():
    lines = ["#include <fcntl.h>", "#include <sys/mount.h>"]
    names = ["O_PATH", "AT_FDCWD", "AT_EMPTY_PATH", "MS_RDONLY", "MS_NOSUID", "MS_NODEV", "MS_NOEXEC", "MS_REMOUNT"]
    checks = [
        f'_Static_assert({name} == {getattr(syscall, name)}, "{name}");' for name in [*names, "MS_BIND", "MNT_DETACH"]
    ]
    assert compiles(*lines, *checks) == ""


def test_the_generated_module_is_up_to_date():
    assert _build.main(["--check"]) == 0
