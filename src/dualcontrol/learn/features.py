"""Inputs as a learner can take them: a vector of numbers, fields of numbers and words, or text.

Images and files (objects with a key that begins with ``$``) are for people and are left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from math import log
from typing import Any, NamedTuple

from dualcontrol.case import JSON, Case, Signal, risk_number
from dualcontrol.commands import Propose

WORD = 40  # a text longer than this, or one with a space in it, is read as prose
LARGEST = 1e30  # learners reckon, and sum up, with 32 bits; a number beyond is taken for this one
# Thai and Lao, Tibetan, Burmese, Khmer, Japanese and Chinese are written without spaces between words.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)

Field = tuple[str, float | str]


class Parts(NamedTuple):
    """What an input holds: numbers and words by field, and its prose."""

    fields: dict[str, float | str]
    prose: str


def parts(value: JSON, written: Collection[str] = ()) -> Parts:
    """The fields and the prose of one input; what stands at the paths of `written` is prose as well."""
    fields: dict[str, float | str] = {}
    prose: list[str] = []
    for path, leaf in _leaves(value, ""):
        if isinstance(leaf, str) and (_is_prose(path, leaf) or path in written):
            prose.append(leaf)
        else:
            fields[path] = leaf
    return Parts(fields, "\n".join(prose))


def _is_prose(path: str, text: str) -> bool:
    return len(text) > WORD or " " in text or not path


def written_at(inputs: Sequence[JSON]) -> frozenset[str]:
    """The paths where people write without spaces: most texts there are in such a script, and hardly any comes back.

    What comes back, such as the name of a city, is a word of a field.
    """
    texts: dict[str, list[str]] = defaultdict(list)
    for value in inputs:
        for path, leaf in _leaves(value, ""):
            if isinstance(leaf, str) and UNSPACED.search(leaf) and not _is_prose(path, leaf):
                texts[path].append(leaf)
    return frozenset(path for path, each in texts.items() if len(each) > 1 and 2 * len(set(each)) > len(each))


def number(value: float) -> float:
    """A number that learners can reckon with: one beyond theirs is the largest of them."""
    return float(min(max(value, -LARGEST), LARGEST))


def _leaves(value: JSON, path: str) -> Iterator[Field]:
    if isinstance(value, dict):
        if not any(str(key).startswith("$") for key in value):
            for key, item in sorted(value.items(), key=by_name):
                yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _leaves(item, f"{path}[{place}]")
    elif isinstance(value, bool | int | float):
        yield path, number(value)
    elif isinstance(value, str):
        yield path, value


def by_name(item: tuple[Any, JSON]) -> str:
    """The order of an object's fields: the same content teaches the same, in whatever order it came."""
    return str(item[0])


def is_vector(inputs: Sequence[JSON]) -> bool:
    """Whether all inputs are lists of numbers of one length, which needs no field names."""
    first = inputs[0] if inputs else None
    if not isinstance(first, list | tuple) or not first:
        return False
    return all(
        isinstance(row, list | tuple)
        and len(row) == len(first)
        and all(isinstance(x, int | float) and not isinstance(x, bool) for x in row)
        for row in inputs
    )


# What a risk model is told of a proposal: the same at the door, before its case is there, and of a stored case.
#
# Numbers and single words of the arguments, or of the input where nothing is to be done; the signal, with margin and
# entropy of the class scores (Settles 2009, section 3.1).  Prose, lists, pictures and files are left out.


MOST = 64  # fields of one proposal, and levels of tables in tables
LARGEST_NUMBER = 1e300
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
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST_NUMBER < value < LARGEST_NUMBER
