"""The collector's own certificate authority, and the collector's own certificate, in files.

`pki/authority.crt`, `pki/authority.key`, `pki/server.crt`, `pki/server.key`; keys are readable by their owner only.
"""

import os
import tempfile
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from fsmend_collector.errors import ConfigError
from fsmend_collector.pki.certificates import (
    CLIENT,
    SERVER,
    Issuer,
    certificate_pem,
    identity_name,
    issue,
    key_pem,
    new_authority,
    new_key,
    server_names,
)

# Operators on the collector's own host reach it so.
ALWAYS_NAMED = ("localhost", "127.0.0.1", "::1")


class Authority:
    """Issue certificates with a loaded authority."""

    def __init__(self, directory: Path, issuer: Issuer) -> None:
        self.directory = directory
        self._issuer = issuer

    @classmethod
    def create(cls, directory: Path, name: str, now: datetime, days: int) -> "Authority":
        """Make a new authority in `directory`.

        Raises:
            ConfigError: there is one already; replacing it would lock every agent out.
        """
        if (directory / "authority.key").exists():
            raise ConfigError(f"{directory} already has an authority; every agent trusts it, so it is not replaced")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        issuer = new_authority(name, now, days)
        write_file(directory / "authority.crt", certificate_pem(issuer.certificate), 0o644)
        write_file(directory / "authority.key", key_pem(issuer.key), 0o600)
        return cls(directory, issuer)

    @classmethod
    def load(cls, directory: Path) -> "Authority":
        """Load the authority from `directory`.

        Raises:
            ConfigError: it is not there, or not readable as what it should be.
        """
        try:
            certificate = x509.load_pem_x509_certificate((directory / "authority.crt").read_bytes())
            key = load_pem_private_key((directory / "authority.key").read_bytes(), None)
        except FileNotFoundError as error:
            raise ConfigError(f"{error.filename} is missing; run `fsmend-collector init` first") from error
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"{directory}: the authority cannot be read: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ConfigError(f"{directory}: authority.key is not the key of authority.crt")
        return cls(directory, Issuer(certificate, key))

    @property
    def certificate(self) -> x509.Certificate:
        """Return the authority's certificate."""
        return self._issuer.certificate

    @property
    def pem(self) -> bytes:
        """Return the authority's certificate as PEM."""
        return certificate_pem(self._issuer.certificate)

    @property
    def der(self) -> bytes:
        """Return the authority's certificate as DER."""
        return self._issuer.certificate.public_bytes(Encoding.DER)

    def issue_client(
        self, role: str, name: str, key: ec.EllipticCurvePublicKey, now: datetime, days: int
    ) -> x509.Certificate:
        """Issue a client certificate for an agent or operator."""
        return issue(self._issuer, key, [identity_name(role, name)], CLIENT, now, days)

    def issue_server(self, names: Iterable[str], now: datetime, days: int) -> None:
        """Issue the collector's own certificate with a fresh key, and write both."""
        key = new_key()
        every = list(dict.fromkeys([*names, *ALWAYS_NAMED]))
        certificate = issue(self._issuer, key.public_key(), server_names(every), SERVER, now, days)
        # One file after the other: a reader between the two sees a pair that does not match, and keeps the old one.
        write_file(self.directory / "server.key", key_pem(key), 0o600)
        write_file(self.directory / "server.crt", certificate_pem(certificate), 0o644)

    def server_pair(self) -> tuple[bytes, bytes] | None:
        """Return the collector's key and certificate as PEM; None while the two files do not match."""
        try:
            key_bytes = (self.directory / "server.key").read_bytes()
            chain = (self.directory / "server.crt").read_bytes()
            key = load_pem_private_key(key_bytes, None)
            certificate = x509.load_pem_x509_certificate(chain)
        except (OSError, ValueError, TypeError):
            return None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            return None
        return key_bytes, chain

    def server_needs_renewal(self, names: Iterable[str], now: datetime) -> bool:
        """Say whether the certificate is missing, lacks a name, or has less than a third of its life left."""
        pair = self.server_pair()
        if pair is None:
            return True
        certificate = x509.load_pem_x509_certificate(pair[1])
        present = set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        if not set(server_names(names)) <= present:
            return True
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        return certificate.not_valid_after_utc - now < max(life / 3, timedelta(minutes=1))


def write_file(path: Path, content: bytes, mode: int) -> None:
    """Write a file so that it is either the old one or the whole new one, also after a power failure."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
