"""Keys and certificates by the openssl program: the agent has no cryptography library. See openssl(1)."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fsmend_agent.errors import EnrolError

PROGRAMS = (Path("/usr/bin/openssl"), Path("/bin/openssl"), Path("/usr/local/bin/openssl"))
_TIMEOUT_SECONDS = 30
_IDENTITY = re.compile(r"URI:fsmend://agent/([A-Za-z0-9._-]{1,128})(?=,|\s|$)")
# The distribution's configuration may be missing or demand fields; a request needs none of it.
_CONFIG = "[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = fsmend-agent\n"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What the agent needs to know of its certificate.

    Attributes:
        agent_id: last part of the URI fsmend://agent/ID among the subject's alternative names.
        not_before_seconds: wall clock.
        not_after_seconds: wall clock.
        public_key: PEM.
    """

    agent_id: str
    not_before_seconds: float
    not_after_seconds: float
    public_key: bytes

    @property
    def renew_at_seconds(self) -> float:
        """Return when two thirds of its life are over."""
        return self.not_before_seconds + (self.not_after_seconds - self.not_before_seconds) * 2 / 3


def _program() -> Path:
    for path in PROGRAMS:
        if path.is_file():
            return path
    raise EnrolError("the openssl program is missing: install the package `openssl`")


def run(*arguments: str, stdin: bytes = b"") -> bytes:
    """Run openssl and return what it printed.

    Raises:
        EnrolError: it is not installed, or failed; the message has its last line.
    """
    try:
        done = subprocess.run(
            [str(_program()), *arguments],
            input=stdin,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnrolError(f"openssl {arguments[0]} could not run: {error}") from error
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise EnrolError(f"openssl {arguments[0]} failed: {lines[-1]}")
    return done.stdout


def new_key() -> bytes:
    """Return a new ECDSA P-256 private key, PEM (PKCS #8)."""
    return run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-outform", "PEM")


def signing_request(key_file: Path) -> bytes:
    """Return a PKCS #10 request for the key, DER. The collector decides the name; the one in it says nothing."""
    with tempfile.NamedTemporaryFile("w", prefix="fsmend-", suffix=".cnf") as config:
        config.write(_CONFIG)
        config.flush()
        return run("req", "-new", "-sha256", "-key", str(key_file), "-config", config.name, "-outform", "DER")


def sign(key_file: Path, data: bytes) -> bytes:
    """Return the ECDSA signature of `data` with SHA-256, DER."""
    return run("dgst", "-sha256", "-sign", str(key_file), stdin=data)


def public_key(key_file: Path) -> bytes:
    """Return the public half of a private key, PEM."""
    return run("pkey", "-in", str(key_file), "-pubout")


def certificate_facts(chain: bytes) -> CertificateFacts:
    """Read the first certificate of a PEM chain.

    Raises:
        EnrolError: it is no certificate, or not one of an agent.
    """
    text = run("x509", "-noout", "-dates", "-ext", "subjectAltName", stdin=chain).decode(errors="replace")
    dates = dict(line.split("=", 1) for line in text.splitlines() if line.startswith("not"))
    identity = _IDENTITY.search(text)
    if identity is None:
        raise EnrolError("the certificate names no agent: it has no URI fsmend://agent/ID")
    return CertificateFacts(
        identity[1],
        _seconds(dates.get("notBefore", "")),
        _seconds(dates.get("notAfter", "")),
        run("x509", "-noout", "-pubkey", stdin=chain),
    )


def _seconds(date: str) -> float:
    """Parse openssl's form of a date: Nov 22 13:35:04 2026 GMT."""
    try:
        return datetime.strptime(date, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise EnrolError(f"openssl printed a date that is none: {date!r}") from error
