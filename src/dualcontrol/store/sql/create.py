"""Making and checking the schema: a new database is made at once, another revision is named and refused."""

from __future__ import annotations

import secrets

from sqlalchemy.engine import Dialect as SqlDialect
from sqlalchemy.schema import CreateIndex, CreateTable

from dualcontrol.errors import SchemaError
from dualcontrol.store.sql.dialect import Dialect
from dualcontrol.store.sql.schema import HEAD, REVISIONS, VERSION_TABLE, metadata


def ensure(dialect: Dialect, *, create: bool = True) -> None:
    """Create the schema in an empty database; raise `SchemaError` where it is not this program's."""
    found = dialect.revision()
    if found is None and not create:
        raise unstamped()
    if found is None:
        dialect.create(ddl(dialect.sql), HEAD)
        found = dialect.revision()
    refuse_newer(found)
    if found is None:
        raise unstamped()
    if found != HEAD:
        raise SchemaError(
            f"the database is at revision {found}; this program needs {HEAD}",
            hint="Run `dualcontrol db upgrade`; make a backup first.", found=found, needed=HEAD,
        )  # fmt: skip


def refuse_newer(found: str | None) -> None:
    """Raise `SchemaError` for a revision that this program does not know."""
    if found is None or found in REVISIONS:
        return
    raise SchemaError(
        f"the database is at revision {found}, which is newer than {HEAD}, the newest this program knows",
        hint="Upgrade dualcontrol to the version that wrote it.", found=found, needed=HEAD,
    )  # fmt: skip


def unstamped() -> SchemaError:
    """The error for tables of ours that do not say of which revision they are."""
    return SchemaError(
        f"the database does not say its revision: its row in {VERSION_TABLE} is missing",
        hint="Nothing was written; restore a backup, and check that the address names the right database.",
        found=None, needed=HEAD,
    )  # fmt: skip


def ddl(dialect: SqlDialect) -> list[str]:
    """Every statement that makes an empty database ours, the secret included."""
    key = f"CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num)"  # as Alembic would make it
    made = [f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, {key})"]
    for table in metadata.sorted_tables:
        made.append(str(CreateTable(table).compile(dialect=dialect)))
        wanted = (CreateIndex(i) for i in sorted(table.indexes, key=lambda i: str(i.name)))
        made += [str(index.compile(dialect=dialect)) for index in wanted if _meant_for(index, dialect)]
    return [*made, secret_row()]


def _meant_for(index: CreateIndex, dialect: SqlDialect) -> bool:
    only = index.element._ddl_if
    return only is None or only.dialect is None or only.dialect == dialect.name


def secret_row() -> str:
    """The statement that gives a database its own secret."""
    return f"INSERT INTO system (name, value) VALUES ('secret', '{secrets.token_hex(32)}')"
