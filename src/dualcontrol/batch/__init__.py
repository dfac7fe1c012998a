"""Proposals by the thousand: rows in columns, cases only for those that a human sees, one entry a chunk for the rest.

Every row is checked before the first is written.  A chunk is one transaction: its cases and its `BatchRouted` entry
are written together or not at all, so that a batch with a key that was interrupted goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
from msgspec.structs import replace

from dualcontrol.batch import record
from dualcontrol.batch.columns import Array, Columns, cells
from dualcontrol.batch.record import Chunk, Part
from dualcontrol.batch.refusals import Doubt, admit, at_row, further_on, refuse_bare, refuse_cells, refuse_labels
from dualcontrol.batch.routes import BatchRoutes, assured, route_batch
from dualcontrol.case import JSON, Case, Value, scalar
from dualcontrol.commands import Propose, checked
from dualcontrol.control import Control, Facts
from dualcontrol.errors import DualcontrolError, KeyFormatError, PayloadError, ProposalError
from dualcontrol.events import Entry, Routed, real
from dualcontrol.keys import check_key, fingerprint
from dualcontrol.propose import as_row, command
from dualcontrol.route.rules import Subject
from dualcontrol.step import HANDLERS, Steps, leader_of
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
    its cases and the routes of then, and writes nothing twice; other rows under that key raise `KeyConflictError`.
    """
    if key is not None and not isinstance(key, str):
        raise KeyFormatError(f"a key is a text, not {key!r:.80}")
    check_key(key)
    table, aside = _split(columns)
    rows = _length({**table, **aside})
    name = key or steps.new_id()
    with steps.store.transaction(durable=False) as tx:
        control = steps.control(tx, loop)
    drawn = steps.new_id()
    chunks = [
        Chunk(number, start, _cut(table, start, start + chunk), _cut(aside, start, start + chunk), f"{drawn}/{number}")
        for number, start in enumerate(range(0, rows, chunk))
    ]
    known = record.known(steps, control, name, chunks) if key else {}
    try:
        refuse_labels(control.settings, table, aside)
    except PayloadError:  # a label that is no JSON: the look at its row names row and column
        for part in chunks:
            _checked(steps, control, name, part)
        raise
    routed = {c.number: _checked(steps, control, name, c) for c in chunks if c.number not in known}
    parts = [
        known[c.number] if c.number in known else _chunk(steps, loop, name, c, routed.pop(c.number), bool(key))
        for c in chunks
    ]
    return _joined(name, parts, chunk)


def _split(given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    columns = _columns(given)
    table = {ALIASES.get(n, n): v for n, v in columns.items() if n not in ASIDE}
    aside = {n: cells(v) for n, v in columns.items() if n in ASIDE}
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


def _length(columns: Mapping[str, Sequence[Any]]) -> int:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) != 1:
        raise ProposalError(f"the columns of a batch have one length; these have {lengths or 'none'}")
    return next(iter(lengths.values()))


