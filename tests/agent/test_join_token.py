"""The one string that an operator carries to a new host."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.errors import EnrolError
from fsmend_agent.join_token import PREFIX, format_join_token, parse_join_token
from fsmend_proto.v1.enrol_pb2 import JoinToken

DER = b"\x30\x82\x01\x00" + bytes(256)
TOKEN = JoinToken(secret="s3cret", authority=DER, enrol_addresses=["c1:7443", "[2001:db8::1]:7443"])
TEXT = format_join_token(TOKEN)


def test_a_token_survives_printing_and_parsing():
    assert TEXT.startswith("fsm1.")
    assert TEXT.isprintable()
    assert "=" not in TEXT
    assert parse_join_token(f"  {TEXT}\n") == TOKEN


def test_a_token_cut_short_anywhere_is_refused():
    whole = format_join_token(JoinToken(secret="s3cret", authority=DER, enrol_addresses=["c1.example:7443"]))
    for length in range(len(whole) - 6):  # a port may lose digits and still be one
        with pytest.raises(EnrolError, match="token"):
            parse_join_token(whole[:length])


@pytest.mark.parametrize(
    "text", ["", "hello", "fsm2." + TEXT[5:], TEXT.replace("M", "!", 1), TEXT + TEXT, PREFIX + "A" * 100_000]
)
def test_what_is_no_token_is_refused(text):
    with pytest.raises(EnrolError):
        parse_join_token(text)


@pytest.mark.parametrize(
    "token",
    [
        JoinToken(authority=DER, enrol_addresses=["c:1"]),
        JoinToken(secret="s", enrol_addresses=["c:1"]),
        JoinToken(secret="s", authority=DER),
        JoinToken(secret="s", authority=DER, enrol_addresses=["no port"]),
        JoinToken(secret="s", authority=DER[:-1], enrol_addresses=["c:1"]),
    ],
)
def test_an_incomplete_token_is_refused(token):
    with pytest.raises(EnrolError):
        parse_join_token(format_join_token(token))


@given(st.text(max_size=200))
def test_any_text_is_a_token_or_a_clear_error(text):
    for candidate in (text, PREFIX + text):
        with pytest.raises(EnrolError):
            parse_join_token(candidate)
