"""The journal of commands: what it said is there after a crash, and it stays small."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import zlib
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from soak import examples

from fsmend_agent import journal as module
from fsmend_agent.journal import Entry, Journal, Step
from fsmend_proto.v1 import command_pb2 as pb

NOW = 1_800_000_000 * 10**9
DAY_NS = 24 * 3600 * 10**9


def entry(command_id="c1", **fields):
    return Entry(command_id, f"digest of {command_id}", "scrub_btrfs", wall_ns=NOW, **fields)


def final(command_id="c1", message="healed"):
    return pb.CommandUpdate(command_id=command_id, state=pb.COMMAND_STATE_SUCCEEDED, message=message)


def done(journal, command_id="c1", **fields):
    journal.accept(entry(command_id, **fields))
    journal.start(command_id)
    journal.finish(final(command_id))
    journal.reported(command_id)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


def opened(path, now=NOW):
    return Journal(path, lambda: now)


def test_a_new_journal_knows_nothing(path):
    journal = opened(path)
    assert journal.get("c1") is None
    assert journal.at(*Step) == []
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_step_is_there_after_opening_again(path):
    journal = opened(path)
    for step in Step:
        journal.accept(entry(f"c{step}", idempotent=True, keep_until_ns=7))
    for step in (Step.STARTED, Step.FINISHED, Step.REPORTED):
        journal.start(f"c{step}")
    for step in (Step.FINISHED, Step.REPORTED):
        journal.finish(final(f"c{step}"))
    journal.reported(f"c{Step.REPORTED}")
    again = opened(path)
    assert {one.id: one.step for one in again.at(*Step)} == {f"c{step}": step for step in Step}
    known = again["c3"]
    assert (known.digest, known.action, known.idempotent, known.keep_until_ns, known.wall_ns) == (
        "digest of c3",
        "scrub_btrfs",
        True,
        7,
        NOW,
    )
    assert again.final_update("c3") == final("c3")
    assert again.final_update("c4") == final("c4")
    assert again.final_update("c2") is None
    assert again.final_update("never") is None
    assert again.damaged == 0


def test_what_was_noted_is_there_after_opening_again_and_after_a_rewrite(path):
    journal = opened(path)
    journal.accept(entry())
    journal.start("c1")
    journal.note("c1", "first", "1")
    journal.note("c1", "second", "2")
    again = opened(path)
    assert (again["c1"].step, again["c1"].notes) == (Step.STARTED, {"first": "1", "second": "2"})
    again._rewrite()
    assert opened(path)["c1"].notes == {"first": "1", "second": "2"}


def test_start_is_on_disk_when_it_returns(path, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(path.read_bytes().count(b"\n")), fsync(fd)))
    journal = opened(path)
    journal.accept(entry())
    journal.start("c1")
    journal.finish(final())
    assert synced == [1, 2, 3]
    journal.reported("c1")
    assert synced == [1, 2, 3]


@pytest.mark.parametrize("cut", range(1, 28, 3))
def test_a_torn_tail_costs_its_own_line_only(path, cut):
    journal = opened(path)
    done(journal, "old")
    journal.accept(entry())
    journal.start("c1")
    os.truncate(path, path.stat().st_size - cut)
    again = opened(path)
    assert again.damaged == 1
    assert again["c1"].step is Step.ACCEPTED
    assert again["old"].step is Step.REPORTED
    again.start("c1")
    third = opened(path)
    assert third["c1"].step is Step.STARTED
    assert third.damaged == 0


def test_a_flipped_bit_costs_its_own_line_only(path):
    journal = opened(path)
    for number in range(5):
        done(journal, f"c{number}")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    again = opened(path)
    assert again.damaged == 1
    assert sum(one.step is Step.REPORTED for one in again.at(*Step)) >= 4
    assert len(again.at(*Step)) == 5


@given(data=st.binary(max_size=300))
def test_any_bytes_can_be_opened(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "journal"
    path.write_bytes(data)
    journal = opened(path)
    done(journal)
    journal.close()
    assert opened(path)["c1"].step is Step.REPORTED


@pytest.mark.parametrize(
    "fields", [{}, {"id": "c1"}, {"id": "c1", "step": 9}, {"id": "c1", "step": "x"}, {"step": 1}, []]
)
def test_lines_that_pass_their_checksum_but_say_nothing_are_counted(path, fields):
    payload = json.dumps(fields).encode()
    path.write_bytes(b"%08x %s\n" % (zlib.crc32(payload), payload))
    assert opened(path).damaged == 1


def test_a_full_disk_is_said_and_later_made_good(path, monkeypatch):
    journal = opened(path)
    journal.accept(entry())
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:10]))
    with pytest.raises(OSError, match="No space"):
        journal.start("c1")
    monkeypatch.setattr(os, "write", write)
    journal.finish(final())
    again = opened(path)
    assert again["c1"].step is Step.FINISHED
    assert again.final_update("c1") == final()
    assert again.damaged == 0


def test_after_a_failed_sync_nothing_of_before_is_trusted(path, monkeypatch):
    journal = opened(path)
    done(journal, "old")

    def fail(_fd):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        journal.accept(entry())
    with pytest.raises(OSError, match="Input/output"):
        journal.start("c1")
    monkeypatch.undo()
    inode = path.stat().st_ino
    journal.finish(final())
    assert path.stat().st_ino != inode
    again = opened(path)
    assert again["c1"].step is Step.FINISHED
    assert again.final_update("old") == final("old")
    assert journal.final_update("c1") == final()


def test_a_journal_that_cannot_be_made_lets_the_agent_start_and_nothing_begin(tmp_path):
    path = tmp_path / "not there" / "journal"
    journal = opened(path)
    with pytest.raises(FileNotFoundError):
        journal.accept(entry())
    assert journal["c1"].step is Step.ACCEPTED
    path.parent.mkdir()
    journal.start("c1")
    assert opened(path)["c1"].step is Step.STARTED


def test_a_journal_on_a_read_only_filesystem_still_knows_what_ran(path, monkeypatch):
    done(opened(path))
    real = os.open

    def read_only(name, flags, *mode):
        if flags & (os.O_RDWR | os.O_CREAT):
            raise OSError(30, "Read-only file system", name)
        return real(name, flags, *mode)

    monkeypatch.setattr(os, "open", read_only)
    journal = opened(path)
    assert journal.final_update("c1") == final()
    with pytest.raises(OSError, match="Read-only"):
        journal.accept(entry("c2"))
    monkeypatch.undo()
    journal.accept(entry("c3"))
    again = opened(path)
    assert [one.id for one in again.at(*Step)] == ["c1", "c2", "c3"]
    assert again.final_update("c1") == final()


def test_an_unreadable_journal_is_never_replaced_by_an_empty_one(tmp_path):
    path = tmp_path / "journal"
    path.mkdir()
    (path / "what ran").touch()
    journal = opened(path)
    for _ in range(2):
        with pytest.raises(OSError, match="Is a directory"):
            journal.accept(entry())
    assert (path / "what ran").exists()


def test_it_is_rewritten_when_it_has_grown_and_still_knows_everything(path, monkeypatch):
    monkeypatch.setattr(module, "REWRITE_BYTES", 4096)
    journal = opened(path)
    sizes = []
    for number in range(60):
        done(journal, f"c{number}")
        sizes.append(path.stat().st_size)
    assert any(later < earlier for earlier, later in pairwise(sizes))
    for again in (journal, opened(path)):
        assert [one.id for one in again.at(Step.REPORTED)] == [f"c{number}" for number in range(60)]
        assert all(again.final_update(f"c{number}") == final(f"c{number}") for number in range(60))


def test_old_and_surplus_ids_go_but_never_what_is_open_or_signed(path, monkeypatch):
    monkeypatch.setattr(module, "KEEP_COMMANDS", 20)
    journal = opened(path)
    journal.accept(entry("open"))
    done(journal, "signed", keep_until_ns=NOW + DAY_NS)
    for number in range(100):
        done(journal, f"c{number}")
    ids = [one.id for one in journal.at(*Step)]
    assert len(ids) <= 21
    assert ids[:2] == ["open", "signed"]
    assert ids[-1] == "c99"
    # A month later the signed one may go; the open one stays.
    late = opened(path, NOW + 40 * DAY_NS)
    for number in range(20):
        late.accept(Entry(f"d{number}", "", wall_ns=NOW + 40 * DAY_NS))
        late.finish(final(f"d{number}"))
        late.reported(f"d{number}")
    ids = [one.id for one in late.at(*Step)]
    assert "open" in ids
    assert not [one for one in ids if one.startswith("c") or one == "signed"]


def test_large_evidence_is_not_remembered(path):
    journal = opened(path)
    update = final()
    update.result.evidence.add(name="kernel_log", content=bytes(200_000))
    journal.accept(entry())
    journal.finish(update)
    known = journal.final_update("c1")
    assert known.state == pb.COMMAND_STATE_SUCCEEDED
    assert known.result.evidence[0] == pb.EvidenceFile(name="kernel_log", truncated=True)
    assert path.stat().st_size < 2000


def test_of_a_long_check_the_verdict_and_the_place_are_remembered(path):
    journal = Journal(path, lambda: NOW)
    update = final()
    update.result.verdict = pb.VERDICT_NOT_HEALED
    update.result.stopped_at.ino = 131
    for number in range(1024):
        update.result.xfs_scrubs.add(name=f"bmbtd of inode {number + (1 << 40)}", flag_names=["corrupt"] * 4)
    journal.accept(entry())
    journal.start("c1")
    journal.finish(update)
    known = journal.final_update("c1").result
    journal.close()
    assert (known.verdict, known.stopped_at.ino, len(known.xfs_scrubs)) == (pb.VERDICT_NOT_HEALED, 131, 0)


def test_ids_of_any_text_survive(path):
    strange = 'a"\n\\\u2028é\x00'
    done(opened(path), strange)
    assert opened(path)[strange].step is Step.REPORTED


CHILD = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from fsmend_agent import journal as module
    from fsmend_agent.journal import Entry, Journal
    from fsmend_proto.v1 import command_pb2 as pb
    module.REWRITE_BYTES = 3000
    journal = Journal(Path(sys.argv[1]))
    for number in range(int(sys.argv[2]), 10**6):
        command_id = f"c{number}"
        journal.accept(Entry(command_id, "d", "scrub_btrfs", wall_ns=2**62))
        print("accepted", command_id, flush=True)
        journal.start(command_id)
        print("started", command_id, flush=True)
        journal.finish(pb.CommandUpdate(command_id=command_id, state=5))
        print("finished", command_id, flush=True)
        journal.reported(command_id)
    """
)
SAID = {"accepted": Step.ACCEPTED, "started": Step.STARTED, "finished": Step.FINISHED}


