"""Actions: one module a repair, one Action class a module, found by themselves.

To add one: a message in command.proto's `oneof action`, a module here with one subclass of `Action` whose `name` is
that field's, and its test. The executor looks it up, checks policy and target, journals, runs it in a thread, and
verifies.
"""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event as Flag
from typing import TYPE_CHECKING, ClassVar

from fsmend_proto.v1 import command_pb2, inventory_pb2

if TYPE_CHECKING:
    from fsmend_agent.event import Clock
    from fsmend_agent.filesystems import MountedFilesystem


@dataclass(frozen=True, slots=True)
class Order:
    """One command, checked, with its target found on this host.

    `report` takes progress at any rate (the executor thins it out); `cancelled` is set when somebody asked to stop.
    Both may be used from the action's thread.
    """

    command: command_pb2.Command
    filesystem: "MountedFilesystem | None"
    clock: "Clock"
    report: Callable[[command_pb2.Progress], None]
    cancelled: Flag


class Action(ABC):
    """One repair. A fresh object runs each command; every method blocks and is called in a thread of its own."""

    name: ClassVar[str]
    action_class: ClassVar["command_pb2.ActionClass.ValueType"]
    idempotent: ClassVar[bool]  # may be run again after a crash in its middle

    def __init__(self, order: Order) -> None:
        self.order = order

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
            ActionFailed: it was tried and did not work.
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
