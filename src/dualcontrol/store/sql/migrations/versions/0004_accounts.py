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


def upgrade() -> None:
    """Make the tables, end every session of before, and take over the names."""
    for table in (*UNUSED, "sessions"):
        op.drop_table(table)
    body = sa.Column("body", sa.Text(), nullable=False)
    digest = sa.Column("digest", sa.String(length=64), nullable=False)
    created = sa.Column("created_at", sa.BigInteger(), nullable=False)
    expires = sa.Column("expires_at", sa.BigInteger(), nullable=False)
    accounts = op.create_table(
        "accounts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        body.copy(),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("identity", name="accounts_identity"),
    )
    op.create_table(
        "subjects",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "subject", "account_id", name="subjects_pkey"),
    )
    op.create_table(
        "groups", sa.Column("identity", sa.Text(), nullable=False), body.copy(), sa.PrimaryKeyConstraint("identity")
    )
    of_account = sa.Column("account_id", sa.String(length=36), nullable=False)
    op.create_table("tokens", digest.copy(), of_account, created.copy(), body.copy(), sa.PrimaryKeyConstraint("digest"))
    op.create_table(
        "sessions", digest.copy(), sa.Column("account_id", sa.Text(), nullable=False), created.copy(), expires.copy(),
        body.copy(), sa.PrimaryKeyConstraint("digest"),
    )  # fmt: skip
    op.create_table(
        "links", digest.copy(), sa.Column("account_id", sa.Text(), nullable=False), expires.copy(), body.copy(),
        sa.PrimaryKeyConstraint("digest"),
    )  # fmt: skip
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
    id_, text = sa.Column("person_id", sa.Text(), nullable=False), sa.Column("name", sa.Text(), nullable=False)
    digest = sa.Column("digest", sa.String(length=64), nullable=False)
    created = sa.Column("created_at", sa.BigInteger(), nullable=False)
    op.create_table(
        "people", sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), server_default="", nullable=False), text.copy(),
        sa.Column("email", sa.Text(), nullable=True), sa.Column("password", sa.Text(), nullable=True),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True), created.copy(), sa.PrimaryKeyConstraint("id"),
    )  # fmt: skip
    op.create_table(
        "memberships", id_.copy(), sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), server_default="reviewer", nullable=False),
        sa.PrimaryKeyConstraint("person_id", "pool", name="memberships_pkey"),
    )  # fmt: skip
    op.create_table(
        "tokens", digest.copy(), id_.copy(), text.copy(), sa.Column("scopes", sa.Text(), nullable=False),
        created.copy(), sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("used_at", sa.BigInteger(), nullable=True), sa.PrimaryKeyConstraint("digest"),
    )  # fmt: skip
    op.create_table(
        "sessions", digest.copy(), id_.copy(), created.copy(),
        sa.Column("expires_at", sa.BigInteger(), nullable=False), sa.PrimaryKeyConstraint("digest"),
    )  # fmt: skip
