"""What a batch refuses before anything is written: rows that a proposal by itself would refuse, by their number.

Rows for people are held against the very door of `propose`, and so is each row that a look at whole columns leaves in
doubt, wherever it goes: what autopilot does without anybody looking has to be no less sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from dualcontrol.batch.columns import Array, Column, Columns, column
from dualcontrol.batch.routes import BatchRoutes
from dualcontrol.case import JSON, plain, scalar
from dualcontrol.commands import LONGEST, Propose
from dualcontrol.control import Control, LoopSettings
from dualcontrol.errors import ContextError, DualcontrolError, PayloadError, PayloadTooLargeError
from dualcontrol.labels import Labels, named
from dualcontrol.propose import as_row, counts, dig, required
from dualcontrol.route.route import SLOTS
from dualcontrol.step import admitted
from dualcontrol.store import MAX_PAYLOAD
from dualcontrol.store.sql.rows import text_of

WRITTEN = ("args.", "input", "meta.")
NAMES = ("action", "signal.segment")
SIGN, NUMBER = 6, 32  # bytes of JSON that a sign and a number take at most
Refused = TypeVar("Refused", bound=DualcontrolError)


def at_row(error: Refused, row: int) -> Refused:
    """The error of one row, with its number."""
    return type(error)(f"row {row}: {error.message}", hint=error.hint, **{**error.details, "row": row})


def further_on(error: Refused, start: int) -> Refused:
    """The error of a chunk whose first row has this number in the batch."""
    row = error.details.get("row")
    if not isinstance(row, int) or start == 0:
        return error
    message = error.message.replace(f"row {row}:", f"row {row + start}:", 1)
    return type(error)(message, hint=error.hint, **{**error.details, "row": row + start})


def refuse_labels(settings: LoopSettings, table: Mapping[str, Any], aside: Mapping[str, Any]) -> None:
    """Refuse a label outside the loop's set wherever its row goes, before the first chunk is written."""
    labels = Labels.of(settings)
    if labels is None:
        return

    def listed(cell: Any) -> list[JSON]:
        return [as_row(scalar(each))["value"] for each in cell or ()]

    inside: dict[str, Callable[[Any], list[JSON]]] = {
        "proposal": lambda cell: [] if cell is None else listed([cell]), "alternatives": listed, "candidates": listed,
        "scores": lambda cell: [label for label, _ in named(settings, cell)] if isinstance(cell, Mapping) else [],
    }  # fmt: skip
    outside = [labels.first_outside(aside[name], look) for name, look in inside.items() if name in aside]
    if "action" in table:  # the arguments of an action are no label
        actions = column(table["action"])
        rows = range(len(actions.data))
        outside.append(next(((row, action) for row in rows if (action := actions.value(row))), None))
    first = min((each for each in outside if each is not None), key=lambda each: each[0], default=None)
    if first is not None:
        raise labels.refusal(first[1], row=first[0])


class Doubt:
    """The rows of a chunk that a look at whole columns does not clear: those are held against the door one by one.

    A column of numbers, flags or texts is looked at as a whole; cells of other kinds are written down once each.  What
    is clear is taken by `propose` too; what is not may be.
    """

    def __init__(self, settings: LoopSettings, columns: Columns, aside: Mapping[str, Any]) -> None:
        self._rows = np.full(columns.rows, settings.mode == "preference")
        self._size = np.zeros(columns.rows)
        for path, content in columns.by_path.items():
            if path.startswith(WRITTEN):
                self._content(path, content)
            elif path in NAMES:
                self._names(content, needed=path == "action" and settings.mode == "approval")
        for name, cells in aside.items():  # what routing does not look at: of the type that `propose` takes, and JSON
            fits = SHAPES.get(name, lambda cell: True)
            plain_cells = [scalar(cell) for cell in cells]
            self._rows |= _marked(cell is not None and not fits(cell) for cell in plain_cells)
            self._content(name, column(plain_cells))
        self._rows |= self._size > MAX_PAYLOAD // 2  # a bound from above, and the names of fields come on top

    @property
    def rows(self) -> Array:
        """Their numbers."""
        return np.flatnonzero(self._rows)

    def _content(self, name: str, content: Column) -> None:
        """Doubt what JSON or UTF-8 cannot carry, and add up how long each row is at most."""
        data = content.data
        self._size += SIGN * len(name)
        if not _carried(name):
            self._rows[:] = True
        if content.kind in ("number", "flag") and data.dtype.kind in "biuf":
            gone = np.zeros(len(data), np.bool_) if content.absent is None else content.absent
            self._rows |= ~np.isfinite(data) & ~gone
            self._size += NUMBER
        elif content.kind != "text":
            for row, cell in enumerate(_cells(content)):
                try:
                    self._size[row] += 0 if cell is None else len(text_of(name, cell)[0])
                except PayloadError:
                    self._rows[row] = True
        elif content.labels is not None:
            self._size += np.array([*map(len, content.labels), 0])[data] * SIGN
            if not _carried("".join(content.labels)):
                self._rows |= np.array([*(not _carried(label) for label in content.labels), False])[data]
        else:
            self._size += np.strings.str_len(data) * SIGN
            if content.words:  # the other kind of array holds nothing but UTF-8
                signs = data.view(np.uint32).reshape(len(data), -1)
                self._rows |= (signs - np.uint32(0xD800) < 0x800).any(axis=1)

    def _names(self, content: Column, *, needed: bool) -> None:
        """A name of an action or a segment is short and printable at a glance; no action is the empty text."""

        def is_name(text: str) -> bool:
            plain_text = len(text) <= LONGEST and text.isascii() and text.isprintable()
            return plain_text and (bool(text.strip()) or not (text or needed))

        if content.labels is not None:
            self._rows |= np.array([*(not is_name(label) for label in content.labels), False])[content.data]
        else:
            texts, places = np.unique(content.data, return_inverse=True)
            self._rows |= np.array([not is_name(text) for text in texts.tolist()])[places]


