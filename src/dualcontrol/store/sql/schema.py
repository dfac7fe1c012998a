"""Every table, once, for both databases: times are int64 microseconds UTC, ids of cases and reviews UUIDv7 text.

There are no foreign keys: rows are written by one function each, and every check would cost a look-up.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import UserDefinedType

REVISIONS: tuple[str, ...] = ("0001", "0002", "0003", "0004", "0005")
HEAD = REVISIONS[-1]
VERSION_TABLE = "dualcontrol_schema"

metadata = MetaData()


class Xid(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id, by which the sequencer reads in commit order; unused on SQLite."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The type's name in PostgreSQL."""
        return "xid8"


class CurrentXid(ColumnElement[int]):
    """The writing transaction's id, as the default of a column."""

    inherit_cache = True


@compiles(CurrentXid)
def _no_xid(element: CurrentXid, compiler: Any, **_: Any) -> str:
    return "0"


@compiles(CurrentXid, "postgresql")
def _current_xid(element: CurrentXid, compiler: Any, **_: Any) -> str:
    return "pg_current_xact_id()"


Id = String(36)
Key = BigInteger().with_variant(Integer, "sqlite")


loops = Table(
    "loops", metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False, server_default=""),
    Column("name", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("control", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("head", Text, nullable=False),
    UniqueConstraint("tenant", "name", name="loops_tenant_name"),
)  # fmt: skip

case_keys = Table(
    "case_keys", metadata,
    Column("loop_id", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256 of the key, which may be 65,536 characters
    Column("case_id", Id, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("erased", Boolean, nullable=False, server_default="0"),
    PrimaryKeyConstraint("loop_id", "digest", name="case_keys_pkey"),
    sqlite_with_rowid=False,
)  # fmt: skip

cases = Table(
    "cases", metadata,
    # what never changes comes first: see statements.CASE_FIXED
    Column("id", Id, primary_key=True),
    Column("loop_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("action", Text),
    Column("segment", Text),
    Column("score", Float),
    Column("parent_id", Id),
    Column("leader_id", Id),
    Column("run", Text),
    Column("opened_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("head", Text, nullable=False),
    Column("risk", Text),
    Column("route", Text, nullable=False),
    Column("control", BigInteger),
    Column("epoch", BigInteger),
    Column("bin", BigInteger),
    Column("inclusion", Float, nullable=False),
    Column("audited", Boolean, nullable=False),
    Column("verdict", Text),
    Column("by", Text),
    Column("wrong", SmallInteger),
    Column("due_at", BigInteger),
    Column("effective_at", BigInteger),
    Column("closed_at", BigInteger),
    Column("effect", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("effect_owner", Text),
    Column("effect_until", BigInteger),
    Column("snapshot", Text, nullable=False),
    Column("likeness", String(64)),  # a keyed hash of what a human is asked, so that equal questions are found
    Column("cluster", String(64)),  # a keyed hash of what makes cases of a loop one piece of evidence
)  # fmt: skip

entries = Table(
    "entries", metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("xid", Xid().with_variant(Integer, "sqlite"), nullable=False, server_default=CurrentXid()),
    Column("loop_id", BigInteger),
    Column("stream", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("stream", "seq", name="entries_stream_seq"),
)  # fmt: skip

feed = Table(
    "feed", metadata,
    Column("pos", Key, primary_key=True, autoincrement=False),
    Column("entry_id", BigInteger, nullable=False),
    UniqueConstraint("entry_id", name="feed_entry_id"),
)  # fmt: skip

cursors = Table(
    "cursors", metadata,
    Column("consumer", Text, primary_key=True),
    Column("pos", BigInteger, nullable=False),
)  # fmt: skip

payloads = Table(
    "payloads", metadata,
    Column("case_id", Text, nullable=False),  # or the stream of an entry without a case
    Column("slot", Text, nullable=False),
    Column("n", Integer, nullable=False),
    Column("body", Text),
    Column("uri", Text),
    Column("mime", Text),
    Column("size", BigInteger, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("commitment", String(64), nullable=False),
    Column("subject", Text),
    Column("expires_at", BigInteger),
    # with its rowid on SQLite: a row of a thousand bytes would spill into a page of its own without
    PrimaryKeyConstraint("case_id", "slot", "n", name="payloads_pkey"),
)  # fmt: skip

reviews = Table(
    "reviews", metadata,
    # with its rowid on SQLite: a long queue head that a person may not take is read ten times faster by it;
    # what never changes comes first: see statements.REVIEW_FIXED
    Column("id", Id, primary_key=True),
    Column("loop_id", BigInteger, nullable=False),
    Column("case_id", Id, nullable=False),
    Column("kind", Text, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("excludes", Text, nullable=False),  # JSON, one person a line; "" for nobody
    Column("owner", Text),  # of the case, so that a claim needs no join
    Column("pool", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("order_at", BigInteger, nullable=False),
    Column("due_at", BigInteger),
    Column("person", Text),
    Column("claim_id", Text),
    Column("lease_until", BigInteger),
    Column("claimed_at", BigInteger),
    Column("answered_at", BigInteger),
    Column("presented", Text, nullable=False),
    Column("shown", Text, nullable=False),
)  # fmt: skip

examples = Table(
    "examples", metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("loop_id", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("pos", BigInteger),
    Column("case_id", Id, nullable=False),
    Column("kind", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("wrong", SmallInteger),
    Column("bin", Integer),
    Column("score", Float),
    Column("inclusion", Float, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("cap", Float),
    Column("used_by", Text),
)  # fmt: skip

models = Table(
    "models", metadata,
    Column("id", Text, primary_key=True),
    Column("loop_id", BigInteger, nullable=False),
    Column("version", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("examples", BigInteger, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)  # fmt: skip

jobs = Table(
    "jobs", metadata,
    Column("id", Id, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("run_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("owner", Text),
    Column("until", BigInteger),
    Column("state", Text, nullable=False),
    Column("result", Text),
)  # fmt: skip

accounts = Table(
    "accounts", metadata,
    Column("id", Id, primary_key=True),
    Column("identity", Text, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("identity", name="accounts_identity"),
)  # fmt: skip

subjects = Table(
    "subjects", metadata,
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("account_id", Id, nullable=False),
    PrimaryKeyConstraint("issuer", "subject", "account_id", name="subjects_pkey"),
)  # fmt: skip

groups = Table(
    "groups", metadata,
    Column("identity", Text, primary_key=True),
    Column("body", Text, nullable=False),
)  # fmt: skip

tokens = Table(
    "tokens", metadata,
    Column("digest", String(64), primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)  # fmt: skip

sessions = Table(
    "sessions", metadata,
    Column("digest", String(64), primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)  # fmt: skip

links = Table(
    "links", metadata,
    Column("digest", String(64), primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)  # fmt: skip

drafts = Table(
    "drafts", metadata,
    Column("review_id", Id, nullable=False),
    Column("person", Text, nullable=False),
    Column("case_id", Id, nullable=False),
    Column("body", Text, nullable=False),
    Column("saved_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("review_id", "person", name="drafts_pkey"),
)  # fmt: skip

system = Table(
    "system", metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)  # fmt: skip


def _partial(name: str, *columns: ColumnElement[Any], where: ColumnElement[bool], unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


Index("cases_by_opening", cases.c.loop_id, cases.c.opened_at, cases.c.id)
_partial("cases_by_closing", cases.c.loop_id, cases.c.closed_at, cases.c.id, where=cases.c.closed_at.is_not(None))
_partial("cases_due", cases.c.due_at, where=(cases.c.state == "open") & cases.c.due_at.is_not(None))
_partial("cases_to_settle", cases.c.effective_at, where=(cases.c.state == "decided") & cases.c.by.is_(None))
_partial("cases_running", cases.c.effect_until, where=cases.c.effect == "started")
_partial(
    "cases_alike", cases.c.loop_id, cases.c.likeness, cases.c.opened_at, cases.c.id,
    where=(cases.c.state == "open") & cases.c.leader_id.is_(None) & cases.c.likeness.is_not(None),
)  # fmt: skip
_partial(
    "cases_together", cases.c.loop_id, cases.c.cluster, cases.c.opened_at, cases.c.id,
    where=cases.c.cluster.is_not(None),
)  # fmt: skip
_partial(
    "cases_following", cases.c.leader_id, cases.c.id, where=(cases.c.state == "open") & cases.c.leader_id.is_not(None)
)
_partial("cases_by_run", cases.c.run, cases.c.loop_id, cases.c.id, where=cases.c.run.is_not(None))
Index("entries_commit_order", entries.c.xid, entries.c.id).ddl_if(dialect="postgresql")
_partial(
    "reviews_queue", reviews.c.loop_id, reviews.c.pool, reviews.c.order_at, reviews.c.id,
    where=reviews.c.state == "open",
)  # fmt: skip
_partial("reviews_person", reviews.c.case_id, reviews.c.person, where=reviews.c.person.is_not(None), unique=True)
_partial("reviews_leased", reviews.c.lease_until, where=reviews.c.state == "claimed")
_partial(
    "examples_by_position", examples.c.loop_id, examples.c.epoch, examples.c.pos, where=examples.c.pos.is_not(None)
)
_partial(
    "examples_fresh", examples.c.loop_id, examples.c.pos,
    where=examples.c.used_by.is_(None) | examples.c.pos.is_(None),
)  # fmt: skip
Index("models_by_loop", models.c.loop_id, models.c.created_at)
_partial("jobs_ready", jobs.c.kind, jobs.c.run_at, where=jobs.c.state == "ready")
_partial("jobs_leased", jobs.c.until, where=jobs.c.state == "leased")
Index("drafts_by_case", drafts.c.case_id)
