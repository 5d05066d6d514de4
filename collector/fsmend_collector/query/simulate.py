"""`fsmend simulate`: run scenarios with known truth through diagnosis, in memory, and say how well it does."""

import json
import sys
from pathlib import Path

import click

_HOSTS = 5_000


@click.command()
@click.argument("names", nargs=-1, metavar="[SCENARIO]...")
@click.option("--list", "listing", is_flag=True, help="List the scenarios.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same fleet and faults.")
@click.option(
    "--hosts", type=click.IntRange(min=400), default=_HOSTS, show_default=True, help="Hosts of 12 disks each."
)
@click.option("--truth", type=click.Path(dir_okay=False, path_type=Path), help="Write the truth to this file, as JSON.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def simulate(names: tuple[str, ...], listing: bool, seed: int, hosts: int, truth: Path | None, output: str) -> None:
    """Simulate failures with known causes, and see what diagnosis says."""
    from fsmend_collector.simulate.fleet import FleetShape, make_fleet  # noqa: PLC0415  late, as all of the verbs
    from fsmend_collector.simulate.scenarios import scenarios  # noqa: PLC0415

    known = scenarios()
    if listing:
        for name, one in known.items():
            click.echo(f"{name:20} {one.family:12} {one.text}")
        return
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise click.UsageError(f"no scenario named {', '.join(unknown)}; see fsmend simulate --list")
    fleet = make_fleet(FleetShape(hosts=hosts), seed)
    rows, truths = [], {}
    with click.progressbar(names or list(known), file=sys.stderr, label="simulating", item_show_func=str) as chosen:
        for name in chosen:
            row, truths[name] = _one(name, fleet, seed)
            rows.append(row)
    if truth is not None:
        truth.write_text(json.dumps({"seed": seed, "hosts": hosts, "causes": truths}, indent=1) + "\n")
    _show(rows, output)


def _one(name: str, fleet: object, seed: int) -> tuple[dict[str, object], list[dict[str, object]]]:
    """Run one scenario; return its row and its truth."""
    from fsmend_collector.simulate.fleet import SimulatedFleet  # noqa: PLC0415
    from fsmend_collector.simulate.resolve import resolvable  # noqa: PLC0415
    from fsmend_collector.simulate.run import Runner  # noqa: PLC0415
    from fsmend_collector.simulate.scenarios import scenarios  # noqa: PLC0415
    from fsmend_collector.simulate.score import score  # noqa: PLC0415

    assert isinstance(fleet, SimulatedFleet)  # noqa: S101  tells mypy
    scenario = scenarios()[name]
    world = scenario.world(fleet, seed)
    runner = Runner(world)
    outcome = runner.run()
    result = score(outcome, scenario.family, lambda cause: resolvable(cause, runner.diagnosis.scan.counting))
    causes: list[dict[str, object]] = [
        {"dimension": one.dimension, "value": one.value, "members": sorted(map(list, one.members))}
        for one in world.causes
    ]
    row: dict[str, object] = {
        "scenario": name,
        "family": scenario.family,
        "causes": result.causes,
        "found": result.found,
        "told": result.told,
        "right": result.right,
        "detect_seconds": result.detect_seconds,
        "incidents": [{"code": one.code, "dimension": one.dimension, "value": one.value} for one in outcome.shared],
    }
    return row, causes


def _show(rows: list[dict[str, object]], output: str) -> None:
    if output == "json":
        click.echo(json.dumps({"version": 1, "scenarios": rows}, indent=1))
        return
    click.echo(f"{'SCENARIO':20} {'CAUSES':>6} {'FOUND':>6} {'TOLD':>5} {'RIGHT':>6}  CAUSE AS DIAGNOSED")
    for row in rows:
        incidents = row["incidents"]
        assert isinstance(incidents, list)  # noqa: S101  tells mypy
        said = ", ".join(f"{one['dimension']} {one['value']}" for one in incidents)
        click.echo(
            f"{row['scenario']:20} {row['causes']:>6} {row['found']:>6} {row['told']:>5} {row['right']:>6}  {said[:32]}"
        )
