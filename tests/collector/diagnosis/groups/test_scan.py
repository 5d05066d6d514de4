"""What failing units share."""

from dataclasses import replace

from collector.diagnosis.groups.fleets import (
    DAY,
    DISKS,
    HOSTS,
    HOUR,
    POPULATION,
    SECOND,
    START,
    causes,
    error,
    feed,
    scanned,
)

from fsmend_collector.diagnosis.groups import Change, GroupScan
from fsmend_proto.v1 import event_pb2


def lost(hosts, disks=range(DISKS), seconds=0.0):
    return [error(number, disk, "lost", seconds + at) for at, number in enumerate(hosts) for disk in disks]


def test_the_disks_behind_one_adapter_are_a_fault_of_the_adapter():
    scan = scanned(lost([7], range(4)))
    assert causes(scan) == {("hba", "a7 hba0"): 4}
    (verdict,) = scan.verdicts.values()
    assert verdict.code == "HBA_FAULT"
    assert verdict.suspects[0].group == ("host", "a7")
    assert verdict.odds > 1


def test_all_disks_of_one_host_are_a_fault_of_the_host():
    assert causes(scanned(lost([7]))) == {("host", "a7"): DISKS}


def test_the_hosts_of_a_rack_are_a_fault_of_the_rack_and_of_nothing_else():
    assert causes(scanned(lost(range(20, 30)))) == {("rack", "r2"): 80}


def test_two_racks_in_one_row_are_two_faults_and_all_racks_of_it_are_one_of_the_row():
    assert causes(scanned(lost([*range(20), *range(30, 40)]))).keys() <= {("rack", f"r{n}") for n in range(4)} | {
        ("row", "w0")
    }
    assert causes(scanned(lost(range(50)))) == {("row", "w0"): 400}


def test_a_firmware_is_told_from_its_model():
    same = [number for number in range(400) if number % 3 == 1 and number // 3 % 2 == 0]
    scan = scanned([error(number, 2, "media", 60 * at) for at, number in enumerate(same[::3])])
    assert causes(scan) == {("model+firmware", "M1 F0"): 23}


def test_a_model_that_fails_under_every_firmware_is_a_fault_of_the_model():
    same = [number for number in range(400) if number % 3 == 1]
    scan = scanned([error(number, 2, "media", 60 * at) for at, number in enumerate(same[::3])])
    assert causes(scan) == {("model", "M1"): 45}


def test_a_kernel_that_corrupts_mixed_hardware_is_a_regression():
    same = [number for number in range(400) if number % 4 == 3]
    scan = scanned([error(number, at % DISKS, "corrupt", 600 * at) for at, number in enumerate(same[::4])])
    (verdict,) = scan.verdicts.values()
    assert (verdict.code, verdict.group) == ("KERNEL_REGRESSION", ("kernel", "6.3"))


def test_any_label_of_an_operator_is_a_dimension():
    same = [number for number in range(400) if number % 7 == 5]
    scan = scanned([error(number, 1, "media", 30 * at) for at, number in enumerate(same[::2])])
    assert causes(scan) == {("label:tier", "t5"): 29}


def test_two_units_are_too_few_and_the_neighbours_say_so():
    scan = scanned([error(20, 1, "lost", 0), error(21, 1, "lost", 5)])
    assert causes(scan) == {}
    assert (("rack", "r2"), 1) in scan.neighbours("a20", "wwid:20-1")


def test_one_noisy_disk_is_nothing_shared():
    assert causes(scanned([error(20, 1, "media", n / 10) for n in range(1_000)], ticks=False)) == {}


def test_many_disks_of_one_host_do_not_make_a_fault_of_their_model():
    assert set(causes(scanned(lost([7], [0, 1, 4, 5, 6])))) == {("host", "a7")}


def test_what_a_change_expects_is_not_counted():
    scan = GroupScan(POPULATION)
    scan.changes.append(Change("maintenance", ("rack", "r2"), START - HOUR, START + HOUR, frozenset({"lost"})))
    feed(scan, lost(range(20, 30)))
    scan.settle(START + 600 * SECOND)
    assert causes(scan) == {}
    assert scan.swallowed == 80


def test_a_change_before_a_fault_is_named_as_suspect():
    scan = GroupScan(POPULATION)
    scan.changes.append(Change("kernel 6.3", ("kernel", "6.3"), START - HOUR, START + DAY))
    same = [number for number in range(400) if number % 4 == 3]
    feed(scan, [error(number, 1, "corrupt", 60 * at) for at, number in enumerate(same[::4])])
    scan.settle(START + DAY)
    (verdict,) = scan.verdicts.values()
    assert verdict.changes == ("kernel 6.3",)


def test_what_an_agent_claims_of_foreign_disks_counts_against_its_own_host_only():
    foreign = [replace(one, agent_id="a300") for one in lost(range(20, 30))]
    scan = scanned(foreign)
    assert list(causes(scan)) == [("host", "a300")]
    assert scan.disowned == 80


def test_hosts_that_fall_silent_together_lost_their_connection():
    scan = GroupScan(POPULATION)
    for view in HOSTS[20:30]:
        scan.learn_view(view)
    for number in range(20, 30):
        scan.observe_silence(f"a{number}", START)
    scan.settle(START + HOUR)
    (verdict,) = scan.verdicts.values()
    assert (verdict.code, verdict.group) == ("CONNECTION_LOST", ("rack", "r2"))


def test_a_clock_in_1970_counts_by_its_arrival():
    stream = [replace(one, time_ns=5, received_ns=START + n * SECOND) for n, one in enumerate(lost(range(20, 24)))]
    assert causes(scanned(stream)) == {("rack", "r2"): 32}


def test_the_verdict_says_what_it_spent_and_what_was_expected():
    (verdict,) = scanned(lost(range(20, 30))).verdicts.values()
    figures = verdict.statistics
    assert (figures.counted, figures.observed, figures.units) == ("hosts", 10, 80)
    assert 0 < figures.expected < 0.001
    assert figures.spent_per_day < 0.01
    assert figures.ratio_low < figures.observed / figures.expected < figures.ratio_high


def test_memory_follows_what_fails():
    scan = scanned([error(20, 1, "health", 0)])
    assert len(scan._views) == 1
    scan.tick(START + 60 * DAY)
    assert (len(scan._views), len(scan._series), len(scan._sightings)) == (0, 0, 0)


def test_what_was_found_for_the_keys_of_units_goes_when_the_population_changes():
    scan = GroupScan(POPULATION)
    for number in range(50):
        feed(scan, [error(number, 1, "health", number)])
        scan.counting.forget_thresholds()
        scan.tick(START + DAY + number * SECOND)
    assert len(scan._crossings._together) <= 1


def test_findings_that_are_no_failing_are_not_counted():
    old = [error(20 + n, 1, "corrupt", n, before_agent=True, severity=event_pb2.SEVERITY_WARNING) for n in range(10)]
    assert causes(scanned(old)) == {}
