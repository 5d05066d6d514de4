"""Check an operator's Ed25519 signature over a command, with the host's own openssl program.

The agent carries no crypto library. What is signed: the deterministic serialisation of the Command with `signature`
and `signer` cleared (docs/policy.md).
"""

import os
import subprocess
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from fsmend_proto.canonical import canonical
from fsmend_proto.v1 import command_pb2

if TYPE_CHECKING:
    from fsmend_agent.policy import Policy

OPENSSL = Path("/usr/bin/openssl")
SIGNATURE_BYTES = 64
TIMEOUT_SECONDS = 10.0
OFFSET_NS = 3_600 * 1_000_000_000
"""By how much the clocks of host and collector may differ for a signed command: the offset is the collector's word."""
_VERIFY = ("pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER")
# SubjectPublicKeyInfo of an Ed25519 key is this and the 32 raw bytes (RFC 8410, section 4).
_KEY_PREFIX = bytes.fromhex("302a300506032b6570032100")


def missing(command: command_pb2.Command, signers: Mapping[str, bytes]) -> str:
    """Return why there is nothing to verify; empty when there is a signature by a known signer. Pure."""
    if not command.signature or not command.signer:
        return "the policy of this host requires an operator's signature, and the command has none"
    if command.signer not in signers:
        return f"{command.signer!r} is no signer of this host's policy"
    if len(command.signature) != SIGNATURE_BYTES:
        return f"an Ed25519 signature has {SIGNATURE_BYTES} bytes, not {len(command.signature)}"
    return ""


def verify(command: command_pb2.Command, signers: Mapping[str, bytes], openssl: Path = OPENSSL) -> str:
    """Return why the signature of `command` does not hold; empty when it does.

    Blocks for some milliseconds: call it in a thread.

    Args:
        command: as it came.
        signers: raw 32-byte public keys by name.
        openssl: the program, version 3.0 or newer.
    """
    problem = missing(command, signers)
    if problem:
        return problem
    try:
        answer = _ask(openssl, _KEY_PREFIX + signers[command.signer], command.signature, canonical(command))
    except subprocess.TimeoutExpired:
        return f"{openssl} did not answer within {TIMEOUT_SECONDS:.0f} s"
    except OSError as error:
        return f"the signature cannot be checked: {openssl}: {error.strerror}"
    if answer.returncode == 0:
        return ""
    detail = (answer.stderr or answer.stdout).decode("utf-8", "backslashreplace").strip().splitlines()
    return (
        f"the signature by {command.signer!r} does not fit the command ({detail[0] if detail else 'no reason given'})"
    )


def believed_until_ns(command: command_pb2.Command) -> int:
    """Return until when a signature of a command could be believed again, on the host's wall clock."""
    return command.not_after_wall_ns + 2 * OFFSET_NS


def kept_until_ns(command: command_pb2.Command, read_policy: "Callable[[], Policy]") -> int:
    """Return until when a refused command must be remembered, 0: its signature does not hold anyway. Blocks.

    With a policy that cannot be read nobody can tell: it may hold when the policy is mended.
    """
    policy = read_policy()
    if policy.broken:
        return believed_until_ns(command) if command.signature else 0
    return 0 if verify(command, policy.signers) else believed_until_ns(command)


def _ask(openssl: Path, key: bytes, signature: bytes, message: bytes) -> "subprocess.CompletedProcess[bytes]":
    """Run openssl over memory files: no file that another process could exchange or a full disk refuse."""
    with ExitStack() as files:
        fds = [_memory_file(files, content) for content in (key, signature, message)]
        key_path, signature_path, message_path = (f"/proc/self/fd/{fd}" for fd in fds)
        return subprocess.run(
            [str(openssl), *_VERIFY, "-inkey", key_path, "-sigfile", signature_path, "-in", message_path],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={"LC_ALL": "C"},
            cwd="/",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )


def _memory_file(files: ExitStack, content: bytes) -> int:
    """Return a descriptor of a file in memory, closed with `files`."""
    fd = os.memfd_create("fsmend-signature", os.MFD_CLOEXEC)
    files.callback(os.close, fd)
    os.write(fd, content)
    return fd
