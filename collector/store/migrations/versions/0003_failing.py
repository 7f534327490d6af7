"""Which rules fail at a collector, beside its sign of life."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("collector", sa.Column("failing", sa.JSON(none_as_null=True), nullable=False, server_default="[]"))
