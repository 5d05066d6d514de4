"""The composition root of `sense`: wires sources, spool, seam and executor, and nothing else.

sources ─▶ outbox (coalesce, bound) ─▶ spool ─▶ seam ─▶ link
actions ◀─ executor (policy, target, journal) ◀─ seam ◀─ link
"""

import asyncio
import contextlib
import functools
import grp
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fsmend_agent import __version__, actions, inventory, policy, sources
from fsmend_agent.coalesce import Coalescer
from fsmend_agent.config import AgentConfig
from fsmend_agent.errors import ConfigError
from fsmend_agent.event import Clock, new_event
from fsmend_agent.executor import Executor
from fsmend_agent.filesystems import FilesystemTable, MountedFilesystem, follow, read_mounted
from fsmend_agent.inventory.child import collect_in_child
from fsmend_agent.journal import Journal
from fsmend_agent.notify_socket import Notifier
from fsmend_agent.outbox import Outbox
from fsmend_agent.replay import load, replay
from fsmend_agent.seam_server import SeamCalls, SeamServer
from fsmend_agent.spool import Spool
from fsmend_agent.spool.storage import StorageChange
from fsmend_agent.supervise import Part, supervise
from fsmend_agent.threads import in_thread
from fsmend_proto.v1 import event_pb2

log = logging.getLogger(__name__)

STUCK_SECONDS = 30.0
"""A write to the spool that takes longer is a disk that hangs; systemd may end the process then."""

TEND_SECONDS = 5.0

SEAM_SILENT_SECONDS = 60.0
"""Least time between two events about what a link did."""

MAX_DAMAGE_LINES = 20


