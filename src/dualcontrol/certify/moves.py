"""The change log of a loop: what moved, when, by whom and why, from the entries of its stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from dualcontrol.case import Value, decoder
from dualcontrol.control import Guarantee, LoopSettings
from dualcontrol.events import (
    AlarmRaised,
    AuditsChanged,
    AutopilotClosed,
    AutopilotOpened,
    Entry,
    EpochBegan,
    Event,
    ModelPromoted,
    PolicyChanged,
    ThresholdMoved,
)
from dualcontrol.route.promise import share

_SETTINGS = decoder(LoopSettings)
ALARMS = {"drift": "the monitor's alarm", "scale": "the alarm, since the scores are not what they were"}


class Move(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One change and its reason; `segment` is "" where it concerns the whole loop."""

    at: int
    by: str
    what: str
    reason: str
    segment: str = ""
    epoch: int | None = None
    threshold: float | None = None
    coverage: float | None = None
    pos: int | None = None
    steps: int = 1


def gathered(moved: Iterable[Move]) -> list[Move]:
    """The same with the steps of a threshold that were taken at one moment as one move: the last, and how many."""
    made: list[Move] = []
    for move in moved:
        before = made[-1] if made else move
        if made and move.threshold is not None and (before.at, before.what, before.segment) == _place(move):
            made[-1] = replace(move, steps=before.steps + move.steps)
        else:
            made.append(move)
    return made


def _place(move: Move) -> tuple[int, str, str]:
    return move.at, move.what, move.segment


def moves(entries: Iterable[Entry]) -> list[Move]:
    """Every change in order."""
    return [move for entry in entries for event in entry.events if (move := told(entry, event)) is not None]


def told(entry: Entry, event: Event) -> Move | None:
    """The change that an event is, or None where it changes nothing that governs."""
    teller = TELLERS.get(type(event))
    return None if teller is None else Move(at=entry.at, by=entry.actor, **teller(event))


def _policy(event: PolicyChanged) -> dict[str, Any]:
    return {"what": "settings changed", "reason": _promised(_SETTINGS.decode(event.settings).guarantee)}


def _promised(guarantee: Guarantee | None) -> str:
    if guarantee is None:
        return "without a guarantee"
    parts = f", in segments {', '.join(guarantee.segments)}" if guarantee.segments else ""
    return f"a guarantee of at most {share(guarantee.max_error)} wrong at {share(guarantee.confidence)}{parts}"


def _began(event: EpochBegan) -> dict[str, Any]:
    why = event.reason if event.cut is None else ALARMS.get(event.cut, event.reason)
    return {"what": "epoch began", "reason": why, "segment": event.segment, "epoch": event.epoch}


def _threshold(event: ThresholdMoved) -> dict[str, Any]:
    return {
        "what": "threshold moved", "reason": event.reason, "segment": event.segment, "epoch": event.epoch,
        "threshold": None if event.threshold is None else float(event.threshold),
        "coverage": None if event.coverage is None else float(event.coverage), "pos": event.pos,
    }  # fmt: skip


def _audits(event: AuditsChanged) -> dict[str, Any]:
    return {"what": "audits changed", "reason": event.reason, "segment": event.segment}


def _closed(event: AutopilotClosed) -> dict[str, Any]:
    return {"what": "autopilot closed", "reason": event.reason, "segment": event.segment}


def _opened(event: AutopilotOpened) -> dict[str, Any]:
    return {"what": "autopilot opened", "reason": event.reason, "segment": event.segment}


def _alarm(event: AlarmRaised) -> dict[str, Any]:
    return {"what": "alarm", "reason": event.reason}


def _promoted(event: ModelPromoted) -> dict[str, Any]:
    return {"what": "model promoted", "reason": f"{event.model}, trained on {event.examples:,} decisions"}


TELLERS: dict[type[Event], Callable[[Any], dict[str, Any]]] = {
    PolicyChanged: _policy,
    EpochBegan: _began,
    ThresholdMoved: _threshold,
    AuditsChanged: _audits,
    AutopilotClosed: _closed,
    AutopilotOpened: _opened,
    AlarmRaised: _alarm,
    ModelPromoted: _promoted,
}
