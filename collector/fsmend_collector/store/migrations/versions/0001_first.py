"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLES = [
    "incident_evidence",
    "hosts",
    "filesystems",
    "epochs",
    "devices",
    "commands",
    "tokens",
    "revocations",
    "meta",
    "incidents",
    "gaps",
    "events",
    "command_updates",
    "audit",
    "agents",
]


def upgrade() -> None:
    op.create_table(
        "agents",
        sa.Column("number", BIG, autoincrement=True, nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("host_name", sa.Text(), server_default="", nullable=False),
        sa.Column("machine_id", sa.Text(), server_default="", nullable=False),
        sa.Column("enrolled_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("certificate_serial", sa.Text(), server_default="", nullable=False),
        sa.Column("certificate_not_after_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("revoked_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("quarantined", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("quarantine_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("epoch", sa.Text(), server_default="", nullable=False),
        sa.Column("epoch_number", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("durable_through", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("boot_id", sa.Text(), server_default="", nullable=False),
        sa.Column("agent_version", sa.Text(), server_default="", nullable=False),
        sa.Column("spool_durable", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("clock_offset_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("session_id", sa.Text(), server_default="", nullable=False),
        sa.Column("connected_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("disconnected_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("last_seen_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("gaps", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("undecoded", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_agents")),
        sa.UniqueConstraint("agent_id", name=op.f("uq_agents_agent_id")),
    )
    op.create_table(
        "audit",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("at_ns", BIG, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object_kind", sa.Text(), server_default="", nullable=False),
        sa.Column("object_id", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_audit_object_kind_object_id"), "audit", ["object_kind", "object_id"], unique=False)
    op.create_table(
        "command_updates",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("agent", BIG, nullable=False),
        sa.Column("epoch", BIG, nullable=False),
        sa.Column("sequence", BIG, nullable=False),
        sa.Column("received_ns", BIG, nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_command_updates")),
    )
    op.create_index(op.f("ix_command_updates_command_id_id"), "command_updates", ["command_id", "id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("chunk", BIG, nullable=False),
        sa.Column("agent", BIG, nullable=False),
        sa.Column("epoch", BIG, nullable=False),
        sa.Column("sequence", BIG, nullable=False),
        sa.Column("received_ns", BIG, nullable=False),
        sa.Column("wall_ns", BIG, nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("errno", sa.Integer(), nullable=False),
        sa.Column("filesystem_uuid", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("ino", BIG, nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_chunk_agent", "events", ["chunk", "agent"], unique=False)
    op.create_table(
        "gaps",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("agent", BIG, nullable=False),
        sa.Column("epoch", BIG, nullable=False),
        sa.Column("sequence", BIG, nullable=False),
        sa.Column("received_ns", BIG, nullable=False),
        sa.Column("reason", sa.Integer(), nullable=False),
        sa.Column("from_sequence", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("to_sequence", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("lost", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("filesystem_uuid", sa.Text(), server_default="", nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gaps")),
    )
    op.create_index(op.f("ix_gaps_agent_id"), "gaps", ["agent", "id"], unique=False)
    op.create_table(
        "incidents",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("agent_id", sa.Text(), server_default="", nullable=False),
        sa.Column("host_name", sa.Text(), server_default="", nullable=False),
        sa.Column("filesystem_uuid", sa.Text(), server_default="", nullable=False),
        sa.Column("device_id", sa.Text(), server_default="", nullable=False),
        sa.Column("onset_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("opened_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("updated_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("resolved_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("muted_until_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("merged_into", sa.Text(), server_default="", nullable=False),
        sa.Column("occurrences", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("evidence_count", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("summary", sa.Text(), server_default="", nullable=False),
        sa.Column("incident", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )
    op.create_index(op.f("ix_incidents_agent_id_state"), "incidents", ["agent_id", "state"], unique=False)
    op.create_index(op.f("ix_incidents_state_severity"), "incidents", ["state", "severity"], unique=False)
    op.create_index(op.f("ix_incidents_updated_ns"), "incidents", ["updated_ns"], unique=False)
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("number", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("value", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )
    op.create_table(
        "revocations",
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("revoked_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("revoked_by", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_revocations")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("not_after_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.Column("host_name", sa.Text(), server_default="", nullable=False),
        sa.Column("used_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("used_by", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_tokens_secret_hash")),
    )
    op.create_table(
        "commands",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.Text(), server_default="", nullable=False),
        sa.Column("action", sa.Text(), server_default="", nullable=False),
        sa.Column("action_class", sa.Integer(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("filesystem_uuid", sa.Text(), server_default="", nullable=False),
        sa.Column("device_id", sa.Text(), server_default="", nullable=False),
        sa.Column("ordered_by", sa.Text(), server_default="", nullable=False),
        sa.Column("created_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("updated_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("not_after_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("finished_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("leased_session", sa.Text(), server_default="", nullable=False),
        sa.Column("sent_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("cancel_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("cancel_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("cancel_by", sa.Text(), server_default="", nullable=False),
        sa.Column("cancel_session", sa.Text(), server_default="", nullable=False),
        sa.Column("command", sa.LargeBinary(), nullable=False),
        sa.Column("last_update", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.agent_id"], name=op.f("fk_commands_agent_id_agents")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commands")),
    )
    op.create_index(op.f("ix_commands_agent_id_state"), "commands", ["agent_id", "state"], unique=False)
    op.create_index(op.f("ix_commands_created_ns"), "commands", ["created_ns"], unique=False)
    op.create_index(op.f("ix_commands_incident_id"), "commands", ["incident_id"], unique=False)
    op.create_index(op.f("ix_commands_state_not_after_ns"), "commands", ["state", "not_after_ns"], unique=False)
    op.create_table(
        "devices",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("model", sa.Text(), server_default="", nullable=False),
        sa.Column("firmware", sa.Text(), server_default="", nullable=False),
        sa.Column("serial", sa.Text(), server_default="", nullable=False),
        sa.Column("present", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("first_seen_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("seen_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("device", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.agent_id"], name=op.f("fk_devices_agent_id_agents")),
        sa.PrimaryKeyConstraint("agent_id", "device_id", name=op.f("pk_devices")),
    )
    op.create_index(op.f("ix_devices_device_id"), "devices", ["device_id"], unique=False)
    op.create_index(op.f("ix_devices_name"), "devices", ["name"], unique=False)
    op.create_table(
        "epochs",
        sa.Column("number", BIG, autoincrement=True, nullable=False),
        sa.Column("agent", BIG, nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("begun_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["agent"], ["agents.number"], name=op.f("fk_epochs_agent_agents")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_epochs")),
    )
    op.create_index(op.f("ix_epochs_agent_epoch"), "epochs", ["agent", "epoch"], unique=True)
    op.create_table(
        "filesystems",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("filesystem_key", sa.Text(), nullable=False),
        sa.Column("filesystem_uuid", sa.Text(), server_default="", nullable=False),
        sa.Column("type", sa.Text(), server_default="", nullable=False),
        sa.Column("device_name", sa.Text(), server_default="", nullable=False),
        sa.Column("read_only", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("present", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("first_seen_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("seen_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("filesystem", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.agent_id"], name=op.f("fk_filesystems_agent_id_agents")),
        sa.PrimaryKeyConstraint("agent_id", "filesystem_key", name=op.f("pk_filesystems")),
    )
    op.create_index(op.f("ix_filesystems_filesystem_uuid"), "filesystems", ["filesystem_uuid"], unique=False)
    op.create_table(
        "hosts",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("machine_id", sa.Text(), server_default="", nullable=False),
        sa.Column("kernel_release", sa.Text(), server_default="", nullable=False),
        sa.Column("labels", sa.Text(), server_default="", nullable=False),
        sa.Column("seen_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("record_id", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("host", sa.LargeBinary(), nullable=False),
        sa.Column("inventory", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.agent_id"], name=op.f("fk_hosts_agent_id_agents")),
        sa.PrimaryKeyConstraint("agent_id", name=op.f("pk_hosts")),
    )
    op.create_index(op.f("ix_hosts_name"), "hosts", ["name"], unique=False)
    op.create_table(
        "incident_evidence",
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("event_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incidents.id"],
            name=op.f("fk_incident_evidence_incident_id_incidents"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("incident_id", "event_id", name=op.f("pk_incident_evidence")),
    )
    op.create_index(op.f("ix_incident_evidence_event_id"), "incident_evidence", ["event_id"], unique=False)

    op.bulk_insert(
        sa.table("meta", sa.column("key", sa.Text), sa.column("number", BIG)),
        [{"key": "last_record_id", "number": 0}, {"key": "last_received_ns", "number": 0}],
    )
    if op.get_context().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{change.lower()} BEFORE {change} ON audit "
                "BEGIN SELECT RAISE(ABORT, 'audit is append only'); END"
            )


def downgrade() -> None:
    for name in TABLES:
        op.drop_table(name)
