"""The composition root: store, ingest, servers, dispatch, diagnosis and the work that is done at intervals."""

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from fsmend_collector.addresses import join_address, split_address
from fsmend_collector.config import Config
from fsmend_collector.diagnose import Diagnose
from fsmend_collector.diagnose.scheduling import Background
from fsmend_collector.dispatch import Dispatch
from fsmend_collector.errors import CollectorError, StoreUnusable
from fsmend_collector.feed import Feed
from fsmend_collector.fleet import Presence, write_seen
from fsmend_collector.garbage import spare_what_stays
from fsmend_collector.ingest import Ingest
from fsmend_collector.notify import notify, watchdog_seconds
from fsmend_collector.pki.authority import Authority
from fsmend_collector.pki.tokens import join_token
from fsmend_collector.server.credentials import ServerCertificate
from fsmend_collector.server.enrol import EnrolService
from fsmend_collector.server.identity import Gate
from fsmend_collector.server.link import LinkService, Services
from fsmend_collector.server.query import QueryParts, QueryService
from fsmend_collector.server.server import Servers
from fsmend_collector.store import queries
from fsmend_collector.store.engine import Store
from fsmend_collector.store.migrate import file_lock, migrate
from fsmend_collector.store.retention import forget_step
from fsmend_proto.v1 import enrol_pb2_grpc, link_pb2_grpc, query_pb2_grpc

log = logging.getLogger(__name__)

DAY_NS = 86_400_000_000_000
STOP_SECONDS = 10.0
# The writer's thread comes back from SQLite thousands of times a second and then waits for the interpreter lock; with
# the default of 5 ms it would wait longer than it works.
SWITCH_INTERVAL_SECONDS = 0.0005


