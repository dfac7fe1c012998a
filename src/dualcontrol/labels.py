"""A loop's label set: matching values and class names to labels, one by one or as a column.

Every look-up takes the same time however many labels there are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np

from dualcontrol.case import ENCODER, JSON, decoder, plain
from dualcontrol.control import LoopSettings
from dualcontrol.errors import PayloadError, ProposalError

SHOWN = 20
KINDS: dict[str, type] = {"U": str, "i": int, "u": int, "b": bool}
SETS = 64  # of labels that are kept ready


def mark(value: JSON) -> bytes:
    """A value as JSON text: 1 is neither 1.0 nor true nor "1"."""
    try:
        return ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"a candidate is not JSON: {error}") from error


def label_name(value: JSON) -> str:
    """A label as a name: a text as it is, anything else as JSON text."""
    return value if isinstance(value, str) else mark(value).decode()


class ByLabel(dict[Any, float]):
    """Scores by label, for labels of every kind.

    A label that Python cannot tell apart as a key, such as a list, or true beside 1, stands under its JSON text; the
    label itself is remembered, so that these scores may be proposed as they are.
    """

    def __init__(self, labels: Sequence[JSON], scores: Iterable[float]) -> None:
        names = list(labels)  # each label is its own key where keys can be told apart, else its JSON text is
        if not all(isinstance(label, str | int | float | None) for label in labels) or len(set(labels)) < len(labels):
            texts = [mark(label).decode() for label in labels]
            names = [label if isinstance(label, str) else text for label, text in zip(labels, texts, strict=True)]
            names = names if len(set(names)) == len(names) else texts
        self._labels = dict(zip(names, labels, strict=True))
        super().__init__(zip(names, scores, strict=True))

    def labels(self) -> list[JSON]:
        """The labels, in the order of the scores."""
        return [self._labels.get(name, name) for name in self]


def named(settings: LoopSettings, scores: Mapping[Any, Any]) -> list[tuple[JSON, Any]]:
    """The labels that the classes of scores name, each with its score.

    A model of the loop may have been trained before a label was removed: what it says of that is left out.
    """
    names = scores.labels() if isinstance(scores, ByLabel) else list(scores)
    labels = Labels.of(settings)
    values = [_free(name) if labels is None else labels.named(name) for name in names]
    pairs = list(zip(values, scores.values(), strict=True))
    return [pair for pair in pairs if labels is None or pair[0] in labels] if isinstance(scores, ByLabel) else pairs


def _free(name: Any) -> JSON:
    """A class as a label where any will do; a tuple, which may be a key, is the list of the same items."""
    label = plain(name)
    return list(label) if isinstance(label, tuple) else label


class Labels:
    """The set that candidates of a loop are from; made only where there is one.

    Labels are found by their JSON text, by that text with 1.0 as 1, and by how they may be spelled.
    """

    def __init__(self, settings: LoopSettings) -> None:
        self._loop, self._labels = settings.name, settings.labels or ()
        self._exact, self._alike, self._spelled = _places_of(ENCODER.encode(self._labels))

    @classmethod
    def of(cls, settings: LoopSettings) -> Labels | None:
        """The set of a loop; None where any label will do."""
        return cls(settings) if settings.mode == "labels" and settings.labels is not None else None

    def __contains__(self, value: JSON) -> bool:
        return self._place(value) is not None

    def _place(self, value: JSON) -> int | None:
        """The place of the label that is this value, else of the one with the same numbers."""
        place = self._exact.get(mark(value))
        return self._alike.get(mark(_whole(plain(value)))) if place is None else place

    def same_as(self, other: Labels) -> bool:
        """Whether both are the same labels, in whatever order."""
        return all(label in other for label in self._labels) and all(label in self for label in other._labels)

    def own(self, value: JSON) -> JSON:
        """The label of the set that a value is, 1 where it is 1.0 or a number of NumPy; itself where it is none."""
        place = self._place(value)
        return plain(value) if place is None else self._labels[place]

    def named(self, name: Any) -> JSON:
        """The label that a class of scores names: JSON has only texts for names, NumPy has types of its own.

        A label is spelled as Python prints it, or as JSON however it is spaced.
        """
        label = _free(name)
        place = self._place(label)
        if place is None:
            place = self._spelled.get(str(label))
        if place is None and isinstance(label, str):
            with suppress(ValueError, RecursionError, PayloadError):
                place = self._place(json.loads(label))
        return label if place is None else self._labels[place]

    def places(self, values: Sequence[JSON]) -> list[int]:
        """The places of those values that are labels of the set."""
        return [place for place, value in enumerate(values) if value in self]

    def refusal(self, value: JSON, row: int | None = None) -> ProposalError:
        """The error for a label outside the set, with the row where there are rows."""
        known = ", ".join(map(repr, self._labels[:SHOWN]))
        what = f"{value!r:.80} is not a label of loop {self._loop!r}: {known}"
        return ProposalError(what) if row is None else ProposalError(f"row {row}: {what}", row=row)

    def first_outside(self, column: Any, inside: Callable[[Any], Iterable[JSON]]) -> tuple[int, JSON] | None:
        """The first row of a column with a label that is not in the set, and it; `inside` names those of a cell."""
        if isinstance(column, np.ndarray) and column.dtype.kind in KINDS:
            kind, as_type = KINDS[column.dtype.kind], None
            known: list[Any] = [label for label in map(_whole, self._labels) if type(label) is kind]
            if kind is int:  # compared as whole numbers of the column's own size, so that none is rounded
                limits, as_type = np.iinfo(column.dtype), column.dtype
                known = [label for label in known if limits.min <= label <= limits.max]
            outside = ~np.isin(column, np.array(known, as_type))
            row = int(outside.argmax()) if outside.any() else None
            return None if row is None else (row, column[row].item())
        few = distinct(column)
        if few is not None and all(label in self for cell in few for label in inside(cell)):
            return None
        cells = ((row, label) for row, cell in enumerate(column) for label in inside(cell))
        return next(((row, label) for row, label in cells if label not in self), None)


@lru_cache(maxsize=SETS)
def _places_of(encoded: bytes) -> tuple[dict[bytes, int], dict[bytes, int], dict[str, int]]:
    """The places of labels by their text, by their text with 1.0 as 1, and by the ways to spell them."""
    labels = decoder(list[Any]).decode(encoded)
    alike = _unless_shared((mark(_whole(label)), place) for place, label in enumerate(labels))
    spelled = ((text, place) for place, label in enumerate(labels) for text in {str(label), mark(label).decode()})
    return {mark(label): place for place, label in enumerate(labels)}, alike, _unless_shared(spelled)


def _unless_shared(names: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    """Places by name, without the names that two of them have."""
    places: dict[Any, int] = {}
    shared = set()
    for name, place in names:
        if places.setdefault(name, place) != place:
            shared.add(name)
    return {name: place for name, place in places.items() if name not in shared}


def _whole(value: JSON) -> JSON:
    """A value with numbers such as 1.0 as whole numbers, however deep: JSON tells them not apart."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list | tuple) else value


def distinct(column: Sequence[Any]) -> list[Any] | None:
    """One cell of each type and value; None where cells are lists or objects, which cannot be told apart quickly."""
    try:
        return [cell for _, cell in set(zip(map(type, column), column, strict=True))]
    except TypeError:
        return None
