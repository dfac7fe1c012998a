"""``doctor``, ``db upgrade``, ``db backup``: keeping the record whole."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from dualcontrol.cli.command import State, group, verb
from dualcontrol.cli.open import existing, settings_of
from dualcontrol.cli.read import usage
from dualcontrol.cli.screen import document, facts, progress, show, styled, table
from dualcontrol.doctor import OK, PROBLEM, RESTORE, WARNING, Finding, examine, size
from dualcontrol.errors import DualcontrolError, SchemaError, StoreDamagedError
from dualcontrol.layout import some, written
from dualcontrol.settings import Settings
from dualcontrol.settings.place import masked_url
from dualcontrol.store import Store
from dualcontrol.store.sql import open_store, upgrade

app = group("care", "Care.")
db_app = group("db", "Upgrade or back up the database.")
SHOWN = 100


@verb(app, "doctor", "dualcontrol doctor", "dualcontrol doctor --json --database postgresql://user@host/name")
def doctor(state: State) -> int:
    """Examine the database, the evidence, the models and what waits too long; writes nothing.

    The exit code is 1 when something recorded cannot be relied on; a warning alone leaves it at 0.
    """
    settings = settings_of(state)
    told: dict[str, object] = {"url": masked_url(settings.database.url)}
    found: list[Finding]
    try:
        store = open_store(existing(settings.database.url), durability=settings.database.durability, create=False)
    except (StoreDamagedError, SchemaError) as error:
        if error.details.get("found") is not None:  # a sound database, of another version
            raise
        found = [Finding("database", PROBLEM, f"the database cannot be opened: {error.message}", RESTORE)]
    else:
        with closing(store):
            found = _examined(state, settings, store, told)
    counts = Counter(finding.level for finding in found)
    if state.as_json:
        document({"database": told, **_totals(counts), "findings": [finding._asdict() for finding in found]})
    else:
        _print(told, found, counts)
    return 1 if counts[PROBLEM] else 0


def _examined(state: State, settings: Settings, store: Store, told: dict[str, object]) -> list[Finding]:
    """Everything that is found; what the database says of itself is added to what is told."""
    streams = 0
    with suppress(DualcontrolError):  # what cannot be read is found once more, as a finding
        told |= store.describe()
        streams = size(store)
    secret = settings.secret.encode() if settings.secret else None
    with progress("examining", streams, quiet=state.as_json) as steps:
        return list(examine(store, models=settings.models, secret=secret, done=steps.on))


def _totals(counts: Counter[str]) -> dict[str, int]:
    return {"problems": counts[PROBLEM], "warnings": counts[WARNING]}


def _print(told: dict[str, object], found: list[Finding], counts: Counter[str]) -> None:
    show(facts([(name, written(value)) for name, value in told.items()]))
    ordered = sorted(found, key=lambda finding: (PROBLEM, WARNING, OK).index(finding.level))
    show(table(("", "part", "found", "do"), [_row(finding) for finding in ordered[:SHOWN]]))
    if len(ordered) > SHOWN:
        show(f"and {len(ordered) - SHOWN} more; --json lists all")
    show(f"{some(counts[PROBLEM], 'problem')}, {some(counts[WARNING], 'warning')}")


def _row(finding: Finding) -> list[str | Text]:
    return [styled(finding.level), finding.check, finding.what, finding.hint]


@verb(db_app, "upgrade", "dualcontrol db upgrade --database postgresql://user@host/name")
def upgrade_database(state: State) -> None:
    """Bring the database to the schema of this version; make a backup first."""
    url = existing(settings_of(state).database.url)
    revision = upgrade(url)
    if state.as_json:
        return document({"url": masked_url(url), "revision": revision})
    return show(f"{masked_url(url)} is at revision {revision}.")


@verb(db_app, "backup", "dualcontrol db backup before-upgrade.db")
def backup(
    state: State,
    out: Annotated[str, typer.Argument(metavar="PATH", help="The file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a consistent copy of the database to a file, while everything goes on."""
    target = Path(out)
    if target.exists() and not force:
        raise usage(f"{out} exists already; --force replaces it")
    if not target.parent.is_dir():
        raise usage(f"there is no folder {target.parent}")
    settings = settings_of(state)
    store = open_store(existing(settings.database.url), durability=settings.database.durability)
    try:
        store.backup(out)
    finally:
        store.close()
    size = target.stat().st_size
    if state.as_json:
        return document({"file": out, "bytes": size})
    how = (
        f"dualcontrol doctor --database sqlite:///{out}"
        if store.url.startswith("sqlite")
        else f"pg_restore --list {out}"
    )
    return show(f"{out} is written: {size:,} bytes. Try it with: {how}")
