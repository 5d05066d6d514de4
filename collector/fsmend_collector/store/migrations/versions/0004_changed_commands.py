"""Diagnosis asks several times a second which commands changed: they are found by when."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_commands_updated_ns"), "commands", ["updated_ns"])


def downgrade() -> None:
    op.drop_index(op.f("ix_commands_updated_ns"), "commands")
