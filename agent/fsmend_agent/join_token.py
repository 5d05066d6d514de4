"""The join token: one printable string that lets a new host enrol."""

import base64
import binascii

from google.protobuf.message import DecodeError as ProtobufDecodeError

from fsmend_agent.config import is_address
from fsmend_agent.errors import EnrolError
from fsmend_proto.v1.enrol_pb2 import JoinToken

PREFIX = "fsm1."
_LIMIT_CHARACTERS = 65_536
_DER_SEQUENCE = 0x30


def format_join_token(token: JoinToken) -> str:
    """Return the string for a token: "fsm1." and unpadded base64url of the serialised message."""
    return PREFIX + base64.urlsafe_b64encode(token.SerializeToString()).decode().rstrip("=")


def parse_join_token(text: str) -> JoinToken:
    """Decode a join token; white space around it is ignored.

    Raises:
        EnrolError: it is mistyped, cut short, or of another version.
    """
    text = text.strip()
    if not text.startswith(PREFIX):
        raise EnrolError(f"this is no join token: one begins with {PREFIX!r}")
    body = text.removeprefix(PREFIX)
    if len(body) > _LIMIT_CHARACTERS:
        raise EnrolError("the join token is too long to be one")
    try:
        data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        token = JoinToken.FromString(data)
    except (binascii.Error, ValueError, ProtobufDecodeError) as error:
        raise EnrolError("the join token is mistyped or was cut short; copy it whole") from error
    if not token.secret or not token.enrol_addresses or not _is_whole_der(token.authority):
        raise EnrolError("the join token is incomplete; copy it whole")
    wrong = [address for address in token.enrol_addresses if not is_address(address)]
    if wrong:
        raise EnrolError(f"the join token is mistyped: {wrong[0]!r} is not HOST:PORT")
    return token


def _is_whole_der(data: bytes) -> bool:
    """Tell whether the bytes are one DER SEQUENCE, from its first to its last byte (X.690, 8.1.3)."""
    if len(data) < 4 or data[0] != _DER_SEQUENCE or not 0x80 < data[1] <= 0x83:
        return False
    octets = data[1] & 0x7F
    return int.from_bytes(data[2 : 2 + octets], "big") == len(data) - 2 - octets
