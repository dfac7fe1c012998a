"""Accounts, tokens, one-time links, and sessions that know how somebody signed in.

The names of earlier cases become accounts that have never signed in: reviewers of the loops that they have worked in.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import json
import time
from typing import Any

import sqlalchemy as sa
from alembic import op

from dualcontrol.control import uuid7
from dualcontrol.names import identity

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UNUSED = ("people", "memberships", "tokens")
TIMES = ("created_at", "expires_at")


def _columns(*names: str) -> list[sa.Column[Any]]:
    """Columns of a new table that are never empty: digests, times, and text."""
    kinds: dict[str, Any] = {"digest": sa.String(length=64), **dict.fromkeys(TIMES, sa.BigInteger())}
    return [sa.Column(name, kinds.get(name, sa.Text()), nullable=False) for name in names]


def _id(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length=36), nullable=False)


def upgrade() -> None:
    """Make the tables, end every session of before, and take over the names."""
    for table in (*UNUSED, "sessions"):
        op.drop_table(table)
    accounts = op.create_table(
        "accounts", _id("id"), *_columns("identity", "body"),
        sa.PrimaryKeyConstraint("id"), sa.UniqueConstraint("identity", name="accounts_identity"),
    )  # fmt: skip
    op.create_table(
        "subjects", *_columns("issuer", "subject"), _id("account_id"),
        sa.PrimaryKeyConstraint("issuer", "subject", "account_id", name="subjects_pkey"),
    )  # fmt: skip
    op.create_table("groups", *_columns("identity", "body"), sa.PrimaryKeyConstraint("identity"))
    op.create_table(
        "tokens", *_columns("digest"), _id("account_id"), *_columns("created_at", "body"),
        sa.PrimaryKeyConstraint("digest"),
    )  # fmt: skip
    for table, times in (("sessions", TIMES), ("links", TIMES[1:])):
        op.create_table(table, *_columns("digest", "account_id", *times, "body"), sa.PrimaryKeyConstraint("digest"))
    op.bulk_insert(accounts, _named(op.get_bind()))


def _named(connection: sa.Connection) -> list[dict[str, str]]:
    """An account for everybody who has held a review, by the name as they wrote it."""
    worked = "SELECT DISTINCT r.person, l.name FROM reviews r JOIN loops l ON l.id = r.loop_id"
    loops: dict[str, set[str]] = {}
    for person, loop in connection.execute(sa.text(f"{worked} WHERE r.person IS NOT NULL")):
        loops.setdefault(person, set()).add(loop)
    spelled: dict[str, str] = {}
    for (actor,) in connection.execute(sa.text("SELECT actor FROM entries GROUP BY actor ORDER BY min(id)")):
        spelled.setdefault(identity(actor), actor)
    now = time.time_ns() // 1000
    rows = []
    for person in sorted(loops):
        grants = [{"role": "reviewer", "loop": loop} for loop in sorted(loops[person])]
        account: dict[str, Any] = {
            "id": uuid7(), "name": spelled.get(person, person), "state": "named", "grants": grants, "created_at": now,
        }  # fmt: skip
        rows.append({"id": account["id"], "identity": person, "body": json.dumps(account, ensure_ascii=False)})
    return rows


def downgrade() -> None:
    """Go back to names that nobody checks: accounts, tokens and sessions are gone, what was decided stays."""
    for table in ("accounts", "subjects", "groups", "tokens", "sessions", "links"):
        op.drop_table(table)
    op.create_table(
        "people", *_columns("id"), sa.Column("tenant", sa.Text(), server_default="", nullable=False), *_columns("name"),
        sa.Column("email", sa.Text(), nullable=True), sa.Column("password", sa.Text(), nullable=True),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True), *_columns("created_at"),
        sa.PrimaryKeyConstraint("id"),
    )  # fmt: skip
    op.create_table(
        "memberships", *_columns("person_id", "pool"),
        sa.Column("role", sa.Text(), server_default="reviewer", nullable=False),
        sa.PrimaryKeyConstraint("person_id", "pool", name="memberships_pkey"),
    )  # fmt: skip
    op.create_table(
        "tokens", *_columns("digest", "person_id", "name", "scopes", "created_at"),
        sa.Column("expires_at", sa.BigInteger(), nullable=True), sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("digest"),
    )  # fmt: skip
    op.create_table("sessions", *_columns("digest", "person_id", *TIMES), sa.PrimaryKeyConstraint("digest"))
