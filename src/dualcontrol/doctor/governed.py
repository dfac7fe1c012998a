"""What governs a loop, folded from the loop's own events, against what its row says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from dualcontrol.case import ENCODER
from dualcontrol.control import Control, LoopSettings
from dualcontrol.doctor.finding import PROBLEM, WARNING, Finding
from dualcontrol.events import Entry, Unknown, governed_by

RESTORE = "Keep a copy of the database as it is, and compare the loop with a backup; until then trust no route of it."
NEWER = "Upgrade dualcontrol to check what governs this loop."


def governed(control: Control, columns: dict[str, Any], entries: Sequence[Entry]) -> Iterator[Finding]:
    """Whether a loop's row, control and columns, is what its entries say."""
    last = entries[-1]
    if any(isinstance(event, Unknown) for entry in entries for event in entry.events):
        what = f"loop {control.loop} holds an event that this version does not know: its control is not checked"
        yield Finding("evidence", WARNING, what, NEWER, seq=last.seq)
        return
    again = replace(_folded(control, entries), seq=last.seq)
    wrong = [*_differing(again, control), *(n for n, v in _columns(again, last).items() if columns.get(n) != v)]
    if wrong:
        fields = ", ".join(dict.fromkeys(wrong))
        what = f"what governs loop {control.loop} is not what its entries say: {fields}"
        yield Finding("evidence", PROBLEM, what, RESTORE, seq=last.seq)


def _folded(control: Control, entries: Sequence[Entry]) -> Control:
    """The control that the events make; name and id are the row's."""
    again = Control(loop=control.loop, loop_id=control.loop_id, version=0, settings=LoopSettings(name=control.loop))
    for entry in entries:
        for event in entry.events:
            again = governed_by(again, event)
    return again


def _columns(control: Control, last: Entry) -> dict[str, Any]:
    settings = control.settings
    return {
        "name": settings.name, "mode": settings.mode, "version": control.version, "seq": last.seq, "head": last.hash
    }  # fmt: skip


def _differing(again: Control, control: Control) -> Iterator[str]:
    """The fields that differ; a setting by its own name.

    Why a training failed governs nothing, and a program of an older version leaves it out of the row.
    """
    for holder, other, without in (
        (again, control, ("settings", "untrained")), (again.settings, control.settings, ())
    ):  # fmt: skip
        for name in type(holder).__struct_fields__:
            mine, its = getattr(holder, name), getattr(other, name)
            if name not in without and ENCODER.encode(mine) != ENCODER.encode(its):
                yield name
