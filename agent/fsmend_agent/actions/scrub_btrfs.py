"""Scrub a btrfs while it is mounted: read everything, and write anew what fails its checksum from a good copy."""

import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from errno import EINPROGRESS, EOPNOTSUPP, EROFS
from pathlib import Path
from typing import TYPE_CHECKING

from fsmend_agent.actions import Action, ActionStopped, Order
from fsmend_agent.btrfs_scrub import DeviceScrub, ScrubSpeed
from fsmend_agent.errors import ActionFailed, ActionRefused
from fsmend_agent.health import read_health
from fsmend_agent.kernel import btrfs
from fsmend_agent.target import is_read_only
from fsmend_proto.v1 import command_pb2 as pb
from fsmend_proto.v1 import inventory_pb2

if TYPE_CHECKING:
    from fsmend_agent.filesystems import MountedFilesystem

POLL_SECONDS = 0.25
DAY_SECONDS = 86_400.0
SYSFS = Path("/sys/fs/btrfs")


class ScrubBtrfs(Action):
    """BTRFS_IOC_SCRUB, one thread a device, at idle I/O priority."""

    name = "scrub_btrfs"
    action_class = pb.ACTION_CLASS_REPAIR
    idempotent = True
    timeout_seconds = 7 * DAY_SECONDS

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self.message = order.command.scrub_btrfs
        self.devices: list[btrfs.DeviceInfo] = []

    @classmethod
    def classify(cls, command: pb.Command) -> "pb.ActionClass.ValueType":
        """Return CHECK for a scrub that only reads, REPAIR otherwise."""
        return pb.ACTION_CLASS_CHECK if command.scrub_btrfs.read_only else cls.action_class

    @classmethod
    def probe(cls, filesystem: "MountedFilesystem") -> inventory_pb2.Capability:
        """Say that every btrfs can be scrubbed, and corrected when it is writable."""
        available = filesystem.type == "btrfs"
        reason = "" if available else f"{filesystem.type} has no scrub of this kind"
        if available and filesystem.read_only:
            reason = "mounted read-only: can only be checked"
        return inventory_pb2.Capability(
            name=f"action.{cls.name}", available=available, reason=reason, filesystem_uuid=filesystem.uuid
        )

    @classmethod
    def undo(cls, notes: Mapping[str, str]) -> None:
        """Put speed limits back that a scrub set before the agent died."""
        for key, value in notes.items():
            ScrubSpeed.restore_noted(SYSFS, key, value)

    def intention(self) -> str:
        """Say what would be scrubbed."""
        what = "check" if self.message.read_only else "scrub"
        ids = ", ".join(str(device.device_id) for device in self.devices)
        return f"{what} devid {ids} of btrfs {self.order.target.uuid}"

    def check(self) -> None:
        """Refuse on another type, read-only, unknown devices, or while anything scrubs this filesystem already."""
        if self.order.target.type != "btrfs":
            raise ActionRefused(pb.REFUSAL_CODE_NOT_SUPPORTED, f"{self.order.target.type} is not btrfs")
        if is_read_only(self.order.fd) and not self.message.read_only:
            raise ActionRefused(pb.REFUSAL_CODE_READ_ONLY, "mounted read-only: nothing could be corrected")
        present = btrfs.devices(self.order.fd)
        wanted = set(self.message.devids) or {device.device_id for device in present}
        unknown = wanted - {device.device_id for device in present}
        if unknown:
            text = ", ".join(map(str, sorted(unknown)))
            raise ActionRefused(pb.REFUSAL_CODE_TARGET_CHANGED, f"the filesystem has no devid {text}")
        self.devices = [device for device in present if device.device_id in wanted]
        if self.message.start_byte and len(self.devices) != 1:
            raise ActionRefused(pb.REFUSAL_CODE_MALFORMED, "start_byte needs exactly one devid")
        # Cancelling stops every scrub of the filesystem, so one that somebody else runs must not be among them.
        for device in present:
            if btrfs.scrub_progress(self.order.fd, device.device_id) is not None:
                raise ActionRefused(pb.REFUSAL_CODE_BUSY, f"devid {device.device_id} is being scrubbed already")

    def read_health(self) -> pb.HealthReading:
        """Read the error counters of every device of the filesystem."""
        return read_health(self.order.fd, self.order.target, self.order.clock)

    def run(self) -> pb.CommandResult:
        """Scrub the devices side by side, as `btrfs scrub start` does."""
        scrubs = [DeviceScrub(self.order.fd, device, self.message) for device in self.devices]
        # Of a device that is missing nothing is read.
        speeds = [ScrubSpeed(SYSFS, self.order.target.uuid, one.device_id) for one in self.devices if one.path]
        try:
            self._limit(speeds)
            threads = [threading.Thread(target=scrub.run, name=f"scrub {scrub.devid}", daemon=True) for scrub in scrubs]
            for thread in threads:
                thread.start()
            self._watch(scrubs, threads)
        finally:
            for speed in speeds:
                speed.restore()
        return self._conclude(scrubs)

    def _limit(self, speeds: list[ScrubSpeed]) -> None:
        """Set the limit of every device; who asked for one must not get a scrub without."""
        try:
            for speed in speeds:
                speed.limit(self.message.limit_bytes_per_second, self.order.remember)
        except OSError as error:
            text = f"the limit cannot be set so that it is taken back for certain: {error}; nothing was scrubbed"
            unsupported = error.errno == EOPNOTSUPP
            code = pb.REFUSAL_CODE_NOT_SUPPORTED if unsupported else pb.REFUSAL_CODE_UNSPECIFIED
            raise ActionRefused(code, text) from error

    def _watch(self, scrubs: list[DeviceScrub], threads: list[threading.Thread]) -> None:
        """Report progress and obey `cancelled` until every thread has ended."""
        began = time.monotonic()
        while any(thread.is_alive() for thread in threads):
            if self.order.cancelled.wait(POLL_SECONDS):
                # Again and again: a thread may have been on its way into the kernel when the first one came.
                with suppress(OSError):
                    btrfs.scrub_cancel(self.order.fd)
                for thread in threads:
                    thread.join(POLL_SECONDS)
            for scrub in scrubs:
                scrub.poll()
            self.order.report(self._progress(scrubs, time.monotonic() - began))

    def _progress(self, scrubs: list[DeviceScrub], elapsed_seconds: float) -> pb.Progress:
        """Add up the devices."""
        progress = pb.Progress(
            bytes_done=sum(scrub.outcome.bytes for scrub in scrubs),
            bytes_total=sum(scrub.bytes_expected for scrub in scrubs),
            errors_found=sum(scrub.outcome.errors_found for scrub in scrubs),
            errors_corrected=sum(scrub.outcome.errors_corrected for scrub in scrubs),
            errors_uncorrectable=sum(scrub.outcome.errors_uncorrectable for scrub in scrubs),
        )
        running = [str(scrub.devid) for scrub in scrubs if not scrub.done]
        for scrub in scrubs:
            if not scrub.done:
                last_physical = max(scrub.outcome.last_physical, self.message.start_byte)
                progress.btrfs_positions.add(devid=scrub.devid, last_physical=last_physical)
        progress.stage = f"scrubbing devid {', '.join(running)}" if running else "scrubbed"
        # The estimate is of what is allocated; writes meanwhile may make it more, so it never passes 100.
        fraction = min(1.0, progress.bytes_done / progress.bytes_total) if progress.bytes_total else 1.0
        progress.percent = 100.0 if not running else min(99.9, 100 * fraction)
        if running and 0 < fraction < 1:
            progress.remaining_seconds = elapsed_seconds * (1 - fraction) / fraction
        return progress

    def _conclude(self, scrubs: list[DeviceScrub]) -> pb.CommandResult:
        """Return the result, or raise what stands for it."""
        result = pb.CommandResult(scrubs=[scrub.outcome for scrub in scrubs])
        failed = [scrub for scrub in scrubs if scrub.outcome.errno]
        if not failed:
            return result
        if self.order.cancelled.is_set():
            places = ", ".join(f"devid {scrub.devid} at byte {scrub.outcome.last_physical}" for scrub in failed)
            raise ActionStopped(f"stopped; to resume: {places}", result)
        if len(failed) == len(scrubs) and all(scrub.never_began for scrub in scrubs):
            errnos = {scrub.outcome.errno for scrub in scrubs}
            if errnos == {EINPROGRESS}:
                raise ActionRefused(pb.REFUSAL_CODE_BUSY, "it is being scrubbed already")
            if errnos == {EROFS}:
                raise ActionRefused(pb.REFUSAL_CODE_READ_ONLY, "it became read-only")
        text = "; ".join(f"devid {scrub.devid}: {os.strerror(scrub.outcome.errno)}" for scrub in failed)
        raise ActionFailed(f"not every device was scrubbed: {text}", failed[0].outcome.errno, result)
