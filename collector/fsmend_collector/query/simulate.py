"""`fsmend simulate`: run scenarios with known truth through diagnosis, and say how well it does."""

import json
import os
from pathlib import Path
from typing import Any

import click

from fsmend_collector.query.errors import QueryError
from fsmend_collector.query.times import FiniteRange

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("names", nargs=-1, metavar="[SCENARIO]...")
@click.option("--list", "listing", is_flag=True, help="List the scenarios.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same fleet and faults.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="So many seeds from it on.")
@click.option(
    "--hosts", type=click.IntRange(min=60), help="Hosts of 12 disks each.  [default: 5000; over the wire 500]"
)
@click.option("--curve", is_flag=True, help="Also with only k of the failing hosts or units, for every k.")
@click.option("--truth", type=_FILE, help="Write the truth to this file, as JSON.")
@click.option("--report", "report_file", type=_FILE, help="Write a report to this file, as HTML with pictures.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--over-wire", is_flag=True, help="Simulate every agent, and let them connect to the context's collector."
)
@click.option("--start-collector", is_flag=True, help="The same with a throw-away collector that is started for it.")
@click.option("--into-this-collector", is_flag=True, help="The collector's store may be spoilt, whatever is in it.")
@click.option("--speed", type=FiniteRange(min=0.001), help="Over the wire: times faster than it happens.")
@click.option("--wait", "wait_seconds", type=FiniteRange(min=1), help="Over the wire: seconds for verdicts.")
@click.option("--stay", is_flag=True, help="Over the wire: stay connected after the verdicts, until interrupted.")
@click.option("--directory", type=_FOLDER, help="Over the wire: keep certificates here for the next run.")
def simulate(
    names: tuple[str, ...],
    listing: bool,
    seed: int,
    seeds: int,
    hosts: int | None,
    curve: bool,
    truth: Path | None,
    report_file: Path | None,
    output: str,
    **wire: Any,
) -> None:
    """Simulate failures with known causes, and see what diagnosis says.

    Without a SCENARIO, or with "all", every scenario is run, in memory and at full speed. Over the wire one scenario
    is played in its own time: thousands of simulated agents speak to a real collector.
    """
    from fsmend_collector.simulate.scenarios import scenarios  # noqa: PLC0415  late, as all of the verbs

    known = scenarios()
    if listing:
        for name, one in known.items():
            click.echo(f"{name:20} {one.family:12} {one.text}")
        return
    chosen = list(known) if not names or names == ("all",) else list(dict.fromkeys(names))
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        raise click.UsageError(f"no scenario named {', '.join(unknown)}; see fsmend simulate --list")
    over_wire = _checked(wire, chosen, seeds, curve=curve)
    for path in filter(None, (truth, report_file)):
        if not path.parent.is_dir():  # better now than after an hour
            raise click.UsageError(f"there is no folder {path.parent} for {path.name}")
    # gRPC tells of every connection that ends; thousands do. It reads this when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from fsmend_collector.query.simulating import Choice, run_in_memory, run_over_wire  # noqa: PLC0415

    choice = Choice([known[name] for name in chosen], seed, seeds, hosts or (500 if over_wire else 5_000), curve)
    done = run_over_wire(choice, wire) if over_wire else run_in_memory(choice)
    click.echo(done.to_text(output))
    if truth is not None:
        document = {"seed": seed, "hosts": choice.hosts, "causes": done.truths}
        _write(truth, json.dumps(document, indent=1) + "\n")
    if report_file is not None:
        _write(report_file, done.page())


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise QueryError(f"cannot write {path}: {error.strerror}") from None


def _checked(wire: dict[str, Any], chosen: list[str], seeds: int, *, curve: bool) -> bool:
    """Say whether to go over the wire; refuse options that do not belong together."""
    over_wire = wire["over_wire"] or wire["start_collector"]
    given = [name for name, value in wire.items() if value and name not in {"over_wire", "start_collector"}]
    if not over_wire and given:
        options = ", ".join("--" + name.removesuffix("_seconds").replace("_", "-") for name in given)
        raise click.UsageError(f"{options}: only with --over-wire or --start-collector")
    if over_wire and (len(chosen) != 1 or seeds != 1 or curve):
        raise click.UsageError("over the wire one scenario is played at a time, with one seed and no --curve")
    if wire["start_collector"] and (wire["into_this_collector"] or wire["over_wire"]):
        raise click.UsageError("--start-collector starts its own collector; it goes with none of the context")
    return bool(over_wire)