def _cut(columns: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    return {name: values[start:stop] for name, values in columns.items()}


def _checked(steps: Steps, control: Control, name: str, chunk: Chunk) -> BatchRoutes:
    """The routes of a chunk, when every row of it can be taken; nothing is written before all chunks have passed."""
    try:
        columns = Columns(chunk.table)
        for row in map(int, Doubt(control.settings, columns, chunk.aside).rows):
            _command(control, name, chunk, columns, row)
        routes = _routes(steps, control, name, chunk, columns)
        refuse_bare(control.settings, routes, chunk.aside)
        for _ in _commands(control, name, chunk, routes):
            pass
    except DualcontrolError as error:
        raise further_on(error, chunk.start) from error
    return routes


def _routes(
    steps: Steps, control: Control, name: str, chunk: Chunk, columns: Columns | None = None
) -> BatchRoutes:  # fmt: skip
    routes = route_batch(columns or Columns(chunk.table), control, batch_id=chunk.drawn, secret=steps.secret)
    return assured(routes, lambda row: _source(chunk, row), steps.secret, chunk.drawn)


def _source(chunk: Chunk, row: int) -> JSON:
    """What a row says of the model that proposed it."""
    said = scalar(chunk.aside["source"][row]) if "source" in chunk.aside else None
    if said is not None or "proposal" not in chunk.aside:
        return said
    return as_row(scalar(chunk.aside["proposal"][row])).get("source")


def _chunk(steps: Steps, loop: str, name: str, chunk: Chunk, routes: BatchRoutes, keyed: bool) -> Part:
    return steps.retried(lambda: _write_chunk(steps, loop, name, chunk, routes, keyed))


def _write_chunk(steps: Steps, loop: str, name: str, chunk: Chunk, routes: BatchRoutes, keyed: bool) -> Part:
    with steps.store.transaction() as tx:
        control = steps.control(tx, loop)
        if control.version != routes.control.version:
            routes = _routes(steps, control, name, chunk)
        cases: dict[int, str] = {}
        for row, made in _commands(control, name, chunk, routes):
            cases[row] = _open(steps, tx, control, made, routes, row).id
        part = record.part(routes, cases)
        event = record.event(tx.now, name, chunk, routes, steps.secret if keyed else None)
        entry = Entry(stream=f"loop/{control.loop_id}", seq=0, at=tx.now, actor="program", events=(event,))
        tx.append(entry, {record.slot(name, chunk.number): record.content(part)} if keyed else None)
    return part


def _commands(control: Control, name: str, chunk: Chunk, routes: BatchRoutes) -> Iterator[tuple[int, Propose]]:
    for row in map(int, routes.for_people):
        yield row, _command(control, name, chunk, routes.columns, row)


def _command(control: Control, name: str, chunk: Chunk, columns: Columns, row: int) -> Propose:
    """A row as a proposal by itself, as `propose` would take it; an error names row and, where it can, column."""
    try:
        try:
            made = checked(_made(control, record.row_key(name, chunk.number, row), chunk, columns.row(row), row))
        except PayloadError:
            refuse_cells(columns, chunk.aside, row)
            raise
        refuse_cells(columns, chunk.aside, row)
        admit(made, control)
        return made
    except DualcontrolError as error:
        raise at_row(error, row) from error


def _made(control: Control, key: str, chunk: Chunk, subject: Subject, row: int) -> Propose:
    said = {n: scalar(v[row]) for n, v in chunk.aside.items()}
    if subject.action:
        said |= {"action": subject.action, "args": subject.args}
    given = None if isinstance(subject.input, dict) and not subject.input else subject.input
    signal = subject.signal
    return command(
        control.settings, **{k: v for k, v in said.items() if v is not None},
        input=given, meta=subject.meta or None, confidence=signal.confidence, risk=signal.risk,
        requires_approval=signal.requires_approval, segment=signal.segment, key=key,
    )  # fmt: skip


def _open(steps: Steps, tx: Tx, control: Control, made: Propose, routes: BatchRoutes, row: int) -> Case:
    alike = steps.alike(made, control)
    env = steps.env(tx.now, Facts(leader=leader_of(tx, control, alike)))
    opened, routed = HANDLERS[Propose](None, made, control, env)
    route = routes.route(row, env.now)
    if isinstance(routed, Routed) and routed.by != "model" and routed.relief != "joined":
        routed = replace(
            routed, to=route.to, by=route.by, reason=route.reason, inclusion=repr(routes.chance(row)),
            audited=route.audited, due_at=route.due_at, risk=real(route.risk),
        )  # fmt: skip
    return steps.open(tx, made, control, [opened, routed], fingerprint(steps.secret, made), alike)


def _joined(name: str, parts: list[Part], chunk: int) -> Batch:
    names = tuple(dict.fromkeys(n for part in parts for n in part.names))
    by = [np.array([names.index(n) for n in part.names], np.uint32)[part.by] for part in parts]
    counts: dict[str, int] = {}
    for part in parts:
        for what, count in part.counts.items():
            counts[what] = counts.get(what, 0) + count
    return Batch(
        id=name, to=_all([p.to for p in parts]), by=_all(by), names=names,
        audited=_all([p.audited for p in parts]), inclusion=_all([p.inclusion for p in parts]),
        cases={number * chunk + row: i for number, part in enumerate(parts) for row, i in part.cases.items()},
        rows_singly=sum(p.rows_singly for p in parts), counts=counts,
    )  # fmt: skip


def _all(arrays: list[Array]) -> Array:
    return np.concatenate(arrays) if arrays else np.empty(0, np.uint8)
