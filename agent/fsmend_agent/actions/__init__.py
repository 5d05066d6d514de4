"""Actions: one module a repair, one Action class a module, found by themselves.

To add one: a message in command.proto's `oneof action`, a module here with one subclass of `Action` whose `name` is
that field's, and its test. The executor looks it up, checks policy and target, journals, runs it in a thread, and
verifies.
"""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event as Flag
from typing import TYPE_CHECKING, ClassVar

from fsmend_agent.errors import AgentError
from fsmend_proto.v1 import command_pb2, inventory_pb2

if TYPE_CHECKING:
    from fsmend_agent.event import Clock
    from fsmend_agent.filesystems import MountedFilesystem


@dataclass(frozen=True, slots=True)
class Order:
    """One command, checked, with its target found on this host.

    `report` takes progress at any rate (the executor thins it out); `cancelled` is set when somebody asked to stop, or
    when the action's time is over. Both may be used from the action's threads.

    `remember` writes down, durably, what the action is about to set and has to take back; `Action.undo` gets it if the
    agent dies before.

    `fd` is a directory of the target, opened and proven to lie on the filesystem that the command means. Work through
    it and never through a path: what is mounted on a path may have changed since. The executor closes it; -1 without a
    filesystem.
    """

    command: command_pb2.Command
    filesystem: "MountedFilesystem | None"
    clock: "Clock"
    report: Callable[[command_pb2.Progress], None]
    cancelled: Flag
    fd: int = -1
    remember: Callable[[str, str], None] = lambda _key, _value: None

    @property
    def target(self) -> "MountedFilesystem":
        """The filesystem, for actions with `needs_filesystem`."""
        if self.filesystem is None:
            raise ValueError("the executor gives every action that needs a filesystem one")
        return self.filesystem


class ActionStopped(AgentError):  # noqa: N818  an outcome, like ActionFailed
    """Say that an action ended early because `cancelled` was set, and what it did until then."""

    def __init__(self, reason: str, result: command_pb2.CommandResult) -> None:
        super().__init__(reason)
        self.result = result


class Action(ABC):
    """One repair. A fresh object runs each command; every method blocks and is called in a thread of its own."""

    name: ClassVar[str]
    action_class: ClassVar["command_pb2.ActionClass.ValueType"]
    idempotent: ClassVar[bool]  # may be run again after a crash in its middle
    needs_filesystem: ClassVar[bool] = True
    timeout_seconds: ClassVar[float] = 3600.0

    def __init__(self, order: Order) -> None:
        self.order = order

    @classmethod
    def classify(cls, command: command_pb2.Command) -> "command_pb2.ActionClass.ValueType":  # noqa: ARG003
        """Return the class of this command: `action_class`, unless a field of its message makes it another."""
        return cls.action_class

    @classmethod  # noqa: B027  most actions set nothing
    def undo(cls, notes: Mapping[str, str]) -> None:
        """Take back what an earlier life of the agent set and could not take back. Blocks; never raises for the disk.

        Args:
            notes: what it remembered.
        """

    def intention(self) -> str:
        """Say what `run` would do, after "would", for a dry run."""
        where = b"" if self.order.filesystem is None else self.order.filesystem.mount_points[0]
        return f"{self.name} {where.decode('utf-8', 'backslashreplace')}".rstrip()

    @classmethod
    @abstractmethod
    def probe(cls, filesystem: "MountedFilesystem") -> inventory_pb2.Capability:
        """Say whether this action could run on `filesystem` here (name `action.NAME`), without changing anything."""

    @abstractmethod
    def check(self) -> None:
        """Test the preconditions that only this action knows.

        Raises:
            ActionRefused: with its code; nothing was touched.
        """

    @abstractmethod
    def read_health(self) -> command_pb2.HealthReading:
        """Read counters and health of the target; called right before `run` and right after."""

    @abstractmethod
    def run(self) -> command_pb2.CommandResult:
        """Do it, report progress, obey `cancelled`. The executor adds the readings, the duration, and the verdict.

        Raises:
            ActionRefused: it turned out that it cannot begin, and nothing was touched.
            ActionFailed: it was tried and did not work.
            ActionStopped: it ended early because of `cancelled`.
        """


def discover() -> dict[str, type[Action]]:
    """Find every action in this package, by name."""
    found: dict[str, type[Action]] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Action) and value.__module__ == module.__name__:
                found[value.name] = value
    return dict(sorted(found.items()))
