"""The options that choose objects, and the Filter they become. The collector filters, not the command line."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import click

from fsmend_collector.query.client import Client
from fsmend_collector.query.fetch import filesystem_uuid
from fsmend_collector.query.render.values import number_of, words
from fsmend_collector.query.times import TIME_HELP, TimeParameter
from fsmend_proto.v1 import event_pb2
from fsmend_proto.v1 import query_pb2 as pb


def _labels(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in (part for value in given for part in value.split(",")):
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE")
        labels[key] = value
    return labels


def _kinds(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> list[int]:
    numbers: list[int] = []
    for text in (part for value in given for part in value.split(",")):
        number = number_of(event_pb2.EventKind.DESCRIPTOR, text)
        if not number:
            raise click.BadParameter(f"{text!r} is none of {', '.join(words(event_pb2.EventKind.DESCRIPTOR))}")
        numbers.append(number)
    return numbers


_OPTIONS = (
    click.option("-S", "--since", type=TimeParameter(), help=f"From then on: {TIME_HELP}."),
    click.option("-U", "--until", type=TimeParameter(), help="Before then."),
    click.option("--host", default="", metavar="HOST", help="Host name or agent id."),
    click.option("--fs", "filesystem", default="", metavar="FS", help="UUID, its unique prefix, or HOST:/MOUNT."),
    click.option("--device", default="", metavar="DEVICE", help="Device id or kernel name."),
    click.option("--kind", "kinds", multiple=True, callback=_kinds, metavar="KIND", help="Kind of event: fs_error …"),
    click.option(
        "--severity",
        type=click.Choice(words(event_pb2.Severity.DESCRIPTOR)),
        help="At least this severe.",
    ),
    click.option("--source", default="", help="What reported it: fanotify, kmsg …"),
    click.option("--incident", default="", metavar="ID", help="Evidence and commands of one incident."),
    click.option("-l", "--label", "labels", multiple=True, callback=_labels, metavar="KEY=VALUE", help="Of the host."),
)


def filter_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add every option that chooses objects."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@dataclass(frozen=True, slots=True)
class Choice:
    """What the filter options say, before the names in them are looked up."""

    since: int | None
    until: int | None
    host: str
    filesystem: str
    device: str
    kinds: list[int]
    severity: str | None
    source: str
    incident: str
    labels: dict[str, str]

    @classmethod
    def take(cls, options: dict[str, Any]) -> Self:
        """Take the filter options out of a command's options."""
        return cls(**{name: options.pop(name) for name in cls.__slots__})

    def to_filter(self, client: Client, *, include_closed: bool = False) -> pb.Filter:
        """Build the Filter; a prefix or mount point of a filesystem is looked up."""
        if self.since and self.until and self.since >= self.until:
            raise click.UsageError("--since is not before --until")
        return pb.Filter(
            since_ns=self.since or 0,
            until_ns=self.until or 0,
            host=self.host,
            filesystem_uuid=filesystem_uuid(client, self.filesystem) if self.filesystem else "",
            device=self.device,
            kinds=self.kinds,  # type: ignore[arg-type]  # checked by the option
            min_severity=number_of(event_pb2.Severity.DESCRIPTOR, self.severity or "") or 0,  # type: ignore[arg-type]
            source=self.source,
            incident_id=self.incident,
            include_closed=include_closed,
            labels=self.labels,
        )
