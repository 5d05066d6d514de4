"""The simulation's operator: makes join tokens, and reads from the collector what became of the faults."""

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from fsmend_collector.simulate.wire.channels import Identity, open_channel
from fsmend_collector.simulate.wire.errors import SimulationRefused
from fsmend_proto.v1 import enrol_pb2, incident_pb2
from fsmend_proto.v1 import query_pb2 as pb
from fsmend_proto.v1.query_pb2_grpc import QueryStub

_PAGE = 1_000
_TOKEN_SECONDS = 3_600
_CALL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Access:
    """Where a collector is, and with what an operator reaches it.

    Attributes:
        address: host:port of its link and query services.
        server_name: name in its certificate; empty: the address's host.
    """

    address: str
    identity: Identity
    server_name: str = ""

    @classmethod
    def of(cls, address: str, certificate: Path, key: Path, authority: Path, server_name: str = "") -> "Access":
        """Read the operator's files.

        Raises:
            SimulationRefused: one of them cannot be read.
        """
        try:
            identity = Identity("operator", key.read_bytes(), certificate.read_bytes(), authority.read_bytes())
        except OSError as error:
            raise SimulationRefused(f"cannot read {error.filename}: {error.strerror}") from error
        return cls(address, identity, server_name)


class Operator:
    """Ask a collector; use it as an asynchronous context manager."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._channel = open_channel(
            access.address, access.identity.authority, access.identity, server_name=access.server_name
        )
        self._stub: Any = QueryStub(self._channel)

    async def __aenter__(self) -> Self:
        """Return itself; the connection is made with the first call."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the channel."""
        await self._channel.close()

    async def join_token(self, host_name: str) -> enrol_pb2.JoinToken:
        """Make a one-use token for one host."""
        request = pb.CreateTokenRequest(time_to_live_seconds=_TOKEN_SECONDS, host_name=host_name)
        reply: pb.CreateTokenReply = await self._call(self._stub.CreateToken, request)
        return parse_join_token(reply.join_token)

    async def agents(self) -> list[pb.AgentView]:
        """Return every agent that the collector knows."""
        return [one.agent async for one in self._list(pb.OBJECT_KIND_AGENT, pb.Filter())]

    async def hosts(self) -> dict[str, pb.HostView]:
        """Return the hosts that have sent an inventory, by agent id."""
        return {one.host.agent_id: one.host async for one in self._list(pb.OBJECT_KIND_HOST, pb.Filter())}

    async def incidents(self) -> list[incident_pb2.Incident]:
        """Return the incidents that stand, without their long lists."""
        return [one.incident async for one in self._list(pb.OBJECT_KIND_INCIDENT, pb.Filter())]

    async def incident(self, incident_id: str) -> incident_pb2.Incident:
        """Return one incident with its members; an empty one when it is not there any more."""
        chosen = pb.Filter(include_closed=True)
        found = self._list(pb.OBJECT_KIND_INCIDENT, chosen, incident_id, detail=True)
        return next(iter([one.incident async for one in found]), incident_pb2.Incident())

    async def events(self, since_ns: int) -> AsyncIterator[pb.EventView]:
        """Yield the events that were received since a time, newest first."""
        async for one in self._list(pb.OBJECT_KIND_EVENT, pb.Filter(since_ns=since_ns)):
            yield one.event

    async def _list(
        self, kind: pb.ObjectKind.ValueType, chosen: pb.Filter, name: str = "", *, detail: bool = False
    ) -> AsyncIterator[pb.Object]:
        request = pb.ListRequest(kind=kind, filter=chosen, id=name, page_size=_PAGE, detail=detail)
        while True:
            reply: pb.ListReply = await self._call(self._stub.List, request)
            for one in reply.objects:
                yield one
            if not reply.next_page_token:
                return
            request.page_token = reply.next_page_token

    async def _call(self, method: Any, request: Any) -> Any:
        """Call one method.

        Raises:
            SimulationRefused: the collector cannot be reached, or refuses.
        """
        try:
            return await method(request, timeout=_CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise SimulationRefused(
                f"collector {self.access.address}: {error.code().name}: {error.details()}"
            ) from None


def parse_join_token(text: str) -> enrol_pb2.JoinToken:
    """Read a join token as an agent does."""
    body = text.partition(".")[2]
    return enrol_pb2.JoinToken.FromString(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
