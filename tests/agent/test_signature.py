"""Real Ed25519 signatures, checked by the real openssl."""

import pytest
from agent.signing import Signer

from fsmend_agent.signature import OPENSSL, missing, verify
from fsmend_proto.canonical import canonical
from fsmend_proto.v1 import command_pb2 as pb

pytestmark = pytest.mark.skipif(not OPENSSL.exists(), reason="needs openssl")


@pytest.fixture(scope="module")
def ada(tmp_path_factory):
    return Signer(tmp_path_factory.mktemp("keys") / "ada")


def order():
    target = pb.Target(filesystem_uuid="0f5ac0de-1111-4222-8333-444444444444", boot_id="b")
    return pb.Command(id="c1", target=target, not_after_wall_ns=7, remount_read_only=pb.RemountReadOnly())


def test_a_true_signature_holds(ada):
    assert verify(ada.sign(order()), {"ada": ada.public}) == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda command: setattr(command, "id", "c2"),
        lambda command: setattr(command, "not_after_wall_ns", 8),
        lambda command: setattr(command.target, "boot_id", "other"),
        lambda command: setattr(command, "dry_run", True),
        lambda command: command.scrub_btrfs.SetInParent(),
        lambda command: setattr(command, "signature", bytes(64)),
        lambda command: command.MergeFromString(b"\xfa\x7f\x01x"),
    ],
)
def test_a_changed_command_does_not(ada, change):
    command = ada.sign(order())
    change(command)
    assert "does not fit the command" in verify(command, {"ada": ada.public})


def test_another_key_does_not(ada, tmp_path):
    eve = Signer(tmp_path / "eve")
    assert "does not fit" in verify(eve.sign(order()), {"ada": ada.public})


def test_what_is_missing_is_named(ada):
    assert "has none" in missing(order(), {"ada": ada.public})
    assert "'eve' is no signer" in missing(ada.sign(order(), "eve"), {"ada": ada.public})
    short = ada.sign(order())
    short.signature = short.signature[:-1]
    assert "63" in missing(short, {"ada": ada.public})


def test_without_openssl_nothing_is_believed(ada, tmp_path):
    assert "cannot be checked" in verify(ada.sign(order()), {"ada": ada.public}, tmp_path / "openssl")


def test_a_program_that_fails_otherwise_is_no_yes(ada, tmp_path):
    old = tmp_path / "openssl"
    old.write_text("#!/bin/sh\necho 'pkeyutl: Unknown option: -rawin' >&2\nexit 1\n")
    old.chmod(0o755)
    assert "Unknown option" in verify(ada.sign(order()), {"ada": ada.public}, old)


def test_the_canonical_bytes_are_those_without_signature_and_signer(ada):
    command = ada.sign(order())
    assert canonical(command) == order().SerializeToString(deterministic=True)
    assert command.signature
