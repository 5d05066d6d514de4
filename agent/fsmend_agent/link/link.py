"""The composition root of `link`: seam ─▶ stream ─▶ collector, again and again, and the certificate kept fresh."""

import asyncio
import contextlib
import logging
import random
import signal
import time
from collections.abc import Sequence

import grpc

from fsmend_agent.config import AgentConfig
from fsmend_agent.enrol import renew
from fsmend_agent.errors import AgentError, EnrolError
from fsmend_agent.identity import Identity, load_identity
from fsmend_agent.link.backoff import Backoff
from fsmend_agent.link.protocol import Stop
from fsmend_agent.link.stream import Stream
from fsmend_agent.notify_socket import Notifier
from fsmend_agent.seam import SeamClient

log = logging.getLogger(__name__)

# The pings stay above the collector's least interval (10 s): below it a server answers GOAWAY too_many_pings.
# A local pool of connections, so that a new channel does not inherit the back-off of the one it replaces.
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_send_message_length", 4 << 20),
)
SEAM_RETRY_SECONDS = 0.5
# A session that lasted this long was a good one: the next attempt comes soon again.
GOOD_SESSION_SECONDS = 5.0
# How often the certificate's age is looked at, and how soon a failed renewal is tried again.
RENEWAL_CHECK_SECONDS = 60.0


class Link:
    """Everything that `link` does, until it is cancelled. Nothing that comes from outside ends it.

    Args:
        config: checked.
        notifier: told what goes on.
    """

    def __init__(self, config: AgentConfig, notifier: Notifier) -> None:
        self._config = config
        self._notifier = notifier
        self._backoff = Backoff()
        self._turn = 0
        self._renewed = asyncio.Event()
        self._renewal_check_seconds = RENEWAL_CHECK_SECONDS

    async def run(self) -> None:
        """Work for ever."""
        self._notifier.ready("starting")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._notifier.feed())
            group.create_task(self._keep_certificate_fresh())
            group.create_task(self._keep_connected())

    async def _keep_connected(self) -> None:
        while True:
            try:
                self._renewed.clear()
                identity = await asyncio.to_thread(load_identity, self._config.identity_directory)
                addresses = self._config.collector.addresses or identity.collectors
                if not addresses:
                    raise EnrolError("no address of a collector is known: set collector.addresses")
                await self._serve(identity, addresses)
            except AgentError as error:
                self._say(str(error))
                await self._pause(self._wait_seconds())
            except OSError as error:
                self._say(f"sense cannot be reached: {error}")
                await asyncio.sleep(SEAM_RETRY_SECONDS)

    async def _serve(self, identity: Identity, addresses: Sequence[str]) -> None:
        """Serve one connection of the seam with one stream after the other, until one of both has to be made anew."""
        seam = await SeamClient.connect(self._config.seam_path)
        try:
            while not self._renewed.is_set():
                if identity.facts.not_after_seconds <= time.time():
                    # To TLS an expired certificate is just one more connection that does not come up.
                    raise EnrolError("the certificate has expired; waiting for its renewal")
                address = addresses[self._turn % len(addresses)]
                started = time.monotonic()
                stop, welcomed = await self._stream(identity, address, seam)
                if welcomed and stop.healthy and time.monotonic() - started >= GOOD_SESSION_SECONDS:
                    self._backoff.succeeded()
                self._turn += 1
                self._say(f"{address}: {stop.reason}")
                await self._pause(self._wait_seconds(stop.retry_after_seconds))
        finally:
            seam.close()

    async def _stream(self, identity: Identity, address: str, seam: SeamClient) -> tuple[Stop, bool]:
        credentials = grpc.ssl_channel_credentials(identity.authority, identity.key, identity.chain)
        channel = grpc.aio.secure_channel(address, credentials, options=CHANNEL_OPTIONS)
        try:
            stream = Stream(channel, seam)
            running = asyncio.create_task(stream.run())
            renewed = asyncio.create_task(self._renewed.wait())
            try:
                self._notifier.status(f"connecting to {address}")
                await asyncio.wait({running, renewed}, return_when=asyncio.FIRST_COMPLETED)
                stop = running.result() if running.done() else Stop("the certificate was renewed")
            finally:
                for task in (running, renewed):
                    task.cancel()
                await asyncio.gather(running, renewed, return_exceptions=True)
            return stop, stream.welcomed
        finally:
            await channel.close()

    async def _keep_certificate_fresh(self) -> None:
        directory = self._config.identity_directory
        while True:
            try:
                identity = await asyncio.to_thread(load_identity, directory)
                if identity.facts.renew_at_seconds <= time.time():
                    addresses = self._config.collector.enrol_addresses or identity.enrol_addresses
                    await asyncio.to_thread(renew, directory, identity, addresses)
                    log.info("the certificate was renewed")
                    self._renewed.set()
            except (EnrolError, OSError) as error:
                log.warning("renewal: %s", error)
            await asyncio.sleep(self._renewal_check_seconds * (1 + random.random()))  # noqa: S311  spread, no secret

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until the certificate is a new one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._renewed.wait()

    def _wait_seconds(self, at_least_seconds: float = 0.0) -> float:
        share = random.random()  # noqa: S311  spread, no secret
        return max(self._backoff.next_seconds(share), at_least_seconds * (1 + share))

    def _say(self, what: str) -> None:
        log.info("%s", what)
        self._notifier.status(what)


async def run(config: AgentConfig) -> None:
    """Run `link` until SIGTERM or SIGINT."""
    notifier = Notifier()
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await Link(config, notifier).run()
    notifier.stopping()
