"""The kernel log of a real kernel."""

import itertools
import os
import select
import time
import uuid

import pytest
from kernel.loopfs import need

from fsmend_agent.kernel import kmsg

pytestmark = pytest.mark.kernel


@pytest.fixture
def log():
    need()
    fd = kmsg.open_log()
    yield fd
    os.close(fd)


def records(fd):
    found = []
    while (record := kmsg.read_record(fd)) is not None:
        if record is not kmsg.Lost.OVERWRITTEN:
            found.append(kmsg.decode(record))
    return found


def test_an_ext4_error_line_arrives_with_its_priority_and_clock(ext4_fs, log, write_trigger):
    ext4_fs.mount()
    records(log)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    write_trigger(ext4_fs.loop)
    poll = select.poll()
    poll.register(log, select.POLLIN)
    assert poll.poll(2000)
    text = b"EXT4-fs error (device %s): trigger_test_error:" % ext4_fs.loop.name.encode()
    (record,) = [record for record in records(log) if record.text.startswith(text)]
    assert (record.facility, record.priority) == (0, 2)
    assert abs(record.usec - before) < 2_000_000
    assert kmsg.lost_between(record.sequence - 1, record.sequence) == 0


def test_a_process_cannot_pass_its_line_off_as_the_kernels(log):
    mark = uuid.uuid4().hex.encode()
    fd = os.open(kmsg.KMSG, os.O_WRONLY)
    try:
        os.write(fd, b"<2>EXT4-fs error (device vda): \xff\\x41\x07 %s\n" % mark)
    finally:
        os.close(fd)
    (record,) = [record for record in records(log) if mark in record.text]
    assert record.facility != 0
    assert record.text == b"EXT4-fs error (device vda): \xff\\x41\x07 %s" % mark


def test_every_record_that_the_kernel_still_has_decodes():
    need()
    fd = kmsg.open_log(from_start=True)
    try:
        found = records(fd)
    finally:
        os.close(fd)
    assert len(found) > 1
    gaps = [kmsg.lost_between(one.sequence, other.sequence) for one, other in itertools.pairwise(found)]
    assert sum(gaps) == found[-1].sequence - found[0].sequence - len(found) + 1