class Collector:
    """One collector process."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.authority = Authority.load(config.pki_directory)
        self._names = config.advertise
        self.feed = Feed()
        self.presence = Presence()
        self.gate = Gate()
        self._stack = contextlib.AsyncExitStack()
        self._background: asyncio.Task[None] | None = None
        self.store: Store
        self.servers: Servers
        self.link: LinkService

    async def start(self) -> None:
        """Open the store, bind the ports and begin to serve.

        Raises:
            CollectorError: something at the start is wrong; nothing is left running.
        """
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        config = self.config
        self._lock(stack)
        before, after = await asyncio.to_thread(migrate, config.store_url, config.state_directory / "migrate.lock")
        if before != after:
            log.info("store migrated from %s to %s", before or "empty", after)
        self.store = await stack.enter_async_context(Store(config.store_url, config.store.group_commit_seconds))
        self.feed.last_record_id = await self.store.read(queries.last_record_id)
        self.gate.revoked = await self.store.read(queries.revoked)
        self.dispatch = Dispatch(self.store, self.feed)
        self.ingest = Ingest(self.store, self.feed)
        self.diagnose = Diagnose(self.store, self.feed, self.dispatch, self.presence, config)
        await self.diagnose.restore()
        self.background = Background(self.store, self.dispatch, self.presence, config.calendar)
        self._renew_server_certificate()
        self.servers = self._make_servers(ServerCertificate(self.authority))
        await self.servers.start()
        self._background = asyncio.create_task(self._work())
        spare_what_stays()

    def _lock(self, stack: contextlib.AsyncExitStack) -> None:
        """Refuse a second collector on one state directory: ids are counted in the memory of one writer."""
        try:
            stack.enter_context(file_lock(self.config.state_directory / "collector.lock", wait=False))
        except BlockingIOError as error:
            raise StoreUnusable(f"another collector runs on {self.config.state_directory}") from error
        except OSError as error:
            raise StoreUnusable(f"cannot use {self.config.state_directory}: {error.strerror}") from error

    def _make_servers(self, certificate: ServerCertificate) -> Servers:
        config = self.config
        services = Services(self.store, self.feed, self.ingest, self.dispatch, self.presence, self.gate)
        self.link = LinkService(services, config.sessions)
        enrol = EnrolService(self.store, self.authority, config.certificates.agent_days, self.link_addresses())
        query = QueryService(
            QueryParts(
                store=self.store,
                feed=self.feed,
                dispatch=self.dispatch,
                gate=self.gate,
                join_token=self.join_token,
                token_seconds=config.certificates.token_ttl_seconds,
                diagnosis=config.diagnosis,
                groups=config.groups,
                population=lambda: self.diagnose.population,
                backlog=lambda: self.diagnose.backlog,
            )
        )
        return Servers(
            certificate,
            config.listen_address,
            config.enrol_listen_address,
            [
                lambda server: link_pb2_grpc.add_LinkServicer_to_server(self.link, server),
                lambda server: query_pb2_grpc.add_QueryServicer_to_server(query, server),
            ],
            [lambda server: enrol_pb2_grpc.add_EnrolServicer_to_server(enrol, server)],
        )

    def link_addresses(self) -> list[str]:
        """Return where agents find the link service."""
        return advertised(self.config, self.config.listen_address)

    def join_token(self, secret: str) -> str:
        """Return the join token for a secret."""
        addresses = advertised(self.config, self.config.enrol_listen_address)
        return join_token(secret, self.authority.der, addresses)

    def _renew_server_certificate(self) -> None:
        now = datetime.now(UTC)
        if self.authority.server_needs_renewal(self._names, now):
            self.authority.issue_server(self._names, now, self.config.certificates.server_days)
            log.info("the collector's own certificate was renewed")

    async def _work(self) -> None:
        """Do what is done at intervals, each part by itself."""
        async with asyncio.TaskGroup() as group:
            group.create_task(every(5.0, self.diagnose.run))
            group.create_task(every(5.0, self.diagnose.order))
            group.create_task(every(1.0, self.dispatch.expire))
            group.create_task(every(10.0, self._note_presence))
            group.create_task(every(self.config.calendar.look_seconds, self.background.look))
            group.create_task(every(3600.0, self._look_at_certificate))
            group.create_task(every(600.0, self._forget))
            if (seconds := watchdog_seconds()) > 0:
                group.create_task(every(seconds / 3, self._feed_watchdog))

    async def _note_presence(self) -> None:
        """Write when agents were last seen, and end the sessions of those that are no longer welcome."""
        if seen := self.presence.take_unwritten():
            await self.store.write(write_seen, seen)
        self.gate.revoked = await self.store.read(queries.revoked)
        await self.link.end_unwelcome()

    async def _look_at_certificate(self) -> None:
        await asyncio.to_thread(self._renew_server_certificate)
        self.servers.certificate.reload()

    async def _forget(self) -> None:
        before_ns = time.time_ns() - self.config.store.retention_days_events * DAY_NS
        while await self.store.write(forget_step, before_ns):  # noqa: ASYNC110  it leaves the writer to ingest
            await asyncio.sleep(0.05)

    async def _feed_watchdog(self) -> None:
        """Say that we are well only when the store answers reads; a full disk is not cured by a restart."""
        await self.store.read(queries.last_record_id)
        notify("WATCHDOG=1")

    async def stop(self) -> None:
        """Send the agents away, commit what is on its way, and close everything."""
        notify("STOPPING=1")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self.link.drain("the collector is stopping")
        await self.servers.stop(1.0)
        if self._background is not None:
            self._background.cancel()
            await asyncio.gather(self._background, return_exceptions=True)
        await self._stack.aclose()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            CollectorError: it could not be started.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        await self.start()
        notify("READY=1")
        await stopped.wait()
        await self.stop()


def advertised(config: Config, listen_address: str) -> list[str]:
    """Return host:port for each name under which the collector is reached."""
    _host, port = split_address(listen_address)
    return [join_address(name, port) for name in config.advertise]


async def every(seconds: float, function: Callable[[], Awaitable[None]]) -> None:
    """Call a function at intervals for ever; what it raises is logged, and the next call comes all the same."""
    while True:
        name = getattr(function, "__qualname__", "work")
        try:
            await function()
        except (CollectorError, OSError) as error:
            log.warning("%s: %s", name, error)
        except Exception:  # supervisor: one part that breaks must not end the others without a word
            log.exception("%s broke; it is tried again", name)
        await asyncio.sleep(seconds)
