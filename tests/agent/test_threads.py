import asyncio
import threading

import pytest

from fsmend_agent.threads import in_thread


async def test_what_the_thread_returned_or_raised_arrives():
    assert await in_thread(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)


async def test_calls_that_hang_hold_up_no_other():
    stuck = threading.Event()
    hanging = [in_thread(lambda: stuck.wait(20)) for _ in range(40)]
    assert await asyncio.wait_for(in_thread(lambda: 7), 5) == 7
    stuck.set()
    await asyncio.gather(*hanging)


async def test_a_call_that_was_given_up_ends_without_a_word():
    stuck = threading.Event()
    given_up = in_thread(lambda: stuck.wait(20))
    given_up.cancel()
    stuck.set()
    assert await in_thread(lambda: 7) == 7
