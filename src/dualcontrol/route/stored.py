"""What was stored of a certificate, monitor or bound: a damaged dict is one clear error, and opens nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from dualcontrol.errors import GuaranteeError
from dualcontrol.route import sound

ANEW = "Begin a new one and count the labels again: `loop.evidence()` gives those of a loop. Nothing else has changed."
WRONG_KIND = (TypeError, ValueError, IndexError, AttributeError, ArithmeticError)


@contextmanager
def read(what: str) -> Iterator[None]:
    """One clear error for whatever a damaged dict brings about."""
    try:
        yield
    except KeyError as error:
        raise GuaranteeError(f"this is no stored {what}: {error.args[0]!r} is missing", hint=ANEW) from error
    except GuaranteeError as error:
        raise GuaranteeError(f"this is no stored {what}: {error.message}", hint=ANEW) from error
    except WRONG_KIND as error:
        raise GuaranteeError(f"this is no stored {what}: {error}", hint=ANEW) from error


def numbers(name: str, values: Any, count: int, *, least: float | None = None) -> None:
    """Refuse a list of another length, or one that holds anything but finite numbers."""
    fine = isinstance(values, list) and len(values) == count and all(sound.real(value) for value in values)
    if not fine or (least is not None and any(value < least for value in values)):
        raise GuaranteeError(f"{name.strip('_')} must be a list of {count} finite numbers")


def check(made: Any, label: Callable[..., object]) -> None:
    """Refuse a state that no certificate can be in; `label` refuses what is no label."""
    sound.whole("seq", made.seq, -1)
    sound.whole("labels", made.labels, 0)
    sound.whole("errors", made.errors, 0)
    sound.share("least", made._least, one=True)
    for one in (*made._waiting, *made._piloted):
        label(*one)
    seqs = [one.seq for one in made._waiting]
    if seqs != sorted({*seqs}) or (seqs and seqs[0] <= made.seq):
        raise GuaranteeError("labels wait that are counted already, or twice")
    if type(made.begun) is not bool or type(made._launching) is not bool:
        raise GuaranteeError("begun and launching must be true or false")
    if made.begun:
        _check_bins(made)
    elif made.steps or made.labels:
        raise GuaranteeError("it has counted labels before it has bins")


def _check_bins(made: Any) -> None:
    """Bins, and what was counted in each."""
    sound.binned(made.edges, made.first)
    count, bets = len(made.edges) + 1, len(made._fractions)
    for name in ("weights", "wrongs", "_tally", "_missed"):
        numbers(name, getattr(made, name), count, least=0)
    numbers("sums", made._sums, bets)
    if len(made._logs) != count:
        raise GuaranteeError(f"logs must be a list of {count} lists")
    for own in made._logs:
        numbers("logs", own, bets)
    _check_steps(made, count)


def _check_steps(made: Any, count: int) -> None:
    """Steps lead from high bins to low ones, each to the threshold of its bin."""
    sound.whole("next", made._next, -1)
    places = [count, *(step.bin for step in made.steps)]
    if any(low >= high for high, low in pairwise(places)) or made._next >= places[-1]:
        raise GuaranteeError("its steps do not lead from high bins to low ones")
    for step in made.steps:
        sound.whole("the bin of a step", step.bin, 0)
        if step.threshold != made.score_of(step.bin) or not -1 <= step.seq <= made.seq:
            raise GuaranteeError(f"the step to bin {step.bin} names another threshold or place than its own")
