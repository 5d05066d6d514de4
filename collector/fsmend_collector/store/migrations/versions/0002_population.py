"""What the group scan keeps: the population, the failing units, and changes to the fleet."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "counted_hosts",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("counted", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("agent_id", name=op.f("pk_counted_hosts")),
    )
    op.create_table(
        "sightings",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("aspect", sa.Text(), nullable=False),
        sa.Column("kind", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("hour", BIG, autoincrement=False, nullable=False),
        sa.Column("time_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("evidence", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("agent_id", "aspect", "kind", "unit", "hour", name=op.f("pk_sightings")),
    )
    op.create_index(op.f("ix_sightings_time_ns"), "sightings", ["time_ns"], unique=False)
    op.create_table(
        "faulty_hosts",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("seen", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("agent_id", name=op.f("pk_faulty_hosts")),
    )
    op.create_table(
        "changes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("dimension", sa.Text(), server_default="", nullable=False),
        sa.Column("value", sa.Text(), server_default="", nullable=False),
        sa.Column("from_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("until_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.Column("expects_silence", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("declared_by", sa.Text(), server_default="", nullable=False),
        sa.Column("declared_ns", BIG, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_changes")),
    )
    op.create_index(op.f("ix_changes_until_ns"), "changes", ["until_ns"], unique=False)


def downgrade() -> None:
    for name in ("changes", "faulty_hosts", "sightings", "counted_hosts"):
        op.drop_table(name)
