"""The one thread that changes the store, with group commit.

Why one thread: SQLite has one writer at a time anyway, ids that grow in the order of commit let followers read by id,
and many small jobs share one fsync. A job is an item and the function that handles all items of its kind in a
transaction, so batches of many agents become one multi-row statement.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fsmend_collector.errors import CollectorError, WriteFailed

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741  an item

# Returns one result an item, in order; a refused item has the CollectorError in its place and has changed nothing.
Perform = Callable[[Connection, list[I]], "list[T | CollectorError]"]

# Rows, roughly: more would make every agent in the transaction wait for its acknowledgement.
MAX_WEIGHT_A_TRANSACTION = 8_192
MAX_QUEUED_JOBS = 20_000
FAILURE_SHOWN_SECONDS = 60.0


@dataclass(slots=True)
class _Job:
    perform: Callable[[Connection, list[Any]], list[Any]]
    item: Any
    future: asyncio.Future[Any]
    weight: int


@dataclass(frozen=True, slots=True)
class WriterState:
    """What the writer is doing, for health.

    Attributes:
        queued: jobs that wait.
        transactions: committed since the start.
        failure: why a transaction failed within the last minute; on a full disk small ones still succeed now and then.
        failing_since_ns: monotonic clock, 0 when the last transaction was committed.
    """

    queued: int
    transactions: int
    failure: str
    failing_since_ns: int


class Writer:
    """Commit submitted jobs, many in one transaction, in the order of submission."""

    def __init__(self, engine: Engine, group_commit_seconds: float) -> None:
        self._engine = engine
        self._group_commit_seconds = group_commit_seconds
        self._queue: queue.Queue[_Job | None] = queue.Queue(MAX_QUEUED_JOBS)
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._transactions = 0
        self._failure = ""
        self._failing_since_ns = 0
        self._failed_seconds = 0.0
        self._stopped = False

    @property
    def state(self) -> WriterState:
        """Return what the writer is doing."""
        recent = time.monotonic() - self._failed_seconds < FAILURE_SHOWN_SECONDS
        failure = self._failure if recent else ""
        return WriterState(self._queue.qsize(), self._transactions, failure, self._failing_since_ns)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Commit what is queued and end the thread."""
        if not self._stopped:
            self._stopped = True
            if self._thread.is_alive():
                self._queue.put(None)
                self._thread.join()

    def submit(self, perform: "Perform[I, T]", item: I, weight: int = 1) -> asyncio.Future[T]:
        """Queue one item, of about `weight` rows; the future is resolved after the commit.

        Raises:
            WriteFailed: the queue is full, or the writer has stopped.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._stopped:
            raise WriteFailed("the collector is stopping")
        try:
            self._queue.put_nowait(_Job(perform, item, future, weight))
        except queue.Full:
            raise WriteFailed(f"the store is too slow: {MAX_QUEUED_JOBS} writes are waiting") from None
        return future

    def _run(self) -> None:
        with self._engine.connect() as connection:
            while (job := self._queue.get()) is not None:
                jobs, last = self._gather(job)
                self._commit(connection, jobs)
                if last:
                    return

    def _gather(self, first: _Job) -> tuple[list[_Job], bool]:
        """Take what is queued, and what comes within the group commit time, but never wait for more."""
        jobs = [first]
        weight = first.weight
        deadline = time.monotonic() + self._group_commit_seconds
        while weight < MAX_WEIGHT_A_TRANSACTION and time.monotonic() < deadline:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
            weight += job.weight
        return jobs, False

    def _commit(self, connection: Connection, jobs: list[_Job]) -> None:
        """Commit jobs together; when one of them breaks the transaction, each by itself.

        Whatever a job raises reaches the one who submitted it, and never ends the thread.
        """
        results: list[Any]
        try:
            results = self._transaction(connection, jobs)
        except Exception as error:  # noqa: BLE001  # supervisor: of the writer's thread
            if len(jobs) > 1 and not _is_outage(error):
                for job in jobs:
                    self._commit(connection, [job])
                return
            failure = WriteFailed(_reason(error)) if isinstance(error, SQLAlchemyError) else error
            if isinstance(failure, WriteFailed):
                self._note_failure(str(failure))
            results = [failure] * len(jobs)
        else:
            self._failing_since_ns = 0
        _resolve(jobs, results)

    def _transaction(self, connection: Connection, jobs: list[_Job]) -> list[Any]:
        results: list[Any] = []
        with connection.begin():
            for perform, run in groupby(jobs, key=lambda job: job.perform):
                results.extend(perform(connection, [job.item for job in run]))
        self._transactions += 1
        return results

    def _note_failure(self, reason: str) -> None:
        self._failure = reason
        self._failed_seconds = time.monotonic()
        self._failing_since_ns = self._failing_since_ns or time.monotonic_ns()


def _is_outage(error: Exception) -> bool:
    """Say whether the database failed as a whole (disk full, I/O error), so that trying job by job is of no use."""
    return isinstance(error, DBAPIError) and type(error.orig).__name__ in {"OperationalError", "DatabaseError"}


def _reason(error: Exception) -> str:
    """Return why a transaction failed, in one line for the operator."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return f"cannot write to the store: {cause}"


def _resolve(jobs: list[_Job], results: list[Any]) -> None:
    """Resolve the futures in their loops, one call a loop."""
    for loop, pairs in groupby(zip(jobs, results, strict=True), key=lambda pair: pair[0].future.get_loop()):
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, list(pairs))


def _settle(pairs: list[tuple[_Job, Any]]) -> None:
    for job, result in pairs:
        if job.future.done():
            continue
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)
