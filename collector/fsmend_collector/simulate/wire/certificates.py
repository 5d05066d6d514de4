"""Certificates of simulated hosts: each has its own, from the real enrolment; they can be kept for the next run."""

import asyncio
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from fsmend_collector.pki.authority import write_file
from fsmend_collector.pki.certificates import key_pem, new_key
from fsmend_collector.simulate.wire.channels import Identity, open_channel
from fsmend_collector.simulate.wire.errors import SimulationRefused
from fsmend_collector.simulate.wire.operator import Operator
from fsmend_proto.v1 import enrol_pb2
from fsmend_proto.v1.enrol_pb2_grpc import EnrolStub

_AT_ONCE = 16
_REACHED_WITHIN_SECONDS = 5.0
_CALL_SECONDS = 30.0
_AGAIN_SECONDS = 0.5
_LEAST_LEFT = timedelta(days=1)
MACHINE = "simulated"


class Kept:
    """Certificates in a folder, one file a collector's authority."""

    def __init__(self, directory: Path | None, authority: bytes) -> None:
        digest = x509.load_pem_x509_certificate(authority).fingerprint(hashes.SHA256()).hex()[:16]
        self._path = directory / f"agents-{digest}.json" if directory else None
        self._authority = authority

    def load(self, now: datetime) -> dict[str, Identity]:
        """Return what is there and lasts for at least a day, by host name."""
        if self._path is None or not self._path.exists():
            return {}
        rows: dict[str, list[str]] = json.loads(self._path.read_text(encoding="ascii"))
        found = {}
        for host_name, (agent_id, key, chain) in rows.items():
            leaf = x509.load_pem_x509_certificate(chain.encode())
            if leaf.not_valid_after_utc - now > _LEAST_LEFT:
                found[host_name] = Identity(agent_id, key.encode(), chain.encode(), self._authority)
        return found

    def save(self, identities: dict[str, Identity]) -> None:
        """Keep certificates and keys, readable by their owner only."""
        if self._path is None:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        rows = {name: [one.name, one.key.decode(), one.chain.decode()] for name, one in identities.items()}
        write_file(self._path, json.dumps(rows).encode(), 0o600)


async def enrol(
    operator: Operator, host_names: Iterable[str], enrolled: Callable[[], None] = lambda: None
) -> dict[str, Identity]:
    """Enrol hosts, each with a one-use token and a key of its own.

    Args:
        operator: makes the tokens.
        host_names: of the hosts.
        enrolled: called after each of them.

    Raises:
        SimulationRefused: the collector enrols nobody.
    """
    waiting = list(host_names)
    found: dict[str, Identity] = {}
    if not waiting:
        return found
    first = await operator.join_token(waiting[-1])
    channel = await _reach(first, operator.access.identity.authority)

    async def work() -> None:
        while waiting:
            name = waiting.pop()
            found[name] = await _enrol_one(EnrolStub(channel), operator, name)
            enrolled()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(work())
    except* SimulationRefused as errors:
        raise errors.exceptions[0] from None
    finally:
        await channel.close()
    return found


async def _reach(token: enrol_pb2.JoinToken, authority: bytes) -> grpc.aio.Channel:
    """Return a channel to the first address of the enrolment service that answers."""
    for address in token.enrol_addresses:
        channel = open_channel(address, authority)
        try:
            async with asyncio.timeout(_REACHED_WITHIN_SECONDS):
                await channel.channel_ready()
        except TimeoutError:
            await channel.close()
        else:
            return channel
    raise SimulationRefused(f"no enrolment service answers at {', '.join(token.enrol_addresses)}")


async def _enrol_one(stub: Any, operator: Operator, host_name: str) -> Identity:
    """Enrol one host; the service admits a bounded number a second, so ask again."""
    token = await operator.join_token(host_name)
    key = new_key()
    request = enrol_pb2.EnrolRequest(
        token=token.secret, signing_request=_request(key), host_name=host_name, machine_id=MACHINE
    )
    while True:
        try:
            reply = await stub.Enrol(request, timeout=_CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise SimulationRefused(f"{host_name} was not enrolled: {error.details()}") from None
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            return Identity(reply.agent_id, key_pem(key), reply.certificate_chain, reply.authorities)


def _request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a signing request; the collector names the agent, so it names nobody."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


async def identities(
    operator: Operator, host_names: list[str], directory: Path | None, enrolled: Callable[[], None] = lambda: None
) -> tuple[dict[str, Identity], int]:
    """Return a certificate for each host, one that is kept and that the collector still takes or a new one.

    Returns:
        the certificates by host name, and how many of them are new.
    """
    kept = Kept(directory, operator.access.identity.authority)
    good = {one.agent_id for one in await operator.agents() if not one.quarantined}
    known = {name: one for name, one in kept.load(datetime.now(UTC)).items() if one.name in good}
    have = {name: known[name] for name in host_names if name in known}
    for _ in have:
        enrolled()
    new = await enrol(operator, [name for name in host_names if name not in known], enrolled)
    kept.save(known | new)
    return have | new, len(new)
