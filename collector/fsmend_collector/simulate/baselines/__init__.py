"""What others do, on the same streams: each baseline turns a world's findings into incidents.

A baseline is a function from a world to what it reports; its module is named for it.
"""

from collections.abc import Callable

from fsmend_collector.simulate.baselines import adtributor, labels, naive_rack, serd
from fsmend_collector.simulate.run import Reported
from fsmend_collector.simulate.world import World

BASELINES: dict[str, Callable[[World], list[Reported]]] = {
    "naive_rack": naive_rack.report,
    "labels": labels.report,
    "serd": serd.report,
    "adtributor": adtributor.report,
}
