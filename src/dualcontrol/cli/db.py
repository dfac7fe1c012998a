"""``db upgrade`` and ``db backup``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from dualcontrol.cli.command import Force, State, group, verb
from dualcontrol.cli.open import existing, settings_of
from dualcontrol.cli.read import usage
from dualcontrol.cli.screen import report
from dualcontrol.settings.place import masked_url
from dualcontrol.store.sql import open_store, upgrade

db_app = group("db", "Upgrade or back up the database.")


@verb(db_app, "upgrade", "dualcontrol db upgrade --database postgresql://user@host/name")
def upgrade_database(state: State) -> None:
    """Bring the database to the schema of this version; make a backup first."""
    url = existing(settings_of(state).database.url)
    revision = upgrade(url)
    plain = {"url": masked_url(url), "revision": revision}
    report(state.as_json, plain, f"{masked_url(url)} is at revision {revision}.")


@verb(db_app, "backup", "dualcontrol db backup before-upgrade.db")
def backup(
    state: State,
    out: Annotated[str, typer.Argument(metavar="PATH", help="The file to write.")],
    force: Force = False,
) -> None:
    """Write a consistent copy of the database to a file, while everything goes on."""
    target = Path(out)
    if target.exists() and not force:
        raise usage(f"{out} exists already; --force replaces it")
    if not target.parent.is_dir():
        raise usage(f"there is no folder {target.parent}")
    settings = settings_of(state)
    store = open_store(existing(settings.database.url), durability=settings.database.durability)
    with closing(store):
        store.backup(out)
    size = target.stat().st_size
    sqlite = store.url.startswith("sqlite")
    how = f"dualcontrol doctor --database sqlite:///{out}" if sqlite else f"pg_restore --list {out}"
    report(state.as_json, {"file": out, "bytes": size}, f"{out} is written: {size:,} bytes. Try it with: {how}")
