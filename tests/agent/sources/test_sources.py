"""Sources are found by themselves, and each says whether it can run here."""

from fsmend_agent import sources

NAMES = ["btrfs_stats", "ext4_stats", "fanotify", "kmsg", "trace", "xfs_health"]


def test_every_source_is_found_by_its_name():
    found = sources.discover()
    assert set(NAMES) <= set(found)
    assert all(name == source.name and source.covers for name, source in found.items())


def test_every_probe_answers_for_its_source_and_gives_a_reason():
    for name, source in sources.discover().items():
        capability = source.probe()
        assert capability.name == f"source.{name}"
        assert capability.reason


def test_a_poke_disturbs_no_source_that_does_not_run(make_stage):
    stage = make_stage()
    for source in sources.discover().values():
        source(stage.watch).poke("11111111-1111-1111-1111-111111111111")
    assert stage.events == stage.gaps == []
