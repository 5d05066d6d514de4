"""Threads for calls that the kernel may hold for ever."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def in_thread(function: Callable[[], T]) -> "asyncio.Future[T]":
    """Run `function` in a thread of its own, and return what will hold its result.

    A daemon thread, not a pool's: one that the kernel holds for ever must neither keep others from running nor the
    agent from ending. Who calls bounds their number.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: list[T], error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result[0])

    def work() -> None:
        result: list[T] = []
        raised: BaseException | None = None
        try:
            result.append(function())
        except BaseException as error:  # supervisor: carried to who waits  # noqa: BLE001
            raised = error
        # The loop is closed when the agent ends before the thread does.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, raised)

    threading.Thread(target=work, name="command", daemon=True).start()
    return future
