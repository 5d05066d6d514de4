"""Operators' words on incidents: mute, unmute, resolve. A word is a row of the audit, and diagnosis follows the audit.

So a word is durable before it is obeyed, says who said it, is obeyed in the order in which it was said, and is there
again when history is diagnosed again.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from fsmend_collector.audit import audit as note
from fsmend_collector.store.schema import audit

MUTE, UNMUTE, RESOLVE = "incident.mute", "incident.unmute", "incident.resolve"
_WORDS = (MUTE, UNMUTE, RESOLVE)
_WORDS_A_READ = 1_000
_OBJECT = "incident"
WORDS_THROUGH = "words_through"


@dataclass(frozen=True, slots=True)
class Word:
    """One word of an operator.

    Attributes:
        id: of its row; words are obeyed in the order of their ids.
        said_ns: collector's wall clock.
        by: operator:NAME.
        what: incident.mute, incident.unmute or incident.resolve.
        until_ns: of a mute.
        text: its reason, or the proof.
        members: of a shared cause: the incidents merged into it too.
    """

    said_ns: int
    by: str
    what: str
    incident_id: str
    text: str = ""
    until_ns: int = 0
    members: bool = False
    id: int = 0


def write_word(connection: Connection, word: Word) -> None:
    """Note a word; diagnosis takes it in within a second or two."""
    detail = {"text": word.text, "until_ns": word.until_ns, "members": word.members}
    note(connection, word.said_ns, word.by, word.what, _OBJECT, word.incident_id, json.dumps(detail))


def words_after(connection: Connection, after_id: int, until_ns: int = 0) -> list[Word]:
    """Return the next words; with `until_ns` only those that were said before."""
    # By the kind of object there is an index: the audit has many rows on commands, and this is asked each second.
    incidents_only = audit.c.object_kind == _OBJECT
    chosen = select(audit).where(incidents_only, audit.c.id > after_id, audit.c.action.in_(_WORDS))
    if until_ns:
        chosen = chosen.where(audit.c.at_ns < until_ns)
    rows = connection.execute(chosen.order_by(audit.c.id).limit(_WORDS_A_READ))
    return list(_words(rows))


def _words(rows: Iterable[Any]) -> Iterable[Word]:
    for row in rows:
        detail = json.loads(row.detail)
        yield Word(
            said_ns=row.at_ns,
            by=row.actor,
            what=row.action,
            incident_id=row.object_id,
            text=detail["text"],
            until_ns=detail["until_ns"],
            members=detail["members"],
            id=row.id,
        )
