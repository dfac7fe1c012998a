"""The guarantee of a real desk whose people let errors pass: what is the true error of what autopilot may do?

    python bench/broken_humans.py                                        every row, 20 runs of 4,000 decisions each
    python bench/broken_humans.py --rows "catch .7" stamper --runs 5     two of them

A desk on SQLite in memory, a loop in labels mode under a guarantee of 5 %, scripted reviewers who answer at once; two
of them, so that a "wrong" is adjudicated.  The model, the truth, and what a rule sends to people are simulated, so that
the true error of any region is known.  A run is broken when, at any moment, the region in force (the scores from the
live threshold up, of the cases that the policy then in force lets reach it) had a true error above the bound.
Exit status 1 when more than the share delta of the runs of any row, and 1.65 standard errors, is broken.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from math import sqrt
from multiprocessing import get_context
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from streams import BINS, ERRORS

import dualcontrol as dc
from dualcontrol.events import AlarmRaised, ThresholdMoved
from dualcontrol.testing import FakeClock, seeded_ids

ALPHA, DELTA = 0.05, 0.05
CHANGE = 0.7  # of the decisions are made under the first rules
LOOP, PEOPLE = "stream", ("ana", "ben")
SCORES = (np.arange(BINS) + 0.5) / BINS
HARD = {"name": "hard cases", "when": "meta.hard", "route": "human"}
EASY = {"name": "easy cases", "when": "!meta.hard", "route": "human"}


@dataclass(frozen=True)
class People:
    """What first and second answers catch, shown and blind, and how often what is right is called wrong.

    Who `tires` catches 95 % at first and 40 % at the end of each 200 answers of their own.
    """

    shown: float = 1.0
    blind: float = 1.0
    false: float = 0.0
    tires: bool = False

    def catch(self, blind: bool, answers: int) -> float:
        """The chance of catching an error after so many answers of this person."""
        return 0.95 - 0.55 * (answers % 200) / 200 if self.tires else self.blind if blind else self.shown


@dataclass(frozen=True)
class World:
    """Errors by bin of easy and of hard cases, how many are hard, and the rules before and after the change."""

    easy: np.ndarray
    hard: np.ndarray
    share: float = 0.0
    before: tuple[dict[str, str], ...] = ()
    after: tuple[dict[str, str], ...] = ()


PLAIN = World(ERRORS["cal_light"], ERRORS["cal_light"])  # .106 wrong in all
DELETED = World(0.04 * np.exp(-2.0 * SCORES), 0.25 * np.exp(-1.0 * SCORES), 0.4, before=(HARD,))  # .017, then .074
ADDED = World(np.full(BINS, 0.001), 0.12 * np.exp(-0.4 * SCORES), 0.25, after=(EASY,))  # .025, then .099

ROWS: dict[str, tuple[World, People]] = {
    "perfect": (PLAIN, People()),
    "err 5 % both ways": (PLAIN, People(0.95, 0.95, 0.05)),
    "catch .9": (PLAIN, People(0.9, 0.9)),
    "catch .7": (PLAIN, People(0.7, 0.7)),
    "catch .5": (PLAIN, People(0.5, 0.5)),
    "stamper": (PLAIN, People(0.1, 0.95)),
    "tire, 5 to 60 %": (PLAIN, People(tires=True)),
    "a rule is deleted": (DELETED, People()),
    "a rule is added": (ADDED, People()),
}


class Run:
    """One stream through one desk."""

    def __init__(self, row: str, seed: int, decisions: int) -> None:
        self.world, self.people = ROWS[row]
        self.rng = np.random.default_rng([seed, list(ROWS).index(row)])
        self.decisions, self.wrong, self.answers, self.blind = decisions, {}, dict.fromkeys(PEOPLE, 0), 0
        self.clock = FakeClock()
        self.desk = dc.open("sqlite:///:memory:", clock=self.clock, new_id=seeded_ids(seed), durability="process")
        self.loop: dc.Loop = self.under(self.world.before)
        self.in_force: list[float] = []  # the true error of the region, at each decision with one
        self.first: int | None = None
        self.alone: list[bool] = []

    def under(self, rules: tuple[dict[str, str], ...]) -> dc.Loop:
        """The loop under these rules."""
        self.rules = rules
        return self.desk.loop(
            LOOP, mode="labels", labels=["yes", "no"], context="minimal", audit=0.10, rules=list(rules),
            guarantee={"max_error": ALPHA, "confidence": 1.0 - DELTA, "score": "confidence"},
        )  # fmt: skip

    def play(self) -> dict[str, Any]:
        """The whole stream, and what became of the promise."""
        for number in range(self.decisions):
            if number == int(CHANGE * self.decisions) and self.world.after != self.world.before:
                self.loop = self.under(self.world.after)
            self.look(number)
            self.decide()
        events = [e for entry in self.loop.desk.store.queries.entries(self.loop.stream, values=False)
                  for e in entry.events]  # fmt: skip
        (standing,) = self.loop.guarantee()
        found = {
            "widest in force": max(self.in_force, default=0.0),
            "at the end": self.risk(), "broken": max(self.in_force, default=0.0) > ALPHA + 1e-9,
            "share of time broken": sum(risk > ALPHA + 1e-9 for risk in self.in_force) / self.decisions,
            "opened": self.first is not None, "opened at": self.first,
            "coverage": standing.certified_coverage, "autopilot's errors": float(np.mean(self.alone or [0.0])),
            "running bound": standing.error_upper, "answers": sum(self.answers.values()),
            "blind": self.blind / max(sum(self.answers.values()), 1),
            "alarms": sum(isinstance(e, AlarmRaised) for e in events),
            "moves": sum(isinstance(e, ThresholdMoved) for e in events),
        }  # fmt: skip
        self.desk.close()
        return found

    def look(self, number: int) -> None:
        """The region in force before the next decision."""
        if (risk := self.risk()) is None:
            return
        self.in_force.append(risk)
        self.first = number if self.first is None else self.first

    def risk(self) -> float | None:
        """The true error of the region in force; None while autopilot is closed."""
        (threshold,) = self.loop.control.thresholds.values() or (None,)
        if threshold is None:
            return None
        above = float(threshold) - 1e-9 <= SCORES
        hard = 0.0 if HARD in self.rules else self.world.share
        easy = 0.0 if EASY in self.rules else 1.0 - self.world.share
        errors = easy * self.world.easy[above] + hard * self.world.hard[above]
        return float(errors.mean() / (easy + hard)) if above.any() else None

    def decide(self) -> None:
        """One proposal, and every answer that it asks for."""
        self.clock.tick(1.0)
        place, hard = int(self.rng.integers(BINS)), bool(self.rng.random() < self.world.share)
        wrong = bool(self.rng.random() < (self.world.hard if hard else self.world.easy)[place])
        case = self.loop.propose(
            proposal="yes", meta={"hard": hard}, input=f"question {len(self.wrong)}", confidence=float(SCORES[place])
        )
        self.wrong[case.id] = wrong
        if case.route is not None and case.route.to == "autopilot":
            self.alone.append(wrong)
        for person in PEOPLE:
            while (claim := self.desk.claim(person, LOOP)) is not None:
                claim.label(self.answer(claim))

    def answer(self, claim: dc.Claim) -> str:
        """What this person says; who misses an error says what the model said."""
        self.answers[claim.person] += 1
        self.blind += claim.review.blind
        if not self.wrong[claim.case.id]:
            return "no" if self.rng.random() < self.people.false else "yes"
        catch = self.people.catch(claim.review.blind, self.answers[claim.person] - 1)
        return "no" if self.rng.random() < catch else "yes"


def once(task: tuple[str, int, int]) -> dict[str, Any]:
    """One run."""
    return Run(*task).play()


def summed_up(row: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the runs of a row came to; the widest region by its mean and its worst."""
    opened = [run["opened at"] for run in runs if run["opened"]]
    bounds = [run["running bound"] for run in runs if run["running bound"] is not None]
    names = ("share of time broken", "coverage", "autopilot's errors", "answers", "blind", "alarms")
    mean: dict[str, float | None] = {name: float(np.mean([run[name] for run in runs])) for name in names}
    mean["running bound"] = float(np.mean(bounds)) if bounds else None
    return {
        "reviewers": row, "runs": len(runs), "bound": ALPHA,
        "widest in force": float(np.mean([run["widest in force"] for run in runs])),
        "worst": max(run["widest in force"] for run in runs), "broken": float(np.mean([r["broken"] for r in runs])),
        "opened": len(opened) / len(runs), "opened at": float(np.median(opened)) if opened else None, **mean,
    }  # fmt: skip


