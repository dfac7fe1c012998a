"""What a risk model is told of a proposal: the same at the door, before its case is there, and of a stored case.

Numbers and single words of the arguments, or of the input where nothing is to be done; the signal, with margin and
entropy of the class scores (Settles 2009, section 3.1).  Prose, lists, pictures and files are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import log
from typing import Any

from dualcontrol.case import JSON, Case, Signal, risk_number
from dualcontrol.commands import Propose
from dualcontrol.learn.features import WORD, Field, by_name

MOST = 64  # fields of one proposal, and levels of tables in tables
LARGEST = 1e300
Features = dict[str, Any]


def of_proposal(command: Propose) -> Features:
    """The features of a proposal that has no case yet."""
    signal = Signal(
        confidence=command.confidence, risk=command.risk, requires_approval=command.requires_approval,
        scores=command.scores, segment=command.segment,
    )  # fmt: skip
    return _features(command.candidates, command.proposed, command.input, signal)


def of_case(case: Case) -> Features:
    """The features that the proposal of a stored case had at the door."""
    return _features(case.content.get("candidates", ()), case.proposed, case.input, case.signal)


def _features(candidates: Any, proposed: int | None, given: JSON, signal: Signal) -> Features:
    candidate = candidates[proposed] if proposed is not None else {}
    told = {"confidence": signal.confidence, "action": candidate.get("action"), "segment": signal.segment}
    found: Features = {name: value for name, value in told.items() if value is not None}
    if signal.risk is not None:
        found["risk"] = risk_number(signal.risk)
    found |= _spread(signal.scores)
    for name, value in (("value", candidate.get("value")), ("input", given)):
        found |= dict(islice(_fields(value, name), MOST))
    return found


def _spread(scores: JSON) -> Features:
    """How far the likeliest class leads, and how unsure the scores are over all."""
    rows = scores.values() if isinstance(scores, dict) else scores or ()
    found = sorted((float(one) for one in rows if _is_number(one) and 0.0 <= one <= 1.0), reverse=True)
    if len(found) < 2:
        return {}
    return {"margin": found[0] - found[1], "entropy": -sum(one * log(one) for one in found if one > 0.0)}


def _fields(value: JSON, path: str, level: int = 0) -> Iterator[Field]:
    """Numbers and single words, by their path."""
    if isinstance(value, dict) and level < MOST:
        if not any(str(key).startswith("$") for key in value):
            for key, item in sorted(value.items(), key=by_name):
                yield from _fields(item, f"{path}.{key}", level + 1)
    elif isinstance(value, str):
        if len(value) <= WORD and " " not in value:
            yield path, value
    elif isinstance(value, bool) or _is_number(value):
        yield path, float(value)


def _is_number(value: Any) -> bool:
    """A number that arithmetic can take."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST < value < LARGEST
