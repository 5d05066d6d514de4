"""Sign a command with the operator's own Ed25519 key (RFC 8032), which never leaves this machine.

The collector completes a command before it is signed: id, target, boot, expiry. It may have been taken over, so what it
returns is compared with what was asked, and what cannot be compared the operator is shown.
"""

from dataclasses import dataclass
from pathlib import Path

import click
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fsmend_collector.pki.certificates import subject_of
from fsmend_collector.query.contexts import CollectorContext
from fsmend_collector.query.errors import QueryError
from fsmend_proto.canonical import canonical
from fsmend_proto.v1 import command_pb2

_HOUR_NS = 3_600 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs.

    Attributes:
        name: as the hosts' policy files have it under [signers].
    """

    name: str
    key: Ed25519PrivateKey

    def sign(self, command: command_pb2.Command) -> command_pb2.Command:
        """Return the command with a signature."""
        signed = command_pb2.Command()
        signed.CopyFrom(command)
        signed.DiscardUnknownFields()  # what this version cannot show, it does not sign
        signed.signature, signed.signer = self.key.sign(canonical(signed)), self.name
        return signed


def load_signer(file: Path, name: str, context: CollectorContext) -> Signer:
    """Read the key, asking for its passphrase when it has one; without a name it is that of the certificate.

    Raises:
        QueryError: there is no usable Ed25519 key in the file, or no name in the certificate.
    """
    key = _load_key(file)
    return Signer(name or _own_name(context), key)


def _load_key(file: Path) -> Ed25519PrivateKey:
    advice = "`openssl genpkey -algorithm ed25519 -out FILE` makes one"
    try:
        pem = file.read_bytes()
    except OSError as error:
        raise QueryError(f"cannot read the signing key {file}: {error.strerror}", advice) from None
    key: object
    try:
        key = load_pem_private_key(pem, None)
    except TypeError:  # it is encrypted
        key = _unlock(file, pem)
    except (ValueError, UnsupportedAlgorithm):
        raise QueryError(f"{file} holds no private key in PEM", advice) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise QueryError(f"the key in {file} is no Ed25519 key", advice)
    return key


def _unlock(file: Path, pem: bytes) -> object:
    phrase = click.prompt(f"Passphrase of {file}", hide_input=True, err=True)
    try:
        return load_pem_private_key(pem, phrase.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise QueryError(f"the passphrase of {file} is wrong, or the file is damaged") from None


def _own_name(context: CollectorContext) -> str:
    try:
        subject = subject_of(x509.load_pem_x509_certificate(context.certificate.read_bytes()))
    except (OSError, ValueError):
        subject = None
    if subject is None:
        raise QueryError(f"{context.certificate} does not say who signs", "pass --signer NAME")
    return subject.name


def check_completed(asked: command_pb2.Command, complete: command_pb2.Command, now_ns: int) -> None:
    """Compare what the collector would send with what was asked.

    Args:
        asked: action, target, incident and reason, as the operator wrote them.
        complete: as it came back, to be signed.
        now_ns: this machine's wall clock.

    Raises:
        QueryError: it is something else, or nothing that a host would take as signed.
    """
    target, wanted = complete.target, asked.target
    problems = {
        "another action": _action(complete) != _action(asked),
        "another reason or incident": (complete.reason, complete.incident_id) != (asked.reason, asked.incident_id),
        "another filesystem": not target.filesystem_uuid.startswith(wanted.filesystem_uuid),
        "another mount point": target.mount_point != wanted.mount_point,
        "a device though none was named": bool(target.device_id) != bool(wanted.device_id),
        "no boot that it is for": not target.boot_id,
        "no expiry within an hour": not now_ns < complete.not_after_wall_ns <= now_ns + _HOUR_NS,
        "a dry run": complete.dry_run,
    }
    found = [name for name, holds in problems.items() if holds]
    if found:
        problem = f"the collector's answer is not what was asked: it has {', '.join(found)}"
        raise QueryError(problem, "nothing was signed; check this machine's clock, and whose collector this is")


def _action(command: command_pb2.Command) -> tuple[str | None, bytes]:
    name = command.WhichOneof("action")
    return name, getattr(command, name).SerializeToString(deterministic=True) if name else b""
