"""Let a child process collect the inventory: `fsmend-agent inventory --binary`."""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping

from google.protobuf.message import DecodeError

from fsmend_proto.v1 import inventory_pb2

TIMEOUT_SECONDS = 120.0


def collect_in_child(mount_points: Iterable[str], labels: Mapping[str, str]) -> inventory_pb2.Inventory:
    """Return the inventory of this host. Blocks: call it in a thread.

    Args:
        mount_points: only filesystems mounted there; none: all.
        labels: for the host.

    Raises:
        OSError: the child could not be run, took too long, failed, or said nothing that makes sense.
    """
    command = [sys.executable, "-OO", "-m", "fsmend_agent", "inventory", "--binary"]
    command += [f"--mount-point={point}" for point in mount_points]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=TIMEOUT_SECONDS, cwd=os.sep
        )
        collected = inventory_pb2.Inventory.FromString(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"the inventory took longer than {TIMEOUT_SECONDS:g} s: a mount may hang") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "backslashreplace").strip().splitlines()
        raise OSError(f"the inventory failed: {said[-1] if said else error}") from error
    except DecodeError as error:
        raise OSError(f"the inventory makes no sense: {error}") from error
    collected.host.labels.update(labels)
    return collected
