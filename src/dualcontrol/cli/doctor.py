"""``doctor``: what is wrong with the record, and what waits too long."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, suppress

from dualcontrol.cli.command import State, group, verb
from dualcontrol.cli.open import existing, settings_of
from dualcontrol.cli.screen import document, facts, progress, show, table
from dualcontrol.doctor import OK, PROBLEM, RESTORE, WARNING, Finding, examine, size
from dualcontrol.errors import DualcontrolError, SchemaError, StoreDamagedError
from dualcontrol.layout import some, written
from dualcontrol.settings.place import masked_url
from dualcontrol.store.sql import open_store

app = group("doctor", "Examine.")
SHOWN = 100


@verb(app, "doctor", "dualcontrol doctor", "dualcontrol doctor --json --database postgresql://user@host/name")
def doctor(state: State) -> int:
    """Examine the database, the evidence, the models and what waits too long; writes nothing.

    The exit code is 1 when something recorded cannot be relied on; a warning alone leaves it at 0.
    """
    settings = settings_of(state)
    about: dict[str, object] = {"url": masked_url(settings.database.url)}
    try:
        store = open_store(existing(settings.database.url), durability=settings.database.durability, create=False)
    except (StoreDamagedError, SchemaError) as error:
        if error.details.get("found") is not None:  # a sound database, of another version
            raise
        findings = [Finding("database", PROBLEM, f"the database cannot be opened: {error.message}", RESTORE)]
    else:
        with closing(store):
            streams = 0
            with suppress(DualcontrolError):  # what cannot be read becomes a finding
                about |= store.describe()
                streams = size(store)
            secret = settings.secret.encode() if settings.secret else None
            with progress("examining", streams, quiet=state.as_json) as step:
                findings = list(examine(store, models=settings.models, secret=secret, done=step))
    counts = Counter(finding.level for finding in findings)
    if state.as_json:
        totals = {"problems": counts[PROBLEM], "warnings": counts[WARNING]}
        document({"database": about, **totals, "findings": [finding._asdict() for finding in findings]})
        return 1 if counts[PROBLEM] else 0
    show(facts([(name, written(value)) for name, value in about.items()]))
    ordered = sorted(findings, key=lambda finding: (PROBLEM, WARNING, OK).index(finding.level))
    rows = [(finding.level, finding.check, finding.what, finding.hint) for finding in ordered[:SHOWN]]
    show(table(("", "part", "found", "do"), rows))
    if len(ordered) > SHOWN:
        show(f"and {len(ordered) - SHOWN} more; --json lists all")
    show(f"{some(counts[PROBLEM], 'problem')}, {some(counts[WARNING], 'warning')}")
    return 1 if counts[PROBLEM] else 0
