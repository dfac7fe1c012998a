"""The figures of a run, computed from the ledger's events; the truth is looked up here and nowhere in the loop.

A round is a tenth of the stream.  `human_load` is the share of cases that a human saw, audits included;
`autopilot_error` the share of autopilot cases whose proposal is not the truth; `accuracy` the share of all cases
whose outcome, the model's or the human's, is the truth; `threshold` the one in force when the round ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dualcontrol.case import Case
from dualcontrol.desk import Desk
from dualcontrol.events import EpochBegan, Event, ModelPromoted, Opened, PolicyChanged, ThresholdMoved
from dualcontrol.evolve import fold
from dualcontrol.learn.calibrate import BINS

ROUNDS = 10
ENOUGH = 50
Figures = dict[str, Any]


class Row(NamedTuple):
    """One case of the stream, against the truth."""

    at: int
    autopilot: bool
    audited: bool
    right: bool
    proposal_right: bool
    confidence: float


def figures(desk: Desk, loop: str, truth: Callable[[int], int]) -> Figures:
    """The rounds and the total of a run, from events."""
    rows = sorted(_row(case, truth) for case in _cases(desk, loop))
    said = [event for entry in _loop_entries(desk, loop) for event in entry.events]
    parts = [[rows[i] for i in part] for part in np.array_split(np.arange(len(rows)), ROUNDS) if len(part)]
    ends = [part[0].at for part in parts[1:]] + [2**63]
    rounds = [
        _measured(part) | _governed(said, part[0].at, end) for part, end in zip(parts, ends, strict=True)
    ]  # fmt: skip
    whole = _measured(rows) | _governed(said, rows[0].at, 2**63)
    return {"rounds": rounds, "total": whole | _bounds(rows, rounds)}


def certified(desk: Desk, loop: str, truth: Callable[[int], int]) -> Figures:
    """What came of a guarantee: when autopilot opened, what it cost in reviews, and how often it was really wrong."""
    cases = sorted(_cases(desk, loop), key=lambda case: case.opened_at)
    rows = [_row(case, truth) for case in cases]
    reviews = [sum(review.state == "answered" for review in case.reviews) for case in cases]
    last = reviews[-(len(cases) // 3) :]
    live = [row for row in rows if row.autopilot]
    standing = desk.loop(loop).guarantee()[0]
    return {
        "opened_at": next((place for place, row in enumerate(rows) if row.autopilot), None),
        "last_third_reviews": _share(sum(last), len(last)), "autopilot": len(live),
        "autopilot_error": _share(sum(not row.proposal_right for row in live), len(live)),
        "reviews": sum(reviews), "state": standing.state, "reason": standing.reason,
        "threshold": standing.threshold, "coverage": standing.certified_coverage, "labels": standing.labels_used,
    }  # fmt: skip


def _cases(desk: Desk, loop: str) -> list[Case]:
    queries = desk.store.queries
    streams = [stream for stream in queries.streams() if stream.startswith("case/")]
    folded = (_folded([e for entry in queries.entries(s) for e in entry.events], loop) for s in streams)
    return [case for case in folded if case is not None]


def _folded(events: Sequence[Event], loop: str) -> Case | None:
    first = events[0]
    if not isinstance(first, Opened) or first.loop != loop or first.origin != "live":
        return None
    return fold(None, events)


def _loop_entries(desk: Desk, loop: str) -> list[Any]:
    control = desk.control(loop)
    return desk.store.queries.entries(f"loop/{control.loop_id}") if control is not None else []


def _row(case: Case, truth: Callable[[int], int]) -> Row:
    right = truth(case.meta["sample"])
    route, outcome = case.route, case.outcome
    return Row(
        at=case.opened_at, autopilot=route is not None and route.to == "autopilot",
        audited=route is not None and route.audited, right=outcome is not None and outcome.value == right,
        proposal_right=case.proposed_value() == right, confidence=case.confidence or 0.0,
    )  # fmt: skip


def _measured(rows: Sequence[Row]) -> Figures:
    autopilot = [row for row in rows if row.autopilot]
    seen = sum(not row.autopilot or row.audited for row in rows)
    return {
        "cases": len(rows),
        "human_load": _share(seen, len(rows)),
        "audited": sum(row.audited for row in rows),
        "autopilot": len(autopilot),
        "autopilot_error": _share(sum(not row.proposal_right for row in autopilot), len(autopilot)),
        "accuracy": _share(sum(row.right for row in rows), len(rows)),
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def _governed(said: Sequence[Event], start: int, end: int) -> Figures:
    """What the loop's own events say of a span of time."""
    promoted = [event for event in said if isinstance(event, ModelPromoted) and start <= event.at < end]
    return {"promoted": len(promoted), "threshold": _threshold(said, end)}


def _threshold(said: Sequence[Event], end: int) -> float | None:
    """The threshold in force for the whole loop at a time: the settings', unless it was moved."""
    stated: float | None = None
    moved: float | None = None
    for event in said:
        if isinstance(event, PolicyChanged) and event.at < end:
            stated = json.loads(event.settings).get("threshold")
        elif isinstance(event, EpochBegan) and event.at < end:
            moved = None
        elif isinstance(event, ThresholdMoved) and event.at < end and not event.segment:
            moved = None if event.threshold is None else float(event.threshold)
    return stated if moved is None else moved


def _bounds(rows: Sequence[Row], rounds: Sequence[Figures]) -> Figures:
    last = _measured(rows[-(len(rows) // 3) :])
    worst = [r["autopilot_error"] for r in rounds if r["autopilot"] >= ENOUGH]
    return {
        "first_tenth_human_load": rounds[0]["human_load"],
        "last_third_human_load": last["human_load"],
        "worst_tenth_autopilot_error": max(worst, default=0.0),
        "calibration_error": _calibration(rows),
    }


def _calibration(rows: Sequence[Row]) -> float:
    """Expected calibration error of the proposals' confidence against the truth."""
    confidence = np.array([row.confidence for row in rows])
    right = np.array([row.proposal_right for row in rows], dtype=float)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return round(float(np.abs(np.bincount(bins, confidence - right, BINS)).sum() / len(rows)), 6)
