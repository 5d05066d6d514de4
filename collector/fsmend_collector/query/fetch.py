"""Read objects from the collector: page after page, or the one that an id or prefix names."""

import re
from collections.abc import Iterator

from fsmend_collector.query.client import Client
from fsmend_collector.query.errors import QueryError
from fsmend_collector.query.kinds import BY_SINGULAR, Kind, identity
from fsmend_proto.v1 import query_pb2 as pb

PAGE_SIZE = 1000
MOST_OBJECTS = 1_000_000_000  # that a --limit may name; 0 is all


def objects(client: Client, request: pb.ListRequest, limit: int = 0) -> Iterator[pb.Object]:
    """Yield what matches, newest or worst first, page after page; at most `limit`, 0 for all."""
    left = limit or (1 << 62)
    page = pb.ListRequest()
    page.CopyFrom(request)
    while left > 0:
        page.page_size = min(PAGE_SIZE, left)
        reply = client.list(page)
        yield from reply.objects[:left]
        left -= len(reply.objects)
        if not reply.next_page_token:
            return
        page.page_token = reply.next_page_token


def one(client: Client, kind: Kind, name: str, host: str = "") -> pb.Object:
    """Return the one object that `name` means: its id, a unique prefix of it, or host:/mount of a filesystem.

    Raises:
        QueryError: none or several match.
    """
    if kind.singular == "filesystem" and ":/" in name:
        return filesystem_at(client, name)
    wanted = pb.Filter(host=host, include_closed=True)
    request = pb.ListRequest(kind=kind.number, id=name, detail=True, page_size=6, filter=wanted)
    found = list(client.list(request).objects)
    exact = [candidate for candidate in found if identity(candidate) == name]
    return the_only(exact or found, kind, name)


def filesystem_at(client: Client, place: str) -> pb.Object:
    """Return the filesystem mounted at `host:/mount`."""
    host, _, mount = place.partition(":")
    kind = BY_SINGULAR["filesystem"]
    request = pb.ListRequest(kind=kind.number, filter=pb.Filter(host=host))
    mount_point = mount.encode("utf-8", "surrogateescape")
    matching = [
        found
        for found in objects(client, request)
        if mount_point in {found.filesystem.filesystem.ref.mount_point, *found.filesystem.filesystem.mount_points}
    ]
    return the_only(matching, kind, place)


_WHOLE_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def filesystem_uuid(client: Client, name: str) -> str:
    """Return the UUID that a UUID, a unique prefix or host:/mount means; the same filesystem on two hosts is one.

    A whole UUID is taken as it is: its events may be here before the inventory that names it.
    """
    if _WHOLE_UUID.fullmatch(name):
        return name.lower()
    if ":/" in name:
        return filesystem_at(client, name).filesystem.filesystem.ref.uuid
    kind = BY_SINGULAR["filesystem"]
    request = pb.ListRequest(kind=kind.number, id=name, page_size=6)
    by_uuid = {identity(found): found for found in client.list(request).objects}
    return identity(the_only(list(by_uuid.values()), kind, name))


def the_only(found: list[pb.Object], kind: Kind, name: str) -> pb.Object:
    """Return the only element.

    Raises:
        QueryError: there is none, or more than one; it names some.
    """
    if len(found) == 1:
        return found[0]
    if not found:
        raise QueryError(f"there is no {kind.singular} {name!r}", f"`fsmend get {kind.plural} --all` lists them")
    several = ", ".join(_where(candidate) for candidate in found[:5]) + (" …" if len(found) > 5 else "")
    raise QueryError(
        f"{name!r} is not unique among the {kind.plural}: {several}", "write more of it, or add --host HOST"
    )


def _where(found: pb.Object) -> str:
    host = getattr(getattr(found, found.WhichOneof("body") or "agent"), "host_name", "")
    return identity(found) + (f" on {host}" if host else "")