def test_what_it_said_before_kill_9_is_there_afterwards(path):
    begin, said = 0, {}
    for _round in range(12):
        child = subprocess.Popen([sys.executable, "-c", CHILD, path, str(begin)], stdout=subprocess.PIPE, text=True)
        for line in islice(child.stdout, 7 + 5 * _round):
            word, command_id = line.split()
            said[command_id] = SAID[word]
        child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate()
        for line in rest.splitlines():
            if len(words := line.split()) == 2:
                said[words[1]] = SAID[words[0]]
        journal = Journal(path)
        for command_id, step in said.items():
            assert journal[command_id].step >= step
            assert step < Step.FINISHED or journal.final_update(command_id).state == pb.COMMAND_STATE_SUCCEEDED
        assert journal.damaged <= 1
        journal.close()
        begin += 1000
    assert len(said) > 50


class JournalMachine(RuleBasedStateMachine):
    """Any commands in any order, with crashes between: the same as a dictionary."""

    def __init__(self):
        super().__init__()
        self.folder = __import__("tempfile").TemporaryDirectory()
        self.path = __import__("pathlib").Path(self.folder.name, "journal")
        self.model = {}
        self.journal = opened(self.path)

    def teardown(self):
        self.journal.close()
        self.folder.cleanup()

    @rule(name=st.sampled_from("abcdef"))
    def accept(self, name):
        if name not in self.model:
            self.journal.accept(entry(name))
            self.model[name] = Step.ACCEPTED

    @rule(name=st.sampled_from("abcdef"))
    def advance(self, name):
        step = self.model.get(name)
        if step is Step.ACCEPTED:
            self.journal.start(name)
        elif step is Step.STARTED:
            self.journal.finish(final(name))
        elif step is Step.FINISHED:
            self.journal.reported(name)
        if step is not None:
            self.model[name] = min(Step.REPORTED, Step(min(step + 1, 4)))

    @rule()
    def crash(self):
        self.journal.close()
        self.journal = opened(self.path)

    @precondition(lambda self: self.model)
    @rule()
    def rewrite(self):
        self.journal._rewrite_above = 0

    @invariant()
    def same(self):
        assert {one.id: one.step for one in self.journal.at(*Step)} == self.model
        for name, step in self.model.items():
            assert self.journal.final_update(name) == (final(name) if step >= Step.FINISHED else None)


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=examples(25), stateful_step_count=20, deadline=None)
