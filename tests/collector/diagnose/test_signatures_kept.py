"""After a restart the scan names the same place in a filesystem's code, from what the store keeps."""

from collector.diagnosis.groups.fleets import DISKS, HOUR, POPULATION, START, error, feed

from fsmend_collector.diagnose.keeping import stored_sightings, stored_views, write_journal
from fsmend_collector.diagnosis.groups import GroupScan
from fsmend_collector.diagnosis.groups.marks import Journal
from fsmend_collector.store.engine import make_engine
from fsmend_collector.store.migrate import migrate


def settled(scan):
    scan.settle(START + 8 * HOUR)
    return {key: (one.cause, one.face) for key, one in scan.verdicts.items()}


def from_store(connection):
    scan = GroupScan(POPULATION)
    for view in stored_views(connection):
        scan.learn_view(view)
    for one in stored_sightings(connection):
        scan.sight(one.key, one.time_ns, one.evidence, one.signature)
    return scan


def test_a_restart_between_the_lines_of_one_error_ends_with_the_same_cause(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    migrate(url, tmp_path / "lock")
    engine = make_engine(url, writes=True)
    scan = GroupScan(POPULATION)
    with engine.begin() as connection:
        for late, code in enumerate(({}, {"function": "xfs_b", "line": 2}, {"function": "xfs_a", "line": 1})):
            scan.journal = Journal()
            feed(scan, [error(16 * at + 3, at % DISKS, "corrupt", 600 * at + late, **code) for at in range(25)])
            write_journal(connection, scan.journal)
            told = settled(scan)
            scan = from_store(connection)
            assert settled(scan) == told
    assert [cause for cause, _ in told.values()] == [("signature+kernel", "xfs_a:1 on 6.3")]
    engine.dispose()
