"""`fsmend-agent probe`: the table and the JSON."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fsmend_agent import probe
from fsmend_proto.v1 import event_pb2, inventory_pb2


def capability(name, available=True, reason="because"):
    return inventory_pb2.Capability(name=name, available=available, reason=reason)


def inventory(*general, mount_point=b"/srv"):
    return inventory_pb2.Inventory(
        host=inventory_pb2.Host(name="store-17", kernel_release="6.18.4", capabilities=general),
        filesystems=[
            inventory_pb2.Filesystem(
                ref=event_pb2.FilesystemRef(type="xfs", uuid="a1f3"),
                devices=[event_pb2.DeviceRef(name="sda1")],
                mount_points=[mount_point],
                capabilities=[
                    capability("source.fanotify", available=False, reason="reports nothing"),
                    capability("action.scrub_xfs"),
                    capability("blind.file_data", available=False, reason="no checksums"),
                ],
            )
        ],
    )


def test_the_table_has_what_is_seen_repaired_and_blind():
    text = "\n".join(probe.as_lines(inventory(capability("tool.btrfs", reason="/usr/bin/btrfs"))))
    assert "store-17: Linux 6.18.4" in text
    assert "yes tool.btrfs" in text
    assert "/srv: xfs on sda1, a1f3" in text
    seen, repaired, blind = text.index("  sees"), text.index("  repairs"), text.index("  stays blind")
    assert seen < text.index("no  source.fanotify") < repaired < text.index("yes action.scrub_xfs") < blind
    assert "    blind.file_data" in text[blind:]


def test_without_root_it_says_what_could_not_be_tried():
    lines = list(probe.as_lines(inventory(capability("privilege.sys_admin", available=False))))
    assert any("Without CAP_SYS_ADMIN" in line for line in lines)
    assert not any("Without" in line for line in probe.as_lines(inventory(capability("privilege.sys_admin"))))


def test_a_mount_point_cannot_steer_the_terminal():
    text = "\n".join(probe.as_lines(inventory(mount_point=b"/a\nb\x1b[2J\xff\x9b")))
    assert "\x1b" not in text
    assert "/a\\x0ab\\x1b[2J\\xff\\x9b: xfs" in text


def test_the_json_holds_the_same():
    found = json.loads(json.dumps(probe.as_dict(inventory(capability("tool.btrfs"), mount_point=b"/a\xff"))))
    assert found["format"] == "fsmend-probe/1"
    assert found["capabilities"] == [{"name": "tool.btrfs", "available": True, "reason": "because"}]
    (filesystem,) = found["filesystems"]
    assert filesystem["mount_points"] == ["/a\\xff"]
    assert filesystem["capabilities"][0] == {"name": "source.fanotify", "available": False, "reason": "reports nothing"}


@pytest.mark.parametrize("output", ["table", "json"])
def test_this_host_is_probed(output):
    stream = io.StringIO()
    probe.print_probe(stream, output)
    assert Path("/proc/sys/kernel/osrelease").read_text().strip() in stream.getvalue()


@pytest.mark.skipif(os.geteuid() != 0, reason="changes the user")
def test_it_works_for_anybody():
    code = """if True:
        import os, sys
        from fsmend_agent import actions, sources
        from fsmend_agent.probe import print_probe
        # Load everything first: the interpreter and the checkout may be closed to anybody but root.
        sources.discover(), actions.discover()
        os.setgroups([]), os.setresgid(65534, 65534, 65534), os.setresuid(65534, 65534, 65534)
        print_probe(sys.stdout)
    """
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Without CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH, CAP_SYSLOG" in done.stdout


def test_it_never_loads_grpc():
    code = "import sys; import fsmend_agent.probe; sys.exit('grpc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
    assert done.returncode == 0
