"""Feature extraction: inputs as a vector of numbers, as fields of numbers and words, or as text.

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
LARGEST = 1e30  # learners compute, and sum up, with 32 bits; a number beyond is taken for this one
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
    """A number within the range of learners: one beyond it is the largest or the least of them."""
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


# Features of the risk model: the same of a proposal that has no case yet and of a stored case.
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
    """The features that a stored case's proposal had when it came in."""
    return _features(case.content.get("candidates", ()), case.proposed, case.input, case.signal)


def _features(candidates: Any, proposed: int | None, input: JSON, signal: Signal) -> Features:
    candidate = candidates[proposed] if proposed is not None else {}
    risk = None if signal.risk is None else risk_number(signal.risk)
    own = {"confidence": signal.confidence, "action": candidate.get("action"), "segment": signal.segment, "risk": risk}
    features: Features = {name: value for name, value in own.items() if value is not None}
    scores = signal.scores.values() if isinstance(signal.scores, dict) else signal.scores or ()
    chances = sorted((float(one) for one in scores if _is_number(one) and 0.0 <= one <= 1.0), reverse=True)
    if len(chances) >= 2:  # how far the likeliest class leads, and how unsure the scores are over all
        features["margin"] = chances[0] - chances[1]
        features["entropy"] = -sum(one * log(one) for one in chances if one > 0.0)
    for name, value in (("value", candidate.get("value")), ("input", input)):
        features |= dict(islice(_fields(value, name), MOST))
    return features


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
