"""The host part of the inventory."""

import pytest

from fsmend_agent.inventory import host
from fsmend_agent.inventory.host import Roots

MACHINE_ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def roots(tmp_path):
    roots = Roots(tmp_path / "sys", tmp_path / "proc", tmp_path / "etc")
    (roots.proc / "sys/kernel/random").mkdir(parents=True)
    roots.etc.mkdir()
    (roots.proc / "sys/kernel/hostname").write_text("store-17\n")
    (roots.proc / "sys/kernel/osrelease").write_text("6.12.9-amd64\n")
    (roots.proc / "sys/kernel/random/boot_id").write_text("6ebfe723-1c5d-4f14-900f-092e279c9bfb\n")
    (roots.proc / "meminfo").write_text("MemTotal:       16384 kB\nMemFree:        1 kB\n")
    (roots.etc / "machine-id").write_text(f"{MACHINE_ID}\n")
    (roots.etc / "os-release").write_text(
        'NAME="Debian GNU/Linux"\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'
    )
    return roots


def test_a_host_is_described(roots):
    found = host.describe(roots, {"rack": "r7"})
    assert (found.name, found.kernel_release, found.memory_bytes) == ("store-17", "6.12.9-amd64", 16384 * 1024)
    assert found.operating_system == "Debian GNU/Linux 13 (trixie)"
    assert found.boot_id == "6ebfe723-1c5d-4f14-900f-092e279c9bfb"
    assert dict(found.labels) == {"rack": "r7"}
    assert found.agent_version
    assert found.architecture


def test_the_machine_id_is_hashed_and_stays_what_it_was(roots):
    # A change of this value makes every host of every fleet a new one.
    assert host.machine_id(roots) == "1b6573d05c2895f60a099ea7326dd2a1"
    assert MACHINE_ID not in host.describe(roots, {}).machine_id


def test_two_machines_have_two_ids(roots):
    first = host.machine_id(roots)
    (roots.etc / "machine-id").write_text("f" * 32)
    assert host.machine_id(roots) != first


@pytest.mark.parametrize("text", ["", "uninitialized\n", "0123", "g" * 32])
def test_what_is_no_machine_id_gives_none(roots, text):
    (roots.etc / "machine-id").write_text(text)
    assert host.machine_id(roots) == ""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("NAME=Alpine\nVERSION_ID=3.22\n", "Alpine 3.22"),
        ("NAME='unclosed\nVERSION_ID=1", "1"),
        ("# comment\n\nPRETTY_NAME='It''s'\n", "Its"),
        ("", ""),
    ],
)
def test_the_name_of_the_system(roots, text, name):
    (roots.etc / "os-release").write_text(text)
    assert host.operating_system(roots) == name


def test_a_host_without_any_file_is_described(tmp_path):
    found = host.describe(Roots(tmp_path, tmp_path, tmp_path), {})
    assert (found.name, found.machine_id, found.memory_bytes, found.operating_system) == ("", "", 0, "")


def test_labels_that_are_no_utf_8_do_not_stop_it(roots):
    assert host.describe(roots, {"rack": "r\udcff"}).labels["rack"] == "r\\udcff"
