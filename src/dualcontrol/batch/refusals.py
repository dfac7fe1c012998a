"""What a batch refuses before anything is written: rows that a proposal by itself would refuse, by their number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from dualcontrol.case import JSON
from dualcontrol.commands import Propose
from dualcontrol.control import LoopSettings
from dualcontrol.errors import ContextError, DualcontrolError, PayloadError, PayloadTooLargeError
from dualcontrol.keys import json_text
from dualcontrol.labels import Labels, named
from dualcontrol.propose import as_row
from dualcontrol.review import context
from dualcontrol.route.batch import BatchRoutes
from dualcontrol.route.columns import Column, column
from dualcontrol.store import MAX_PAYLOAD

WRITTEN = ("args.", "input", "meta.")
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
        "proposal": lambda cell: [] if cell is None else [as_row(plain(cell))["value"]],
        "alternatives": lambda cell: [as_row(plain(each))["value"] for each in cell or ()],
        "candidates": lambda cell: [as_row(plain(each))["value"] for each in cell or ()],
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


def refuse_numbers(routes: BatchRoutes) -> None:
    """Refuse NaN and infinity in what was written, wherever its row goes: JSON cannot write them."""
    for path, found in routes.columns.by_path.items():
        if not path.startswith(WRITTEN):
            continue
        row = _first_wild(found)
        if row is not None:
            raise PayloadError(f"row {row}: {path} is {found.value(row)!r}, which JSON cannot write", row=row)


def _first_wild(found: Column) -> int | None:
    if found.kind == "text" or found.kind == "flag":
        return None
    if found.data.dtype.kind == "f":
        wild = ~np.isfinite(found.data)
        if found.absent is not None:
            wild &= ~found.absent
        return int(wild.argmax()) if wild.any() else None
    if found.data.dtype.kind != "O":
        return None
    return next((row for row, cell in enumerate(found.data) if not finite(cell)), None)


def finite(value: Any) -> bool:
    """Whether a value holds no NaN and no infinity, however deep."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(map(finite, value.values()))
    return all(map(finite, value)) if isinstance(value, (list, tuple)) else True


def refuse_bare(settings: LoopSettings, routes: BatchRoutes, aside: Mapping[str, Any]) -> None:
    """Refuse rows that lack required context though no human will see them: the door is the same for all."""
    unseen = np.ones(len(routes.to), np.bool_)
    unseen[routes.for_people] = False
    for field in context.required(settings):
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
    return False if cells is None else _marked(context.counts(context.dig(cell, path)) for cell in cells)


def _marked(cells: Iterable[bool]) -> Any:
    return np.fromiter(cells, np.bool_)


def refuse_content(made: Propose) -> None:
    """Refuse what the store would refuse of a case, before the first case is written."""
    for slot in ("input", "candidates", "meta", "history", "scores", "rationale"):
        value = getattr(made, slot)
        if not finite(value):
            raise PayloadError(f"{slot} holds a number that JSON cannot write")
        if len(json_text(value)) > MAX_PAYLOAD:
            raise PayloadTooLargeError(f"{slot} is more than {MAX_PAYLOAD:,} bytes of JSON", slot=slot)


def plain(value: Any) -> Any:
    """A cell as Python's own value."""
    return value.item() if isinstance(value, np.generic) else value
