"""Tell followers inside the process what was committed.

A follower only learns that there is something new; it reads the store from its own cursor. So a slow follower loses
nothing, holds no queue, and many small commits wake it once.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Literal

Topic = Literal["records", "commands", "incidents", "inventory", "presence", "words"]


class Feed:
    """Wake the followers of a topic after each commit."""

    def __init__(self) -> None:
        self.last_record_id = 0
        self._followers: dict[Topic, set[asyncio.Event]] = {}

    def publish_records(self, last_record_id: int) -> None:
        """Say that every record up to this id is committed."""
        if last_record_id > self.last_record_id:
            self.last_record_id = last_record_id
            self.changed("records")

    def changed(self, topic: Topic) -> None:
        """Wake the followers of a topic."""
        for event in self._followers.get(topic, ()):
            event.set()

    async def follow(self, *topics: Topic, at_least_every_seconds: float = 0) -> AsyncGenerator[None, None]:
        """Yield at once, and then after every change of one of the topics; changes meanwhile are one.

        Args:
            topics: what to be woken by.
            at_least_every_seconds: yield after so long without any change too; 0: never.
        """
        event = asyncio.Event()
        event.set()
        for topic in topics:
            self._followers.setdefault(topic, set()).add(event)
        try:
            while True:
                if at_least_every_seconds:
                    await _wait(event, at_least_every_seconds)
                else:
                    await event.wait()
                event.clear()
                yield
        finally:
            for topic in topics:
                self._followers[topic].discard(event)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
