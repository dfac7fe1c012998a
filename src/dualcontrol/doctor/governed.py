"""What governs a loop, folded from the loop's own events, against what its row says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from dualcontrol.case import ENCODER, decoder
from dualcontrol.control import Control, LoopSettings
from dualcontrol.doctor.finding import PROBLEM, WARNING, Finding
from dualcontrol.events import (
    AutopilotClosed,
    AutopilotOpened,
    Entry,
    Event,
    ModelKept,
    ModelPromoted,
    PolicyChanged,
    ThresholdMoved,
    Unknown,
)

RESTORE = "Keep a copy of the database as it is, and compare the loop with a backup; until then trust no route of it."
NEWER = "Upgrade dualcontrol to check what governs this loop."
_SETTINGS = decoder(LoopSettings)


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
            change = CHANGES.get(type(event))
            if change is not None:
                again = replace(again, version=again.version + 1, **change(again, event))
    return again


def _columns(control: Control, last: Entry) -> dict[str, Any]:
    settings = control.settings
    return {
        "name": settings.name, "mode": settings.mode, "version": control.version, "seq": last.seq, "head": last.hash
    }  # fmt: skip


def _differing(again: Control, control: Control) -> Iterator[str]:
    """The fields that differ; a setting by its own name."""
    for holder, other, without in ((again, control, "settings"), (again.settings, control.settings, "")):
        for name in type(holder).__struct_fields__:
            mine, its = getattr(holder, name), getattr(other, name)
            if name != without and ENCODER.encode(mine) != ENCODER.encode(its):
                yield name


def _policy(control: Control, event: PolicyChanged) -> dict[str, Any]:
    return {"settings": _SETTINGS.decode(event.settings)}


def _threshold(control: Control, event: ThresholdMoved) -> dict[str, Any]:
    others = {segment: value for segment, value in control.thresholds.items() if segment != event.segment}
    moved = {} if event.threshold is None else {event.segment: float(event.threshold)}
    return {"thresholds": others | moved}


def _closed(control: Control, event: AutopilotClosed) -> dict[str, Any]:
    return {"closed": {**control.closed, event.segment: event.reason}}


def _opened(control: Control, event: AutopilotOpened) -> dict[str, Any]:
    return {"closed": {segment: why for segment, why in control.closed.items() if segment != event.segment}}


def _promoted(control: Control, event: ModelPromoted) -> dict[str, Any]:
    """A new model begins an epoch; what was certified was the old one."""
    certified = {} if control.settings.guarantee is not None else control.thresholds
    return {"model": event.model, "epoch": control.epoch + 1, "thresholds": certified}


def _kept(control: Control, event: ModelKept) -> dict[str, Any]:
    return {}


# A batch is routed under a version and makes none; every other event of a loop is a new version.
CHANGES: dict[type[Event], Callable[[Control, Any], dict[str, Any]]] = {
    PolicyChanged: _policy,
    ThresholdMoved: _threshold,
    AutopilotClosed: _closed,
    AutopilotOpened: _opened,
    ModelPromoted: _promoted,
    ModelKept: _kept,
}
