"""Output for programs: JSON, JSON lines, YAML and names.

Every document begins with `apiVersion` and `kind`. Fields are only ever added within one version.
"""

import json
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message

from fsmend_collector.query.kinds import BY_SINGULAR, body, identity
from fsmend_collector.query.render.escape import escape_json, visible
from fsmend_collector.query.render.plain import plain
from fsmend_proto.v1 import query_pb2 as pb

API_VERSION = "fsmend/v1"


def document(kind: str, content: Message | dict[str, Any]) -> dict[str, Any]:
    """Return a versioned document around one message."""
    return {"apiVersion": API_VERSION, "kind": kind, **(plain(content) if isinstance(content, Message) else content)}


def object_document(found: pb.Object) -> dict[str, Any]:
    """Return the document of one object."""
    return document(BY_SINGULAR[found.WhichOneof("body") or "agent"].title, body(found))


def list_document(title: str, found: Iterable[pb.Object], *, more: bool) -> dict[str, Any]:
    """Return the document of a list; `more` says that a limit cut it."""
    return document(f"{title}List", {"more": more, "items": [object_document(item) for item in found]})


def to_text(output: str, content: dict[str, Any]) -> str:
    """Write one document as `json` (indented), `jsonl` (one line) or `yaml`, without the last newline."""
    if output == "yaml":
        import yaml  # noqa: PLC0415  slow to import, and the other formats need none

        return "---\n" + yaml.safe_dump(content, sort_keys=False, allow_unicode=False, width=100).rstrip("\n")
    return escape_json(json.dumps(content, ensure_ascii=False, indent=2 if output == "json" else None))


def name(found: pb.Object) -> str:
    """Return KIND/ID, as `-o name` prints it."""
    return visible(f"{found.WhichOneof('body')}/{identity(found)}")
