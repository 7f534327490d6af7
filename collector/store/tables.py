"""Every table, index and constraint; the migrations make the same, and a test proves it. Times are Unix seconds."""

import sqlalchemy as sa
from sqlalchemy import JSON, Boolean, Column, Double, ForeignKey, Index, Integer, Table, UniqueConstraint
from sqlalchemy.engine import Dialect

from collector.tickets.text import clean


class Text(sa.types.TypeDecorator[str]):
    """Text whose every bound value, written or compared, is free of what a database refuses."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """`value` cleaned."""
        del dialect
        return None if value is None else clean(value)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
BigId = sa.BigInteger().with_variant(Integer, "sqlite")
ticket_number = sa.Sequence("ticket_number_seq", metadata=metadata)  # PostgreSQL; SQLite has its row in `counter`


def _id() -> Column[int]:
    return Column("id", BigId, primary_key=True, autoincrement=True)


def _ref(name: str, to: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigId, ForeignKey(to), nullable=null)


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _time(name: str, *, null: bool = False) -> Column[float]:
    return Column(name, Double, nullable=null)


def _count(name: str) -> Column[int]:
    return Column(name, BigId, nullable=False)


def _json(name: str, *, null: bool = False) -> Column[object]:
    return Column(name, JSON(none_as_null=True), nullable=null)


counter = Table("counter", metadata, Column("name", Text, primary_key=True), _count("value"))

company = Table(
    "company",
    metadata,
    _id(),
    _text("slug"),
    _text("name"),
    _time("created_at"),
    _count("revision"),  # +1 by every transaction that changes one of its tickets
    UniqueConstraint("slug"),
)

user = Table(
    "user_account",
    metadata,
    _id(),
    _text("login"),  # casefolded
    _text("name"),
    _text("password_hash"),
    _text("role"),
    _json("companies", null=True),  # slugs; NULL is all
    _json("preferences"),
    _time("created_at"),
    _time("disabled_at", null=True),
    UniqueConstraint("login"),
)

session = Table(
    "web_session",
    metadata,
    Column("token_hash", Text, primary_key=True),
    _ref("user_id", "user_account.id"),
    _time("created_at"),
    _time("expires_at"),
    Index(None, "user_id"),
    Index(None, "expires_at"),
)

login_failure = Table(
    "login_failure",
    metadata,
    Column("key_hash", Text, primary_key=True),
    _count("failures"),
    _time("last_at"),
    Index(None, "last_at"),
)

api_token = Table(
    "api_token",
    metadata,
    _id(),
    _text("name"),
    _text("token_hash"),
    _json("scopes"),
    _json("companies", null=True),
    _ref("user_id", "user_account.id", null=True),
    _time("created_at"),
    _time("expires_at", null=True),
    _time("revoked_at", null=True),
    _time("last_used_at", null=True),
    UniqueConstraint("token_hash"),
)

setting = Table("setting", metadata, Column("name", Text, primary_key=True), _json("value"), _time("updated_at"))

host = Table(
    "host",
    metadata,
    Column("id", Text, primary_key=True),  # the agent_id in the certificate
    _ref("company_id", "company.id"),
    _text("site"),
    _text("class"),
    _text("name"),
    _text("instance"),
    _text("presence"),
    _text("presence_reason"),
    _time("presence_since"),
    _time("last_seen", null=True),
    _time("deadline", null=True),
    _count("session_gen"),
    _text("agent_version"),
    _json("facts"),
    _time("first_seen"),
    _time("retired_at", null=True),
    _time("revoked_at", null=True),
    _text("machine_fingerprint"),
    Column("boot_id", Text, nullable=False, server_default=""),  # of its last session
    Column("suspended", Double, nullable=False, server_default="0"),  # seconds that boot had slept by then
    Column("lost", BigId, nullable=False, server_default="0"),  # batches the agent had to drop, ever
    Column("lost_epoch", Text, nullable=False, server_default=""),  # whose count was heard last ...
    Column("lost_told", BigId, nullable=False, server_default="0"),  # ... and how far it went: nothing counts twice
    _text("collector_id", null=True),  # who holds its session
    _time("approved_at", null=True),  # NULL: a person has yet to say that this host may stream
    _text("same_as", null=True),  # the host it may be again, by its hardware: "same machine?"
    Column("version", Integer, nullable=False, server_default="1"),  # +1 by each change a person makes
    _time("duplicate_at", null=True),  # when another computer last tried to speak as this host
    UniqueConstraint("instance"),
    Index(None, "company_id", "name"),
    Index(
        "ix_host_deadline",
        "deadline",
        sqlite_where=sa.text("deadline IS NOT NULL"),
        postgresql_where=sa.text("deadline IS NOT NULL"),
    ),
)

host_event = Table(
    "host_event",
    metadata,
    _id(),
    Column("host_id", Text, ForeignKey("host.id"), nullable=False),
    _time("at"),
    _text("kind"),
    _json("detail"),
    _text("request_key", null=True),  # of a program's note: the same key again adds none
    Index(None, "host_id", "at"),
    Index("uq_host_event_request", "host_id", "request_key", unique=True),
)

join_token = Table(
    "join_token",
    metadata,
    _id(),
    _text("token_hash"),
    _ref("company_id", "company.id"),
    _text("site"),
    _text("class"),
    _text("pattern"),
    _count("uses"),
    _count("used"),
    _time("created_at"),
    _time("expires_at"),
    _time("revoked_at", null=True),
    Column("approval", Boolean, nullable=False, server_default=sa.false()),  # its hosts wait for a person
    UniqueConstraint("token_hash"),
)

enrollment = Table(
    "enrollment",
    metadata,
    Column("id", Text, primary_key=True),
    _text("key_hash"),
    Column("host_id", Text, ForeignKey("host.id"), nullable=False),
    _time("at"),
    Index(None, "host_id"),
)

certificate = Table(
    "certificate",
    metadata,
    Column("serial", Text, primary_key=True),
    Column("host_id", Text, ForeignKey("host.id"), nullable=False),
    _text("pem"),
    _time("issued_at"),
    _time("not_after"),
    _time("revoked_at", null=True),
    Column("key_hash", Text, nullable=False, server_default=""),  # of a renewal: the same key again gets the same one
    _time("used_at", null=True),  # first stream; from then on the host's older ones are refused
    _time("superseded_at", null=True),
    Index(None, "host_id"),
)

# One row per ingest process that ever served, and who may act for hosts of no one: see docs/operations.md.
collector = Table(
    "collector",
    metadata,
    Column("id", Text, primary_key=True),
    _text("name"),
    _time("started_at"),
    _time("seen_at"),
    _time("stopped_at", null=True),
    Column("failing", JSON(none_as_null=True), nullable=False, server_default="[]"),  # [group, rule] of each
    Index(None, "seen_at"),
)

lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    _text("holder"),  # collector.id
    _count("gen"),  # +1 by each new holder: what a fenced one still writes is refused
    _time("until"),
)

alert = Table(
    "alert",
    metadata,
    Column("key", Text, primary_key=True),
    _text("rule"),
    _json("labels"),
    _text("state"),
    _time("active_since"),
    _time("last_true"),
    _time("value", null=True),  # NULL where it was not finite
    _json("annotations"),
    _time("fired_at", null=True),
    _time("keep_since", null=True),
    _time("unknown_since", null=True),
    _count("episode"),
    Column("instance", Text, nullable=False, server_default=""),  # of its labels: whose collector may change it
    Index(None, "instance"),
)

# One row per problem that ever fired. It outlives the alert, so it is what a transaction locks and what counts.
episode = Table(
    "episode",
    metadata,
    Column("dedup_key", Text, primary_key=True),
    _ref("company_id", "company.id"),
    _count("number"),
    _time("started_at", null=True),
)

ticket = Table(
    "ticket",
    metadata,
    _id(),
    _text("number"),
    _ref("company_id", "company.id"),
    _text("kind"),
    _text("source"),
    _text("title"),
    _text("description"),
    Column("host_id", Text, ForeignKey("host.id"), nullable=True),
    _text("host", null=True),
    _text("instance"),
    _text("requester"),
    _text("queue"),
    _ref("assignee_id", "user_account.id", null=True),
    Column("impact", Integer, nullable=False),
    Column("urgency", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    _text("status"),
    _time("created_at"),
    _time("updated_at"),
    _time("first_reaction_at", null=True),
    _time("resolved_at", null=True),
    _time("closed_at", null=True),
    _time("recovered_at", null=True),
    _time("recovered_value", null=True),
    _time("unknown_since", null=True),
    Column("occurrences", Integer, nullable=False),
    _text("dedup_key", null=True),
    _count("episode"),
    _text("rule"),
    _text("rule_name"),
    Column("version", Integer, nullable=False),
    _json("labels"),
    _json("annotations"),
    _json("evidence", null=True),
    _time("value", null=True),
    _text("resolution"),
    _text("search"),  # casefolded words of number, title, description, host, requester and rule
    _count("last_event"),
    UniqueConstraint("number"),
    UniqueConstraint("company_id", "dedup_key", "episode", name="uq_ticket_episode"),
)


def _ticket_index(name: str, *columns: str, where: str | None = None, unique: bool = False) -> Index:
    clause = sa.text(where) if where else None
    parts = [ticket.c[c] for c in columns]
    return Index(name, *parts, unique=unique, sqlite_where=clause, postgresql_where=clause)


ONE_OPEN = "closed_at IS NULL"
_IN_QUEUE = "resolved_at IS NULL"
_ticket_index("uq_ticket_one_open", "company_id", "dedup_key", where=ONE_OPEN, unique=True)
_ticket_index("ix_ticket_queue", "priority", "created_at", "id", where=_IN_QUEUE)
_ticket_index("ix_ticket_mine", "assignee_id", "priority", "created_at", "id", where=_IN_QUEUE)
_ticket_index("ix_ticket_recovered", "recovered_at", where="recovered_at IS NOT NULL AND resolved_at IS NULL")
_ticket_index("ix_ticket_ended", "resolved_at", "id", where="resolved_at IS NOT NULL")
_ticket_index("ix_ticket_created", "created_at", "id")
_ticket_index("ix_ticket_updated", "updated_at", "id")
_ticket_index("ix_ticket_host", "host_id", "created_at")
_ticket_index("ix_ticket_rule", "company_id", "rule_name", "created_at")
_ticket_index("ix_ticket_key", "dedup_key", "id")

ticket_event = Table(
    "ticket_event",
    metadata,
    _id(),
    _ref("ticket_id", "ticket.id"),
    _time("at"),
    _text("kind"),
    _text("actor"),
    _ref("actor_id", "user_account.id", null=True),
    _text("source"),
    _text("source_event_key", null=True),
    Column("public", Boolean, nullable=False),
    _text("text"),
    _json("data"),
    UniqueConstraint("source", "source_event_key", name="uq_ticket_event_source"),
    Index(None, "ticket_id", "id"),
    sqlite_autoincrement=True,
)

ticket_read = Table(
    "ticket_read",
    metadata,
    Column("user_id", BigId, ForeignKey("user_account.id"), primary_key=True),
    Column("ticket_id", BigId, ForeignKey("ticket.id"), primary_key=True),
    _count("event_id"),
)

ticket_request = Table(
    "ticket_request",
    metadata,
    Column("actor", Text, primary_key=True),
    Column("idempotency_key", Text, primary_key=True),
    _ref("ticket_id", "ticket.id"),
    _time("at"),
)

# Filled in the ticket's transaction once a channel is configured; there is none yet, so nothing writes it.
outbox = Table(
    "outbox",
    metadata,
    _id(),
    _ref("ticket_id", "ticket.id"),
    _text("channel"),
    _count("transition_no"),
    _json("payload"),
    _time("created_at"),
    UniqueConstraint("ticket_id", "channel", "transition_no", name="uq_outbox_transition"),
)
