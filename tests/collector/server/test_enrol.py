"""Enrolment and renewal over the wire, and who is let in where."""

import time
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from collector.rig import Identity, Rig, channel_to, enrol, make_config, signing_request
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from fsmend_collector.fleet import revoke
from fsmend_collector.operators import revoke_operator
from fsmend_collector.pki.authority import Authority
from fsmend_collector.pki.certificates import certificate_pem, new_key, subject_of
from fsmend_collector.server import query
from fsmend_collector.server.server import Servers
from fsmend_collector.store.schema import revocations
from fsmend_proto.v1 import enrol_pb2, enrol_pb2_grpc, query_pb2, query_pb2_grpc


def issued(rig, role, name, *, days=1, now=None, authority=None):
    key = new_key()
    source = authority or rig.collector.authority
    certificate = source.issue_client(role, name, key.public_key(), now or datetime.now(UTC), days)
    return Identity(name, key, certificate_pem(certificate), rig.collector.authority.pem)


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


async def renew(rig, identity, key, proof_key=None):
    request = signing_request(key)
    proof = (proof_key or identity.key).sign(request, ec.ECDSA(hashes.SHA256()))
    async with channel_to(rig.collector.servers.enrol_port, rig.collector.authority.pem) as channel:
        return await enrol_pb2_grpc.EnrolStub(channel).Renew(
            enrol_pb2.RenewRequest(signing_request=request, certificate=identity.chain, proof=proof)
        )


async def health(rig, identity):
    async with channel_to(rig.collector.servers.link_port, identity.authority, identity) as channel:
        return await query_pb2_grpc.QueryStub(channel).GetHealth(query_pb2.GetHealthRequest(), timeout=5)


async def test_a_token_gives_a_certificate_for_a_new_agent(rig):
    identity = await enrol(rig.collector, await rig.secret(), "web-1")
    subject = subject_of(x509.load_pem_x509_certificate(identity.chain))
    assert (subject.role, subject.name) == ("agent", identity.agent_id)
    (row,) = await rig.rows("SELECT host_name, certificate_serial FROM agents")
    assert tuple(row) == ("web-1", subject.serial)


async def test_a_token_is_used_once(rig):
    secret = await rig.secret()
    await enrol(rig.collector, secret)
    code, details = await refused(enrol(rig.collector, secret))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "make a new one" in details
    assert len(await rig.rows("SELECT * FROM agents")) == 1


