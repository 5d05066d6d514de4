"""Whatever happens in whatever order, the spool agrees with a list."""

import shutil
import tempfile
from pathlib import Path

from agent.spool.spooling import Bench, counted, drain, event, inventory, limits, span, update
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from soak import examples

from fsmend_proto.v1 import record_pb2

severities = st.integers(1, 5)


class SpoolAgainstModel(RuleBasedStateMachine):
    """The model holds what each sequence stands for, as occurrences, and how far all is acknowledged."""

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="fsmend-spool-"))
        self.bench = Bench(self.root, limits(self.root, max_bytes=30_000, segment_bytes=2_000, ballast_bytes=0))
        self.spool = self.bench.open()
        self.occurrences = [0]  # by sequence, from 1
        self.acknowledged = 0
        self.overlap = False

    def teardown(self):
        self.bench.abandon()
        shutil.rmtree(self.root)

    @rule(some=st.lists(st.tuples(severities, st.integers(1, 9), st.integers(0, 900)), max_size=12))
    def append_events(self, some):
        first = len(self.occurrences)
        appended = self.spool.append([event("x" * size, severity, count) for severity, count, size in some])
        assert appended == range(first, first + len(some))
        self.occurrences += [count for _, count, _ in some]

    @rule()
    def append_others(self):
        first = len(self.occurrences)
        assert self.spool.append([inventory(), update()]) == range(first, first + 2)
        self.occurrences += [1, 1]

    @rule(share=st.floats(0, 1))
    def acknowledge(self, share):
        through = int((len(self.occurrences) - 1) * share)
        self.spool.ack(self.spool.epoch, through)
        self.acknowledged = max(self.acknowledged, through)

    @rule(share=st.floats(0, 1))
    def reject(self, share):
        sequence = self.acknowledged + 1 + int((len(self.occurrences) - self.acknowledged - 1) * share)
        if sequence < len(self.occurrences):
            self.spool.reject(self.spool.epoch, sequence, "no")

    @rule()
    def reopen_after_kill(self):
        self.spool = self.bench.open()
        assert self.spool.damage == ()
        self.acknowledged = self.spool.oldest_sequence - 1  # may be behind: told again by the collector

    @rule()
    def begin_a_new_epoch(self):
        self.spool.new_epoch()
        del self.occurrences[1 : self.acknowledged + 1]
        self.acknowledged = 0

    @rule()
    def tend(self):
        self.spool.tend()

    @invariant()
    def every_sequence_is_accounted_for(self):
        assert self.spool.next_sequence == len(self.occurrences)
        assert self.spool.oldest_sequence == self.acknowledged + 1
        assert self.spool.used_bytes <= 30_000
        records = drain(self.spool, max_bytes=3000, max_records=7)
        for record in records:
            stands_for = sum(self.occurrences[record.sequence : span(record) + 1])
            if record.HasField("gap") and not record.gap.lost_is_exact:
                assert record.gap.lost <= stands_for
            else:
                said = counted([record]) if record.WhichOneof("body") in {"event", "gap"} else 1
                assert said == stands_for
        assert sum(span(r) - r.sequence + 1 for r in records) == len(self.occurrences) - 1 - self.acknowledged
        assert all(r.gap.reason != record_pb2.GAP_REASON_SPOOL_CORRUPT for r in records if r.HasField("gap"))


SpoolAgainstModel.TestCase.settings = settings(max_examples=examples(25), stateful_step_count=25, deadline=None)
TestSpoolAgainstModel = SpoolAgainstModel.TestCase
