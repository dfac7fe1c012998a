"""`governed_by`: the only way a loop's control changes; folding the loop's events gives the same control again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from msgspec.structs import replace

from dualcontrol.case import decoder
from dualcontrol.control import MODEL, RISK_MODEL, Audits, Cause, Control, LoopSettings, Untrained
from dualcontrol.events.event import Event
from dualcontrol.events.of_loop import (
    AuditsChanged,
    AutopilotClosed,
    AutopilotOpened,
    EpochBegan,
    ModelKept,
    ModelPromoted,
    PolicyChanged,
    ReliefChanged,
    ScoreChanged,
    ThresholdMoved,
    TrainingFailed,
)

_SETTINGS = decoder(LoopSettings)
_Kept = TypeVar("_Kept")


def governed_by(control: Control, event: Event) -> Control:
    """The control after an event of its loop: the next version, or the same where the event governs nothing."""
    change = CHANGES.get(type(event))
    if change is not None:
        return replace(control, version=control.version + 1, **change(control, event))
    return _untrained(control, event) if isinstance(event, TrainingFailed) else control


def _untrained(control: Control, event: TrainingFailed) -> Control:
    said = {name: getattr(event, name) for name in Untrained.__struct_fields__}
    return replace(control, untrained={**control.untrained, event.what: Untrained(**said)})


def _policy(control: Control, event: PolicyChanged) -> dict[str, Any]:
    """New settings; another promise, or other labels, are certified by nothing yet."""
    settings = _SETTINGS.decode(event.settings)
    same = control.version == 0 or (settings.guarantee == control.settings.guarantee and not event.relabelled)
    changed: dict[str, Any] = {"settings": settings} | ({} if same else _nothing_certified(control))
    # another trainer, or other labels, may do what the last training could not
    return changed | ({"untrained": {}} if control.untrained else {})


def _nothing_certified(control: Control) -> dict[str, Any]:
    return {"thresholds": {}, "audits": {}, "epochs": {}, "models": {}, "epoch": control.epoch + 1}


def _began(control: Control, event: EpochBegan) -> dict[str, Any]:
    """Nothing is certified in a new epoch of a segment."""
    models = _without(control.models, event.segment)
    return {
        "epoch": max(control.epoch, event.epoch),
        "epochs": {**control.epochs, event.segment: event.epoch},
        "models": models if event.model is None else {**models, event.segment: event.model},
        "thresholds": _without(control.thresholds, event.segment),
        "audits": _without(control.audits, event.segment),
    }


def _threshold(control: Control, event: ThresholdMoved) -> dict[str, Any]:
    moved = {} if event.threshold is None else {event.segment: float(event.threshold)}
    return {"thresholds": _without(control.thresholds, event.segment) | moved}


def _audits(control: Control, event: AuditsChanged) -> dict[str, Any]:
    floor = None if event.floor is None else float(event.floor)
    audits = Audits(edges=tuple(map(float, event.edges)), shares=tuple(map(float, event.shares)), floor=floor)
    return {"audits": {**control.audits, event.segment: audits}}


def _closed(control: Control, event: AutopilotClosed) -> dict[str, Any]:
    return {
        "closed": {**control.closed, event.segment: event.reason},
        "causes": {**control.causes, event.segment: Cause(by=event.cause, model=event.model)},
    }


def _opened(control: Control, event: AutopilotOpened) -> dict[str, Any]:
    return {"closed": _without(control.closed, event.segment), "causes": _without(control.causes, event.segment)}


def _relief(control: Control, event: ReliefChanged) -> dict[str, Any]:
    return {"relief": event.level}


def _promoted(control: Control, event: ModelPromoted) -> dict[str, Any]:
    """A new model begins an epoch; what was certified was the old one."""
    epoch = {"model": event.model, "epoch": control.epoch + 1, "untrained": _without(control.untrained, MODEL)}
    return epoch if control.settings.guarantee is None else {**_nothing_certified(control), **epoch}


def _scored(control: Control, event: ScoreChanged) -> dict[str, Any]:
    """What was certified was certified for another score."""
    trained = {"scorer": event.model, "untrained": _without(control.untrained, RISK_MODEL)}
    return trained | _nothing_certified(control)


def _kept(control: Control, event: ModelKept) -> dict[str, Any]:
    return {"untrained": _without(control.untrained, MODEL)}


def caused(control: Control) -> Control:
    """A control as its row says it, with the causes that an older version did not write there."""
    missing = {segment: Cause.of_words(why) for segment, why in control.closed.items() if segment not in control.causes}
    return replace(control, causes={**control.causes, **missing}) if missing else control


def _without(held: dict[str, _Kept], segment: str) -> dict[str, _Kept]:
    return {name: value for name, value in held.items() if name != segment}


# A batch is routed under a version, evidence is counted under one, and a training that failed changes nothing that
# governs; every other event of a loop makes a new version.
CHANGES: dict[type[Event], Callable[[Control, Any], dict[str, Any]]] = {
    PolicyChanged: _policy,
    EpochBegan: _began,
    ThresholdMoved: _threshold,
    AuditsChanged: _audits,
    AutopilotClosed: _closed,
    AutopilotOpened: _opened,
    ReliefChanged: _relief,
    ModelPromoted: _promoted,
    ModelKept: _kept,
    ScoreChanged: _scored,
}