class Sense:
    """All parts of `sense`, wired.

    Args:
        config: checked.
        captured: kernel bytes to replay instead of watching this host.

    Raises:
        ConfigError: the link's group does not exist.
        SpoolError: neither the spool's directory nor its fallback can be used.
    """

    def __init__(self, config: AgentConfig, captured: Path | None = None) -> None:
        self.config = config
        self._captured = captured
        self._clock = Clock()
        self._loop = asyncio.get_running_loop()
        _prepare(config)
        self._spool = Spool.open(
            config.spool_directory,
            config.spool_limits(),
            on_change=lambda change: self._loop.call_soon_threadsafe(self._spool_changed, change),
        )
        self.outbox = Outbox(self._spool, Coalescer(config.sources.coalesce_window_seconds), self._clock, self._written)
        self._filesystems = FilesystemTable()
        self._devices = inventory.device_table()
        self._sources: list[sources.Source] = []
        self._journal = Journal(config.state_directory / "journal")
        self.executor = Executor(
            actions.discover(),
            functools.partial(policy.load, config.policy.file, os.getuid()),
            self._filesystems,
            self._journal,
            self._clock,
            self.outbox.command_update,
            self._device_ids,
            self._acted,
        )
        self._seam_silent_until = 0.0
        self._seam_untold = 0
        self._seam = SeamServer(
            self._spool,
            config.seam_path,
            SeamCalls(
                on_command=self.executor.submit,
                on_cancel=self.executor.cancel,
                on_clock=self.executor.set_clock,
                on_epoch=lambda epoch: self._seam_says(f"epoch {epoch} was begun, as the collector asked"),
                on_error=self._seam_says,
                unfinished_commands=lambda: self.executor.unfinished,
            ),
            boot_id=self._clock.boot_id,
            agent_version=__version__,
            allowed_uids=frozenset({0, os.getuid()}),
            group_id=_group_id(config),
        )

    async def run(self, stopped: asyncio.Event) -> None:
        """Work until `stopped` is set, then leave in order: running repairs asked to stop, no new findings, flush.

        Raises:
            ConfigError: the capture makes no sense.
            OSError: the capture or the mount table cannot be read, or the seam's socket cannot be made.
        """
        notifier = Notifier()
        # Before the seam: a command must find what is mounted, and what an earlier life left open.
        watchers = await self._watchers()
        await self.executor.recover()
        await self._seam.start()
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self.outbox.run())
            self._tell_of_the_start()
            watching = [group.create_task(work()) for work in watchers]
            watching.append(group.create_task(notifier.feed(self._moves_on)))
            notifier.ready()
            await stopped.wait()
            notifier.stopping()
            await self.executor.close()
            self._state(event_pb2.SEVERITY_INFO, f"agent {__version__} stopped")
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            await self._seam.close()
            writing.cancel()
        self._spool.close()

    def _tell_of_the_start(self) -> None:
        self._state(event_pb2.SEVERITY_INFO, f"agent {__version__} started")
        damage = [f"spool: {line}" for line in self._spool.damage[:MAX_DAMAGE_LINES]]
        if self._journal.damaged:
            damage.append(f"journal of commands: {self._journal.damaged} lines were damaged; what they said is lost")
        for line in damage:
            self._state(event_pb2.SEVERITY_WARNING, line)

    async def _watchers(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """Return what looks at the host, each kept running: the replay of captured bytes, or the real thing."""
        keep = functools.partial(functools.partial, supervise, emit=self.outbox.emit, clock=self._clock)
        tend = keep(Part("spool", self._tend_spool))
        watch = self._watch()
        if self._captured is not None:
            captured = await asyncio.to_thread(load, self._captured)
            return [functools.partial(replay, captured, watch, self.outbox.inventory, self.config.labels), tend]
        only = [os.fsencode(point) for point in self.config.sources.mount_points]
        self._filesystems.update(await asyncio.to_thread(read_mounted, only))
        found = sources.discover().items()
        self._sources = [source(watch) for name, source in found if name not in self.config.sources.disabled]
        parts = [
            Part("mount_table", lambda: follow(self._filesystems, only)),
            Part("inventory", self._keep_inventory),
        ]
        return [*map(keep, parts), *map(keep, self._sources), tend]

    async def _keep_inventory(self) -> None:
        every_seconds = self.config.inventory.interval_seconds
        await inventory.watch(self._filesystems, self._collect, self.outbox.inventory, every_seconds)

    def _watch(self) -> sources.Watch:
        return sources.Watch(
            config=self.config.sources,
            clock=self._clock,
            filesystems=self._filesystems,
            devices=self._devices,
            emit=self._emit,
            gap=self.outbox.gap,
        )

    def _emit(self, event: event_pb2.Event) -> None:
        """Take a source's event, and hint it to the sources that poll: one fault shows in several interfaces."""
        self.outbox.emit(event)
        if event.filesystem.uuid and event.severity > event_pb2.SEVERITY_INFO:
            for source in self._sources:
                if source.name != event.source:
                    source.poke(event.filesystem.uuid)

    def _acted(self, filesystem: MountedFilesystem) -> None:
        """Let the sources that poll look at what a command has checked or changed."""
        for source in self._sources:
            source.poke(filesystem.uuid)

    def _collect(self, _: tuple[MountedFilesystem, ...]) -> Any:
        return collect_in_child(self.config.sources.mount_points, self.config.labels)

    def _device_ids(self, filesystem: MountedFilesystem) -> list[str]:
        return [self._devices.by_name(name).id for name in filesystem.device_names]

    async def _tend_spool(self) -> None:
        """Let the spool do what time asks for: age, ballast, the way back to disk."""
        while True:
            await asyncio.sleep(TEND_SECONDS)
            # A thread of its own: those of the loop may all hang in calls into a disk that does not answer.
            await in_thread(self._spool.tend)

    def _moves_on(self) -> bool:
        """Tell whether the spool still takes what it is given; that the loop runs shows by the question itself."""
        since = self.outbox.writing_since
        return since is None or self._loop.time() - since < STUCK_SECONDS

    def _seam_says(self, what: str) -> None:
        """Tell what a link did; seldom, for whoever connects could fill the spool with it."""
        if self._loop.time() < self._seam_silent_until:
            self._seam_untold += 1
            return
        self._seam_silent_until = self._loop.time() + SEAM_SILENT_SECONDS
        more, self._seam_untold = self._seam_untold, 0
        self._state(
            event_pb2.SEVERITY_WARNING, f"seam: {what}" + (f" (and {more} more since the last)" if more else "")
        )

    def _written(self) -> None:
        self._seam.notify()

    def _spool_changed(self, change: StorageChange) -> None:
        severity = event_pb2.SEVERITY_NOTICE if change.durable else event_pb2.SEVERITY_ERROR
        self._state(severity, f"spool: {change.reason}", change.errno)

    def _state(self, severity: "event_pb2.Severity.ValueType", message: str, errno: int = 0) -> None:
        """Say what became of the agent itself."""
        log.log(logging.INFO if severity < event_pb2.SEVERITY_WARNING else logging.WARNING, "%s", message)
        event = new_event(
            "agent", event_pb2.EVENT_KIND_AGENT_STATE, severity, self._clock.now(), message=message, signature=message
        )
        event.errno = errno
        self.outbox.emit(event)


async def sense(config: AgentConfig, captured: Path | None = None) -> None:
    """Run `sense` until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await Sense(config, captured).run(stopped)


def _group_id(config: AgentConfig) -> int | None:
    """Look up the group that may use the seam."""
    if not config.link_group:
        return None
    try:
        return grp.getgrnam(config.link_group).gr_gid
    except KeyError:
        raise ConfigError(
            f"link_group: there is no group {config.link_group!r}; make it with groupadd --system"
        ) from None


def _prepare(config: AgentConfig) -> None:
    """Make the directories: the state for this process alone, the socket's for the link's group too."""
    config.state_directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    config.runtime_directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    group_id = _group_id(config)
    if group_id is not None:
        with contextlib.suppress(PermissionError):  # systemd made it so already
            os.chown(config.runtime_directory, -1, group_id)
