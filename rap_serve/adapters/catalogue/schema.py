"""The tables. Times are milliseconds since 1970; a ``revision`` says in which order tenants and keys changed."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

ID = String(64)

clock = Table(
    "clock",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    comment="one row; whoever changes a tenant or a key counts it up, and so waits for who is doing the same",
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", ID, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
    Column("shelf", ID, nullable=False, default=""),
    Column("max_concepts", BigInteger),
    Column("max_avatars", BigInteger),
    Column("max_bytes", BigInteger),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("weight", BigInteger),
    Column("concepts", BigInteger, nullable=False, default=0),
    Column("avatars", BigInteger, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    comment="concepts, avatars and bytes: what its owners hold, and what writes under way have reserved",
)

keys = Table(
    "api_keys",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant", ID, nullable=False, index=True),
    Column("label", String(128), nullable=False),
    Column("shown", String(16), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("revision", BigInteger, nullable=False, index=True),
)

owners = Table(
    "owners",
    metadata,
    Column("tenant", ID, primary_key=True),
    Column("user", ID, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("shelf", ID, nullable=False, default=""),
    Column("left_on", ID),
    Column("epoch", BigInteger, nullable=False, default=1),
    Column("sealed_key", LargeBinary),
    Column("concepts", BigInteger, nullable=False, default=0),
    Column("avatars", BigInteger, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    comment="left_on: where copies stayed when it moved; epoch: counts erasures; sealed_key: opens what was stored",
)

shares = Table(
    "shares",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant", ID, nullable=False),
    Column("giver", ID, nullable=False),
    Column("taker", ID, nullable=False),
    Column("concepts", Text),
    Column("state", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("accepted_at", BigInteger),
    Index("shares_by_giver", "tenant", "giver"),
    Index("shares_by_taker", "tenant", "taker"),
    comment="concepts: ids as JSON, nothing for all; one whose user was erased has the state 'ended' until the purge",
)

spaces = Table(
    "embedding_spaces",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("version", String(256), nullable=False),
    Column("since", BigInteger, nullable=False),
    comment="which embedding space answered since when; the last one does now",
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant", ID, nullable=False, index=True),
    Column("user", ID, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("done", BigInteger, nullable=False, default=0),
    Column("total", BigInteger),
    Column("wanted", Text, nullable=False),
    Column("kept", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("cancelling", Boolean, nullable=False, default=False),
    Column("holder", ID),
    Column("held_until", BigInteger),
    comment="wanted: what it was asked for; kept: where to go on; result: what came of it; all JSON",
)

reservations = Table(
    "reservations",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant", ID, nullable=False, index=True),
    Column("user", ID, nullable=False),
    Column("concepts", BigInteger, nullable=False),
    Column("avatars", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("overdue_at", BigInteger, nullable=False, index=True),
    comment="what a write under way will add or take away; one that is overdue has an unknown end",
)

replies = Table(
    "replies",
    metadata,
    Column("tenant", ID, primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("user", ID, nullable=False),
    Column("write_id", ID, nullable=False),
    Column("holder", ID, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("begun_at", BigInteger, nullable=False, index=True),
    Column("held_until", BigInteger, nullable=False),
    Column("status", Integer),
    Column("headers", Text),
    Column("body", LargeBinary),
    comment="what was answered to requests with an idempotency key; no status while one is under way",
)

usage = Table(
    "usage",
    metadata,
    Column("tenant", ID, primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("user", ID, primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", ID, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("tenant", ID, nullable=False),
    Column("actor", ID, nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String(160), nullable=False),
    Column("detail", Text, nullable=False),
    Index("audit_by_tenant", "tenant", "id"),
)
