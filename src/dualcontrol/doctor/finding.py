"""What a check found: where, what, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dualcontrol.errors import DualcontrolError

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
    """What is found in a part; where the part cannot be read at all, that is what is found, and the rest goes on.

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


def lasted(microseconds: int) -> str:
    """A time span in its largest unit: ``40 seconds``, ``3 hours``."""
    seconds = max(0, microseconds // 1_000_000)
    for name, unit in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * unit:
            return some(seconds // unit, name)
    return some(seconds, "second")
