"""The host's identity on disk: the key, the certificate, whom to trust, where to go.

`identity/` holds `agent.key`, `agent.crt` (PEM chain, leaf first), `authority.crt`, `agent_id`, and `collectors` and
`enrol_addresses` with a HOST:PORT a line. All are 0600, or 0640 where `link` runs in a group of its own. A renewal
first puts `next.key` and then `next.crt` beside them, each whole and durable; only when both are there do they take
over, so that a crash at any point leaves a key and a certificate that belong together.
"""

import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

from fsmend_agent.errors import EnrolError
from fsmend_agent.openssl import CertificateFacts, certificate_facts, public_key
from fsmend_agent.spool.files import read_bounded, replace_file, sync_directory

KEY, CERTIFICATE, AUTHORITY = "agent.key", "agent.crt", "authority.crt"
AGENT_ID, COLLECTORS, ENROL_ADDRESSES = "agent_id", "collectors", "enrol_addresses"
NEXT_KEY, NEXT_CERTIFICATE = "next.key", "next.crt"
_FILES = (KEY, CERTIFICATE, AUTHORITY, AGENT_ID, COLLECTORS, ENROL_ADDRESSES)
_LIMIT_BYTES = 1 << 20
# One thread of this process at a time looks at, or exchanges, a key and its certificate.
_exchange = threading.Lock()


@dataclass(frozen=True, slots=True)
class Identity:
    """What link needs to speak to a collector. Bytes are PEM."""

    agent_id: str
    key: bytes
    chain: bytes
    authority: bytes
    collectors: tuple[str, ...]
    enrol_addresses: tuple[str, ...]
    facts: CertificateFacts


def write_identity(directory: Path, files: dict[str, bytes], group_id: int | None = None) -> None:
    """Write the files of a new identity; the certificate comes last, and without it there is none.

    Args:
        directory: made when absent, for its owner alone or, with a group, for the group too: link renews in it.
        files: contents by name.
        group_id: the group that `link` runs in; None when link runs as the user who enrols.

    Raises:
        OSError: a file cannot be written.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if group_id is not None:
        os.chown(directory, -1, group_id)
        directory.chmod(0o2770)
    for name in (NEXT_KEY, NEXT_CERTIFICATE, CERTIFICATE):
        (directory / name).unlink(missing_ok=True)
    for name in sorted(files, key=lambda name: name == CERTIFICATE):
        _put(directory / name, files[name])


def write_next(directory: Path, key: bytes, chain: bytes, authority: bytes) -> None:
    """Put a renewed certificate in place, with its key and what to trust from now on.

    Raises:
        OSError: a file cannot be written; the present identity holds.
    """
    with _exchange:
        _put(directory / NEXT_KEY, key)
        if authority:
            _put(directory / AUTHORITY, authority)
        _put(directory / NEXT_CERTIFICATE, chain)
        promote(directory)


def _put(path: Path, data: bytes) -> None:
    """Replace a file; its group, inherited from the directory, may read it if it may write there."""
    replace_file(path, data, 0o640 if path.parent.stat().st_mode & stat.S_IWGRP else 0o600)


def promote(directory: Path) -> None:
    """Finish a renewal that was cut short once both files were there; a key alone waits to be overwritten."""
    key, chain = directory / NEXT_KEY, directory / NEXT_CERTIFICATE
    if chain.exists():
        if key.exists():
            key.rename(directory / KEY)
        chain.rename(directory / CERTIFICATE)
        sync_directory(directory)


def load_identity(directory: Path) -> Identity:
    """Read and check the identity.

    Raises:
        EnrolError: there is none, it cannot be read, or its parts do not belong together.
    """
    try:
        with _exchange:
            promote(directory)
            read = {name: read_bounded(directory / name, _LIMIT_BYTES) for name in _FILES}
            public = public_key(directory / KEY)
    except FileNotFoundError as error:
        raise EnrolError(f"this host is not enrolled: {error.filename} is missing; run `fsmend-agent enrol`") from error
    except OSError as error:
        raise EnrolError(f"the identity cannot be read: {error}") from error
    facts = certificate_facts(read[CERTIFICATE])
    if facts.public_key != public:
        raise EnrolError(f"{directory / KEY} and {directory / CERTIFICATE} do not belong together; enrol again")
    return Identity(
        facts.agent_id,
        read[KEY],
        read[CERTIFICATE],
        read[AUTHORITY],
        _lines(read[COLLECTORS]),
        _lines(read[ENROL_ADDRESSES]),
        facts,
    )


def _lines(data: bytes) -> tuple[str, ...]:
    return tuple(line for line in data.decode(errors="replace").split() if line)
