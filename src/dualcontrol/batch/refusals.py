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
    inside = {
        "proposal": lambda cell: [] if cell is None else [as_row(scalar(cell))["value"]],
        "alternatives": lambda cell: [as_row(scalar(each))["value"] for each in cell or ()],
        "candidates": lambda cell: [as_row(scalar(each))["value"] for each in cell or ()],
        "scores": lambda cell: [label for label, _ in named(settings, cell)] if isinstance(cell, Mapping) else [],
    }  # fmt: skip
    found = [labels.first_outside(aside[name], look) for name, look in inside.items() if name in aside]
    found.append(_first_action(table))
    outside = min((each for each in found if each is not None), key=lambda each: each[0], default=None)
    if outside is not None:
        raise labels.refusal(outside[1], row=outside[0])


def _first_action(table: Mapping[str, Any]) -> tuple[int, JSON] | None:
    """The first row that proposes an action, whose arguments are no label."""
    actions = column(table["action"]) if "action" in table else None
    rows = range(0 if actions is None else len(actions.data))
    return next(((row, action) for row in rows if actions and (action := actions.value(row))), None)


class Doubt:
    """The rows of a chunk that a look at whole columns does not clear: those are held against the door one by one.

    A column of numbers, flags or texts is looked at as a whole; cells of other kinds are written down once each.  What
    is clear is taken by `propose` too; what is not may be.
    """

    def __init__(self, settings: LoopSettings, columns: Columns, aside: Mapping[str, Any]) -> None:
        self._rows = np.full(columns.rows, settings.mode == "preference")
        self._size = np.zeros(columns.rows)
        for path, found in columns.by_path.items():
            if path.startswith(WRITTEN):
                self._content(path, found)
            elif path in NAMES:
                self._names(found, needed=path == "action" and settings.mode == "approval")
        for name, cells in aside.items():
            self._aside(name, cells)
        self._rows |= self._size > MAX_PAYLOAD // 2  # a bound from above, and the names of fields come on top

    @property
    def rows(self) -> Array:
        """Their numbers."""
        return np.flatnonzero(self._rows)

    def _content(self, name: str, found: Column) -> None:
        self._size += SIGN * len(name)
        if not _carried(name):
            self._rows[:] = True
        if found.kind in ("number", "flag") and found.data.dtype.kind in "biuf":
            self._rows |= ~np.isfinite(found.data) & ~_absent(found)
            self._size += NUMBER
        elif found.kind == "text":
            self._texts(found)
        else:
            self._written(name, _cells(found))

    def _texts(self, found: Column) -> None:
        if found.labels is not None:
            self._size += np.array([*map(len, found.labels), 0])[found.data] * SIGN
            if not _carried("".join(found.labels)):
                self._rows |= np.array([*(not _carried(label) for label in found.labels), False])[found.data]
        elif found.words:
            self._size += np.strings.str_len(found.data) * SIGN
            signs = found.data.view(np.uint32).reshape(len(found.data), -1)
            self._rows |= (signs - np.uint32(0xD800) < 0x800).any(axis=1)
        else:
            self._size += np.strings.str_len(found.data) * SIGN  # this kind of array holds nothing but UTF-8

    def _written(self, name: str, cells: Iterable[Any]) -> None:
        for row, cell in enumerate(cells):
            try:
                self._size[row] += 0 if cell is None else len(text_of(name, cell)[0])
            except PayloadError:
                self._rows[row] = True

    def _names(self, found: Column, *, needed: bool) -> None:
        """A name of an action or a segment is short and printable; no action is the empty text."""
        if found.labels is not None:
            self._rows |= np.array([*(not _is_name(label, needed) for label in found.labels), False])[found.data]
        else:
            texts, places = np.unique(found.data, return_inverse=True)
            self._rows |= np.array([not _is_name(text, needed) for text in texts.tolist()])[places]

    def _aside(self, name: str, cells: Any) -> None:
        """Cells of a column that routing does not look at: of the type that `propose` takes there, and JSON."""
        fits = SHAPES.get(name, _is_any)
        given = [scalar(cell) for cell in cells]
        self._rows |= _marked(cell is not None and not fits(cell) for cell in given)
        self._content(name, column(given))


