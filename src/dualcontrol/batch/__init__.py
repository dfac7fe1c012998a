"""Proposals by the thousand: rows in columns, cases only for those that a human sees, one entry a chunk for the rest.

Every row is checked before the first is written.  A chunk is one transaction: its cases and its `BatchRouted` entry
are written together or not at all, so that a batch with a key that was interrupted goes on where it stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from functools import partial
from typing import Any

import numpy as np
from msgspec.structs import replace

from dualcontrol.batch import record
from dualcontrol.batch.columns import Columns, cells
from dualcontrol.batch.record import Chunk, Part
from dualcontrol.batch.refusals import Doubt, admit, at_row, further_on, refuse_bare, refuse_cells, refuse_labels
from dualcontrol.batch.routes import BatchRoutes, assured, route_batch
from dualcontrol.case import JSON, Value, scalar
from dualcontrol.commands import Propose, checked
from dualcontrol.control import Control, Facts
from dualcontrol.errors import DualcontrolError, KeyFormatError, PayloadError, ProposalError
from dualcontrol.events import Entry, Opened, Routed, real
from dualcontrol.keys import check_key, fingerprint
from dualcontrol.propose import as_row, command
from dualcontrol.route.route import subject_in, with_blind
from dualcontrol.step import HANDLERS, Steps, leader_of

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
    table, aside, rows = _tables(columns)
    name = key or steps.new_id()
    with steps.store.transaction(durable=False) as tx:
        control = steps.control(tx, loop)
    drawn = steps.new_id()
    chunks = []
    for number, start in enumerate(range(0, rows, chunk)):
        inside, outside = (
            {path: values[start : start + chunk] for path, values in part.items()} for part in (table, aside)
        )
        chunks.append(Chunk(number, start, inside, outside, f"{drawn}/{number}"))
    parts = record.known(steps, control, name, chunks) if key else {}
    try:
        refuse_labels(control.settings, table, aside)
    except PayloadError:  # a label that is no JSON: the look at its row names row and column
        for each in chunks:
            _checked(steps, control, name, each)
        raise
    chunks = [each for each in chunks if each.number not in parts]
    routes = {each.number: _checked(steps, control, name, each) for each in chunks}
    for each in chunks:
        write = partial(_written, steps, loop, name, each, routes.pop(each.number), keyed=bool(key))
        parts[each.number] = steps.retried(write)
    return _joined(name, [part for _, part in sorted(parts.items())], chunk)


def _tables(columns: Any) -> tuple[dict[str, Any], dict[str, Any], int]:
    """The columns that routing looks at and those it does not, by path, from an object or an Arrow table; and rows."""
    if hasattr(columns, "column_names"):
        columns = {name: columns[name] for name in columns.column_names}
    if not hasattr(columns, "items"):
        raise ProposalError(f"a batch is an object of columns by name, not {columns!r:.80}")
    named: dict[Any, Any] = dict(columns.items())
    for name, values in named.items():
        if not isinstance(name, str):
            raise ProposalError(f"a column is named by a text, not {name!r:.80}")
        try:  # a text is no column, though it has a length
            is_column = not isinstance(values, str | bytes | Mapping | Set) and len(values) >= 0
        except TypeError:  # a number, a generator, an array of no dimension
            is_column = False
        if not is_column:
            raise ProposalError(f"column {name!r:.80} is a list or an array, not {values!r:.80}")
    table: dict[str, Any] = {ALIASES.get(name) or name: values for name, values in named.items() if name not in ASIDE}
    aside = {name: cells(values) for name, values in named.items() if name in ASIDE}
    lengths = {name: len(values) for name, values in {**table, **aside}.items()}
    if len(set(lengths.values())) != 1:
        raise ProposalError(f"the columns of a batch have one length; these have {lengths or 'none'}")
    return table, aside, next(iter(lengths.values()))


def _checked(steps: Steps, control: Control, name: str, chunk: Chunk) -> BatchRoutes:
    """The routes of a chunk, when every row of it can be taken; nothing is written before all chunks have passed."""
    try:
        columns = _columns(control, name, chunk)
        doubtful = Doubt(control.settings, columns, chunk.aside).rows
        for row in doubtful.tolist():
            _admitted(control, name, chunk, columns, row)
        routes = _routes(steps, control, chunk, columns)
        refuse_bare(control.settings, routes, chunk.aside)
        for row in np.setdiff1d(routes.for_people, doubtful, assume_unique=True).tolist():
            _admitted(control, name, chunk, columns, row)
    except DualcontrolError as error:
        raise further_on(error, chunk.start) from error
    return routes


def _columns(control: Control, name: str, chunk: Chunk) -> Columns:
    """The columns of a chunk, with the segment of each row where the guarantee makes it of the proposal."""
    rows = len(next(iter((chunk.table | chunk.aside).values())))
    columns, guarantee = Columns(chunk.table, rows), control.settings.guarantee
    if guarantee is None or guarantee.per is None:
        return columns
    segments = []
    for row in range(rows):
        try:
            segments.append(_proposal(control, name, chunk, columns, row).segment)
        except DualcontrolError as error:
            raise at_row(error, row) from error
    return Columns({**chunk.table, "signal.segment": segments}, rows)


def _routes(steps: Steps, control: Control, chunk: Chunk, columns: Columns) -> BatchRoutes:
    def source_of(row: int) -> JSON:
        """What a row says of the model that proposed it."""
        source = scalar(chunk.aside["source"][row]) if "source" in chunk.aside else None
        if source is not None or "proposal" not in chunk.aside:
            return source
        return as_row(scalar(chunk.aside["proposal"][row])).get("source")

    routes = route_batch(columns, control, batch_id=chunk.drawn, secret=steps.secret)
    return assured(routes, source_of, steps.secret, chunk.drawn)


def _written(steps: Steps, loop: str, name: str, chunk: Chunk, routes: BatchRoutes, *, keyed: bool) -> Part:
    """Write the cases of a chunk and its entry in one transaction.

    A row is routed once more, as the one proposal that its case is made of, for that alone gives the reason; it is
    looked at from its columns where those say something else than the proposal does.
    """
    with steps.store.transaction(starts=True) as tx:
        control, proposal_of = steps.control(tx, loop), _proposal
        if control.version != routes.control.version:
            routes, proposal_of = _routes(steps, control, chunk, _columns(control, name, chunk)), _admitted
        cases: dict[int, str] = {}
        for row in routes.for_people.tolist():
            proposal = proposal_of(control, name, chunk, routes.columns, row)
            alike = steps.alike(proposal, control)
            draw = (routes.chance(row), bool(routes.audited[row]))
            env = steps.env(tx.now, Facts(leader=leader_of(tx, control, alike), draw=draw))
            opened, routed = HANDLERS[Propose](None, proposal, control, env)
            same = repr(routes.subject(row)) == repr(subject_in(proposal))
            asked_by_itself = isinstance(routed, Routed) and routed.by != "model" and routed.relief != "joined"
            if not same and asked_by_itself and isinstance(opened, Opened) and isinstance(routed, Routed):
                route = routes.route(row, env.now)
                routed = replace(
                    routed, to=route.to, by=route.by, reason=route.reason, inclusion=repr(routes.chance(row)),
                    audited=route.audited, due_at=route.due_at, risk=real(route.risk),
                )  # fmt: skip
                routed = with_blind(opened, routed, control, env)
            print_ = fingerprint(steps.secret, proposal)
            cases[row] = steps.open(tx, proposal, control, [opened, routed], print_, alike).id
        part = record.part(routes, cases)
        event = record.event(tx.now, name, chunk, routes, steps.secret if keyed else None)
        entry = Entry(stream=f"loop/{control.loop_id}", seq=0, at=tx.now, actor="program", events=(event,))
        tx.append(entry, {record.slot(name, chunk.number): record.content(part)} if keyed else None)
    return part


def _admitted(control: Control, name: str, chunk: Chunk, columns: Columns, row: int) -> Propose:
    """A row as a proposal that has passed the door of `propose`; an error names row and, where it can, column."""
    try:
        try:
            proposal = _proposal(control, name, chunk, columns, row)
        except PayloadError:
            refuse_cells(columns, chunk.aside, row)
            raise
        refuse_cells(columns, chunk.aside, row)
        admit(proposal, control)
        return proposal
    except DualcontrolError as error:
        raise at_row(error, row) from error


def _proposal(control: Control, name: str, chunk: Chunk, columns: Columns, row: int) -> Propose:
    """A row as a proposal by itself, as `propose` would take it."""
    parts = {path: scalar(values[row]) for path, values in chunk.aside.items()}
    subject = columns.row(row)
    if subject.action:
        parts |= {"action": subject.action, "args": subject.args}
    empty = isinstance(subject.input, dict) and not subject.input
    signal = subject.signal
    return checked(
        command(
            control.settings, **{path: part for path, part in parts.items() if part is not None},
            input=None if empty else subject.input, meta=subject.meta or None, confidence=signal.confidence,
            risk=signal.risk, requires_approval=signal.requires_approval, segment=signal.segment,
            key=record.row_key(name, chunk.number, row),
        )
    )  # fmt: skip


def _joined(name: str, parts: list[Part], chunk: int) -> Batch:
    names = tuple(dict.fromkeys(n for part in parts for n in part.names))
    by = [np.array([names.index(n) for n in part.names], np.uint32)[part.by] for part in parts]
    none: Any = np.empty(0, np.uint8)
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    return Batch(
        id=name, names=names, counts=dict(counts), rows_singly=sum(part.rows_singly for part in parts),
        to=np.concatenate([part.to for part in parts] or [none]), by=np.concatenate(by or [none]),
        audited=np.concatenate([part.audited for part in parts] or [none]),
        inclusion=np.concatenate([part.inclusion for part in parts] or [none]),
        cases={number * chunk + row: i for number, part in enumerate(parts) for row, i in part.cases.items()},
    )  # fmt: skip
