"""The two gRPC servers: Link and Query behind mutual TLS, Enrol with server authentication only.

They are two servers, not two ports of one, because a gRPC server offers every service on each of its ports.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc

from fsmend_collector.addresses import join_address, split_address
from fsmend_collector.errors import ConfigError
from fsmend_collector.server.credentials import ServerCertificate

log = logging.getLogger(__name__)

Register = Callable[[grpc.aio.Server], None]

# Of 3,000 streams opened at once, hundreds fail with CANCELLED under gRPC's default.
MAX_PENDING_REQUESTS = 20_000
MAX_MESSAGE_BYTES = 8 << 20
KEEPALIVE_MS = 60_000
KEEPALIVE_TIMEOUT_MS = 20_000
# Agents ping every 30 s at most; a shorter minimum than that keeps them from being sent away with too_many_pings.
LEAST_PING_INTERVAL_MS = 10_000

OPTIONS = [
    ("grpc.server.max_pending_requests", MAX_PENDING_REQUESTS),
    ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_REQUESTS),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", LEAST_PING_INTERVAL_MS),
    ("grpc.http2.max_ping_strikes", 0),
    # Two collectors that share a port by accident would each see half of the agents.
    ("grpc.so_reuseport", 0),
]


@dataclass(slots=True)
class Servers:
    """Both servers; `link_port` and `enrol_port` are known after `start`."""

    certificate: ServerCertificate
    link_address: str
    enrol_address: str
    register_link: list[Register]
    register_enrol: list[Register]
    link_port: int = 0
    enrol_port: int = 0
    _servers: list[grpc.aio.Server] = field(default_factory=list)

    async def start(self) -> None:
        """Bind both ports and serve.

        Raises:
            ConfigError: a port cannot be bound.
        """
        self.link_port = await self._serve(self.link_address, self.register_link, clients=True)
        self.enrol_port = await self._serve(self.enrol_address, self.register_enrol, clients=False)

    async def _serve(self, address: str, register: list[Register], *, clients: bool) -> int:
        server = grpc.aio.server(options=OPTIONS)
        for one in register:
            one(server)
        try:
            port = server.add_secure_port(_bind_address(address), self.certificate.credentials(clients=clients))
        except RuntimeError as error:
            raise ConfigError(f"cannot listen on {address}: is it in use, or not an address of this host?") from error
        await server.start()
        self._servers.append(server)
        log.info("listening on %s, port %d", address, port)
        return port

    async def stop(self, grace_seconds: float) -> None:
        """Stop both servers; calls that last longer than the grace time are cancelled."""
        for server in self._servers:
            await server.stop(grace_seconds)
        self._servers.clear()


def _bind_address(address: str) -> str:
    host, port = split_address(address)
    return join_address(host, port)