def _absent(found: Column) -> Any:
    return np.zeros(len(found.data), np.bool_) if found.absent is None else found.absent


def _carried(text: str) -> bool:
    """Whether UTF-8 can carry a text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_name(text: str, needed: bool) -> bool:
    """Whether a text is a name at a glance."""
    return (
        len(text) <= LONGEST and text.isascii() and text.isprintable() and (bool(text.strip()) or not (text or needed))
    )


def _is_any(cell: Any) -> bool:
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


def _is_text(cell: Any) -> bool:
    return type(cell) is str


SHAPES: dict[str, Callable[[Any], bool]] = {
    "proposal": _is_value,
    "alternatives": _is_list_of_values,
    "candidates": _is_list_of_values,
    "scores": _is_shares,
    "source": _is_object,
    "rationale": _is_text,
}


def refuse_bare(settings: LoopSettings, routes: BatchRoutes, aside: Mapping[str, Any]) -> None:
    """Refuse rows that lack required context though no human will see them: the door is the same for all."""
    unseen = np.ones(len(routes.to), np.bool_)
    unseen[routes.for_people] = False
    for field in required(settings):
        bare = unseen & ~_given(field, routes, aside)
        if bare.any():
            row = int(bare.argmax())
            what = f"row {row}: loop {settings.name!r} requires context that is missing: {field}"
            raise ContextError(what, fields=[field], loop=settings.name, row=row)


def _given(field: str, routes: BatchRoutes, aside: Mapping[str, Any]) -> Any:
    """Which rows give a field of the context contract."""
    head, _, rest = field.partition(".")
    given: Any = np.zeros(len(routes.to), np.bool_)
    if head == "alternatives":
        return given | _present(aside.get("alternatives")) | _present(aside.get("candidates"))
    if head == "proposal":
        action = routes.columns.get("action")
        given |= _present(aside.get("candidates")) | _counting(aside.get("proposal"), "")
        return given | (False if action is None else _marked(map(bool, _cells(action))))
    if head in aside:
        return given | _counting(aside[head], rest)
    for path, found in routes.columns.by_path.items():
        if path == field or (path.startswith(f"{field}.")):
            given |= _counting(_cells(found), "")
        elif path == head:
            given |= _counting(_cells(found), rest)
    return given


def _cells(found: Column) -> list[JSON]:
    return [found.value(row) for row in range(len(found.data))]


def _present(cells: Any) -> Any:
    return False if cells is None else _marked(cell is not None for cell in cells)


def _counting(cells: Any, path: str) -> Any:
    return False if cells is None else _marked(counts(dig(cell, path)) for cell in cells)


def _marked(cells: Iterable[bool]) -> Any:
    return np.fromiter(cells, np.bool_)


def refuse_cells(columns: Columns, aside: Mapping[str, Any], row: int) -> None:
    """Refuse a cell that is no content, by its column, before it is part of anything."""
    for path, found in columns.by_path.items():
        if path.startswith(WRITTEN):
            _refuse_cell(path, found.value(row))
    for name, cells in aside.items():
        if name != "scores":  # numbers, and classes that need not be text
            _refuse_cell(name, scalar(cells[row]))


def _refuse_cell(name: str, cell: Any) -> None:
    try:
        text_of(name, plain(cell))
    except PayloadTooLargeError:
        pass  # the door says so of the slot that the cell is part of
    except PayloadError as error:
        raise PayloadError(error.message, hint=error.hint, **{**error.details, "column": name}) from error


def admit(made: Propose, control: Control) -> None:
    """Refuse the proposal of a row as `propose` would, and as the store would."""
    admitted(made, control)
    for slot in SLOTS:
        value = getattr(made, slot)
        text_of(slot, list(value) if isinstance(value, tuple) else value)
