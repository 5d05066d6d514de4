"""What `make bench` measures, and what it should come to. The names are those of build/bench.json."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A measure and its bound; `at_least` says on which side of the bound good is."""

    name: str
    what: str
    bound: float
    at_least: bool = False

    def met_by(self, value: float) -> bool:
        """Tell whether a measured value is good enough."""
        return value >= self.bound if self.at_least else value <= self.bound


TARGETS = {
    target.name: target
    for target in (
        Target("kernel_to_cli_ms_p50", "kernel error → line of `fsmend events -f`, median", 25),
        Target("kernel_to_cli_ms_p99", "the same, 99th percentile", 100),
        Target("ack_ms_p50", "one event: agent's spool → acknowledged, median", 5),
        Target("ack_ms_p99", "the same, 99th percentile", 20),
        Target("sense_rss_mib", "resident memory of sense", 22),
        Target("link_rss_mib", "resident memory of link, connected", 42),
        Target("agent_idle_cpu_percent", "both processes idle, of one core", 0.2),
        Target("storm_sense_cpu_percent", "100,000 errors in 10 s: CPU of sense, of one core", 20),
        Target("storm_first_event_ms", "the same: until the first event is out", 100),
        Target("kmsg_lines_per_second", "kernel log → Event, one core", 150_000, at_least=True),
        Target("fanotify_records_per_second", "fanotify → Event, one core", 400_000, at_least=True),
        Target(
            "ingest_sqlite_events_per_second", "durable ingest, mTLS, 64 agents, batches of 500", 80_000, at_least=True
        ),
        Target("restart_seconds", "diagnosis goes on after a restart: 5,000 hosts, 50,000 stored errors, CPU", 10),
        Target(
            "restart_decoding_seconds", "the first start on a store of an older version: 5,000 inventories, CPU", 10
        ),
        Target("restart_told_again", "incidents that the restart tells otherwise than they are stored", 0),
        Target("ingest_sqlite_ratio", "the same against a bare SQLite insert of the same rows", 0.7, at_least=True),
    )
}
