"""An order that its host takes only with the operator's own signature, from the key to the remounted filesystem."""

import base64
import socket

import pytest
from agent.signing import Signer
from e2e.asking import until

from stage.loops import run
from stage.processes import StageError

pytestmark = pytest.mark.kernel
FINAL = {"succeeded", "failed", "refused", "expired", "timed_out", "unknown", "cancelled"}


def ended(stage, command):
    """Wait for a command's end and return it whole."""
    name = command["command"]["id"]
    until(lambda: stage.fsmend("describe", "command", name)["state"] in FINAL)
    return stage.fsmend("describe", "command", name)


def options(mount_point):
    return run("findmnt", "-n", "-o", "OPTIONS", str(mount_point)).strip().split(",")


def test_a_host_remounts_for_a_signer_of_its_policy_and_for_nobody_else(stage, tmp_path, ext4, mount_point):
    ada, eve = Signer(tmp_path / "ada"), Signer(tmp_path / "eve")
    key = base64.b64encode(ada.public).decode()
    (stage.directory / "policy.toml").write_text(f'[signers]\nada = "{key}"\n')
    stage.start_collector()
    stage.start_agent()
    until(lambda: stage.fsmend("get", "filesystems"))
    order = ("repair", "run", "remount_read_only", "--fs", f"{socket.gethostname()}:{mount_point}", "--reason", "why")

    unsigned = ended(stage, stage.fsmend(*order))
    assert (unsigned["state"], unsigned["last_update"]["refusal"]) == ("refused", "signature")
    forged = ended(stage, stage.fsmend(*order, "--sign", str(eve.secret), "--signer", "ada", "--yes"))
    assert (forged["state"], forged["last_update"]["refusal"]) == ("refused", "signature")
    assert "ro" not in options(mount_point)

    with pytest.raises(StageError, match="Sign it as ada"):  # nobody answers
        stage.fsmend(*order, "--sign", str(ada.secret), "--signer", "ada")
    signed = ended(stage, stage.fsmend(*order, "--sign", str(ada.secret), "--signer", "ada", "--yes"))
    assert signed["state"] == "succeeded", signed
    assert "ro" in options(mount_point)
    by = {(one["action"], one["actor"]) for one in stage.fsmend("get", "audit")}
    assert {("command.created", signed["command"]["ordered_by"]), ("command.sent", "collector")} <= by
