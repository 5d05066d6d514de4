"""`fsmend repair run --sign`: an order that a host's policy takes from the operator alone."""

import json
import shutil
import subprocess
import time

import pytest
from agent.signing import Signer, openssl
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from sqlalchemy import select, update

from fsmend_agent.signature import verify
from fsmend_collector.query.client import Client
from fsmend_collector.query.contexts import load_context
from fsmend_collector.query.errors import QueryError
from fsmend_collector.query.signing import checked, load_signer, signed_facts
from fsmend_collector.store.schema import agents, commands
from fsmend_proto.v1 import command_pb2
from fsmend_proto.v1 import query_pb2 as pb

MINUTE_NS = 60 * 1_000_000_000


@pytest.fixture
def ada(tmp_path):
    """An operator's key pair, made by openssl."""
    return Signer(tmp_path / "ada")


@pytest.fixture
def remount(fsmend, make, ada):
    """Order a signed remount; return what the CLI did."""

    def run(*options, **settings):
        order = ("repair", "run", "remount_read_only", "--fs", "web1:/srv/data", "--reason", "it spreads")
        return fsmend(*order, "--sign", ada.secret, *options, **settings)

    return run


def stored(collector):
    rows = collector.run(collector.store.read(lambda c: c.execute(select(commands.c.command)).scalars().all()))
    return [command_pb2.Command.FromString(row) for row in rows]


def test_a_signed_order_is_stored_as_it_was_signed_and_its_host_can_verify_it(remount, collector, host, make, ada):
    shown = json.loads(remount("--yes", "-o", "json").stdout)
    (command,) = stored(collector)
    assert shown["command"]["id"] == command.id
    assert command.WhichOneof("action") == "remount_read_only"
    target = command.target
    assert (target.filesystem_uuid, target.host_name, target.boot_id) == (make.UUID, "web1", "boot-1")
    assert target.mount_point == "/srv/data"
    assert (command.signer, command.ordered_by) == ("ada", "operator:ada")
    assert 0 < command.not_after_wall_ns - time.time_ns() <= 15 * MINUTE_NS
    assert verify(command, {"ada": ada.public}) == ""
    command.reason = "something else"
    assert "does not fit" in verify(command, {"ada": ada.public})


def test_the_operator_sees_what_is_signed_and_may_refuse(remount, collector, host, make):
    done = remount(status=1, input="n\n")
    for part in ("remount_read_only", make.UUID, "web1", "boot-1", "/srv/data", "it spreads", "Sign it as ada?"):
        assert part in done.stderr
    assert stored(collector) == []
    remount(input="y\n")
    assert len(stored(collector)) == 1


def test_a_dry_run_signs_and_stores_nothing(remount, collector, host):
    assert "would be sent" in remount("--dry-run").stdout
    assert stored(collector) == []


def test_the_hosts_know_a_signer_by_the_name_in_their_policy(remount, collector, host):
    remount("--yes", "--signer", "ada-2026")
    assert stored(collector)[0].signer == "ada-2026"


def test_a_key_may_have_a_passphrase(fsmend, collector, host, make, tmp_path, ada):
    locked = tmp_path / "locked.pem"
    openssl("pkey", "-in", ada.secret, "-aes256", "-passout", "pass:lovelace", "-out", locked)
    order = ("repair", "run", "remount_read_only", "--fs", "web1:/srv/data", "--sign", locked, "--yes")
    assert "passphrase of" in fsmend(*order, status=1, input="wrong\n").stderr
    fsmend(*order, input="lovelace\n")
    assert verify(stored(collector)[0], {"ada": ada.public}) == ""


def test_a_key_may_be_one_of_openssh(remount, collector, host, tmp_path, ada):
    key = load_pem_private_key(ada.secret.read_bytes(), None)
    ada.secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    remount("--yes")
    assert verify(stored(collector)[0], {"ada": ada.public}) == ""


@pytest.mark.parametrize("named", [("6f2c1",), ("6f2c1", "--host", "web1"), ("6f2c1f0e-1111-4222-8333-444455556666",)])
def test_nothing_is_signed_unseen_that_is_not_named_in_full(fsmend, collector, host, ada, named):
    order = ("repair", "run", "remount_read_only", "--fs", *named, "--sign", ada.secret)
    assert "--fs HOST:/MOUNT" in fsmend(*order, "--yes", status=2).stderr
    fsmend(*order, input="y\n")
    assert len(stored(collector)) == 1


