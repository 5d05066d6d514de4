"""A real query service over real mTLS and a real store, in a thread; hosts that report to it; and the CLI to ask it."""

import asyncio
import concurrent.futures
import itertools
import shutil
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

import click.testing
import grpc
import pytest
import yaml
from sqlalchemy import insert

from fsmend_collector.diagnosis.groups import Population
from fsmend_collector.dispatch import Dispatch
from fsmend_collector.feed import Feed
from fsmend_collector.ingest import Ingest
from fsmend_collector.pki.authority import Authority
from fsmend_collector.pki.certificates import certificate_pem, key_pem, new_key
from fsmend_collector.pki.tokens import join_token
from fsmend_collector.query.cli import main
from fsmend_collector.server.identity import Gate
from fsmend_collector.server.query import QueryParts, QueryService
from fsmend_collector.sessions import open_session
from fsmend_collector.store.engine import Store
from fsmend_collector.store.migrate import migrate
from fsmend_collector.store.schema import agents, incidents
from fsmend_proto.v1 import event_pb2, incident_pb2, inventory_pb2, link_pb2, record_pb2
from fsmend_proto.v1.query_pb2_grpc import add_QueryServicer_to_server

UUID = "6f2c1f0e-1111-4222-8333-444455556666"
UUID_XFS = "6f2c9999-1111-4222-8333-444455556666"


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """An empty store of this version, to be copied."""
    directory = tmp_path_factory.mktemp("store")
    migrate(f"sqlite:///{directory / 'store.sqlite'}", directory / "lock")
    return directory / "store.sqlite"


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    authority = Authority.create(tmp_path_factory.mktemp("pki"), "test authority", datetime.now(UTC), 100)
    authority.issue_server(["collector.test"], datetime.now(UTC), 30)
    return authority


def write_identity(directory, authority, role="operator", name="ada", *, days=10, at=None):
    """Write certificate, key and authority into `directory`; return the entries of a context."""
    directory.mkdir(parents=True, exist_ok=True)
    key = new_key()
    certificate = authority.issue_client(role, name, key.public_key(), at or datetime.now(UTC), days)
    (directory / "me.crt").write_bytes(certificate_pem(certificate))
    (directory / "me.key").write_bytes(key_pem(key))
    (directory / "authority.crt").write_bytes(authority.pem)
    return {
        name: str(directory / file)
        for name, file in {"certificate": "me.crt", "key": "me.key", "authority": "authority.crt"}.items()
    }


