"""The fleet: sleep, loss and approval of hosts, renewed certificates, several collectors with fenced sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("host", sa.Column("boot_id", sa.Text(), nullable=False, server_default=""))
    op.add_column("host", sa.Column("suspended", sa.Double(), nullable=False, server_default="0"))
    op.add_column("host", sa.Column("lost", BIG, nullable=False, server_default="0"))
    op.add_column("host", sa.Column("lost_epoch", sa.Text(), nullable=False, server_default=""))
    op.add_column("host", sa.Column("lost_told", BIG, nullable=False, server_default="0"))
    op.add_column("host", sa.Column("collector_id", sa.Text(), nullable=True))
    op.add_column("host", sa.Column("approved_at", sa.Double(), nullable=True))
    op.add_column("host", sa.Column("same_as", sa.Text(), nullable=True))
    op.add_column("host", sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("host_event", sa.Column("request_key", sa.Text(), nullable=True))
    op.create_index("uq_host_event_request", "host_event", ["host_id", "request_key"], unique=True)
    op.add_column("host", sa.Column("duplicate_at", sa.Double(), nullable=True))
    # Whoever streams today needs nobody's word for it.
    op.execute("UPDATE host SET approved_at = first_seen")
    op.add_column("join_token", sa.Column("approval", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("certificate", sa.Column("key_hash", sa.Text(), nullable=False, server_default=""))
    op.add_column("certificate", sa.Column("used_at", sa.Double(), nullable=True))
    op.add_column("certificate", sa.Column("superseded_at", sa.Double(), nullable=True))
    op.create_table(
        "collector",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("stopped_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collector")),
    )
    op.create_index(op.f("ix_collector_seen_at"), "collector", ["seen_at"], unique=False)
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("gen", BIG, nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )
    op.add_column("alert", sa.Column("instance", sa.Text(), nullable=False, server_default=""))
    op.create_index(op.f("ix_alert_instance"), "alert", ["instance"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("UPDATE alert SET instance = coalesce(labels ->> 'instance', '')")
    else:
        op.execute("UPDATE alert SET instance = coalesce(json_extract(labels, '$.instance'), '')")