def test_an_agents_id_names_a_host_to_be_looked_at(fsmend, collector, host, make, ada):
    order = ("repair", "run", "remount_read_only", "--fs", make.UUID, "--sign", ada.secret, "--host", host)
    assert "--fs HOST:/MOUNT" in fsmend(*order, "--yes", status=2).stderr
    assert "web1" in fsmend(*order, input="y\n").stderr
    assert stored(collector)[0].target.host_name == "web1"


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")
def test_a_passphrase_that_cannot_be_undone_here_is_not_called_wrong(remount, host, ada):
    ada.secret.unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "lovelace", "-f", ada.secret], check=True)
    assert "cannot be undone here" in remount("--yes", status=1, input="lovelace\n").stderr


def test_a_mount_point_that_no_message_can_hold_is_named_by_its_uuid(fsmend, host, ada):
    order = ("repair", "run", "remount_read_only", "--fs", "web1:/srv/\udcff", "--sign", ada.secret)
    assert "name the filesystem's UUID" in fsmend(*order, status=2).stderr


def test_what_is_no_key_is_refused_before_anything_is_asked(fsmend, host, make, tmp_path):
    order = ("repair", "run", "remount_read_only", "--fs", make.UUID)
    other, text = tmp_path / "p256.pem", tmp_path / "text"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", other)
    text.write_text("no key")
    text.chmod(0o600)
    assert "is no Ed25519 key" in fsmend(*order, "--sign", other, status=1).stderr
    assert "no private key in PEM" in fsmend(*order, "--sign", text, status=1).stderr
    assert "cannot read the signing key" in fsmend(*order, "--sign", tmp_path / "none", status=1).stderr
    assert "go with --sign" in fsmend(*order, "--yes", status=2).stderr
    other.chmod(0o640)
    assert "chmod 600" in fsmend(*order, "--sign", other, status=1).stderr


def signed(collector, make, ada):
    """Return a client and an order that it may send once more, changed or late."""
    client = Client(load_context(collector.contexts("signing"), None), 10)
    wish = pb.RunRepairRequest(dry_run=True)
    wish.command.remount_read_only.SetInParent()
    wish.command.target.filesystem_uuid, wish.command.signer = make.UUID, "ada"
    view = client.run_repair(wish)
    order = pb.RunRepairRequest(host=view.agent_id)
    order.command.CopyFrom(ada.sign(view.command))
    return client, order


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda one: one.ClearField("id"), "no id"),
        (lambda one: setattr(one, "ordered_by", "operator:eve"), "another operator"),
        (lambda one: setattr(one.target, "boot_id", "boot-0"), "the target or its boot"),
        (lambda one: setattr(one, "action_class", command_pb2.ACTION_CLASS_OBSERVE), "its class"),
        (lambda one: setattr(one, "not_after_wall_ns", time.time_ns() + 30 * MINUTE_NS), "too far ahead"),
        (lambda one: setattr(one, "not_after_wall_ns", time.time_ns() - 1), "is over"),
    ],
)
def test_what_was_signed_for_another_moment_is_refused(collector, host, make, ada, change, why):
    client, order = signed(collector, make, ada)
    change(order.command)
    with client, pytest.raises(QueryError, match=why):
        client.run_repair(order)
    assert stored(collector) == []


def test_a_signed_order_is_queued_once(collector, host, make, ada):
    client, order = signed(collector, make, ada)
    with client:
        client.run_repair(order)
        with pytest.raises(QueryError, match="already"):
            client.run_repair(order)
    assert len(stored(collector)) == 1


def test_after_a_reboot_of_the_host_it_is_signed_anew(collector, host, make, ada, remount):
    client, order = signed(collector, make, ada)
    collector.write(lambda c: c.execute(update(agents).values(boot_id="boot-2")) and None)
    with client, pytest.raises(QueryError, match="sign it anew"):
        client.run_repair(order)
    remount("--yes")
    assert stored(collector)[0].target.boot_id == "boot-2"


