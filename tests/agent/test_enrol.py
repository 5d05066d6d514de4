"""Enrolment and renewal against a real server with server authentication only."""

import socket
import stat
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from agent.link.certifying import TestAuthority, key_pem, pem
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from fsmend_agent import openssl
from fsmend_agent.config import AgentConfig
from fsmend_agent.enrol import enrol, renew
from fsmend_agent.errors import EnrolError
from fsmend_agent.identity import load_identity
from fsmend_agent.join_token import format_join_token
from fsmend_proto.v1 import enrol_pb2, enrol_pb2_grpc


class FakeEnrol(enrol_pb2_grpc.EnrolServicer):
    """Signs for one secret."""

    def __init__(self, authority):
        self.authority = authority
        self.asked = []
        self.other_key = False

    def _chain(self, request, agent_id):
        self.asked.append(request)
        signing_request = x509.load_der_x509_csr(request.signing_request)
        assert signing_request.is_signature_valid
        key = ec.generate_private_key(ec.SECP256R1()).public_key() if self.other_key else signing_request.public_key()
        assert key.curve.name == "secp256r1"
        return pem(self.authority.agent(agent_id, key))

    def Enrol(self, request, context):  # noqa: N802
        if request.token != "secret":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "this token was used")
        return enrol_pb2.EnrolReply(
            agent_id="ignored",
            certificate_chain=self._chain(request, "a1"),
            authorities=pem(self.authority.certificate),
            collectors=["127.0.0.1:7444", "no address"],
        )

    def Renew(self, request, context):  # noqa: N802
        certificate = x509.load_pem_x509_certificate(request.certificate)
        certificate.public_key().verify(request.proof, request.signing_request, ec.ECDSA(hashes.SHA256()))
        return enrol_pb2.RenewReply(
            certificate_chain=self._chain(request, "a1"), authorities=pem(self.authority.certificate)
        )


@pytest.fixture(scope="module")
def authority():
    return TestAuthority()


@pytest.fixture
def service(authority):
    service = FakeEnrol(authority)
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        enrol_pb2_grpc.add_EnrolServicer_to_server(service, server)
        pair = (key_pem(authority.server_key), pem(authority.server))
        service.port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        server.start()
        yield service
        server.stop(None).wait()


def token(service, secret="secret", authority=None, before=()):
    return format_join_token(
        enrol_pb2.JoinToken(
            secret=secret,
            authority=(authority or service.authority).der(),
            enrol_addresses=[*before, f"127.0.0.1:{service.port}"],
        )
    )


@pytest.fixture
def config(tmp_path):
    return AgentConfig(state_directory=tmp_path)


def test_a_token_becomes_an_identity(service, config):
    assert enrol(token(service), config) == "a1"
    identity = load_identity(config.identity_directory)
    assert (identity.agent_id, identity.collectors) == ("a1", ("127.0.0.1:7444",))
    assert identity.enrol_addresses == (f"127.0.0.1:{service.port}",)
    assert service.asked[0].host_name == socket.gethostname()
    for file in config.identity_directory.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (config.identity_directory / "agent_id").read_text() == "a1\n"


def test_an_address_that_does_not_answer_is_passed_over(service, config):
    assert enrol(token(service, before=["127.0.0.1:1"]), config) == "a1"


def test_a_refused_token_leaves_nothing_behind(service, config):
    with pytest.raises(EnrolError, match="this token was used"):
        enrol(token(service, secret="old"), config)
    assert not config.identity_directory.exists()


def test_a_collector_that_the_token_does_not_vouch_for_is_not_believed(service, config):
    with pytest.raises(EnrolError, match="no collector could be asked"):
        enrol(token(service, authority=TestAuthority()), config)
    assert not service.asked


def test_a_certificate_for_another_key_is_refused(service, config):
    service.other_key = True
    with pytest.raises(EnrolError, match="another key"):
        enrol(token(service), config)
    assert not config.identity_directory.exists()


def test_a_host_is_not_enrolled_twice_by_accident(service, config):
    enrol(token(service), config)
    with pytest.raises(EnrolError, match="enrolled already"):
        enrol(token(service), config)
    enrol(token(service), config, force=True)


def test_renewal_brings_a_new_key(service, config):
    enrol(token(service), config)
    old = load_identity(config.identity_directory)
    renew(config.identity_directory, old, old.enrol_addresses)
    new = load_identity(config.identity_directory)
    assert new.agent_id == old.agent_id
    assert new.key != old.key
    assert new.facts.public_key != old.facts.public_key


def test_a_failed_renewal_leaves_the_identity_as_it_is(service, config):
    enrol(token(service), config)
    old = load_identity(config.identity_directory)
    with pytest.raises(EnrolError):
        renew(config.identity_directory, old, ["127.0.0.1:1"])
    assert load_identity(config.identity_directory) == old


@pytest.mark.parametrize("done", [("key",), ("key", "crt"), ("crt",)])
def test_a_renewal_cut_short_anywhere_leaves_a_pair_that_fits(service, config, done, tmp_path):
    enrol(token(service), config)
    directory = config.identity_directory
    other = AgentConfig(state_directory=tmp_path / "other")
    enrol(token(service), other)
    renewed = load_identity(other.identity_directory)
    if "key" in done:
        (directory / "next.key").write_bytes(renewed.key)
    if "crt" in done:
        (directory / "next.crt").write_bytes(renewed.chain)
    if done == ("crt",):  # the key was exchanged already
        (directory / "agent.key").write_bytes(renewed.key)
    expected = renewed.facts if "crt" in done else load_identity(directory).facts
    assert load_identity(directory).facts == expected


def test_without_openssl_the_package_is_named(monkeypatch):
    monkeypatch.setattr(openssl, "PROGRAMS", ())
    with pytest.raises(EnrolError, match="package `openssl`"):
        openssl.new_key()


def test_a_host_without_identity_is_told_what_to_do(config):
    with pytest.raises(EnrolError, match="fsmend-agent enrol"):
        load_identity(config.identity_directory)


def test_a_key_that_does_not_belong_to_the_certificate_is_noticed(service, config):
    enrol(token(service), config)
    (config.identity_directory / "agent.key").write_bytes(openssl.new_key())
    with pytest.raises(EnrolError, match="do not belong together"):
        load_identity(config.identity_directory)


def test_a_certificate_of_somebody_else_is_refused(authority):
    with pytest.raises(EnrolError, match="names no agent"):
        openssl.certificate_facts(pem(authority.server))
    with pytest.raises(EnrolError):
        openssl.certificate_facts(b"not a certificate")


def test_renewal_is_due_after_two_thirds_of_a_life(authority):
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    facts = openssl.certificate_facts(pem(authority.agent("x", key, began_seconds=600, lasts_seconds=300)))
    assert abs(facts.renew_at_seconds - (facts.not_before_seconds + 600)) < 2
