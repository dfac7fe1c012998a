"""Checks of the database itself: integrity, durability as read back, and whether the sequencer keeps up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dualcontrol.errors import DualcontrolError
from dualcontrol.store import Store

LAG = 1_000
OLD = 120_000_000  # microseconds; a transaction that was abandoned holds positions back for half as long
# What each database must answer when an acknowledged step is to survive a power cut.
POWER: dict[str, dict[str, tuple[str, ...]]] = {
    "sqlite": {"synchronous": ("2", "3")},
    "postgresql": {
        "synchronous_commit": ("on", "remote_write", "remote_apply"),
        "fsync": ("on",),
        "full_page_writes": ("on",),
    },
}


def integrity(store: Store) -> Iterator[Finding]:
    """What the database says is wrong with itself."""
    problems = store.integrity()
    for what in problems:
        yield Finding("database", PROBLEM, what, RESTORE)
    if not problems:
        yield Finding("database", OK, "the database finds itself sound")


def durability(store: Store) -> Iterator[Finding]:
    """What a step that this program acknowledges survives, as the database answers; who wrote before set their own."""
    settings = store.describe()
    if store.durability != "power":
        yield Finding(
            "durability", WARNING,
            'this program writes with durability "process": what it acknowledges may not survive a power cut',
            'Set database.durability to "power" where that matters.',
        )  # fmt: skip
        return
    needed = {name: enough for name, enough in POWER.get(str(settings.get("dialect")), {}).items() if name in settings}
    weak = [name for name, enough in needed.items() if str(settings[name]).lower() not in enough]
    for name in weak:
        what = f'{name} is {settings[name]}: an acknowledged step may not survive a power cut, though "power" is set'
        yield Finding("durability", PROBLEM, what, "Correct the database's own configuration.")
    if not weak:
        read = ", ".join(f"{name} {settings[name]}" for name in needed)
        yield Finding("durability", OK, f"what this program acknowledges when it writes survives a power cut ({read})")


def sequencer(store: Store) -> Iterator[Finding]:
    """Positions that are not dense and in commit order, and entries that have none yet: consumers do not see them."""
    wrong = store.queries.misplaced()
    if wrong is not None:
        stream, seq = wrong
        what = f"entry {seq} of {stream} has no position or not its own: consumers miss it, or see it out of order"
        yield Finding("sequencer", PROBLEM, what, RESTORE, stream.partition("case/")[2], seq)
        return
    waiting, oldest = store.queries.unplaced()
    age = 0 if oldest is None else store.queries.now() - oldest
    if waiting > LAG or age > OLD:
        have = "1 entry has" if waiting == 1 else f"{waiting} entries have"
        what = f"{have} no position yet, the oldest for {time_span(age)}: consumers and learning do not see them"
        hint = "Run `dualcontrol serve`, and look for a transaction that never ends."
        yield Finding("sequencer", WARNING, what, hint)
    else:
        what = f"{wait(waiting, 'entry', 'entries')} for a position" if waiting else "every entry has its position"
        yield Finding("sequencer", OK, what)


# Findings


OK, WARNING, PROBLEM = "ok", "warning", "problem"
RESTORE = "Stop all programs, keep a copy of the database, and restore the newest sound backup."


class Finding(NamedTuple):
    """One result of a check; a problem means that something recorded cannot be relied on."""

    check: str
    level: str
    what: str
    hint: str = ""
    case_id: str = ""
    seq: int | None = None


def guarded(part: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings of a part; where the part cannot be read at all, that is the finding, and the rest goes on.

    Any error: a damaged database gives values of any kind in any place.
    """
    try:
        yield from findings
    except Exception as error:
        why = error.message if isinstance(error, DualcontrolError) else f"{type(error).__name__}: {error}"
        yield Finding("database", PROBLEM, f"{part} cannot be examined: {why.partition(chr(10))[0]}", RESTORE)


def some(count: int, one: str) -> str:
    """So many of something: ``1 open case``, ``2 open cases``."""
    return f"{count} {one}{'' if count == 1 else 's'}"


def wait(count: int, one: str, many: str) -> str:
    """So many that wait: ``1 entry waits``, ``2 entries wait``."""
    return f"1 {one} waits" if count == 1 else f"{count} {many} wait"


def are(count: int, one: str) -> str:
    """So many of something, with the verb: ``1 case is``, ``2 cases are``."""
    return f"{some(count, one)} {'is' if count == 1 else 'are'}"


def time_span(microseconds: int) -> str:
    """A time span in its largest unit: ``40 seconds``, ``3 hours``."""
    seconds = max(0, microseconds // 1_000_000)
    for name, unit in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * unit:
            return some(seconds // unit, name)
    return some(seconds, "second")