async def test_an_expired_token_is_refused(rig):
    secret = await rig.secret(ttl_seconds=1, now_ns=time.time_ns() - 2_000_000_000)
    assert (await refused(enrol(rig.collector, secret)))[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_a_token_for_a_host_is_for_that_host_only_and_stays_good(rig):
    secret = await rig.secret("db-1")
    assert "another host" in (await refused(enrol(rig.collector, secret, "db-2")))[1]
    await enrol(rig.collector, secret, "db-1")


async def test_secrets_are_stored_only_as_a_hash(rig):
    secret = await rig.secret()
    (row,) = await rig.rows("SELECT * FROM tokens")
    assert secret not in str(row)
    assert secret.encode() not in row.secret_hash


@pytest.mark.parametrize("bad", [b"", b"\x30\x03\x02\x01\x00", b"x" * 20_000])
async def test_a_malformed_signing_request_is_refused_and_the_token_stays_good(rig, bad):
    secret = await rig.secret()
    async with channel_to(rig.collector.servers.enrol_port, rig.collector.authority.pem) as channel:
        call = enrol_pb2_grpc.EnrolStub(channel).Enrol(enrol_pb2.EnrolRequest(token=secret, signing_request=bad))
        code, details = await refused(call)
    assert (code, "signing request" in details) == (grpc.StatusCode.PERMISSION_DENIED, True)
    await enrol(rig.collector, secret)


async def test_another_kind_of_key_is_refused(rig):
    secret = await rig.secret()
    request = signing_request(ec.generate_private_key(ec.SECP384R1()))
    async with channel_to(rig.collector.servers.enrol_port, rig.collector.authority.pem) as channel:
        call = enrol_pb2_grpc.EnrolStub(channel).Enrol(enrol_pb2.EnrolRequest(token=secret, signing_request=request))
        assert "P-256" in (await refused(call))[1]


async def test_a_certificate_is_renewed_for_the_same_agent(rig):
    identity = await enrol(rig.collector, await rig.secret())
    key = new_key()
    reply = await renew(rig, identity, key)
    certificate = x509.load_pem_x509_certificate(reply.certificate_chain)
    assert subject_of(certificate).name == identity.agent_id
    assert certificate.public_key() == key.public_key()
    agent = rig.clone(Identity(identity.agent_id, key, reply.certificate_chain, reply.authorities))
    await agent.connect()


async def test_a_certificate_that_expired_lately_is_renewed_and_one_long_ago_is_not(rig):
    real = await enrol(rig.collector, await rig.secret())
    now = datetime.now(UTC)
    lately = issued(rig, "agent", real.agent_id, days=1, now=now - timedelta(days=20))
    assert (await renew(rig, lately, new_key())).certificate_chain
    long_ago = issued(rig, "agent", real.agent_id, days=1, now=now - timedelta(days=40))
    assert "enrol the host anew" in (await refused(renew(rig, long_ago, new_key())))[1]


async def test_renewal_needs_the_present_key(rig):
    identity = await enrol(rig.collector, await rig.secret())
    code, details = await refused(renew(rig, identity, new_key(), proof_key=new_key()))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "proof" in details


async def test_a_foreign_certificate_is_not_renewed(rig, tmp_path):
    foreign = Authority.create(tmp_path / "foreign", "fsmend authority of others", datetime.now(UTC), 10)
    stranger = issued(rig, "agent", "agent-x", authority=foreign)
    assert "not issued" in (await refused(renew(rig, stranger, new_key())))[1]


async def test_a_revoked_agent_is_neither_renewed_nor_connected(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    await rig.collector.store.write(revoke, agent.identity.agent_id, "operator:test", 5)
    await rig.collector.link.end_unwelcome()
    assert (await stream.status())[0] is grpc.StatusCode.PERMISSION_DENIED
    again = agent.open()
    await again.send(agent.hello())
    code, details = await again.status()
    assert (code, "revoked" in details) == (grpc.StatusCode.PERMISSION_DENIED, True)
    assert "revoked" in (await refused(renew(rig, agent.identity, new_key())))[1]


async def test_operators_ask_and_agents_do_not(rig):
    operator = issued(rig, "operator", "kim")
    assert (await health(rig, operator)).collector_version
    agent = await enrol(rig.collector, await rig.secret())
    code, details = await refused(health(rig, agent))
    assert (code, "operator's certificate" in details) == (grpc.StatusCode.PERMISSION_DENIED, True)


async def test_operators_do_not_send_records(rig):
    stream = rig.clone(issued(rig, "operator", "kim")).open()
    code, details = await stream.status()
    assert (code, "agent's certificate" in details) == (grpc.StatusCode.PERMISSION_DENIED, True)


async def test_a_revoked_operator_is_refused(rig):
    operator = issued(rig, "operator", "kim")
    serial = subject_of(x509.load_pem_x509_certificate(operator.chain)).serial
    await rig.collector.store.write(lambda c: c.execute(revocations.insert().values(serial=serial)).rowcount)
    await rig.collector._note_presence()
    assert await refused(health(rig, operator)) == (grpc.StatusCode.UNAUTHENTICATED, "the certificate is revoked")


async def test_revoking_an_operator_takes_every_certificate_until_then_and_none_after(rig):
    old = issued(rig, "operator", "kim", now=datetime.now(UTC) - timedelta(seconds=5))
    other = issued(rig, "operator", "lee", now=datetime.now(UTC) - timedelta(seconds=5))
    now_ns = time.time_ns() - 2_000_000_000
    await rig.collector.store.write(revoke_operator, "kim", "operator:lee", now_ns)
    await rig.collector._note_presence()
    assert await refused(health(rig, old)) == (grpc.StatusCode.UNAUTHENTICATED, "the certificate is revoked")
    assert (await health(rig, other)).collector_version
    assert (await health(rig, issued(rig, "operator", "kim"))).collector_version


async def test_following_ends_when_the_operator_is_revoked(rig, monkeypatch):
    monkeypatch.setattr(query, "QUIET_SECONDS", 0.1)
    operator = issued(rig, "operator", "kim", now=datetime.now(UTC) - timedelta(seconds=5))
    async with channel_to(rig.collector.servers.link_port, operator.authority, operator) as channel:
        call = query_pb2_grpc.QueryStub(channel).FollowEvents(query_pb2.FollowEventsRequest(), timeout=10)
        await call.read()
        await rig.collector.store.write(revoke_operator, "kim", "operator:lee", time.time_ns())
        await rig.collector._note_presence()
        code, details = await refused(call.read())
    assert (code, details) == (grpc.StatusCode.UNAUTHENTICATED, "the certificate is revoked")


async def test_a_restarted_collector_knows_who_is_revoked_before_it_serves(tmp_path, monkeypatch):
    rig = Rig(make_config(tmp_path))
    await rig.start()
    await rig.collector.store.write(revoke_operator, "kim", "operator:lee", 7)
    await rig.stop()
    again = Rig(rig.config)
    known = []
    serve = Servers.start

    async def spy(servers):
        known.append(dict(again.collector.gate.revoked))
        await serve(servers)

    monkeypatch.setattr(Servers, "start", spy)
    await again.start()
    await again.stop()
    assert known == [{"operator:kim": 7}]


async def test_the_servers_own_certificate_is_nobodys_identity(rig):
    key, chain = rig.collector.authority.server_pair()
    credentials = grpc.ssl_channel_credentials(rig.collector.authority.pem, key, chain)
    async with grpc.aio.secure_channel(f"127.0.0.1:{rig.collector.servers.link_port}", credentials) as channel:
        call = query_pb2_grpc.QueryStub(channel).GetHealth(query_pb2.GetHealthRequest(), timeout=5)
        code, _ = await refused(call)
    assert code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE}


@pytest.mark.parametrize("case", ["none", "expired", "foreign"])
async def test_tls_lets_in_only_valid_certificates_of_our_authority(rig, tmp_path, case):
    now = datetime.now(UTC)
    foreign = Authority.create(tmp_path / "foreign", "fsmend authority of others", now, 10)
    identity = {
        "none": None,
        "expired": issued(rig, "operator", "kim", now=now - timedelta(days=3)),
        "foreign": issued(rig, "operator", "kim", authority=foreign),
    }[case]
    async with channel_to(rig.collector.servers.link_port, rig.collector.authority.pem, identity) as channel:
        call = query_pb2_grpc.QueryStub(channel).GetHealth(query_pb2.GetHealthRequest(), timeout=5)
        assert (await refused(call))[0] is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_that_ends_in_the_middle_of_a_stream_drains_it(rig):
    enrolled = await enrol(rig.collector, await rig.secret())
    start = datetime.now(UTC) - timedelta(days=1) + timedelta(seconds=2)
    short = issued(rig, "agent", enrolled.agent_id, now=start, days=1)
    stream = await rig.clone(short).connect()
    assert "certificate" in (await stream.until("drain")).reason


async def test_a_renewed_server_certificate_is_served_without_a_restart(rig):
    operator = issued(rig, "operator", "kim")
    await health(rig, operator)
    old = rig.collector.authority.server_pair()
    rig.collector.authority.issue_server(["localhost", "new.example"], datetime.now(UTC), 10)
    assert rig.collector.servers.certificate.reload()
    assert rig.collector.authority.server_pair() != old
    credentials = grpc.ssl_channel_credentials(rig.collector.authority.pem)
    options = [("grpc.ssl_target_name_override", "new.example")]
    address = f"127.0.0.1:{rig.collector.servers.enrol_port}"
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        call = enrol_pb2_grpc.EnrolStub(channel).Enrol(enrol_pb2.EnrolRequest(token="no"), timeout=5)
        assert (await refused(call))[0] is grpc.StatusCode.PERMISSION_DENIED
