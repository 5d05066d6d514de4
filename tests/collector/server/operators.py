"""Operators' identities for tests that speak to the query service of a rig."""

from datetime import UTC, datetime

from collector.rig import Identity

from fsmend_collector.pki.certificates import certificate_pem, new_key


def operator_identity(collector, name="ada"):
    """Return the authority, and an operator's certificate that it issued."""
    key = new_key()
    certificate = collector.authority.issue_client("operator", name, key.public_key(), datetime.now(UTC), 10)
    authority = collector.authority.pem
    return authority, Identity(name, key, certificate_pem(certificate), authority)
