"""What it costs to poll the health of a large XFS: groups and inodes as many as asked for, on a real filesystem.

FSMEND_BENCH_XFS_GROUPS and FSMEND_BENCH_XFS_INODES say how many; FSMEND_BENCH_DIRECTORY where the image goes, about
600 bytes an inode. The files are empty and lie in directories of 10,000, which XFS spreads over its groups. Cold means
mounted anew, with the image itself dropped from the page cache.
"""

import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

from bench.skipped import Skipped
from fsmend_agent.kernel import xfs
from fsmend_agent.kernel.xfs_health import HealthDomain
from fsmend_agent.sources._xfs_poll import Poll
from fsmend_agent.sources.xfs_health import WALK_SECONDS
from stage.loops import loop, mounted, run

GROUPS = int(os.environ.get("FSMEND_BENCH_XFS_GROUPS", "1000"))
INODES = int(os.environ.get("FSMEND_BENCH_XFS_INODES", "1000000"))
DIRECTORY = os.environ.get("FSMEND_BENCH_DIRECTORY", "/var/tmp")
FILES_PER_FOLDER = 10_000
GROUP_BYTES = 128 << 20
LOOKS = 200


def measure() -> dict[str, float]:
    """Build it, and measure it cold and warm, healthy and sick."""
    if os.geteuid() != 0:
        raise Skipped("needs root")
    figures: dict[str, float] = {"xfs_groups": GROUPS, "xfs_inodes": INODES}
    with tempfile.TemporaryDirectory(prefix="fsmend-bench-", dir=DIRECTORY) as name:
        image = Path(name) / "xfs.img"
        with loop(image, GROUPS * GROUP_BYTES) as device:
            run("mkfs.xfs", "-q", "-d", f"agcount={GROUPS}", device.device)
            place = Path(name) / "mnt"
            with mounted(device.device, place):
                figures["xfs_fill_seconds"] = timed(lambda: fill(place))
                victim = (place / "f0").stat().st_ino
            damage(device.device, victim)
            for state in ("cold", "warm"):
                if state == "cold":
                    forget(image)
                with mounted(device.device, place):
                    figures |= {f"xfs_{state}_{key}": value for key, value in healthy(place).items()}
                    if state == "cold":
                        forget(image)
            with mounted(device.device, place):
                forget(image)
                figures |= {f"xfs_cold_{key}": value for key, value in walk(place, victim).items()}
                figures |= {f"xfs_warm_{key}": value for key, value in walk(place, victim).items()}
    return figures


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def fill(place: Path) -> None:
    """Make the inodes, with every core."""
    folders = range(-(-INODES // FILES_PER_FOLDER))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for done in as_completed([pool.submit(fill_folder, place, number) for number in folders]):
            if done.result() % 100 == 99:
                sys.stderr.write(f"bench: some {done.result() + 1} of {len(folders)} folders\n")


def fill_folder(place: Path, number: int) -> int:
    """Make one folder and its files; return its number."""
    folder = place / f"f{number}"
    folder.mkdir()
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for file in range(min(FILES_PER_FOLDER, INODES - number * FILES_PER_FOLDER)):
        os.mknod(str(file), 0o600, dir_fd=fd)
    os.close(fd)
    return number


def damage(device: str, inode: int) -> None:
    """Break the first directory's first block, which the kernel then meets when it is listed."""
    told = run("xfs_db", "-r", "-c", f"inode {inode}", "-c", "dblock 0", "-c", "daddr", device)
    sector = int(re.findall(r"daddr is (\d+)", told)[-1])
    with Path(device).open("r+b") as disk:
        disk.seek(sector * 512 + 300)
        disk.write(b"scribbled")
        disk.flush()
        os.fsync(disk.fileno())


def forget(image: Path) -> None:
    """Drop what of the image lies in the page cache."""
    run("sync", image)
    with image.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def healthy(place: Path) -> dict[str, float]:
    """Measure the looks of a filesystem that is not known to be sick: each asks for the next groups in turn."""
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        geometry_us = 1e6 * timed(lambda: [xfs.geometry(fd) for _ in range(1000)]) / 1000
        first_ms = 1e3 * timed(lambda: list(Poll().look(fd, bytes(place), everything=True)))
        poll = Poll()
        looks = [1e3 * timed(lambda: list(poll.look(fd, bytes(place)))) for _ in range(LOOKS)]
    finally:
        os.close(fd)
    return {
        "geometry_us": geometry_us,
        "all_groups_ms": first_ms,
        "look_ms_p50": statistics.median(looks),
        "look_ms_max": max(looks),
    }


def walk(place: Path, victim: int) -> dict[str, float]:
    """Measure a walk over all inodes, look by look, that has to find the one that is sick."""
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    poll = Poll()
    poll.want_inodes()
    looks, found_after = [], 0
    held = os.open(place / "f0", os.O_RDONLY | os.O_DIRECTORY)  # an inode that leaves the cache forgets that it is sick
    try:
        with suppress(OSError):
            next(os.scandir(held), None)
        cpu = time.thread_time()
        while poll.next_inode is not None:
            began = time.perf_counter()
            changes = list(poll.look(fd, bytes(place)))
            looks.append(1e3 * (time.perf_counter() - began))
            if any(one.place == (HealthDomain.INODE, victim) for one in changes):
                found_after = len(looks)
        cpu = time.thread_time() - cpu
    finally:
        os.close(held)
        os.close(fd)
    if not found_after:
        raise RuntimeError("the walk did not find the sick directory")
    looks.sort()
    return {
        "walk_looks": len(looks),
        "walk_look_ms_p50": statistics.median(looks),
        "walk_look_ms_p99": looks[int(len(looks) * 0.99)],
        "walk_look_ms_max": looks[-1],
        "walk_us_an_inode": 1e3 * sum(looks) / INODES,
        "walk_cpu_percent": 100 * cpu / (len(looks) * WALK_SECONDS),
        "walk_minutes": (sum(looks) / 1e3 + len(looks) * WALK_SECONDS) / 60,
    }
