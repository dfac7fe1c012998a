"""What a promise and a label may be made of: anything else is refused by name, before it changes a thing.

A number that is none (NaN, a text, nothing) would pass comparisons in silence and open autopilot on no evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import isfinite
from numbers import Integral, Real
from typing import Any

from dualcontrol.errors import GuaranteeError
from dualcontrol.route.promise import HINTS, beyond


def promise(max_error: Any, confidence: Any) -> None:
    """Refuse a promise that no data carry, or that says nothing."""
    for name, value in (("max_error", max_error), ("confidence", confidence)):
        share(name, value, hint=HINTS[name])
        if (said := beyond(name, value)) is not None:
            raise GuaranteeError(f"{name} is {value!r}: {said}", hint=HINTS[name])


def share(name: str, value: Any, *, zero: bool = False, one: bool = False, hint: str | None = None) -> None:
    """Refuse what is no number between 0 and 1; `zero` and `one` say whether these two count."""
    inside = real(value) and (0.0 < value < 1.0 or (zero and value == 0.0) or (one and value == 1.0))
    if not inside:
        bounds = f"{'at least' if zero else 'above'} 0 and {'at most' if one else 'below'} 1"
        raise GuaranteeError(f"{name} is {value!r:.80}; it must be a number, {bounds}", hint=hint)


def whole(name: str, value: Any, least: int) -> None:
    """Refuse what is no whole number from `least` on."""
    if not _counts(value) or value < least:
        raise GuaranteeError(f"{name} is {value!r:.80}; it must be a whole number from {least} on")


def binned(edges: Any, first: Any) -> None:
    """Refuse edges of bins that are no rising scores, and a first bin that is none of theirs."""
    if isinstance(edges, str) or not isinstance(edges, Iterable) or not rising(list(edges)):
        raise GuaranteeError("edges are the lower scores of bins 1, 2, …: numbers, each above the one before")
    if first is not None:
        whole("first", first, 0)
        if first > len(list(edges)):
            raise GuaranteeError(f"first is {first}, and there are {len(list(edges)) + 1} bins, counted from 0")


def rising(edges: Sequence[Any]) -> bool:
    """Whether these are numbers, each above the one before."""
    return all(real(edge) for edge in edges) and all(low < high for low, high in pairwise(edges))


def real(value: Any) -> bool:
    """Whether this is a finite number."""
    return not isinstance(value, bool) and isinstance(value, Real) and isfinite(value)


def _counts(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Integral)


def said(seq: Any, **parts: Any) -> None:
    """Refuse a label that lacks a part."""
    for name, value in parts.items():
        if value is None:
            raise GuaranteeError(f"decision {seq!r:.80} has no {name.replace('_', ' ')}", hint=LACKING[name])


LACKING = {
    "score": "A decision without a score is for a human, and no evidence: leave it out.",
    "wrong": "A decision that nobody answered in time counts as wrong; one that may still be answered waits.",
    "inclusion_probability": (
        "Give the probability with which a human was to see the decision, as it was before the draw: 1 where "
        "everything is reviewed. Without it nobody knows for how many cases the label stands."
    ),
}


def seen(wrong: Any, inclusion: Any, floor: Any) -> None:
    """Refuse what is no review: neither right nor wrong, or of a case that nobody could have reviewed."""
    if wrong not in (0, 1):
        raise GuaranteeError(f"wrong is {wrong!r:.80}; it must be 0 or 1", hint=LACKING["wrong"])
    share("the inclusion probability", inclusion, one=True, hint=LACKING["inclusion_probability"])
    if floor is not None and not (real(floor) and 0.0 < floor <= inclusion):
        raise GuaranteeError(
            f"floor is {floor!r:.80}; it must lie above 0, at most at the inclusion probability {inclusion!r}"
        )


def watermark(value: Any) -> None:
    """Refuse what is no place in the order of decisions."""
    if value is not None and not _counts(value):
        raise GuaranteeError(f"the watermark is {value!r:.80}; it must be the number of a decision, or None for all")
