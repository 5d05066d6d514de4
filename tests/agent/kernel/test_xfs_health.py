"""Names of health bits and what to scrub for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.kernel.xfs_health import HEALTH_BITS, HealthDomain, MetaPath, ScrubType, names, scrub_types, unmapped

EXPECTED = {
    HealthDomain.FS: "counters uquota gquota pquota rt_bitmap rt_summary quotacheck nlinks metadir metapath",
    HealthDomain.AG: "sb agf agfl agi bnobt cntbt inobt finobt rmapbt refcntbt inodes",
    HealthDomain.RTGROUP: "super bitmap summary rmapbt refcntbt",
    HealthDomain.INODE: "inode bmbtd bmbta bmbtc dir xattr symlink parent dirtree",
}


@pytest.mark.parametrize("domain", HealthDomain)
def test_bits_have_the_kernels_names_in_its_order(domain):
    mask = (1 << len(HEALTH_BITS[domain])) - 1
    assert names(domain, mask) == tuple(EXPECTED[domain].split())
    assert [health.bit for health in HEALTH_BITS[domain]] == [1 << place for place in range(len(HEALTH_BITS[domain]))]


def test_what_was_seen_on_a_broken_directory_and_btree_is_named():
    assert names(HealthDomain.INODE, 0x10) == ("dir",)
    assert names(HealthDomain.AG, 0x10) == ("bnobt",)


def test_a_bit_of_a_later_kernel_is_not_dropped():
    assert names(HealthDomain.AG, 1 << 20 | 1) == ("sb", "bit20")
    assert unmapped(HealthDomain.AG, 1 << 20 | 1) == 1 << 20


def test_every_bit_has_a_scrub_but_the_one_about_unnamed_inodes():
    without = [health.name for bits in HEALTH_BITS.values() for health in bits if not health.scrub_types]
    assert without == ["inodes"]
    assert unmapped(HealthDomain.AG, 1 << 10) == 1 << 10
    assert unmapped(HealthDomain.FS, 0x3FF) == 0


@pytest.mark.parametrize(
    ("domain", "mask", "expected"),
    [
        (HealthDomain.FS, 1 << 0, [ScrubType.FSCOUNTERS]),
        (HealthDomain.FS, 1 << 9, [ScrubType.METAPATH]),
        (HealthDomain.FS, 1 << 7 | 1 << 8 | 1 << 9, [ScrubType.NLINKS, ScrubType.METAPATH]),
        (HealthDomain.AG, 0x30, [ScrubType.BNOBT, ScrubType.CNTBT]),
        (HealthDomain.RTGROUP, 0x18, [ScrubType.RTRMAPBT, ScrubType.RTREFCBT]),
        (HealthDomain.INODE, 1 << 8, [ScrubType.DIRTREE]),
    ],
)
def test_each_scrub_is_asked_for_once(domain, mask, expected):
    assert list(scrub_types(domain, mask)) == expected


def test_scrub_numbers_are_the_kernels():
    assert (ScrubType.PROBE, ScrubType.FSCOUNTERS, ScrubType.METAPATH, ScrubType.RTREFCBT) == (0, 24, 29, 32)
    assert [scrub.value for scrub in ScrubType] == list(range(33))
    assert [path.value for path in MetaPath] == list(range(10))


@given(st.sampled_from(HealthDomain), st.integers(0, 2**32 - 1))
def test_no_set_bit_is_lost(domain, mask):
    assert len(names(domain, mask)) == mask.bit_count()
    scrubbed = sum(
        health.bit for health in HEALTH_BITS[domain] if set(health.scrub_types) & set(scrub_types(domain, mask))
    )
    assert mask & ~scrubbed == unmapped(domain, mask)
