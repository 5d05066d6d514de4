"""What `make bench-diagnosis` measures, and what it should come to. The names are those of build/bench-diagnosis.json."""

from bench.targets import Target

TARGETS = {
    target.name: target
    for target in (
        Target("precision", "told incidents that are right, all scenarios", 0.98, at_least=True),
        Target("recall", "true causes found, at or above the resolvable k", 0.95, at_least=True),
        Target("exact_cause_topology", "exact cause: adapter, shelf, host, rack, power, target", 0.95, at_least=True),
        Target(
            "exact_cause_model_firmware", "exact cause: model and firmware, 12 devices or more", 0.90, at_least=True
        ),
        Target("exact_cause_kernel", "exact cause: kernel, 20 hosts or more", 0.90, at_least=True),
        Target("exact_cause_confounded", "exact cause where two explain nearly the same", 0.80, at_least=True),
        Target("confounded_top2", "the same, truth among the first two suspects", 0.95, at_least=True),
        Target("detect_seconds_p50", "exact cause, after the k-th unit's event arrived, median", 2),
        Target("detect_seconds_p99", "the same, 99th percentile", 10),
        Target("false_incidents_per_day_upper", "60,000 healthy drives, upper end of the interval", 0.01),
        Target("replay_identical", "any order, repeats, up to 24 h late, a restart: identical set", 1, at_least=True),
        Target("comparisons_not_ahead", "families and measures where a baseline is level or ahead", 0),
        Target("repairs_beyond_cap", "repairs ordered beyond the share of the fleet", 0),
        Target("repairs_ordered_twice", "commands ordered twice, or on a busy filesystem", 0),
        Target("repairs_ordered_under_shared_cause", "repairs ordered for members of a shared cause", 0),
        Target("unit_repairs_under_shared_cause", "open unit incidents of members of a shared cause", 0),
        Target(
            "events_per_second_200k_hosts",
            "a storm of 1 M events in 20 s from 5 % of 200,000 hosts",
            50_000,
            at_least=True,
        ),
        Target("rss_mib_200k_hosts", "the same, resident", 1_536),
        Target("cost_growth_2k_to_200k", "cost of an event at 200,000 hosts to that at 2,000", 1.5),
        Target("wire_detect_seconds", "2,000 agents, rack power: k-th event received to `get incidents -w`", 10),
        Target("rack_alarms_folded_into", "251 naive rack alarms inside bursts (real tickets)", 30),
        Target("fast21_exact", "FAST'21 table from the tickets", 1, at_least=True),
    )
}
