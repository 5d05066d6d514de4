"""Channels of simulated agents and of their operator: mutual TLS, one connection each."""

from dataclasses import dataclass
from typing import Any

import grpc

MAX_MESSAGE_BYTES = 64 << 20
_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.use_local_subchannel_pool", 1),  # one connection a channel, as each agent has its own certificate
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 500),
)


@dataclass(frozen=True, slots=True)
class Identity:
    """One enrolled host, or an operator.

    Attributes:
        name: the agent's id, or the operator's name.
        key: PEM.
        chain: PEM, leaf first.
        authority: PEM, what to trust as collector.
    """

    name: str
    key: bytes
    chain: bytes
    authority: bytes


def open_channel(
    address: str, authority: bytes, identity: Identity | None = None, server_name: str = ""
) -> grpc.aio.Channel:
    """Return a channel; nothing is connected yet."""
    key, chain = (identity.key, identity.chain) if identity else (None, None)
    options = [*_OPTIONS, ("grpc.ssl_target_name_override", server_name)] if server_name else _OPTIONS
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(authority, key, chain), options=options)
