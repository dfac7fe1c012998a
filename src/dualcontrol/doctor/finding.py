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
