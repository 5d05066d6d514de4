"""The kinds of objects, by the names an operator may type: singular, plural and short."""

from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem

from fsmend_proto.v1 import query_pb2 as pb


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object.

    Attributes:
        number: its ObjectKind.
        singular: also the field of Object, and the prefix of `-o name`.
        identity: the field that `-o name` prints; a dotted path into the view.
        ending: of the plural.
    """

    number: "pb.ObjectKind.ValueType"
    singular: str
    short: str
    identity: str
    ending: str = "s"

    @property
    def plural(self) -> str:
        """Name several of them."""
        return self.singular + self.ending

    @property
    def title(self) -> str:
        """Name the kind as JSON does."""
        return self.singular.capitalize()


KINDS = (
    Kind(pb.OBJECT_KIND_HOST, "host", "ho", "host.name"),
    Kind(pb.OBJECT_KIND_DEVICE, "device", "dev", "device.ref.id"),
    Kind(pb.OBJECT_KIND_FILESYSTEM, "filesystem", "fs", "filesystem.ref.uuid"),
    Kind(pb.OBJECT_KIND_EVENT, "event", "ev", "id"),
    Kind(pb.OBJECT_KIND_INCIDENT, "incident", "inc", "id"),
    Kind(pb.OBJECT_KIND_COMMAND, "command", "cmd", "command.id"),
    Kind(pb.OBJECT_KIND_AGENT, "agent", "ag", "agent_id"),
    Kind(pb.OBJECT_KIND_GAP, "gap", "ga", "id"),
    Kind(pb.OBJECT_KIND_TOKEN, "token", "tok", "id"),
    Kind(pb.OBJECT_KIND_AUDIT, "audit", "au", "id", ending=""),
)
BY_NAME = {name: kind for kind in KINDS for name in (kind.singular, kind.plural, kind.short)}
BY_SINGULAR = {kind.singular: kind for kind in KINDS}


class KindParameter(click.ParamType[Kind]):
    """A kind on the command line."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Kind:
        """Look the name up, whatever its case."""
        if isinstance(value, Kind):
            return value
        if (found := BY_NAME.get(value.lower())) is None:
            known = ", ".join(f"{kind.plural} ({kind.short})" for kind in KINDS)
            self.fail(f"{value!r} is not a kind; there are: {known}", param, ctx)
        return found

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Offer the plural names."""
        return [CompletionItem(kind.plural) for kind in KINDS if kind.plural.startswith(incomplete.lower())]


def body(found: pb.Object) -> Any:
    """Return the view inside an Object."""
    return getattr(found, found.WhichOneof("body") or "agent")


def identity(found: pb.Object) -> str:
    """Return what names the object in commands."""
    kind = BY_SINGULAR[found.WhichOneof("body") or "agent"]
    value = body(found)
    for part in kind.identity.split("."):
        value = getattr(value, part)
    return str(value)
