"""Into how many incidents rack alarms fold."""

from fsmend_collector.diagnosis.groups import ScanSettings
from fsmend_collector.simulate.folding import TicketIncident, Told, fold, scan_tickets
from fsmend_collector.simulate.tickets import Burst, Ticket

DAY = 86_400
START = 1_500_000_000
BURST = Burst(START, START + 600, "M1")


def ticket(at, *, model="M1", node="n1", rack="r1", room="o1", disk="d1"):
    return Ticket(START + at, model, disk, node, rack, room, "app")


def alarm(rack, count=3, **fields):
    """Return as many tickets of one rack, on a node each; disks have the same names in every rack."""
    return [ticket(at, node=f"{rack}-{at}", rack=rack, disk=f"d{at}", **fields) for at in range(count)]


def incident(*rows, name="i1"):
    units = frozenset((one.node, one.disk) for one in rows)
    return TicketIncident(name, "MODEL_FAULT", ("model", "M1"), (), units, START, START + 60)


def test_alarms_fold_into_the_incident_that_holds_most_of_their_disks():
    one, two, three = alarm("r1"), alarm("r2"), alarm("r3")
    told = Told([incident(*one, *two[:2]), incident(*three, two[2], name="i2")], [])
    folding = fold([*one, *two, *three], [BURST], told)
    assert (folding.alarms, folding.inside, folding.incidents) == (3, 3, 2)
    assert [count for _, count in folding.into] == [2, 1]
    assert not folding.alone


def test_disks_of_the_same_name_on_other_nodes_do_not_count():
    folding = fold([*alarm("r1"), *alarm("r2")], [BURST], Told([incident(*alarm("r1"))], []))
    assert (len(folding.into), len(folding.alone), folding.incidents) == (1, 1, 2)


def test_an_incident_that_was_merged_into_another_is_counted_apart():
    rows = alarm("r1")
    folding = fold(rows, [BURST], Told([incident(*rows)], [incident(*rows, name="i2"), incident(name="i3")]))
    assert (folding.incidents, folding.on_the_way) == (1, 1)


def test_alarms_outside_of_bursts_are_not_asked_for():
    folding = fold([*alarm("r1"), *alarm("r2", model="M2")], [BURST], Told([], []))
    assert (folding.alarms, folding.inside, folding.incidents) == (2, 1, 1)


def test_a_burst_of_one_model_all_over_the_fleet_is_one_incident_and_a_later_one_another():
    background = [
        ticket(at * DAY, model=f"M{at % 4}", node=f"x{at}", rack=f"y{at % 50}", room=f"o{at % 9}", disk=f"x{at}")
        for at in range(200)
    ]
    bursts = [
        ticket(day * DAY + at, node=f"b{day}-{at}", rack=f"y{at % 40}", room=f"o{at % 9}", disk=f"b{at}")
        for day in (20, 90)
        for at in range(120)
    ]
    rows = sorted([*background, *bursts], key=lambda one: one.time_seconds)
    found = [
        one for one in scan_tickets(rows, ScanSettings(windows_seconds=(300, 1_800))).incidents if len(one.units) > 9
    ]
    assert [(one.group, len(one.units)) for one in found] == [(("model", "M1"), 120), (("model", "M1"), 120)]
    assert [(one.onset_seconds - START) // DAY for one in found] == [20, 90]
