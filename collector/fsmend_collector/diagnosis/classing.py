"""Classing: what a finding is, an error of some class or the proof that something is well again."""

from fsmend_collector.diagnosis.codes import CLASS_OF_KIND, Family, Proof
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_proto.v1 import event_pb2

_INTEGRITY, _DEVICE, _SOURCE = Family.INTEGRITY.value, Family.DEVICE.value, Family.SOURCE.value
_PROOF_OF_KIND: dict[int, tuple[Proof, str]] = {
    event_pb2.EVENT_KIND_FS_HEALTHY: (Proof.FS_HEALTHY, _INTEGRITY),
    event_pb2.EVENT_KIND_FS_MOUNTED: (Proof.MOUNTED, _INTEGRITY),
    event_pb2.EVENT_KIND_DEVICE_ADDED: (Proof.DEVICE_RETURNED, _DEVICE),
    event_pb2.EVENT_KIND_DEVICE_HEALTH: (Proof.DEVICE_PASSED, _DEVICE),
    event_pb2.EVENT_KIND_SOURCE_STATE: (Proof.SOURCE_STARTED, _SOURCE),
}
_JUDGED = frozenset({event_pb2.EVENT_KIND_SOURCE_STATE, event_pb2.EVENT_KIND_DEVICE_HEALTH})


def class_of(evidence: Evidence) -> str:
    """Return the class of error that a finding is of, or an empty text when it is no error."""
    kind = evidence.kind
    if kind in _JUDGED:
        if kind == event_pb2.EVENT_KIND_SOURCE_STATE:
            return "source_broken" if evidence.sick else ""
        bad = evidence.passed is False or evidence.severity >= event_pb2.SEVERITY_WARNING
        return "device_health" if bad else ""
    if evidence.severity == event_pb2.SEVERITY_INFO and not evidence.before_agent:
        return ""
    return CLASS_OF_KIND.get(kind, "")


def proof_of(evidence: Evidence) -> tuple[Proof | None, str]:
    """Return what a finding that is no error proves, and of which family of faults; None: nothing."""
    if evidence.reading == 0 and not evidence.devid:
        return Proof.COUNTERS_CLEARED, _INTEGRITY
    proof, family = _PROOF_OF_KIND.get(evidence.kind, (None, _INTEGRITY))
    if proof is Proof.SOURCE_STARTED and evidence.sick is not False:
        return None, family
    if proof is Proof.DEVICE_PASSED and evidence.passed is not True:
        return None, family
    return proof, family
