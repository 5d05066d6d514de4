"""Results to draw, made by hand."""

from fsmend_collector.simulate.report.result import Cell, Floor, Result, Truth, Verdict

RIGHT = {"right": 1, "told": 1, "found": 1, "exact": 1, "causes": 1, "detect_seconds": [0.8], "misses": []}


def result(scenario="rack_power", seed=1, **changes):
    fields = {
        "scenario": scenario,
        "family": "topology",
        "text": "A rack loses power.",
        "seed": seed,
        "hosts": 120,
        "way": "memory",
        "truths": (Truth("rack", "r1", 2, 3, optional=False, found=True),),
        "verdicts": (Verdict("i-1", "RACK_FAULT", "rack", "r1", 2, 1.0, 0, right=True),),
        "score": RIGHT,
        "floor": Floor(
            tuple(f"r{at}" for at in range(6)),
            20,
            3,
            (Cell("host000021", "r1", 1, 1, (0,), (0,)), Cell("host000022", "r1", 1, 2, (0,), ())),
        ),
    }
    return Result(**(fields | changes))
