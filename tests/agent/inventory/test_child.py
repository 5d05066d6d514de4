import subprocess
import sys

import pytest

from fsmend_agent.inventory import child
from fsmend_agent.inventory.child import collect_in_child


def program(monkeypatch, text):
    """Let the child be another program."""
    real = subprocess.run

    def run(_command, **options):
        return real([sys.executable, "-c", text], **options)

    monkeypatch.setattr(child.subprocess, "run", run)


def test_child_describes_this_host_with_the_labels_that_it_was_given():
    found = collect_in_child([], {"rack": "r7"})
    assert found.host.name
    assert found.host.labels["rack"] == "r7"
    assert any(one.name == "source.kmsg" for one in found.host.capabilities)


def test_mount_points_limit_the_filesystems():
    assert not collect_in_child(["/does/not/exist"], {}).filesystems


def test_child_that_hangs_is_ended_and_told(monkeypatch):
    monkeypatch.setattr(child, "TIMEOUT_SECONDS", 0.2)
    program(monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(OSError, match="took longer than"):
        collect_in_child([], {})


def test_child_that_fails_is_told_with_its_last_words(monkeypatch):
    program(monkeypatch, "import sys; sys.exit('no sysfs here')")
    with pytest.raises(OSError, match="no sysfs here"):
        collect_in_child([], {})


def test_answer_that_is_no_inventory_is_told(monkeypatch):
    program(monkeypatch, "print('hello')")
    with pytest.raises(OSError, match="makes no sense"):
        collect_in_child([], {})