class Collector:
    """The server, and what happens on the hosts."""

    def __init__(self, directory, store_file, authority):
        self.directory, self.authority = directory, authority
        self._store_file = store_file
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._sequences = {}
        self.population = Population()
        self.port = 0

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def start(self):
        self._thread.start()
        self.run(self._open())
        self.run(self.serve())

    async def _open(self):
        self.store = await Store(f"sqlite:///{self._store_file}").__aenter__()
        self.feed = Feed()
        self.ingest = Ingest(self.store, self.feed)
        self.dispatch = Dispatch(self.store, self.feed)

    async def serve(self):
        self.server = grpc.aio.server()
        parts = QueryParts(
            self.store, self.feed, self.dispatch, Gate(), self._join_token, population=lambda: self.population
        )
        add_QueryServicer_to_server(QueryService(parts), self.server)
        pair = self.authority.server_pair()
        credentials = grpc.ssl_server_credentials([pair], self.authority.pem, require_client_auth=True)
        self.port = self.server.add_secure_port(f"127.0.0.1:{self.port}", credentials)
        await self.server.start()

    def _join_token(self, secret):
        return join_token(secret, self.authority.der, ["127.0.0.1:9444"])

    async def _close(self):
        await self.server.stop(0.2)
        await self.store.__aexit__()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await self.loop.shutdown_asyncgens()

    def stop(self):
        self.run(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def write(self, function, *args):
        return self.run(self.store.write(function, *args))

    def enrol(self, host_name, agent_id=None):
        """Add an agent with an open session; return its id."""
        agent_id = agent_id or str(uuid.uuid4())
        row = {"agent_id": agent_id, "host_name": host_name, "enrolled_ns": time.time_ns()}
        expiry = time.time_ns() + 80 * 86_400 * 10**9
        self.write(lambda c: c.execute(insert(agents).values(certificate_not_after_ns=expiry, **row)) and None)
        hello = link_pb2.Hello(epoch="epoch-1", next_sequence=1, boot_id="boot-1", agent_version="0.1.0")
        opened = self.write(open_session, agent_id, hello, "session-1", time.time_ns())
        self._sequences[agent_id] = (opened.agent, itertools.count(1))
        return agent_id

    def report(self, agent_id, *records):
        """Send records as one batch of the agent, and wait for the commit."""
        number, sequence = self._sequences[agent_id]
        for record in records:
            record.sequence = next(sequence)
        batch = link_pb2.RecordBatch(
            epoch="epoch-1", first_sequence=records[0].sequence, records=[one.SerializeToString() for one in records]
        )

        async def submit():
            return await (await self.ingest.submit(number, agent_id, batch))[1]

        return self.run(submit())

    def incident(self, incident):
        unit = incident.unit
        row = {"id": incident.id, "code": incident.code, "severity": incident.severity, "state": incident.state,
               "agent_id": unit.agent_id, "host_name": unit.host_name, "filesystem_uuid": unit.filesystem_uuid,
               "device_id": unit.device_id, "opened_ns": incident.opened_ns, "updated_ns": incident.updated_ns,
               "summary": incident.summary, "incident": incident.SerializeToString()}  # fmt: skip
        self.write(lambda c: c.execute(insert(incidents).values(**row)) and None)

    def contexts(self, name="contexts.yaml", **changes):
        """Write a contexts file and return its path."""
        fields = {"address": f"localhost:{self.port}", **write_identity(self.directory / name / "pki", self.authority)}
        file = self.directory / name / "contexts.yaml"
        file.write_text(yaml.safe_dump({"current": "lab", "contexts": {"lab": {**fields, **changes}}}))
        return file


@pytest.fixture
def collector(tmp_path, migrated, authority):
    shutil.copy(migrated, tmp_path / "store.sqlite")
    server = Collector(tmp_path, tmp_path / "store.sqlite", authority)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def fsmend(collector):
    """Run the CLI against the collector."""
    file = collector.contexts()

    def run(*arguments, status=0, contexts=file, **settings):
        runner = click.testing.CliRunner()
        result = runner.invoke(
            main, ["--contexts-file", str(contexts), *map(str, arguments)], prog_name="fsmend", **settings
        )
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result

    return run


@pytest.fixture
def in_background():
    """Run a function in a thread; its result or exception can be waited for."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        yield pool.submit


def event_record(message="checksum error", **fields):
    event = event_pb2.Event(
        kind=event_pb2.EVENT_KIND_FS_ERROR, severity=event_pb2.SEVERITY_ERROR, source="kmsg", count=1, message=message
    )
    event.clocks.wall_ns = time.time_ns()
    event.MergeFrom(event_pb2.Event(**fields))
    return record_pb2.Record(event=event)


def filesystem(uuid_=UUID, kind="btrfs", mount=b"/srv/data", devices=("loop0", "loop1"), **fields):
    found = inventory_pb2.Filesystem(mount_points=[mount], size_bytes=10 << 30, free_bytes=4 << 30, **fields)
    found.ref.uuid, found.ref.type, found.ref.mount_point, found.ref.device_name = uuid_, kind, mount, devices[0]
    for name in devices:
        found.devices.add(id=f"loop:{name}", name=name)
    return found


def inventory_record(host="web1", filesystems=(), devices=(), **labels):
    inventory = inventory_pb2.Inventory(filesystems=filesystems, devices=devices)
    inventory.host.name, inventory.host.kernel_release, inventory.host.boot_id = host, "6.18.0", "boot-1"
    inventory.host.labels.update(labels)
    return record_pb2.Record(inventory=inventory)


def incident(identity, agent_id="", host="web1", **fields):
    now_ns = time.time_ns()
    found = incident_pb2.Incident(
        id=identity, code="FS_CORRUPTION", severity=event_pb2.SEVERITY_ERROR, summary="metadata is corrupt",
        state=incident_pb2.INCIDENT_STATE_OPEN, onset_ns=now_ns, opened_ns=now_ns, updated_ns=now_ns, occurrences=3,
    )  # fmt: skip
    found.unit.agent_id, found.unit.host_name, found.unit.filesystem_uuid = agent_id, host, UUID
    found.unit.mount_point = b"/srv/data"
    found.MergeFrom(incident_pb2.Incident(**fields))
    return found


@pytest.fixture
def make():
    """The messages that tests send."""

    class Make:
        event = staticmethod(event_record)
        filesystem = staticmethod(filesystem)
        inventory = staticmethod(inventory_record)
        incident = staticmethod(incident)
        identity = staticmethod(write_identity)
        UUID = UUID
        UUID_XFS = UUID_XFS
        long_ago = datetime.now(UTC) - timedelta(days=40)

    return Make


@pytest.fixture
def host(collector, make):
    """One host with a btrfs and an XFS, enrolled and reported."""
    agent_id = collector.enrol("web1", "aaaa1111-0000-4000-8000-000000000001")
    device = inventory_pb2.Device(kind="loop", model="file", size_bytes=10 << 30, state="live")
    device.ref.id, device.ref.name = "loop:loop0", "loop0"
    both = [make.filesystem(), make.filesystem(make.UUID_XFS, "xfs", b"/srv/x", ("sda1",))]
    collector.report(agent_id, make.inventory("web1", both, [device], rack="r1"))
    return agent_id
