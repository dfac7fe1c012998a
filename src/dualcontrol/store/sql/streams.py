"""One transaction on loops and on streams without a case: control, batches, system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from sqlalchemy import ColumnElement, bindparam, insert, literal_column, select, update

from dualcontrol.case import ENCODER, JSON, Content
from dualcontrol.control import Control
from dualcontrol.errors import UnknownLoopError
from dualcontrol.events import Entry, sealed
from dualcontrol.store import Conflict
from dualcontrol.store.sql import rows
from dualcontrol.store.sql.dialect import Write, raise_ours
from dualcontrol.store.sql.hot import Statements, given
from dualcontrol.store.sql.schema import entries, loops
from dualcontrol.store.sql.unit import Unit

LOOP = ("mode", "version", "control", "seq", "head")


class StreamStatements(Statements):
    """What loops and their streams need."""

    def _compile(self) -> None:
        new = insert(loops).values(given(loops, ("name", *LOOP))).returning(loops.c.id)
        self.new_loop = self._add(new, *(f"new_{name}" for name in ("name", *LOOP)))
        by_id = loops.c.id == bindparam("loop_id")
        head = select(loops.c.seq, loops.c.head, loops.c.version).where(by_id).with_for_update()
        self.head = self._add(head, "loop_id")
        self.move_head = self._update(by_id, ("seq", "head"))
        self.move_loop = self._update(by_id, LOOP)
        last = select(entries.c.seq, entries.c.hash).where(entries.c.stream == bindparam("stream"))
        last = last.order_by(entries.c.seq.desc()).limit(literal_column("1")).offset(literal_column("0"))
        self.last = self._add(last, "stream")

    def _update(self, where: ColumnElement[bool], columns: Sequence[str]) -> str:
        statement = update(loops).where(where).ordered_values(*given(loops, columns).items())
        return self._add(statement, *(f"new_{name}" for name in columns), "loop_id")


class StreamTx(Unit):
    """Control and entries of loops, and the entries of streams that have no row at all."""

    def control(self, loop: str) -> Control | None:
        """What governs a loop now, or None when nobody defined it; read once a transaction, parsed once a version."""
        if loop not in self._controls:
            self._controls[loop] = self._control(loop)
        return self._controls[loop]

    def _seen(self, loop: str, version: int, seq: int) -> None:
        """Note the loop's version that came with a case: what is parsed already need not be asked for again."""
        known = self._shared.controls.get(loop)
        if known is not None and known.version == version and known.seq == seq and not self._wrote_loops:
            self._controls.setdefault(loop, known)

    def _control(self, loop: str) -> Control | None:
        row = self._session.one(self._hot.loop, (loop,))
        if row is None:
            return None
        loop_id, version, seq = row
        known = self._shared.controls.get(loop)
        if known is not None and (known.loop_id, known.version, known.seq) == (loop_id, version, seq):
            return known
        (text,) = self._session.one(self._hot.control, (loop_id,))
        control = rows.control_of(text, loop_id, seq)
        if not self._wrote_loops:
            self._shared.controls[loop] = control
        return control

    def save_control(self, control: Control, entry: Entry, *, expected_version: int | None) -> Control:
        """Write a new version of a loop's control with its entry; None creates the loop."""
        self._wrote_loops = True
        self._controls.clear()
        if expected_version is None:
            return self._new_loop(control, entry)
        seq, head, version = self._loop_head(control.loop_id)
        if version != expected_version:
            raise Conflict(f"the control of {control.loop} is at version {version}, not {expected_version}")
        return self._move_loop(control, self._chained(entry, control.loop_id, seq, head))

    def _new_loop(self, control: Control, entry: Entry) -> Control:
        text = ENCODER.encode(control).decode()
        values = (control.loop, control.settings.mode, control.version, text, 0, "")
        try:
            (loop_id,) = self._session.one(self._shared.streams.new_loop, values)
        except Exception as error:
            self.failed = True
            raise_ours(self._shared.dialect, error)
        return self._move_loop(replace(control, loop_id=loop_id), self._chained(entry, loop_id, 0, ""))

    def _move_loop(self, control: Control, entry: Entry) -> Control:
        control = replace(control, seq=entry.seq)
        text = ENCODER.encode(control).decode()
        row = (control.settings.mode, control.version, text, entry.seq, entry.hash, control.loop_id)
        self._write(Write(self._shared.streams.move_loop, (row,)), *self._entry_writes(entry, control.loop_id))
        return control

    def append(self, entry: Entry, payloads: Mapping[str, JSON] | None = None) -> Entry:
        """Add an entry to ``loop/<id>`` or to a stream without a row; a `seq` of 0 means the next one."""
        if payloads:
            entry = _with_content(entry, payloads)
        kind, _, name = entry.stream.partition("/")
        if kind == "case":
            raise ValueError("the entries of a case are written by save")
        if kind == "loop":
            return self._append_to_loop(entry, int(name))
        seq, head = self._session.one(self._shared.streams.last, (entry.stream,)) or (0, "")
        entry = self._chained(entry, None, seq, head)
        self._write(*self._entry_writes(entry, None))
        return entry

    def _append_to_loop(self, entry: Entry, loop_id: int) -> Entry:
        self._controls.clear()
        seq, head, _ = self._loop_head(loop_id)
        entry = self._chained(entry, loop_id, seq, head)
        moved = Write(self._shared.streams.move_head, ((entry.seq, entry.hash, loop_id),))
        self._write(moved, *self._entry_writes(entry, loop_id))
        return entry

    def _loop_head(self, loop_id: int) -> Any:
        row = self._session.one(self._shared.streams.head, (loop_id,))
        if row is None:
            raise UnknownLoopError(f"no loop has the id {loop_id}")
        return row

    def _chained(self, entry: Entry, loop_id: int | None, seq: int, head: str) -> Entry:
        if entry.seq not in (0, seq + 1):
            raise Conflict(f"{entry.stream} is at entry {seq}, so {entry.seq} cannot follow")
        stream = entry.stream if loop_id is None else f"loop/{loop_id}"
        self._sealed_slots = self._seal(entry)
        return sealed(replace(entry, stream=stream, seq=seq + 1), head)

    def _entry_writes(self, entry: Entry, loop_id: int | None) -> list[Write]:
        batch = [Write(self._hot.new_entry, (rows.entry_row(entry, loop_id),))]
        if self._sealed_slots:
            batch.append(Write(self._hot.next_payload, rows.rewritten_rows(entry.stream, self._sealed_slots)))
        return batch


def _with_content(entry: Entry, payloads: Mapping[str, JSON]) -> Entry:
    """The entry with these slots in its first event that can carry content."""
    events = list(entry.events)
    for i, event in enumerate(events):
        if hasattr(event, "content"):
            events[i] = replace(event, content=event.content | Content(payloads))
            return replace(entry, events=tuple(events))
    raise ValueError("none of these events can carry content")
