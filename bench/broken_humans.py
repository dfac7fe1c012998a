"""The guarantee of a real desk whose people let errors pass: what is the true error of what autopilot may do?

    python bench/broken_humans.py                                        every row, 20 runs of 4,000 decisions each
    python bench/broken_humans.py --rows "catch .7" stamper --runs 5     two of them
    python bench/broken_humans.py --rows "bursts of twenty" --undeclared   where nobody says what belongs together

A desk on SQLite in memory, a loop in labels mode under a guarantee of 5 %, scripted reviewers who answer at once; two
of them, so that a "wrong" is adjudicated and what they miss is seen by where second answers differ, or three or five,
so that errors can be replayed to those who do not know them; who is asked first is drawn.  The model, the truth, and
what a rule sends to people are simulated, so that the true error of any region is known.  A run is broken when, at any
moment, the region in force (the scores from the live threshold up, of the cases that the policy then in force lets
reach it) had a true error above the bound.
Questions that come in bursts are declared (independent_by = "question"), so that the promise is about the first of
each; with --undeclared it is about all, which breaks, and an alarm says what to declare.
Each answer takes ten seconds; "hours" are those of people behind what counted until autopilot opened.
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
from bursts import STREAMS, Bursts
from rich.console import Console
from rich.progress import track
from rich.table import Table
from streams import BINS, ERRORS

import dualcontrol as dc
from dualcontrol.events import AlarmRaised, ThresholdMoved
from dualcontrol.testing import FakeClock, seeded_ids

ALPHA, DELTA = 0.05, 0.05
CHANGE = 0.7  # of the decisions are made under the first rules
SECONDS = 10.0  # of an answer
LOOP, FIVE = "stream", ("ana", "ben", "cal", "dan", "eve")
TEAMS = {"three": FIVE[:3], "five": FIVE}  # by how a row begins; two people else
SCORES = (np.arange(BINS) + 0.5) / BINS
HARD = {"name": "hard cases", "when": "meta.hard", "route": "human"}
OTHER = {"yes": "no", "no": "yes"}
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
    bursts: Bursts | None = None


FLAT = (np.zeros(BINS), np.zeros(BINS))
PLAIN = World(ERRORS["cal_light"], ERRORS["cal_light"])  # .106 wrong in all
DELETED = World(0.04 * np.exp(-2.0 * SCORES), 0.25 * np.exp(-1.0 * SCORES), 0.4, before=(HARD,))  # .017, then .074
TWENTY = World(*FLAT, bursts=STREAMS["twenty, 8 % wrong"])
LARGER = World(*FLAT, bursts=STREAMS["1 to 3, and 2 to 50 when wrong"])  # .055 of cases wrong, .0045 of questions
ADDED = World(np.full(BINS, 0.001), 0.12 * np.exp(-0.4 * SCORES), 0.25, after=(EASY,))  # .025, then .099

ROWS: dict[str, tuple[World, People]] = {
    "perfect": (PLAIN, People()),
    "err 5 % both ways": (PLAIN, People(0.95, 0.95, 0.05)),
    "catch .9": (PLAIN, People(0.9, 0.9)),
    "catch .7": (PLAIN, People(0.7, 0.7)),
    "catch .5": (PLAIN, People(0.5, 0.5)),
    "five catch .9": (PLAIN, People(0.9, 0.9)),
    "five catch .7": (PLAIN, People(0.7, 0.7)),
    "stamper": (PLAIN, People(0.1, 0.95)),
    "tires, 5 to 60 %": (PLAIN, People(tires=True)),
    "a rule is deleted": (DELETED, People()),
    "a rule is added": (ADDED, People()),
    "bursts of twenty": (TWENTY, People()),
    "bursts larger when wrong": (LARGER, People()),
    "catch .95": (PLAIN, People(0.95, 0.95)),
    "catch .8": (PLAIN, People(0.8, 0.8)),
    "five catch .95": (PLAIN, People(0.95, 0.95)),
    "five catch .8": (PLAIN, People(0.8, 0.8)),
    "five tire": (PLAIN, People(tires=True)),
    "three catch .9": (PLAIN, People(0.9, 0.9)),
    "three catch .7": (PLAIN, People(0.7, 0.7)),
    "three tire": (PLAIN, People(tires=True)),
}


class Run:
    """One stream through one desk."""

    def __init__(self, row: str, seed: int, decisions: int, declared: bool = True) -> None:
        self.world, self.people = ROWS[row]
        self.declared = declared
        self.burst: tuple[int, bool, int] = (0, False, 0)  # bin, wrongness, and how often it still comes
        self.rng = np.random.default_rng([seed, list(ROWS).index(row)])
        self.number = 0  # of decisions
        self.team = TEAMS.get(row.split()[0], FIVE[:2])
        self.decisions, self.truth, self.answers, self.blind = decisions, {}, dict.fromkeys(self.team, 0), 0
        self.clock = FakeClock()
        self.desk = dc.open("sqlite:///:memory:", clock=self.clock, new_id=seeded_ids(seed), durability="process")
        self.loop: dc.Loop = self.under(self.world.before)
        self.in_force: list[float] = []  # the true error of the region, at each decision with one
        self.first: int | None = None
        self.alone: list[bool] = []

    def under(self, rules: tuple[dict[str, str], ...]) -> dc.Loop:
        """The loop under these rules."""
        self.rules = rules
        together = {"independent_by": "question"} if self.world.bursts and self.declared else {}
        return self.desk.loop(
            LOOP, mode="labels", labels=["yes", "no"], context="minimal", audit=0.10, rules=list(rules),
            guarantee={"max_error": ALPHA, "confidence": 1.0 - DELTA, "score": "confidence", **together},
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
            "hours": standing.seconds / 3600 if self.first is not None else None,
            "miss rate": standing.miss_rate,
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
        if self.world.bursts is not None:
            return self.world.bursts.share if self.declared else self.world.bursts.error()
        above = float(threshold) - 1e-9 <= SCORES
        hard = 0.0 if HARD in self.rules else self.world.share
        easy = 0.0 if EASY in self.rules else 1.0 - self.world.share
        errors = easy * self.world.easy[above] + hard * self.world.hard[above]
        return float(errors.mean() / (easy + hard)) if above.any() else None

    def decide(self) -> None:
        """One proposal, and every answer that it asks for."""
        self.clock.tick(1.0)
        place, hard, wrong, question = self.drawn()
        case = self.loop.propose(
            proposal="yes", meta={"hard": hard}, input=f"question {question}", confidence=float(SCORES[place])
        )
        self.number += 1
        self.truth[f"question {question}"] = "no" if wrong else "yes"
        if case.route is not None and case.route.to == "autopilot":
            self.alone.append(wrong)
        order = self.rng.permutation(len(self.team)) if len(self.team) > 2 else range(2)
        for person in (self.team[place] for place in order):
            while (claim := self.desk.claim(person, LOOP)) is not None:
                said = self.answer(claim)
                self.clock.tick(SECONDS)
                claim.label(said)

    def drawn(self) -> tuple[int, bool, bool, int]:
        """Bin, whether it is hard, whether it is wrong, and which question the next decision is about."""
        if self.world.bursts is None:
            place, hard = int(self.rng.integers(BINS)), bool(self.rng.random() < self.world.share)
            wrong = bool(self.rng.random() < (self.world.hard if hard else self.world.easy)[place])
            return place, hard, wrong, self.number
        place, wrong, left = self.burst
        if left == 0:
            place, wrong = int(self.rng.integers(BINS)), bool(self.rng.random() < self.world.bursts.share)
            sizes = self.world.bursts.wrong if wrong else self.world.bursts.right
            left = int(self.rng.integers(*sizes, endpoint=True))
            self.question = self.number
        self.burst = place, wrong, left - 1
        return place, False, wrong, self.question

    def answer(self, claim: dc.Claim) -> str:
        """What this person says; who misses an error says what the model said."""
        self.answers[claim.person] += 1
        self.blind += claim.review.blind
        truth, shown = self.truth[claim.view["input"]], claim.view["proposal"]
        proposed = "yes" if shown is None else shown["value"]
        if proposed == truth:
            return OTHER[truth] if self.rng.random() < self.people.false else truth
        catch = self.people.catch(claim.review.blind, self.answers[claim.person] - 1)
        return truth if self.rng.random() < catch else proposed


def once(task: tuple[str, int, int, bool]) -> dict[str, Any]:
    """One run."""
    return Run(*task).play()


def summed_up(row: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the runs of a row came to; the widest region by its mean and its worst."""
    opened = [run["opened at"] for run in runs if run["opened"]]
    hours = [run["hours"] for run in runs if run["hours"] is not None]
    bounds = [run["running bound"] for run in runs if run["running bound"] is not None]
    names = ("share of time broken", "miss rate", "coverage", "autopilot's errors", "answers", "blind", "alarms")
    mean: dict[str, float | None] = {name: float(np.mean([run[name] for run in runs])) for name in names}
    mean["running bound"] = float(np.mean(bounds)) if bounds else None
    return {
        "reviewers": row, "runs": len(runs), "bound": ALPHA,
        "widest in force": float(np.mean([run["widest in force"] for run in runs])),
        "worst": max(run["widest in force"] for run in runs), "broken": float(np.mean([r["broken"] for r in runs])),
        "opened": len(opened) / len(runs), "opened at": float(np.median(opened)) if opened else None,
        "hours": float(np.median(hours)) if hours else None, **mean,
    }  # fmt: skip


def row_named(beginning: str) -> str:
    """The row of that name, or the only one that begins so."""
    names = [row for row in ROWS if row == beginning] or [row for row in ROWS if row.startswith(beginning)]
    if len(names) != 1:
        raise argparse.ArgumentTypeError(f"{beginning!r} names no one row; there are: {', '.join(ROWS)}")
    return names[0]


def main() -> int:
    """Run what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", "--row", nargs="+", type=row_named, default=list(ROWS), help="by beginning")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--decisions", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--undeclared", action="store_true", help="bursts of which nobody says what belongs together")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    tasks = [
        (row, asked.seed + n, asked.decisions, not asked.undeclared) for row in asked.rows for n in range(asked.runs)
    ]
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
