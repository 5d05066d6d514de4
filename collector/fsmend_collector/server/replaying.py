"""Diagnosing history again on an operator's wish: one replay at a time, in a process of its own."""
# ruff: noqa: N802  gRPC calls the methods by the service's own names

import contextlib
import time
import tomllib
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import grpc

from fsmend_collector.diagnose.apart import diagnose_again
from fsmend_collector.diagnose.tables import TABLES, read_tables, tables_of
from fsmend_collector.diagnosis import DiagnosisConfig
from fsmend_collector.diagnosis.groups import ScanSettings
from fsmend_collector.errors import CommandRefused
from fsmend_collector.pki.certificates import Subject
from fsmend_collector.store.engine import Store
from fsmend_proto.v1 import why_pb2

_LARGEST_TOML = 64 * 1024

Context = grpc.aio.ServicerContext[Any, Any]


class ReplayingParts(Protocol):
    """What a replay needs of the service's parts."""

    @property
    def store(self) -> Store:
        """Return the store."""

    @property
    def diagnosis(self) -> DiagnosisConfig:
        """Return the settings that diagnosis runs with."""

    @property
    def groups(self) -> ScanSettings:
        """Return the settings that the group scan runs with."""


class Replaying:
    """Answer DiagnoseAgain; QueryService is one of these."""

    _parts: ReplayingParts
    _replaying = ""

    @abstractmethod
    def _answering(self, context: Context) -> AbstractAsyncContextManager[Subject]:
        """Say who calls, and turn what goes wrong into a status."""

    async def DiagnoseAgain(
        self, request: why_pb2.DiagnoseAgainRequest, context: Context
    ) -> AsyncIterator[why_pb2.DiagnoseAgainReply]:
        """Diagnose stored history again, and compare; it ends when the caller goes."""
        async with self._answering(context) as operator:
            now_ns = time.time_ns()
            until_ns = min(request.until_ns or now_ns, now_ns)
            if not 0 < request.since_ns < until_ns:
                raise CommandRefused("there is no time between --since and --until\ngive an earlier --since")
            own = tables_of(self._parts.diagnosis, self._parts.groups)
            tables = _tables(request.diagnosis_toml) if request.diagnosis_toml else own
            if self._replaying:
                busy = f"{self._replaying} has history diagnosed again just now"
                raise CommandRefused(f"{busy}\none at a time: try again when it is done")
            self._replaying = operator.actor
            try:
                replies = diagnose_again(self._parts.store.url, tables, request.since_ns, until_ns)
                async with contextlib.aclosing(replies) as found:
                    async for reply in found:
                        yield reply
            finally:
                self._replaying = ""


def _tables(text: str) -> dict[str, Any]:
    """Return the tables of a configuration file that diagnosis goes by.

    Raises:
        CommandRefused: they are not good; every problem is named.
    """
    if len(text) > _LARGEST_TOML:
        raise CommandRefused(f"the configuration has {len(text)} characters\n{_LARGEST_TOML} are taken at most")
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CommandRefused(f"the configuration is not TOML: {error}\nlook at --config") from None
    _, _, problems = read_tables(raw)
    if problems:
        raise CommandRefused(f"{'; '.join(problems)}\nlook at --config")
    return {name: raw[name] for name in TABLES if name in raw}
