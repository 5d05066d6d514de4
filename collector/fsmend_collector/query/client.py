"""The connection to a collector: mutual TLS, a deadline for each call, and errors that say what to do."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import click
import grpc

from fsmend_collector.query.cli import Settings
from fsmend_collector.query.contexts import CollectorContext
from fsmend_collector.query.errors import QueryError
from fsmend_collector.query.refusals import explain
from fsmend_proto.v1 import query_pb2 as pb
from fsmend_proto.v1 import why_pb2
from fsmend_proto.v1.query_pb2_grpc import QueryStub

Request = TypeVar("Request")
Reply = TypeVar("Reply")

# A page of 1,000 events with their details fits; a reply is never bigger than this.
MAX_REPLY_BYTES = 64 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
    ("grpc.keepalive_time_ms", 30_000),  # a follower must notice a collector that vanished
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.enable_http_proxy", 0),  # the certificate is the collector's, not a proxy's
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class Client:
    """One channel to one collector; use it as a context manager."""

    def __init__(self, context: CollectorContext, timeout_seconds: float) -> None:
        self.context = context
        self._timeout_seconds = timeout_seconds
        self._channel = _channel(context)
        self._stub = QueryStub(self._channel)

    def __enter__(self) -> Self:
        """Return itself; the connection is made with the first call."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the channel, and with it every stream."""
        self._channel.close()

    def health(self) -> pb.GetHealthReply:
        """Return the state of the whole fleet."""
        return self._call(self._stub.GetHealth, pb.GetHealthRequest())

    def list(self, request: pb.ListRequest) -> pb.ListReply:
        """Return one page."""
        return self._call(self._stub.List, request)

    def run_repair(self, request: pb.RunRepairRequest) -> pb.CommandView:
        """Order a repair; with `dry_run` only say what would be ordered."""
        return self._call(self._stub.RunRepair, request).command

    def cancel_repair(self, request: pb.CancelRepairRequest) -> pb.CommandView:
        """Ask to stop a command."""
        return self._call(self._stub.CancelRepair, request).command

    def create_token(self, request: pb.CreateTokenRequest) -> pb.CreateTokenReply:
        """Make a join token."""
        return self._call(self._stub.CreateToken, request)

    def why(self, request: why_pb2.ExplainIncidentRequest) -> why_pb2.Why:
        """Return why an incident is one."""
        return self._call(self._stub.ExplainIncident, request)

    def same(self, request: why_pb2.FindSameRequest) -> why_pb2.Same:
        """Return who shares something with a device."""
        return self._call(self._stub.FindSame, request)

    def mute(self, request: why_pb2.MuteIncidentRequest) -> why_pb2.IncidentWordReply:
        """Mute an incident, or take its mute off."""
        return self._call(self._stub.MuteIncident, request)

    def resolve(self, request: why_pb2.ResolveIncidentRequest) -> why_pb2.IncidentWordReply:
        """Resolve an incident by an operator's word."""
        return self._call(self._stub.ResolveIncident, request)

    def add_change(self, request: why_pb2.AddChangeRequest) -> why_pb2.ChangeView:
        """Declare a change."""
        return self._call(self._stub.AddChange, request)

    def changes(self, request: why_pb2.ListChangesRequest) -> why_pb2.ListChangesReply:
        """Return the changes of a time."""
        return self._call(self._stub.ListChanges, request)

    def end_change(self, request: why_pb2.EndChangeRequest) -> why_pb2.ChangeView:
        """End a change."""
        return self._call(self._stub.EndChange, request)

    def diagnose_again(self, request: why_pb2.DiagnoseAgainRequest) -> Iterator[why_pb2.DiagnoseAgainReply]:
        """Yield progress, differences and the summary of a replay."""
        return self._stream(self._stub.DiagnoseAgain, request)

    def follow_events(self, request: pb.FollowEventsRequest) -> Iterator[pb.FollowEventsReply]:
        """Yield what the collector commits, without end."""
        return self._stream(self._stub.FollowEvents, request)

    def watch_command(self, command_id: str) -> Iterator[pb.CommandView]:
        """Yield the states of one command up to the final one."""
        return self._stream(self._stub.WatchCommand, pb.WatchCommandRequest(command_id=command_id))

    def _call(self, method: Callable[..., Reply], request: Request) -> Reply:
        try:
            return method(request, timeout=self._timeout_seconds)
        except grpc.RpcError as error:
            raise explain(error, self.context) from None

    def _stream(self, method: Callable[..., Iterator[Reply]], request: Request) -> Iterator[Reply]:
        call: Any = method(request)
        try:
            yield from call
        except grpc.RpcError as error:
            raise explain(error, self.context) from None
        finally:
            call.cancel()


def connect() -> Client:
    """Open a client for the context that the command line chose."""
    settings = click.get_current_context().find_object(Settings)
    assert settings is not None  # noqa: S101  `main` always sets it
    return Client(settings.context(), settings.timeout_seconds)


def _channel(context: CollectorContext) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_read(context, "authority", context.authority),
        private_key=_read(context, "key", context.key),
        certificate_chain=_read(context, "certificate", context.certificate),
    )
    options: list[tuple[str, Any]] = list(_OPTIONS)
    if context.server_name:
        options.append(("grpc.ssl_target_name_override", context.server_name))
    return grpc.secure_channel(context.address, credentials, options)


def _read(context: CollectorContext, what: str, path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise QueryError(f"cannot read the {what} {path} of context {context.name!r}: {error.strerror}") from None
    if b"-----BEGIN" not in data:
        raise QueryError(f"the {what} {path} of context {context.name!r} is not PEM")
    return data
