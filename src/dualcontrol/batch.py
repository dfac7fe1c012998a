"""Proposals by the thousand: rows in columns, cases only for those that a human sees, one entry a chunk for the rest.

A chunk is one transaction: its cases and its `BatchRouted` entry are written together or not at all, so that a
batch with a key that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
from msgspec.structs import replace

from dualcontrol.case import JSON, Case, Value
from dualcontrol.commands import Propose
from dualcontrol.control import Control, LoopSettings
from dualcontrol.errors import KeyFormatError, ProposalError
from dualcontrol.events import BatchRouted, Entry, Event, Routed, real
from dualcontrol.keys import check_key, fingerprint, json_text
from dualcontrol.labels import Labels
from dualcontrol.propose import as_row, command, named
from dualcontrol.review import context
from dualcontrol.route.batch import BatchRoutes, route_batch
from dualcontrol.route.columns import Array, column
from dualcontrol.step import HANDLERS, Steps
from dualcontrol.store import Tx

CHUNK = 8192
ASIDE = ("proposal", "rationale", "alternatives", "history", "scores", "candidates", "source")
ALIASES = {name: f"signal.{name}" for name in ("confidence", "risk", "requires_approval", "segment")}


class Batch(Value, frozen=True, kw_only=True):
    """What became of a batch: `to`, `by` and `audited` by row, and the cases opened for people by row number.

    `to` holds 0 block, 1 human, 2 autopilot; `by` is an index into `names`; `inclusion` is the probability that a
    human sees the row; `rows_singly` counts the rows that took one-by-one evaluation.
    """

    id: str
    to: Any
    by: Any
    names: tuple[str, ...]
    audited: Any
    inclusion: Any
    cases: dict[int, str]
    rows_singly: int
    counts: dict[str, int]


def propose_batch(
    steps: Steps, loop: str, columns: Mapping[str, Sequence[Any]], *, key: str | None = None, chunk: int = CHUNK
) -> Batch:
    """Route every row and open cases for the rows that go to a human or an audit.

    `columns` are flat and of one length: ``action``, ``args.x``, ``input`` or ``input.x``, ``meta.x``,
    ``confidence``, ``risk``, ``proposal``, ``rationale``, ``alternatives`` …  With a `key` the same call again finds
    its cases and writes nothing twice.
    """
    if key is not None and not isinstance(key, str):
        raise KeyFormatError(f"a key is a text, not {key!r:.80}")
    check_key(key)
    table, aside = _split(columns)
    rows = _length({**table, **aside})
    name = key or steps.new_id()
    with steps.store.transaction(durable=False) as tx:
        control = steps.control(tx, loop)
    _check_labels(control.settings, table, aside)
    done = _done(steps, control, name) if key else set()
    parts = [
        _chunk(steps, loop, name, number, _cut(table, start, start + chunk), _cut(aside, start, start + chunk),
               write=number not in done)
        for number, start in enumerate(range(0, rows, chunk))
    ]  # fmt: skip
    return _joined(name, parts, chunk)


def _split(given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    columns = _columns(given)
    table = {ALIASES.get(n, n): v for n, v in columns.items() if n not in ASIDE}
    aside = {n: _cells(v) for n, v in columns.items() if n in ASIDE}
    return table, aside


def _columns(given: Any) -> dict[str, Any]:
    """Columns by name, from an object or a table of Arrow; a text is no column, though it has a length."""
    if hasattr(given, "column_names"):
        given = {name: given[name] for name in given.column_names}
    if not hasattr(given, "items"):
        raise ProposalError(f"a batch is an object of columns by name, not {given!r:.80}")
    columns = dict(given.items())
    for name, values in columns.items():
        if not isinstance(name, str):
            raise ProposalError(f"a column is named by a text, not {name!r:.80}")
        if not _is_column(values):
            raise ProposalError(f"column {name!r:.80} is a list or an array, not {values!r:.80}")
    return columns


def _is_column(values: Any) -> bool:
    try:
        return not isinstance(values, str | bytes | Mapping | Set) and len(values) >= 0
    except TypeError:  # a number, a generator, an array of no dimension
        return False


def _cells(values: Any) -> Any:
    """A column that routing does not look at, by place: those of Arrow and data frames give values of their own."""
    if hasattr(values, "to_pylist"):
        return values.to_pylist()
    return values.to_numpy() if hasattr(values, "to_numpy") else values


def _length(columns: Mapping[str, Sequence[Any]]) -> int:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) != 1:
        raise ProposalError(f"the columns of a batch have one length; these have {lengths or 'none'}")
    return next(iter(lengths.values()))


def _cut(columns: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    return {name: values[start:stop] for name, values in columns.items()}


def _check_labels(settings: LoopSettings, table: Mapping[str, Any], aside: Mapping[str, Any]) -> None:
    """Refuse a label outside the loop's set wherever its row goes, before the first chunk is written."""
    labels = Labels.of(settings)
    if labels is None:
        return
    inside = {
        "proposal": lambda cell: [] if cell is None else [as_row(_plain(cell))["value"]],
        "alternatives": lambda cell: [as_row(_plain(each))["value"] for each in cell or ()],
        "candidates": lambda cell: [as_row(_plain(each))["value"] for each in cell or ()],
        "scores": lambda cell: [named(settings, each) for each in cell] if isinstance(cell, Mapping) else [],
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


def _done(steps: Steps, control: Control, name: str) -> set[int]:
    """The chunks of a keyed batch that are in the loop's stream already."""
    stream = f"loop/{control.loop_id}"
    events = [e for entry in steps.store.queries.entries(stream, values=False) for e in entry.events]
    return {e.chunk for e in events if isinstance(e, BatchRouted) and e.batch == name}


def _chunk(
    steps: Steps, loop: str, name: str, number: int, table: dict[str, Any], aside: dict[str, Any], *, write: bool
) -> tuple[BatchRoutes, dict[int, str]]:
    return steps.retried(lambda: _write_chunk(steps, loop, name, number, table, aside, write))


def _write_chunk(
    steps: Steps, loop: str, name: str, number: int, table: dict[str, Any], aside: dict[str, Any], write: bool
) -> tuple[BatchRoutes, dict[int, str]]:
    opened: list[tuple[Case, list[Event]]] = []
    with steps.store.transaction() as tx:
        control = steps.control(tx, loop)
        routes = route_batch(table, control, batch_id=f"{name}/{number}", secret=steps.secret)
        if not write:
            return routes, _found(tx, control, name, number, routes)
        cases: dict[int, str] = {}
        for row, made in _commands(control, name, number, table, aside, routes):
            case, fresh = _open(steps, tx, control, made, routes, row)
            cases[row] = case.id
            opened.append((case, fresh))
        tx.append(_entry(tx, control, name, number, routes))
    steps.announce([case for case, _ in opened if case.concluded is not None])
    return routes, cases


def _row_key(name: str, number: int, row: int) -> str:
    return f"batch/{name}/{number}/{row}"


def _found(tx: Tx, control: Control, name: str, number: int, routes: BatchRoutes) -> dict[int, str]:
    found = {int(r): tx.find_key(control.loop_id, _row_key(name, number, int(r))) for r in routes.for_people}
    return {row: known.case_id for row, known in found.items() if known is not None}


def _commands(
    control: Control, name: str, number: int, table: dict[str, Any], aside: dict[str, Any], routes: BatchRoutes
) -> Iterator[tuple[int, Propose]]:
    for row in map(int, routes.for_people):
        subject = routes.columns.row(row)
        said = {n: _plain(v[row]) for n, v in aside.items()}
        if subject.action:
            said |= {"action": subject.action, "args": subject.args}
        signal = subject.signal
        made = command(
            control.settings, **{k: v for k, v in said.items() if v is not None},
            input=subject.input or None, meta=subject.meta or None, confidence=signal.confidence, risk=signal.risk,
            requires_approval=signal.requires_approval, segment=signal.segment, key=_row_key(name, number, row),
        )  # fmt: skip
        context.admit(made, control.settings)
        yield row, made


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _open(
    steps: Steps, tx: Tx, control: Control, made: Propose, routes: BatchRoutes, row: int
) -> tuple[Case, list[Event]]:
    env = steps.env(tx.now)
    opened, routed = HANDLERS[Propose](None, made, control, env)
    route = routes.route(row, env.now)
    if isinstance(routed, Routed):
        routed = replace(
            routed, to=route.to, by=route.by, reason=route.reason, inclusion=repr(float(routes.inclusion[row])),
            audited=route.audited, due_at=route.due_at, risk=real(route.risk),
        )  # fmt: skip
    return steps.open(tx, made, control, [opened, routed], fingerprint(steps.secret, made))


def _entry(tx: Tx, control: Control, name: str, number: int, routes: BatchRoutes) -> Entry:
    counts = routes.counts
    event = BatchRouted(
        at=tx.now, batch=name, chunk=number, rows=len(routes.to), autopilot=counts["autopilot"],
        human=counts["human"], blocked=counts["blocked"], audited=counts["audited"], control=control.version,
        digest=_digest(routes),
    )  # fmt: skip
    return Entry(stream=f"loop/{control.loop_id}", seq=0, at=tx.now, actor="program", events=(event,))


def _digest(routes: BatchRoutes) -> str:
    """SHA-256 over the routes by row: what was recorded of the rows that opened no case."""
    hashed = hashlib.sha256(json_text(list(routes.names)))
    for array in (routes.to.astype("<u1"), routes.by.astype("<u4"), routes.audited.astype("<u1")):
        hashed.update(array.tobytes())
    return hashed.hexdigest()


def _joined(name: str, parts: list[tuple[BatchRoutes, dict[int, str]]], chunk: int) -> Batch:
    names = tuple(dict.fromkeys(n for routes, _ in parts for n in routes.names))
    by = [np.array([names.index(n) for n in routes.names], np.uint32)[routes.by] for routes, _ in parts]
    counts: dict[str, int] = {}
    for routes, _ in parts:
        for what, count in routes.counts.items():
            counts[what] = counts.get(what, 0) + count
    return Batch(
        id=name, to=_all([r.to for r, _ in parts]), by=_all(by), names=names,
        audited=_all([r.audited for r, _ in parts]), inclusion=_all([r.inclusion for r, _ in parts]),
        cases={number * chunk + row: i for number, (_, cases) in enumerate(parts) for row, i in cases.items()},
        rows_singly=sum(r.rows_singly for r, _ in parts), counts=counts,
    )  # fmt: skip


def _all(arrays: list[Array]) -> Array:
    return np.concatenate(arrays) if arrays else np.empty(0, np.uint8)
