"""What callers hand to the verbs of a desk, checked: a case or its id, times, reasons."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from inspect import Parameter, signature
from typing import Any, ParamSpec, TypeVar

from dualcontrol.case import Case, microseconds, scalar
from dualcontrol.commands import known_as
from dualcontrol.errors import AnswerError, ArgumentError, RequestError, UnknownCaseError
from dualcontrol.propose import UNSET

P = ParamSpec("P")
T = TypeVar("T")
CENTURY = 36_525 * 86_400_000_000


def exact(verb: Callable[P, T]) -> Callable[P, T]:
    """A verb that answers an argument which it does not know with the nearest name of one that it does."""
    named = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    names = [name for name, parameter in signature(verb).parameters.items() if parameter.kind in named]
    known = frozenset(names)

    @functools.wraps(verb)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        if not kwargs.keys() <= known:
            settle = getattr(args[0], "_settle", None) if verb.__name__ == "loop" and len(args) > 1 else None
            if settle is not None:  # the keywords of a loop are settings, which name their nearest as in a file
                settle(args[1], **kwargs)
            raise unknown_argument(verb.__name__, next(name for name in kwargs if name not in known), names[1:])
        return verb(*args, **kwargs)

    return checked


def unknown_argument(verb: str, name: str, names: Sequence[str]) -> ArgumentError:
    """The error for an argument that a verb does not have."""
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(names)}"
    nearest = near[0] if near else None
    return ArgumentError(f"{verb} has no argument {name!r:.80}; {meant}", argument=name, nearest=nearest)


def stated(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a verb, as `locals()` has them, that its caller stated."""
    return {name: value for name, value in arguments.items() if name != "self" and value is not UNSET}


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
