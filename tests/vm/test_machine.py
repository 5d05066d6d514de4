"""The tier itself: machines boot, obey, lose their power and keep their disks; two at once report to one collector."""

import pytest
from vm.machine import MIB, Machine

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]


def test_a_machine_runs_commands_and_keeps_its_disks_through_a_power_cut(tmp_path):
    machine = Machine(tmp_path, "lone", [])
    disk = machine.add_disk(64 * MIB)
    try:
        machine.boot()
        assert machine.sh("uname -r").startswith("6.12")
        failed = machine.run("/bin/sh", "-c", "echo out; echo err >&2; cat; exit 3", stdin="in")
        assert (failed.status, failed.stdout, failed.stderr) == (3, "out\nin", "err\n")
        machine.sh(
            f"mkfs.ext4 -q {disk}; mkdir /run/a; mount {disk} /run/a; echo kept >/run/a/file; sync; echo lost >/run/b"
        )
        machine.cut_power()
        machine.boot()
        assert machine.sh(f"mkdir /run/a; mount {disk} /run/a; cat /run/a/file; test ! -e /run/b") == "kept\n"
    finally:
        machine.discard()


def test_two_hosts_report_to_one_collector_at_once(new_host, collector):
    names = {"vm-one", "vm-two"}
    hosts = [new_host(name) for name in sorted(names)]
    for host in hosts:
        assert collector.agent(host.name).connected
    assert len({collector.agent(name).boot_id for name in names}) == 2
    for host in hosts:
        host.machine.discard()
