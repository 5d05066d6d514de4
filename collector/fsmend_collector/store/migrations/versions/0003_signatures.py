"""The failing units keep where in its code a filesystem failed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sightings", sa.Column("signature", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("sightings", "signature")
