"""People are told apart by what two spellings of a name have in common; the cases of a run are found by its name.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from dualcontrol.names import distinct, identity
from dualcontrol.store.sql.rows import lines

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

REVIEWS = sa.table(
    "reviews", sa.column("id"), sa.column("case_id"), sa.column("person"), sa.column("owner"), sa.column("excludes")
)


def upgrade() -> None:
    """Add an index, and write the names in the rows of reviews as they are compared from now on.

    Two spellings that both worked on one case stay as they are: the index would not take them for two people.
    """
    named = sa.text("run IS NOT NULL")
    columns = ["run", "loop_id", "id"]
    op.create_index("cases_by_run", "cases", columns, unique=False, sqlite_where=named, postgresql_where=named)
    connection = op.get_bind()
    rows = list(connection.execute(sa.select(REVIEWS)))
    workers = {(row.case_id, row.person) for row in rows}
    for row in rows:
        person = None if row.person is None else identity(row.person)
        if person != row.person and (row.case_id, person) in workers:
            person = row.person
        workers.add((row.case_id, person))
        spelled = {
            "person": person,
            "owner": None if row.owner is None else identity(row.owner),
            "excludes": lines(map(identity, distinct(json.loads(row.excludes)))) if row.excludes else row.excludes,
        }
        if any(getattr(row, column) != value for column, value in spelled.items()):
            connection.execute(sa.update(REVIEWS).where(REVIEWS.c.id == row.id).values(**spelled))


def downgrade() -> None:
    """Take the index away; names in rows are compared without their spelling by nobody else."""
    op.drop_index("cases_by_run", "cases")
