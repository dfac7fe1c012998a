"""Cases that are one piece of evidence are found by a keyed hash of what they have in common.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and an index; cases opened before belong to none."""
    op.add_column("cases", sa.Column("cluster", sa.String(length=64), nullable=True))
    known = sa.text("cluster IS NOT NULL")
    columns = ["loop_id", "cluster", "opened_at", "id"]
    op.create_index("cases_together", "cases", columns, unique=False, sqlite_where=known, postgresql_where=known)


def downgrade() -> None:
    """Take them away again."""
    op.drop_index("cases_together", "cases")
    op.drop_column("cases", "cluster")
