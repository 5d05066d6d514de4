"""The few datagrams that systemd waits for."""

import asyncio
import contextlib
import os
import socket

import pytest

from fsmend_agent.notify_socket import Notifier


@pytest.fixture
def systemd(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        yield listener


def test_ready_and_status_arrive(systemd):
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname()})
    assert notifier.ready("up")
    assert systemd.recv(1000) == b"READY=1\nSTATUS=up"
    notifier.stopping()
    assert systemd.recv(1000) == b"STOPPING=1"


def test_an_abstract_address_is_understood():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0fsmend-{os.getpid()}")
        assert Notifier({"NOTIFY_SOCKET": f"@fsmend-{os.getpid()}"}).status("x")
        assert listener.recv(100) == b"STATUS=x"


def test_without_systemd_nothing_happens(tmp_path):
    assert not Notifier({}).ready()
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


async def test_the_watchdog_is_fed_twice_in_its_period_while_things_move_on(systemd):
    environment = {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "100000"}
    moves_on = [True]
    feeding = asyncio.create_task(Notifier(environment).feed(lambda: moves_on[0]))
    await asyncio.sleep(0.12)
    assert systemd.recv(100) == b"WATCHDOG=1"
    assert systemd.recv(100) == b"WATCHDOG=1"
    moves_on[0] = False
    await asyncio.sleep(0.06)
    systemd.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while systemd.recv(100):
            pass
    await asyncio.sleep(0.12)
    with pytest.raises(BlockingIOError):
        systemd.recv(100)
    feeding.cancel()


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}])
async def test_a_watchdog_that_is_not_for_us_is_not_fed(environment):
    await asyncio.wait_for(Notifier(environment).feed(), 1)
