"""The storm that measures speed is diagnosed as what it is."""

from fsmend_collector.simulate.storm import large_population, large_view, storm


def test_a_storm_is_explained_by_a_few_causes_in_both_stages_and_by_the_scan_alone():
    run = storm(400, 40, 2_000, 600)
    assert 400 < run.units <= 480
    assert 0.9 < run.explained <= 1
    assert len(run.causes) < 10
    assert run.events_per_second > 0
    assert run.scan_events_per_second > run.events_per_second


def test_a_large_fleet_is_counted_without_keeping_its_hosts():
    population = large_population(200)
    assert population.size(("fleet", "all"), 0) == 2_400
    assert population.size(("rack", "r3"), 2) == 20
    assert large_view(61).groups()[-1] == ("site", "site0")
