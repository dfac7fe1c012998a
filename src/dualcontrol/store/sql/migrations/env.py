"""Alembic's entry: it runs on the connection that `upgrade_to_head` hands over."""

from __future__ import annotations

from alembic import context

from dualcontrol.store.sql.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
