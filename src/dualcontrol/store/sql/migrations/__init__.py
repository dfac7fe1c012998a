"""Migrations, shipped with the package and run by `dualcontrol db upgrade`.

A new database does not come here: `engine.ensure` makes the newest schema at once and stamps it.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import inspect, text

from dualcontrol.store.sql.dialect import open_dialect, raise_ours
from dualcontrol.store.sql.engine import refuse_newer, unstamped
from dualcontrol.store.sql.schema import HEAD, VERSION_TABLE


def upgrade_to_head(url: str) -> str:
    """Bring a database to this program's revision; returns the revision."""
    dialect = open_dialect(url, "power", None)
    try:
        refuse_newer(dialect.revision())
        engine = dialect.engine()
        with engine.begin() as connection:  # what is missing in one transaction, while no other process does the same
            connection.exec_driver_sql(dialect.migration_lock)
            tables = inspect(connection)
            stamp = text(f"SELECT 1 FROM {VERSION_TABLE}")
            stamped = tables.has_table(VERSION_TABLE) and connection.execute(stamp).first()
            if not stamped and tables.has_table("loops"):
                raise unstamped()
            settings = configuration()
            settings.attributes["connection"] = connection
            command.upgrade(settings, "head")
        engine.dispose()
    except Exception as error:
        raise_ours(dialect, error)
    finally:
        dialect.close()
    return HEAD


def configuration() -> Config:
    """Alembic's settings: where the revisions lie, and nothing that a user could set."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    return settings
