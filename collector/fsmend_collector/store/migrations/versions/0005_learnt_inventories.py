"""Diagnosis asks for new inventories with every batch of records: they are found by when they were learnt."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_hosts_record_id"), "hosts", ["record_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_hosts_record_id"), "hosts")