def main() -> int:
    """Run what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", "--row", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--decisions", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    tasks = [(row, asked.seed + n, asked.decisions) for row in asked.rows for n in range(asked.runs)]
    console = Console(stderr=True)
    with get_context("fork").Pool(asked.jobs) as pool:
        done = list(track(pool.imap(once, tasks), "streams", len(tasks), console=console, transient=True,
                          disable=not console.is_terminal))  # fmt: skip
    rows = [summed_up(row, done[place * asked.runs : (place + 1) * asked.runs]) for place, row in enumerate(asked.rows)]
    found = {"decisions": asked.decisions, "seed": asked.seed, "rows": rows}
    print(json.dumps(found, indent=2)) if asked.json else show(found)
    most = DELTA + 1.65 * sqrt(DELTA * (1.0 - DELTA) / asked.runs)
    return 0 if all(row["broken"] <= most for row in rows) else 1


def show(found: dict[str, Any]) -> None:
    """The table for a human."""
    console = Console() if sys.stdout.isatty() else Console(width=170)
    table = Table(*found["rows"][0], title=f"{found['decisions']:,} decisions, seeds from {found['seed']}")
    for row in found["rows"]:
        table.add_row(*(f"{c:.3f}" if isinstance(c, float) else "" if c is None else str(c) for c in row.values()))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
