"""Migrations, shipped with the package and run by `dualcontrol db upgrade`.

A new database does not come here: `create.py` makes the newest schema at once and stamps it.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

from dualcontrol.errors import SchemaError
from dualcontrol.store.sql.create import refuse_newer
from dualcontrol.store.sql.dialect import Dialect, open_dialect, raise_ours
from dualcontrol.store.sql.schema import HEAD


def upgrade_to_head(url: str) -> str:
    """Bring a database to this program's revision; returns the revision."""
    dialect = open_dialect(url, "power", None)
    try:
        _upgrade(dialect)
    except Exception as error:
        raise_ours(dialect, error)
    finally:
        dialect.close()
    return HEAD


def _upgrade(dialect: Dialect) -> None:
    """Run what is missing in one transaction, while no other process does the same."""
    found = dialect.revision()
    if found is None:
        raise SchemaError(
            "the database does not say its revision: it is not one of dualcontrol, or its row in dualcontrol_schema "
            "is missing",
            hint="Nothing was written; restore a backup, and check that the address names the right database.",
            found=None, needed=HEAD,
        )  # fmt: skip
    refuse_newer(found)
    engine = dialect.engine()
    with engine.begin() as connection:
        connection.exec_driver_sql(dialect.migration_lock)
        settings = configuration()
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")
    engine.dispose()


def configuration() -> Config:
    """Alembic's settings: where the revisions lie, and nothing that a user could set."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    return settings
