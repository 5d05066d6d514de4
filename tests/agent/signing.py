"""An operator with a real Ed25519 key, who signs as an operator does: with openssl."""

import subprocess

from fsmend_agent.signature import OPENSSL
from fsmend_proto.canonical import canonical


def openssl(*arguments):
    return subprocess.run([OPENSSL, *map(str, arguments)], check=True, capture_output=True).stdout


class Signer:
    """A key pair in a folder."""

    def __init__(self, folder):
        folder.mkdir()
        self.folder = folder
        self.secret = folder / "secret.pem"
        openssl("genpkey", "-algorithm", "ed25519", "-out", self.secret)
        self.public = openssl("pkey", "-in", self.secret, "-pubout", "-outform", "DER")[-32:]

    def sign(self, command, name="ada"):
        message, signature = self.folder / "message", self.folder / "signature"
        message.write_bytes(canonical(command))
        openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.secret, "-in", message, "-out", signature)
        command.signature, command.signer = signature.read_bytes(), name
        return command
