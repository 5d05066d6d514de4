"""A small authority for tests of mutual TLS."""

import datetime as dt
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fsmend_agent import identity as files


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class TestAuthority:
    """Signs what it is given."""

    __test__ = False

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign("authority", self.key.public_key(), [], ca=True)
        self.server_key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        self.server = self._sign("server", self.server_key.public_key(), names)

    def _sign(self, name, public_key, names, *, ca=False, lasts_seconds=3600.0, began_seconds=60.0):
        now = dt.datetime.now(dt.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(seconds=began_seconds))
            .not_valid_after(now + dt.timedelta(seconds=lasts_seconds))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def agent(self, agent_id, public_key, **times):
        return self._sign("agent", public_key, [x509.UniformResourceIdentifier(f"fsmend://agent/{agent_id}")], **times)

    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def write_identity(self, directory, agent_id="a1", collectors=(), enrol_addresses=(), *, renewed=False, **times):
        """Lay an identity down as enrolment does, or a renewed one beside it."""
        key = ec.generate_private_key(ec.SECP256R1())
        contents = {
            files.KEY: key_pem(key),
            files.CERTIFICATE: pem(self.agent(agent_id, key.public_key(), **times)),
            files.AUTHORITY: pem(self.certificate),
            files.AGENT_ID: f"{agent_id}\n".encode(),
            files.COLLECTORS: "".join(f"{address}\n" for address in collectors).encode(),
            files.ENROL_ADDRESSES: "".join(f"{address}\n" for address in enrol_addresses).encode(),
        }
        if renewed:
            files.write_next(directory, contents[files.KEY], contents[files.CERTIFICATE], b"")
        else:
            files.write_identity(directory, contents)
