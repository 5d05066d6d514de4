"""The ledger of a spool whose collector is away for long."""

import uuid
from dataclasses import replace

from fsmend_agent.spool.ledger import Carried, Ledger


def test_a_year_of_hourly_epochs_that_nobody_acknowledged_can_be_read_again(tmp_path):
    carried = tuple(Carried(uuid.uuid4().hex, 1, 2**40 + number, 0) for number in range(365 * 24))
    ledger = replace(Ledger.fresh(), carried=carried)
    ledger.write(tmp_path)
    assert Ledger.read(tmp_path) == ledger
