"""One SQL implementation of the store's ports, for SQLite and PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Callable

from dualcontrol.store import Store
from dualcontrol.store.sql.dialect import Clock, open_dialect, raise_ours
from dualcontrol.store.sql.engine import SqlStore, ensure


def open_store(
    url: str, *, durability: str = "power", clock: Clock | None = None,
    salt: Callable[[int], bytes] = os.urandom, create: bool = True,
) -> Store:  # fmt: skip
    """Open the database that a URL names; its schema is created when it is empty, unless `create` says no."""
    dialect = open_dialect(url, durability, clock)
    try:
        ensure(dialect, create=create)
    except Exception as error:
        dialect.close()
        raise_ours(dialect, error)
    return SqlStore(url, durability, dialect, salt)


def upgrade(url: str) -> str:
    """Bring a database to this program's revision; returns it."""
    # here, since every start would wait for Alembic, which takes about as long to load as all the rest of the store
    from dualcontrol.store.sql.migrations import upgrade_to_head

    return upgrade_to_head(url)
