"""What the composition root does at intervals."""

import asyncio

import pytest

from fsmend_collector.collector import every
from fsmend_collector.errors import WriteFailed


@pytest.mark.parametrize("error", [WriteFailed("full"), OSError(28, "No space left"), KeyError("a fault of our own")])
async def test_a_part_that_breaks_is_called_again_and_ends_nothing_else(error, caplog):
    called = asyncio.Event()
    errors = [error]

    async def work():
        if errors:
            raise errors.pop()
        called.set()

    async with asyncio.timeout(5):
        task = asyncio.create_task(every(0.01, work))
        await called.wait()
    task.cancel()
    assert "work" in caplog.text
