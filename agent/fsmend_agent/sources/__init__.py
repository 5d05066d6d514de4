"""Sources: one module a kernel interface, one Source class a module, found by themselves.

A source is the only place where a decoded record becomes an Event. To add one, put a module here with one subclass of
`Source`, and its test beside the others; nothing else names it.
"""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from fsmend_proto.v1 import event_pb2, inventory_pb2, record_pb2

if TYPE_CHECKING:
    from fsmend_agent.config import SourcesConfig
    from fsmend_agent.devices import DeviceTable
    from fsmend_agent.event import Clock
    from fsmend_agent.filesystems import FilesystemTable
    from fsmend_agent.sources._xfs_poll import Poll


@dataclass(frozen=True, slots=True)
class Watch:
    """What a source needs of its host, and where its findings go.

    `emit` and `gap` never block and never raise: behind them stands a bounded queue that turns what does not fit into
    a Gap record by itself. Call them on the event loop's thread.

    `xfs_polls` holds what was told of the health of each XFS, by UUID, and `xfs_monitored` those that the kernel's
    health monitor tells of: two sources share them, so that no finding is told twice.
    """

    config: "SourcesConfig"
    clock: "Clock"
    filesystems: "FilesystemTable"
    devices: "DeviceTable"
    emit: Callable[[event_pb2.Event], None]
    gap: Callable[[record_pb2.Gap], None]
    xfs_polls: "dict[str, Poll]" = field(default_factory=dict)
    xfs_monitored: set[str] = field(default_factory=set)


class SourceUnavailableError(Exception):
    """This kernel or this process does not have the interface; the message says what is missing."""


class Source(ABC):
    """One kernel interface, watched for as long as the agent runs."""

    name: ClassVar[str]
    covers: ClassVar[str]  # what becomes visible through it, for `fsmend-agent probe`

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    @classmethod
    @abstractmethod
    def probe(cls) -> inventory_pb2.Capability:
        """Say whether this kernel has the interface (name `source.NAME`), without changing anything."""

    @abstractmethod
    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            SourceUnavailableError: there is nothing to watch with; not an error of the agent.
            OSError: the interface broke. The supervisor reports it and starts the source again after a pause.
        """

    def poke(self, filesystem_uuid: str) -> None:  # noqa: B027  most sources are told by the kernel and need no hint
        """Take the hint that another source just saw an error on a filesystem: a source that polls may look soon.

        Cheap, never raises, to be called on the event loop's thread with every event of another source.
        """

    @abstractmethod
    def replay(self, raw: bytes) -> Iterator[event_pb2.Event]:
        """Convert captured bytes, exactly what one read of the interface returned, into events. Never raises."""


def discover() -> dict[str, type[Source]]:
    """Find every source in this package, by name."""
    found: dict[str, type[Source]] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Source) and value.__module__ == module.__name__:
                found[value.name] = value
    return dict(sorted(found.items()))
