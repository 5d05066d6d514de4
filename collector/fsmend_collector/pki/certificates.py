"""X.509 as this project uses it: ECDSA P-256, identities in a URI subject alternative name. No files, no clock.

`fsmend://agent/UUID` names an agent, `fsmend://operator/NAME` an operator; a collector has DNS names and addresses.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fsmend_collector.addresses import is_ip
from fsmend_collector.errors import ConfigError, EnrolRefused

# A host whose clock is behind must still accept what was issued just now.
BACKDATE = timedelta(minutes=5)
MAX_REQUEST_BYTES = 16 << 10
_IDENTITY = re.compile(r"fsmend://(agent|operator)/([A-Za-z0-9._@-]{1,128})")

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True, slots=True)
class Subject:
    """What a client certificate says about its owner.

    Attributes:
        role: agent or operator.
        name: the agent's id, or the operator's name.
        serial: hexadecimal.
        issued: when it was made.
    """

    role: str
    name: str
    serial: str
    issued: datetime
    not_after: datetime

    @property
    def actor(self) -> str:
        """Return its name as the audit has it."""
        return f"{self.role}:{self.name}"


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate and the key that signs with it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a key as unencrypted PKCS #8."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(Encoding.PEM)


def new_authority(name: str, now: datetime, days: int) -> Issuer:
    """Make a self-signed authority that may issue leaf certificates only."""
    key = new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, subject, key.public_key(), now, now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Issuer(builder.sign(key, hashes.SHA256()), key)


def issue(
    issuer: Issuer,
    public_key: ec.EllipticCurvePublicKey,
    names: Iterable[x509.GeneralName],
    usage: x509.ObjectIdentifier,
    now: datetime,
    days: int,
) -> x509.Certificate:
    """Issue a leaf certificate, never for longer than the issuer itself lives."""
    names = list(names)
    common = str(names[0].value)[:64]
    not_after = min(now + timedelta(days=days), issuer.certificate.not_valid_after_utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    builder = (
        _builder(subject, issuer.certificate.subject, public_key, now, not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    return builder.sign(issuer.key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(not_after)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def server_names(names: Iterable[str]) -> list[x509.GeneralName]:
    """Turn host names and addresses into subject alternative names."""
    return [x509.IPAddress(ipaddress.ip_address(name)) if is_ip(name) else x509.DNSName(name) for name in names]


def identity_name(role: str, name: str) -> x509.UniformResourceIdentifier:
    """Return the subject alternative name of an agent or operator.

    Raises:
        ConfigError: no certificate can name it.
    """
    uri = f"fsmend://{role}/{name}"
    if not _IDENTITY.fullmatch(uri) or name.startswith("."):
        raise ConfigError(f"{name!r} is no name for an {role}; use 1 to 128 letters, digits and . _ @ -")
    return x509.UniformResourceIdentifier(uri)


def subject_of(certificate: x509.Certificate) -> Subject | None:
    """Read role and name from a client certificate; None when it names no agent or operator, or more than one."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    found = [
        match
        for uri in names.get_values_for_type(x509.UniformResourceIdentifier)
        if (match := _IDENTITY.fullmatch(uri))
    ]
    if len(found) != 1:
        return None
    role, name = found[0].groups()
    issued = certificate.not_valid_before_utc + BACKDATE
    return Subject(role, name, f"{certificate.serial_number:x}", issued, certificate.not_valid_after_utc)


def check_request(signing_request: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key of a PKCS #10 request in DER; its names are ignored.

    Raises:
        EnrolRefused: it is malformed, not signed by its own key, or no P-256 key.
    """
    if len(signing_request) > MAX_REQUEST_BYTES:
        raise EnrolRefused(f"signing request of {len(signing_request)} bytes; at most {MAX_REQUEST_BYTES}")
    try:
        request = x509.load_der_x509_csr(signing_request)
        key = request.public_key()
        proven = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion) as error:
        raise EnrolRefused("the signing request is not PKCS #10 in DER") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise EnrolRefused("the signing request must have an ECDSA P-256 key")
    if not proven:
        raise EnrolRefused("the signing request is not signed by its own key")
    return key


def check_issued(certificate: x509.Certificate, authority: x509.Certificate) -> None:
    """Check that `authority` issued `certificate`; its dates are not looked at.

    Raises:
        EnrolRefused: it did not.
    """
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise EnrolRefused("the certificate was not issued by this collector's authority") from error
