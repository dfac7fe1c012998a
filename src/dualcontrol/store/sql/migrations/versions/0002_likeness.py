"""Cases that ask the same are found by a keyed hash of what is asked.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    """Add the column and two indexes; cases opened before have no likeness, so none joins them."""
    op.add_column("cases", sa.Column("likeness", sa.String(length=64), nullable=True))
    alike = "state = 'open' AND leader_id IS NULL AND likeness IS NOT NULL"
    op.create_index("cases_alike", "cases", ["loop_id", "likeness", "opened_at", "id"], unique=False, **_where(alike))
    following = "state = 'open' AND leader_id IS NOT NULL"
    op.create_index("cases_following", "cases", ["leader_id", "id"], unique=False, **_where(following))


def downgrade() -> None:
    """Take them away again."""
    op.drop_index("cases_following", "cases")
    op.drop_index("cases_alike", "cases")
    op.drop_column("cases", "likeness")
