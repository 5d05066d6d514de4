"""Examine the operator's own certificate: a failed TLS handshake does not say that it was the reason."""

from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from fsmend_collector.query.contexts import CollectorContext


def certificate_problem(context: CollectorContext, now: datetime) -> str:
    """Say what is wrong with the operator's own certificate and key, empty when nothing is."""
    try:
        certificate = x509.load_pem_x509_certificates(context.certificate.read_bytes())[0]
        key = load_pem_private_key(context.key.read_bytes(), None)
        authorities = x509.load_pem_x509_certificates(context.authority.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        return f"certificate, key or authority of the context is not usable ({error})"
    if certificate.not_valid_after_utc < now:
        return f"the certificate {context.certificate} expired at {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    if certificate.not_valid_before_utc > now:
        start = f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
        return f"the certificate {context.certificate} is not valid before {start}; is this machine's clock right?"
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        return f"the key {context.key} does not belong to the certificate {context.certificate}"
    if not any(_signed_by(certificate, authority) for authority in authorities):
        return f"the certificate {context.certificate} was not signed by {context.authority}"
    return ""


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
