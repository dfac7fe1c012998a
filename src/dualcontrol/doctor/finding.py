"""What a check found: where, what, and what to do about it."""

from __future__ import annotations

from typing import NamedTuple

OK, WARNING, PROBLEM = "ok", "warning", "problem"


class Finding(NamedTuple):
    """One result of a check; a problem means that something recorded cannot be relied on."""

    check: str
    level: str
    what: str
    hint: str = ""
    case_id: str = ""
    seq: int | None = None


def some(count: int, one: str) -> str:
    """So many of something: ``1 open case``, ``2 open cases``."""
    return f"{count} {one}{'' if count == 1 else 's'}"


def wait(count: int, one: str, many: str) -> str:
    """So many that wait: ``1 entry waits``, ``2 entries wait``."""
    return f"1 {one} waits" if count == 1 else f"{count} {many} wait"


def are(count: int, one: str) -> str:
    """So many of something, with the verb: ``1 case is``, ``2 cases are``."""
    return f"{some(count, one)} {'is' if count == 1 else 'are'}"
