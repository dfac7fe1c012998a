"""``doctor``: what is wrong with the record, and what waits too long."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, suppress

from rich.text import Text

from dualcontrol.cli.command import State, group, verb
from dualcontrol.cli.open import existing, settings_of
from dualcontrol.cli.screen import document, facts, progress, show, styled, table
from dualcontrol.doctor import OK, PROBLEM, RESTORE, WARNING, Finding, examine, size
from dualcontrol.errors import DualcontrolError, SchemaError, StoreDamagedError
from dualcontrol.layout import some, written
from dualcontrol.settings import Settings
from dualcontrol.settings.place import masked_url
from dualcontrol.store import Store
from dualcontrol.store.sql import open_store

app = group("doctor", "Examine.")
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
