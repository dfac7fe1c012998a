"""What callers hand to the verbs of a desk, checked: a case or its id, times, reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dualcontrol.case import Case, microseconds, scalar
from dualcontrol.commands import known_as
from dualcontrol.errors import AnswerError, RequestError, UnknownCaseError

CENTURY = 36_525 * 86_400_000_000


def case_id_of(case: Case | str) -> str:
    """The id of a case that is given by itself or by its id."""
    return case.id if isinstance(case, Case) else known_as(case, UnknownCaseError, "a case")


def lasting(time: str | float | None) -> int | None:
    """A time somebody asks for, in microseconds: longer than nothing, at most a century; None stays None."""
    try:
        wanted = None if time is None else microseconds(scalar(time))
    except (TypeError, ValueError, OverflowError, AttributeError):
        wanted = 0
    if wanted is not None and not 0 < wanted <= CENTURY:
        raise RequestError(f'a time is "90s", "15m", "8h" or a number of seconds above 0, not {time!r:.80}')
    return wanted


def patience(timeout: Any) -> float | None:
    """How long a caller waits, in seconds; None is for as long as it takes."""
    timeout = scalar(timeout)
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout != timeout:
        raise RequestError(f"timeout is a number of seconds, or None for no end, not {timeout!r:.80}")
    return None if timeout > CENTURY / 1_000_000 else timeout


def codes(reasons: Sequence[str]) -> tuple[str, ...]:
    """Codes of reasons, as the list that they are to be given in."""
    if not isinstance(reasons, list | tuple):
        raise AnswerError(f"reasons is a list of codes, not {reasons!r:.80}")
    return tuple(reasons)
