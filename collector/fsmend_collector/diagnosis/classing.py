"""Classing: what a finding is, an error of some class or the proof that something is well again."""

from fsmend_collector.diagnosis.codes import CLASS_OF_KIND, Family, Proof
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_proto.v1 import event_pb2

_PROOF_OF_KIND: dict[int, tuple[Proof, Family]] = {
    event_pb2.EVENT_KIND_FS_HEALTHY: (Proof.FS_HEALTHY, Family.INTEGRITY),
    event_pb2.EVENT_KIND_FS_MOUNTED: (Proof.MOUNTED, Family.INTEGRITY),
    event_pb2.EVENT_KIND_DEVICE_ADDED: (Proof.DEVICE_RETURNED, Family.DEVICE),
    event_pb2.EVENT_KIND_DEVICE_HEALTH: (Proof.DEVICE_PASSED, Family.DEVICE),
    event_pb2.EVENT_KIND_SOURCE_STATE: (Proof.SOURCE_STARTED, Family.SOURCE),
}


def class_of(evidence: Evidence) -> str:
    """Return the class of error that a finding is of, or an empty text when it is no error."""
    if evidence.kind == event_pb2.EVENT_KIND_SOURCE_STATE:
        return "source_broken" if evidence.sick else ""
    if evidence.kind == event_pb2.EVENT_KIND_DEVICE_HEALTH:
        bad = evidence.passed is False or evidence.severity >= event_pb2.SEVERITY_WARNING
        return "device_health" if bad else ""
    if evidence.severity == event_pb2.SEVERITY_INFO and not evidence.before_agent:
        return ""
    return CLASS_OF_KIND.get(evidence.kind, "")


def proof_of(evidence: Evidence) -> tuple[Proof | None, Family]:
    """Return what a finding that is no error proves, and of which family of faults; None: nothing."""
    if evidence.reading == 0 and not evidence.devid:
        return Proof.COUNTERS_CLEARED, Family.INTEGRITY
    proof, family = _PROOF_OF_KIND.get(evidence.kind, (None, Family.INTEGRITY))
    if proof is Proof.SOURCE_STARTED and evidence.sick is not False:
        return None, family
    if proof is Proof.DEVICE_PASSED and evidence.passed is not True:
        return None, family
    return proof, family
