"""Sign a command with the operator's own Ed25519 key (RFC 8032), which never leaves this machine.

The collector completes a command before it is signed: id, target, host, boot, expiry. It may have been taken over. So
each field of what it returns is as asked, is of a form that says nothing else, or is shown, and nothing else is shown.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import click
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

from fsmend_collector.commands import TIME_TO_LIVE_SECONDS, class_of, is_uuid
from fsmend_collector.pki.certificates import subject_of
from fsmend_collector.query.contexts import CollectorContext
from fsmend_collector.query.errors import QueryError
from fsmend_collector.query.render.readings import arguments
from fsmend_collector.query.render.section import Fact
from fsmend_collector.query.render.values import local_time
from fsmend_proto.canonical import canonical
from fsmend_proto.v1 import command_pb2

# By how much the collector's clock and this machine's may differ.
_CLOCKS_DIFFER_SECONDS = 300
_SECOND_NS = 1_000_000_000
_NAME = re.compile(r"[0-9A-Za-z._-]{1,255}")
_TYPE = re.compile(r"[0-9a-z]{1,16}")
_MAKE_ONE = "`openssl genpkey -algorithm ed25519 -out FILE` makes one"


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
        signed.signature, signed.signer = self.key.sign(canonical(command)), self.name
        return signed


def load_signer(file: Path, name: str) -> Signer:
    """Read a key, asking for its passphrase when it has one.

    Raises:
        QueryError: there is no usable Ed25519 key in the file, or others can read it.
    """
    try:
        pem, mode = file.read_bytes(), file.stat().st_mode
    except OSError as error:
        raise QueryError(f"cannot read the signing key {file}: {error.strerror}", _MAKE_ONE) from None
    if mode & 0o077:
        raise QueryError(f"others than its owner can use the signing key {file}", f"`chmod 600 {file}`")
    key = _load(file, pem)
    if not isinstance(key, Ed25519PrivateKey):
        raise QueryError(f"the key in {file} is no Ed25519 key", _MAKE_ONE)
    return Signer(name, key)


def _load(file: Path, pem: bytes) -> object:
    read = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in pem else load_pem_private_key
    try:
        return read(pem, None)
    except TypeError:  # it is encrypted
        phrase = click.prompt(f"Passphrase of {file}", hide_input=True, err=True)
    except (ValueError, UnsupportedAlgorithm):
        raise QueryError(f"{file} holds no private key in PEM", _MAKE_ONE) from None
    try:
        return read(pem, phrase.encode())
    except UnsupportedAlgorithm:  # those of OpenSSH need a library more
        problem = f"the passphrase of {file} is of a kind that cannot be undone here"
        raise QueryError(problem, "`openssl genpkey -algorithm ed25519 -aes256 -out FILE` makes one that can") from None
    except ValueError:
        raise QueryError(f"the passphrase of {file} is wrong, or the file is damaged") from None


def own_name(context: CollectorContext) -> str:
    """Return the operator's name in the certificate of a context.

    Raises:
        QueryError: it has none.
    """
    try:
        subject = subject_of(x509.load_pem_x509_certificate(context.certificate.read_bytes()))
    except (OSError, ValueError):
        subject = None
    if subject is None:
        raise QueryError(f"the certificate {context.certificate} names no operator")
    return subject.name


def checked(
    asked: command_pb2.Command, host: str, complete: command_pb2.Command, operator: str, now_ns: int
) -> command_pb2.Command:
    """Return what may be signed of what the collector would send: without what this version does not know.

    Args:
        asked: action, target, incident and reason, as the operator wrote them.
        host: the name that the operator wrote; empty: none, or an agent's id, so that it has to be looked at.
        complete: as it came back.
        operator: who asks.
        now_ns: this machine's wall clock.

    Raises:
        QueryError: it is something else, or nothing that a host would take as signed.
    """
    target, wanted = complete.target, asked.target
    if not target.host_name and not target.boot_id:
        problem = "the collector completes no order to be signed: it is older than this command"
        raise QueryError(problem, "compare `fsmend version --collector`")
    longest_ns = (TIME_TO_LIVE_SECONDS + _CLOCKS_DIFFER_SECONDS) * _SECOND_NS
    problems = {
        "another action": _action(complete) != _action(asked) or complete.action_class != class_of(asked),
        "another reason or incident": (complete.reason, complete.incident_id) != (asked.reason, asked.incident_id),
        "another operator": complete.ordered_by != f"operator:{operator}" or bool(complete.approved_by),
        "another filesystem": not is_uuid(target.filesystem_uuid)
        or not target.filesystem_uuid.startswith(wanted.filesystem_uuid)
        or not _TYPE.fullmatch(target.filesystem_type),
        "another mount point": target.mount_point != wanted.mount_point,
        "another device": target.device_id != wanted.device_id,
        "another host": bool(host) and target.host_name != host,
        "no name or no boot of a host": not ((host or _NAME.fullmatch(target.host_name)) and target.host_name)
        or not _NAME.fullmatch(target.boot_id),
        "no id": not is_uuid(complete.id),
        "a longer life": not now_ns < complete.not_after_wall_ns <= now_ns + longest_ns
        or not 0 < complete.time_to_live_seconds <= TIME_TO_LIVE_SECONDS,
        "a dry run": complete.dry_run,
    }
    found = [name for name, holds in problems.items() if holds]
    if found:
        problem = f"the collector's answer is not what was asked: {', '.join(found)}"
        advice = (
            "write HOST as `fsmend get hosts` does and DEVICE as its id, and see that this machine's clock is right"
        )
        raise QueryError(problem, f"nothing was signed; {advice}")
    known = command_pb2.Command()
    known.CopyFrom(complete)
    known.DiscardUnknownFields()
    known.ClearField("signature")
    known.ClearField("signer")
    return known


def _action(command: command_pb2.Command) -> tuple[str | None, bytes]:
    name = command.WhichOneof("action")
    return name, getattr(command, name).SerializeToString(deterministic=True) if name else b""


def signed_facts(command: command_pb2.Command) -> list[Fact]:
    """Return what a signature says, from the command alone: no word beside it is anybody's but the operator's."""
    target = command.target
    return [
        ("Action", command.WhichOneof("action") or ""),
        ("Arguments", arguments(command)),
        ("Host", target.host_name),
        ("Boot", target.boot_id),
        ("Filesystem", f"{target.filesystem_type} {target.filesystem_uuid}"),
        ("Mount point", target.mount_point),
        ("Device", target.device_id),
        ("Incident", command.incident_id),
        ("Reason", command.reason),
        ("Good until", local_time(command.not_after_wall_ns)),
    ]
