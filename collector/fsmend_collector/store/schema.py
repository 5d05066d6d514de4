"""Every table of the store, in SQLAlchemy Core.

What holds everywhere:

- Times are integers, nanoseconds since 1970. `received_ns`, `created_ns`, `seen_ns` … are the collector's clock;
  `wall_ns` is the host's.
- `id` of `events`, `gaps` and `command_updates` comes from ONE counter (`meta`, key `last_record_id`) that the single
  writer advances in its transaction. So ids grow with the order of commit, a merge of the three tables by id is the
  order in which the collector learnt things, and a reader that follows `id > cursor` misses nothing. Within one table
  ids have holes.
- `record` columns hold the serialised `Record` exactly as the agent sent it: nothing is encoded again, unknown fields
  of newer agents survive, and the columns beside it are only what queries filter on. 64-bit unsigned values that do
  not fit a signed column are stored as their two's complement (`ino`) or clamped (counts, clocks); the record has
  them exact.
- `agent` is `agents.number`, a small integer, where rows are many; `agent_id` is the identity of the certificate.
- Enumerations are stored as the numbers of the proto enumerations.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

# An index entry of a scattered fleet must not land on a random page of an index with millions of entries. So the
# index of `events` for one agent leads with the id's chunk: inserts stay within the newest chunk, and a query for one
# agent makes one seek a chunk, newest first (`queries.events_page`).
EVENT_CHUNK_BITS = 13

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives the fast row id only to a column of type INTEGER.
_Big = BigInteger().with_variant(Integer, "sqlite")


def _big(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, _Big, nullable=null, server_default=None if null else text("0"))


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text("false"))


# One row an enrolled host. Epoch and watermark stand here, and change in the transaction of the rows they vouch for.
agents = Table(
    "agents",
    metadata,
    Column("number", _Big, primary_key=True, autoincrement=True),
    Column("agent_id", Text, nullable=False, unique=True),
    _text("host_name"),  # as enrolled, then as the inventory says
    _text("machine_id"),
    _big("enrolled_ns"),
    _text("certificate_serial"),  # hexadecimal, of the newest certificate
    _big("certificate_not_after_ns"),
    _big("revoked_ns"),  # 0: not revoked
    _flag("quarantined"),
    _text("quarantine_reason"),
    _text("epoch"),
    _big("epoch_number"),  # epochs.number of `epoch`
    _big("durable_through"),  # watermark: every sequence of `epoch` up to this one is in the store or known lost
    _text("boot_id"),
    _text("agent_version"),
    _flag("spool_durable"),
    _big("clock_offset_ns"),  # collector wall clock minus host wall clock
    _text("session_id"),  # fence of the newest session
    _big("connected_ns"),  # when it began
    _big("disconnected_ns"),  # 0: connected, or the collector died with it
    _big("last_seen_ns"),
    _big("gaps"),  # rows in `gaps`, ever
    _big("undecoded"),  # records that could not be decoded, ever
)

# Every life of a spool that was ever seen: an epoch that is here and not the agent's present one is stale.
epochs = Table(
    "epochs",
    metadata,
    Column("number", _Big, primary_key=True, autoincrement=True),
    Column("agent", _Big, ForeignKey("agents.number"), nullable=False),
    Column("epoch", Text, nullable=False),
    _big("begun_ns"),
    Index(None, "agent", "epoch", unique=True),
)

# One-use join tokens; the secret is kept only as its SHA-256.
tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False, unique=True),
    _big("created_ns"),
    _big("not_after_ns"),
    _text("created_by"),
    _text("host_name"),  # empty: any host
    _big("used_ns"),  # 0: not used
    _text("used_by"),  # agent_id
)

# Operators' certificates that are no longer accepted; an agent is revoked as a whole, by `agents.revoked_ns`.
revocations = Table(
    "revocations",
    metadata,
    # Hexadecimal, or operator:NAME for all that were issued to NAME until `revoked_ns`.
    Column("serial", Text, primary_key=True),
    _big("revoked_ns"),
    _text("revoked_by"),
    _text("reason"),
)

# What the kernels said. No foreign keys and one index: this is the table that takes 80,000 rows a second.
# No unique key on (agent, sequence): the watermark already lets no sequence in twice.
# A filter on a filesystem or a device goes through the inventory to the agents that have it.
events = Table(
    "events",
    metadata,
    Column("id", _Big, primary_key=True, autoincrement=False),
    Column("chunk", _Big, nullable=False),  # id >> EVENT_CHUNK_BITS
    Column("agent", _Big, nullable=False),
    Column("epoch", _Big, nullable=False),  # epochs.number
    Column("sequence", _Big, nullable=False),
    Column("received_ns", _Big, nullable=False),  # never falls while ids grow
    Column("wall_ns", _Big, nullable=False),  # host clock, as reported
    Column("kind", Integer, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("errno", Integer, nullable=False),
    Column("filesystem_uuid", Text, nullable=False),
    Column("device_id", Text, nullable=False),
    Column("ino", _Big, nullable=False),
    Column("count", _Big, nullable=False),
    Column("command_id", Text, nullable=False),
    Column("record", LargeBinary, nullable=False),
    Index("ix_events_chunk_agent", "chunk", "agent"),
)

# What the collector knows that it does not know.
gaps = Table(
    "gaps",
    metadata,
    Column("id", _Big, primary_key=True, autoincrement=False),
    Column("agent", _Big, nullable=False),
    Column("epoch", _Big, nullable=False),
    Column("sequence", _Big, nullable=False),
    Column("received_ns", _Big, nullable=False),
    Column("reason", Integer, nullable=False),
    _big("from_sequence"),
    _big("to_sequence"),
    _big("lost"),
    _text("source"),
    _text("filesystem_uuid"),
    Column("record", LargeBinary, nullable=False),
    Index(None, "agent", "id"),
)

# The newest inventory of each host.
hosts = Table(
    "hosts",
    metadata,
    Column("agent_id", Text, ForeignKey("agents.agent_id"), primary_key=True),
    _text("name"),
    _text("machine_id"),
    _text("kernel_release"),
    _text("labels"),  # JSON object, keys sorted
    _big("seen_ns"),
    _big("record_id"),  # from the same counter as the ids of events: when the collector learnt it
    Column("host", LargeBinary, nullable=False),  # Host
    Column("inventory", LargeBinary, nullable=False),  # Inventory, the whole
    Index(None, "name"),
    Index(None, "record_id"),
)

# What each host counts for in the population of diagnosis, as of `diagnosed_through`: so a new inventory can take the
# place of the old one, and a restart need not decode the inventories of the whole fleet.
counted_hosts = Table(
    "counted_hosts",
    metadata,
    Column("agent_id", Text, primary_key=True),
    Column("counted", Text, nullable=False),  # JSON
)

# When units failed, the earliest error of each hour and aspect: what the group scan begins with after a restart.
sightings = Table(
    "sightings",
    metadata,
    Column("agent_id", Text, primary_key=True),
    Column("aspect", Text, primary_key=True),
    Column("kind", Integer, primary_key=True, autoincrement=False),  # device, filesystem or host
    Column("unit", Text, primary_key=True),
    Column("hour", _Big, primary_key=True, autoincrement=False),
    _big("time_ns"),
    _text("evidence"),  # id of the event
    _text("signature"),  # where in its code a filesystem failed
    Index(None, "time_ns"),
)

# The hosts of these units as the scan knows them, with the disks that have left the inventory since.
faulty_hosts = Table(
    "faulty_hosts",
    metadata,
    Column("agent_id", Text, primary_key=True),
    Column("seen", Text, nullable=False),  # JSON
)

# What was changed on a part of the fleet, and when: candidate causes for diagnosis.
changes = Table(
    "changes",
    metadata,
    Column("id", Text, primary_key=True),
    _text("kind"),  # maintenance, campaign, rollout
    _text("name"),  # for people
    _text("dimension"),  # of the group that it changes
    _text("value"),
    _big("from_ns"),
    _big("until_ns"),
    _flag("expects_silence"),  # hosts that are away meanwhile are not counted as failing
    _text("declared_by"),
    _big("declared_ns"),
    Index(None, "until_ns"),
)

# Devices and filesystems stay after they vanish from the inventory: `present` is false and `seen_ns` says since when.
devices = Table(
    "devices",
    metadata,
    Column("agent_id", Text, ForeignKey("agents.agent_id"), primary_key=True),
    Column("device_id", Text, primary_key=True),
    _text("name"),
    _text("kind"),
    _text("model"),
    _text("firmware"),
    _text("serial"),
    _flag("present"),
    _big("first_seen_ns"),
    _big("seen_ns"),
    Column("device", LargeBinary, nullable=False),  # Device
    Index(None, "device_id"),
    Index(None, "name"),
)

filesystems = Table(
    "filesystems",
    metadata,
    Column("agent_id", Text, ForeignKey("agents.agent_id"), primary_key=True),
    # The UUID, or `device:NAME` for a filesystem without one.
    Column("filesystem_key", Text, primary_key=True),
    _text("filesystem_uuid"),
    _text("type"),
    _text("device_name"),
    _flag("read_only"),
    _flag("present"),
    _big("first_seen_ns"),
    _big("seen_ns"),
    Column("filesystem", LargeBinary, nullable=False),  # Filesystem
    Index(None, "filesystem_uuid"),
)

# What diagnosis concluded. `incident` is the whole of it; timeline, places, members and suspects are in there.
incidents = Table(
    "incidents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("code", Text, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("state", Integer, nullable=False),
    _text("agent_id"),  # of the unit
    _text("host_name"),
    _text("filesystem_uuid"),
    _text("device_id"),
    _big("onset_ns"),
    _big("opened_ns"),
    _big("updated_ns"),
    _big("resolved_ns"),  # 0: not resolved
    _big("muted_until_ns"),
    _text("merged_into"),
    _big("occurrences"),
    _big("evidence_count"),
    _text("summary"),
    Column("incident", LargeBinary, nullable=False),  # Incident
    Index(None, "state", "severity"),
    Index(None, "agent_id", "state"),
    Index(None, "updated_ns"),
)

# All evidence, also what the incident's own bounded list no longer holds.
incident_evidence = Table(
    "incident_evidence",
    metadata,
    Column("incident_id", Text, ForeignKey("incidents.id", ondelete="CASCADE"), primary_key=True),
    Column("event_id", _Big, primary_key=True),
    Index(None, "event_id"),
)

# Orders. `state` never leaves a final state; final states come from the agent, except EXPIRED and CANCELLED of what was
# never sent.
commands = Table(
    "commands",
    metadata,
    Column("id", Text, primary_key=True),
    Column("agent_id", Text, ForeignKey("agents.agent_id"), nullable=False),
    _text("incident_id"),
    _text("action"),  # name of the oneof field: scrub_btrfs …
    Column("action_class", Integer, nullable=False),
    Column("state", Integer, nullable=False),
    _text("filesystem_uuid"),
    _text("device_id"),
    _text("ordered_by"),
    _big("created_ns"),
    _big("updated_ns"),
    _big("not_after_ns"),
    _big("finished_ns"),  # 0: not in a final state
    _text("leased_session"),  # the session it was last sent through
    _big("sent_ns"),
    _big("cancel_ns"),  # 0: nobody asked
    _text("cancel_reason"),
    _text("cancel_by"),
    _text("cancel_session"),  # the session that the cancel was last sent through
    Column("command", LargeBinary, nullable=False),  # Command
    Column("last_update", LargeBinary),  # CommandUpdate
    Index(None, "agent_id", "state"),
    Index(None, "incident_id"),
    Index(None, "state", "not_after_ns"),
    Index(None, "created_ns"),
    Index(None, "updated_ns"),
)

command_updates = Table(
    "command_updates",
    metadata,
    Column("id", _Big, primary_key=True, autoincrement=False),
    Column("command_id", Text, nullable=False),
    Column("agent", _Big, nullable=False),
    Column("epoch", _Big, nullable=False),
    Column("sequence", _Big, nullable=False),
    Column("received_ns", _Big, nullable=False),
    Column("state", Integer, nullable=False),
    Column("record", LargeBinary, nullable=False),  # Record with command_update
    Index(None, "command_id", "id"),
)

# Append only: no code path updates or deletes a row, and triggers refuse it.
audit = Table(
    "audit",
    metadata,
    Column("id", _Big, primary_key=True, autoincrement=True),
    Column("at_ns", _Big, nullable=False),
    Column("actor", Text, nullable=False),  # agent:ID, operator:NAME, policy, collector
    Column("action", Text, nullable=False),  # command.created, session.fenced, token.used …
    _text("object_kind"),  # command, agent, token, certificate, incident
    _text("object_id"),
    _text("detail"),
    Index(None, "object_kind", "object_id"),
    sqlite_autoincrement=True,
)

# Single values: last_record_id, diagnosed_through, policy state …
meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    _big("number"),
    _text("value"),
)
