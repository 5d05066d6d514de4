"""The brakes over the store: who is under repair, whether repairs are stopped, and what a shared cause holds."""

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from fsmend_collector.audit import audit
from fsmend_collector.brakes import Storm, is_braked, storm_of
from fsmend_collector.commands import BY_POLICY, NEWS_NS, OPEN_STATES, ORDERED_BY_ITSELF, QUEUED
from fsmend_collector.diagnosis.groups.codes import GROUP_CODES
from fsmend_collector.policy import PolicyConfig
from fsmend_collector.store import counters, queries
from fsmend_collector.store.schema import agents, commands, incidents, meta
from fsmend_proto.v1 import command_pb2, incident_pb2

RELEASED = "repairs_released_ns"
ORDERED_BY = BY_POLICY
_SECOND_NS = 1_000_000_000
_CLASSES = [one for one in command_pb2.ActionClass.values() if is_braked(one)]


@dataclass(frozen=True, slots=True)
class Brakes:
    """How the brakes stand.

    Attributes:
        stopped: nobody released automatic repairs after a storm.
        repairing: agents that have a braked command of the policy that is not over. Not those that are revoked or of
            whose command nothing was heard for a day: a dead host would hold its place for ever.
    """

    stopped: bool
    repairing: frozenset[str]


def read_brakes(connection: Connection, now_ns: int) -> Brakes:
    """Return how the brakes stand."""
    mine = (
        commands.c.ordered_by == ORDERED_BY,
        commands.c.action_class.in_(_CLASSES),
        commands.c.updated_ns > now_ns - NEWS_NS,
    )
    busy = select(commands.c.agent_id).join(agents, agents.c.agent_id == commands.c.agent_id)
    busy = busy.where(commands.c.state.in_(OPEN_STATES), *mine, agents.c.revoked_ns == 0).distinct()
    return Brakes(queries.repairs_are_stopped(connection), frozenset(connection.execute(busy).scalars()))


def storm_now(connection: Connection, config: PolicyConfig, now_ns: int) -> tuple[Storm, int]:
    """Return whether incidents come in a storm, and how many are new; nothing more when repairs are stopped."""
    if queries.repairs_are_stopped(connection):
        return Storm.NONE, 0
    since_ns = now_ns - config.storm_seconds * _SECOND_NS
    alone = incidents.c.state != incident_pb2.INCIDENT_STATE_MERGED
    chosen = select(incidents.c.opened_ns).where(
        incidents.c.updated_ns >= since_ns, incidents.c.opened_ns >= since_ns, alone
    )
    opened = list(connection.execute(chosen).scalars())
    return storm_of(opened, queries.meta_number(connection, RELEASED), config, now_ns), len(opened)


def stop_repairs(connection: Connection, text: str, now_ns: int) -> None:
    """Stop automatic repairs until a person releases them."""
    counters.set_number(connection, queries.REPAIRS_STOPPED, now_ns)
    connection.execute(update(meta).where(meta.c.key == queries.REPAIRS_STOPPED).values(value=text))
    audit(connection, now_ns, ORDERED_BY, "repairs.stopped", "repairs", "", text)


def stopped_commands(connection: Connection) -> list[str]:
    """Return what policy and calendar ordered and nobody has sent yet although repairs are stopped."""
    if not queries.repairs_are_stopped(connection):
        return []
    own = commands.c.ordered_by.in_(ORDERED_BY_ITSELF)
    unsent = select(commands.c.id).where(commands.c.state == QUEUED, own, commands.c.action_class.in_(_CLASSES))
    return list(connection.execute(unsent).scalars())


def release_repairs(connection: Connection, by: str, now_ns: int) -> bool:
    """Let automatic repairs go on; false when they were not stopped."""
    if not queries.repairs_are_stopped(connection):
        return False
    counters.set_number(connection, queries.REPAIRS_STOPPED, 0)
    counters.set_number(connection, RELEASED, now_ns)
    audit(connection, now_ns, by, "repairs.released", "repairs", "")
    return True


def held_commands(connection: Connection) -> dict[str, str]:
    """Return the policy's repairs that are not over although a shared cause holds their incident: id to that cause."""
    shared = incidents.alias("shared")
    chosen = (
        select(commands.c.id, shared.c.id.label("cause"))
        .join(incidents, incidents.c.id == commands.c.incident_id)
        .join(shared, shared.c.id == incidents.c.merged_into)
        .where(
            commands.c.state.in_(OPEN_STATES),
            commands.c.cancel_ns == 0,
            commands.c.ordered_by == ORDERED_BY,
            commands.c.action_class.in_(_CLASSES),
            incidents.c.state == incident_pb2.INCIDENT_STATE_MERGED,
            shared.c.code.in_(list(GROUP_CODES)),
        )
    )
    return {row.id: row.cause for row in connection.execute(chosen)}
