"""Obeying: operators' words from the audit, given to the engine in the order in which they were said."""

import logging

from fsmend_collector.ask.words import MUTE, RESOLVE, Word
from fsmend_collector.diagnosis import FleetDiagnosis, IncidentChange

log = logging.getLogger(__name__)


def obey(engine: FleetDiagnosis, word: Word) -> list[IncidentChange]:
    """Give the engine one word; one on an incident that it no longer knows changes nothing."""
    try:
        if word.what == RESOLVE:
            return engine.resolve(word.incident_id, word.text, word.said_ns, word.by, members=word.members)
        until_ns = word.until_ns if word.what == MUTE else 0
        by = f"{word.by}: {word.text}" if word.text else word.by
        return engine.mute(word.incident_id, until_ns, word.said_ns, by)
    except KeyError:
        log.warning("%s by %s: incident %s is over and forgotten", word.what, word.by, word.incident_id)
        return []
