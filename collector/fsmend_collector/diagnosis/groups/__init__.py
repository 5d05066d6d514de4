"""Stage 2 of diagnosis, the group scan: what do the units that fail have in common? Pure: no I/O, no clock.

    scan = GroupScan(population)
    scan.learn_view(view_of(agent_id, inventory))      # of hosts with faults only: see wants_view
    scan.observe(evidence)
    for verdict in scan.tick(now_ns):
        ...

A *mark* is one unit that began to fail in one aspect. Groups are counted by marks, never by events. What the scan
concludes is a function of the set of marks; so duplicates, reordering and lateness give the identical verdicts.
"""

from fsmend_collector.diagnosis.groups.changes import Change
from fsmend_collector.diagnosis.groups.population import Population
from fsmend_collector.diagnosis.groups.scan import GroupScan
from fsmend_collector.diagnosis.groups.settings import ScanSettings
from fsmend_collector.diagnosis.groups.verdict import Verdict
from fsmend_collector.diagnosis.groups.views import DeviceView, HostView, view_of

__all__ = ["Change", "DeviceView", "GroupScan", "HostView", "Population", "ScanSettings", "Verdict", "view_of"]