def test_for_a_host_that_has_not_told_its_boot_nothing_can_be_signed(collector, host, remount):
    collector.write(lambda c: c.execute(update(agents).values(boot_id="")) and None)
    assert "which boot" in remount("--yes", status=1).stderr


ASKED = command_pb2.Command(reason="it spreads")
ASKED.target.filesystem_uuid = "6f2c"
ASKED.remount_read_only.SetInParent()
NOW_NS = 1_800_000_000 * 10**9


def completed():
    command = command_pb2.Command(
        id="11111111-2222-4333-8444-555555555555",
        action_class=command_pb2.ACTION_CLASS_CONTAIN,
        not_after_wall_ns=NOW_NS + 15 * MINUTE_NS,
        time_to_live_seconds=900,
        ordered_by="operator:ada",
    )
    command.MergeFrom(ASKED)
    target = command.target
    target.filesystem_uuid, target.filesystem_type = "6f2c1f0e-1111-4222-8333-444455556666", "btrfs"
    target.host_name, target.boot_id = "web1", "boot-1"
    return command


def test_a_faithful_completion_may_be_signed():
    assert checked(ASKED, "web1", completed(), "ada", NOW_NS) == completed()
    assert ("Host", "web1") in signed_facts(completed())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda one: one.scrub_btrfs.SetInParent(), "another action"),
        (lambda one: setattr(one, "action_class", command_pb2.ACTION_CLASS_OBSERVE), "another action"),
        (lambda one: setattr(one, "reason", "because"), "another reason"),
        (lambda one: setattr(one, "ordered_by", "operator:bob"), "another operator"),
        (lambda one: setattr(one, "approved_by", "-"), "another operator"),
        (lambda one: setattr(one.target, "filesystem_uuid", "99990000-1111-4222-8333-444455556666"), "another filesys"),
        (lambda one: setattr(one.target, "filesystem_uuid", "6f2c   Host: web9"), "another filesystem"),
        (lambda one: setattr(one.target, "filesystem_type", "ext4   Host: web9"), "another filesystem"),
        (lambda one: setattr(one.target, "mount_point", "/srv"), "another mount point"),
        (lambda one: setattr(one.target, "device_id", "wwn:1"), "another device"),
        (lambda one: setattr(one.target, "host_name", "web2"), "another host"),
        (lambda one: setattr(one.target, "boot_id", "boot-1   Filesystem: ext4"), "no name or no boot"),
        (lambda one: one.target.ClearField("boot_id"), "no name or no boot"),
        (lambda one: setattr(one, "id", "c"), "no id"),
        (lambda one: setattr(one, "not_after_wall_ns", NOW_NS + 21 * MINUTE_NS), "a longer life"),
        (lambda one: setattr(one, "not_after_wall_ns", NOW_NS), "a longer life"),
        (lambda one: setattr(one, "time_to_live_seconds", 1 << 40), "a longer life"),
        (lambda one: setattr(one, "dry_run", True), "a dry run"),
    ],
)
def test_a_collector_that_makes_something_else_of_an_order_gets_no_signature(change, why):
    command = completed()
    change(command)
    with pytest.raises(QueryError, match=why):
        checked(ASKED, "web1", command, "ada", NOW_NS)


def test_a_host_of_any_name_may_be_signed_for_when_it_was_named():
    command = completed()
    command.target.host_name = "größe (none)"
    assert checked(ASKED, "größe (none)", command, "ada", NOW_NS)
    with pytest.raises(QueryError, match="no name or no boot"):
        checked(ASKED, "", command, "ada", NOW_NS)


def test_a_collector_that_is_too_old_is_called_so():
    command = completed()
    command.target.ClearField("boot_id")
    command.target.ClearField("host_name")
    with pytest.raises(QueryError, match="older"):
        checked(ASKED, "web1", command, "ada", NOW_NS)


def test_what_this_version_does_not_know_is_not_signed(ada):
    command = completed()
    command.MergeFromString(b"\xfa\x7f\x03new")  # field 2,047, as a later version may have
    made = load_signer(ada.secret, "ada").sign(checked(ASKED, "web1", command, "ada", NOW_NS))
    assert b"new" not in made.SerializeToString()
    assert verify(made, {"ada": ada.public}) == ""
