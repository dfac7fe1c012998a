"""The figures of a run, computed from the ledger's events; the truth is looked up here and nowhere in the loop.

A round is a tenth of the stream.  `human_load` is the share of cases that a human saw, audits included;
`autopilot_error` the share of autopilot cases whose proposal is not the truth; `accuracy` the share of all cases
whose outcome, the model's or the human's, is the truth; `threshold` the one in force when the round ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from dualcontrol.case import Case
from dualcontrol.desk import Desk
from dualcontrol.events import EpochBegan, Event, ModelPromoted, Opened, SettingsEvent, ThresholdMoved
from dualcontrol.evolve import fold
from dualcontrol.learn.calibrate import confidence_error

ROUNDS = 10
ENOUGH = 50
FOREVER = 2**63
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
    rows, control = sorted(_row(case, truth) for case in _cases(desk, loop)), desk.control(loop)
    entries = desk.store.queries.entries(f"loop/{control.loop_id}") if control is not None else []
    events = [event for entry in entries for event in entry.events]
    parts = [[rows[i] for i in part] for part in np.array_split(np.arange(len(rows)), ROUNDS) if len(part)]
    ends = [part[0].at for part in parts[1:]] + [FOREVER]
    rounds = [_measured(part) | _governed(events, part[0].at, end) for part, end in zip(parts, ends, strict=True)]
    confidence = np.array([row.confidence for row in rows])
    right = np.array([row.proposal_right for row in rows], dtype=float)
    worst = [r["autopilot_error"] for r in rounds if r["autopilot"] >= ENOUGH]
    return {
        "rounds": rounds,
        "total": _measured(rows) | _governed(events, rows[0].at, FOREVER) | {
            "first_tenth_human_load": rounds[0]["human_load"],
            "last_third_human_load": _measured(rows[-(len(rows) // 3) :])["human_load"],
            "worst_tenth_autopilot_error": max(worst, default=0.0),
            "calibration_error": round(confidence_error(confidence, right, np.ones(len(rows))), 6),
        },
    }  # fmt: skip


def certified(desk: Desk, loop: str, truth: Callable[[int], int]) -> Figures:
    """What came of a guarantee: when autopilot opened, what it cost in reviews, and how often it was really wrong."""
    cases = sorted(_cases(desk, loop), key=lambda case: case.opened_at)
    rows = [_row(case, truth) for case in cases]
    reviews = [sum(review.state == "answered" for review in case.reviews) for case in cases]
    last = reviews[-(len(cases) // 3) :]
    standing = desk.loop(loop).guarantee()[0]
    measured = _measured(rows)
    return {
        "opened_at": next((place for place, row in enumerate(rows) if row.autopilot), None),
        "last_third_reviews": _share(sum(last), len(last)), "autopilot": measured["autopilot"],
        "autopilot_error": measured["autopilot_error"],
        "reviews": sum(reviews), "state": standing.state, "reason": standing.reason,
        "threshold": standing.threshold, "coverage": standing.certified_coverage, "labels": standing.labels_used,
    }  # fmt: skip


def _cases(desk: Desk, loop: str) -> Iterator[Case]:
    """The live cases of a loop, folded from their events."""
    queries = desk.store.queries
    for stream in queries.streams():
        if stream.startswith("case/"):
            events = [event for entry in queries.entries(stream) for event in entry.events]
            first = events[0]
            if isinstance(first, Opened) and first.loop == loop and first.origin == "live":
                yield fold(None, events)


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


def _governed(events: Sequence[Event], start: int, end: int) -> Figures:
    """The models promoted in a span of time, and the threshold at its end: the settings', unless it was moved."""
    promoted, stated, moved = 0, None, None
    for event in events:
        if not isinstance(event, ModelPromoted | SettingsEvent | EpochBegan | ThresholdMoved) or event.at >= end:
            continue
        if isinstance(event, ModelPromoted):
            promoted += start <= event.at
        elif isinstance(event, SettingsEvent):
            stated = json.loads(event.settings).get("threshold")
        elif isinstance(event, EpochBegan):
            moved = moved if event.order else None  # the other order goes on
        elif not event.segment:
            moved = None if event.threshold is None else float(event.threshold)
    return {"promoted": promoted, "threshold": stated if moved is None else moved}