def _carried(text: str) -> bool:
    """Whether UTF-8 can carry a text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_value(cell: Any) -> bool:
    """Whether a proposal is a value by itself, and no object with parts of a candidate."""
    return not isinstance(cell, dict) or as_row(cell) == {"value": cell}


def _is_list_of_values(cell: Any) -> bool:
    return isinstance(cell, list | tuple) and all(map(_is_value, cell))


def _is_object(cell: Any) -> bool:
    return isinstance(cell, dict) and all(type(name) is str for name in cell)


def _is_shares(cell: Any) -> bool:
    """Whether scores name classes by text, each with a number from 0 to 1."""
    named = _is_object(cell) and bool(cell)
    return named and all(type(share) is float and 0.0 <= share <= 1.0 for share in cell.values())


SHAPES: dict[str, Callable[[Any], bool]] = {
    "proposal": _is_value,
    "alternatives": _is_list_of_values,
    "candidates": _is_list_of_values,
    "scores": _is_shares,
    "source": _is_object,
    "rationale": lambda cell: type(cell) is str,
}


def refuse_bare(settings: LoopSettings, routes: BatchRoutes, aside: Mapping[str, Any]) -> None:
    """Refuse rows that lack required context though no human will see them: the door is the same for all."""
    unseen = np.ones(len(routes.to), np.bool_)
    unseen[routes.for_people] = False
    for field in required(settings):
        bare = unseen & ~_present(field, routes, aside)
        if bare.any():
            row = int(bare.argmax())
            what = f"row {row}: loop {settings.name!r} requires context that is missing: {field}"
            raise ContextError(what, fields=[field], loop=settings.name, row=row)


def _present(field: str, routes: BatchRoutes, aside: Mapping[str, Any]) -> Array:
    """Which rows have a field of the context contract."""

    def counting(cells: Iterable[Any], path: str = "") -> Array:
        return _marked(counts(dig(cell, path)) for cell in cells)

    head, _, rest = field.partition(".")
    present: Array = np.zeros(len(routes.to), np.bool_)
    for name in {"alternatives": ("alternatives", "candidates"), "proposal": ("candidates",)}.get(head, ()):
        present |= _marked(cell is not None for cell in aside.get(name, [None] * len(present)))
    if head == "proposal":
        action = routes.columns.get("action")
        present |= counting(aside.get("proposal", [None] * len(present)))
        return present if action is None else present | _marked(map(bool, _cells(action)))
    if head == "alternatives":
        return present
    if head in aside:
        return counting(aside[head], rest)
    for path, content in routes.columns.by_path.items():
        if path == field or path.startswith(f"{field}."):
            present |= counting(_cells(content))
        elif path == head:
            present |= counting(_cells(content), rest)
    return present


def _cells(content: Column) -> list[JSON]:
    return [content.value(row) for row in range(len(content.data))]


def _marked(cells: Iterable[bool]) -> Array:
    return np.fromiter(cells, np.bool_)


def refuse_cells(columns: Columns, aside: Mapping[str, Any], row: int) -> None:
    """Refuse a cell that is no content, by its column, before it is part of anything."""
    cells = [(path, content.value(row)) for path, content in columns.by_path.items() if path.startswith(WRITTEN)]
    cells += [(name, scalar(values[row])) for name, values in aside.items() if name != "scores"]  # any class, numbers
    for name, cell in cells:
        try:
            text_of(name, plain(cell))
        except PayloadTooLargeError:
            pass  # the door says so of the slot that the cell is part of
        except PayloadError as error:
            raise PayloadError(error.message, hint=error.hint, **{**error.details, "column": name}) from error


def admit(proposal: Propose, control: Control) -> None:
    """Refuse the proposal of a row as `propose` would, and as the store would."""
    admitted(proposal, control)
    for slot in SLOTS:
        value = getattr(proposal, slot)
        text_of(slot, list(value) if isinstance(value, tuple) else value)
