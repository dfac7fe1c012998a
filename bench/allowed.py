"""Does a guarantee hold for people whose misses it has to measure, and when does it open?

    python bench/allowed.py                                  every row, 40 runs of 10,000 decisions each
    python bench/allowed.py --catch 0.7 --rules assumed      one of them, by what is assumed of people alone

Streams of `bench/streams.py` through the certificate, the monitor and the audit shares of the product, label by label.
Two people who each catch the share `catch` see an error, or it is lost; "tires" are five who miss from 5 to 60 % within
each 200 answers, "stamper" is somebody who approves nine of ten wrong proposals that are shown, and catches 95 % of
those that are not, beside a colleague who does; by the rule "shown" what was shown counts as well.
Probes come as at a desk: a twentieth of the blind answers draws one, seven of ten are errors of the model, two people
get the same one, and a tenth finds no source.
The allowance is the product's own (`oversight.allowance`), and what was counted is counted again by it.

A stream is violated when the threshold that was live at any moment had a true error above the bound of 5 %.
Exit status 1 when more than the share delta, and 1.65 standard errors, is, or fewer than nine of ten have opened where
people catch 90 % or more; rules other than the product's are shown, not judged.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from multiprocessing import get_context
from typing import Any

import numpy as np
from product import REFRESH, Governed, Promise
from rich.console import Console
from rich.table import Table
from streams import ERRORS, Stream, drawn

from dualcontrol.control import OVERLOOKED, missed_by_pairs
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.monitor import Monitor
from dualcontrol.oversight.allowance import (
    KEPT,
    MOST,
    WORTH,
    Allowance,
    Blind,
    BlindAnswer,
    Lost,
    SecondAnswers,
    allowed,
)
from dualcontrol.oversight.pairs import ENOUGH

STREAMS = ("cal_light", "cal_heavy")  # unless others are named
CLOSED = (0.8, 0.7, "tires")  # with these people autopilot may stay closed
CATCH = (1.0, 0.95, 0.9, 0.8, 0.7)
PROBED = 0.05 * 0.7 * 0.9  # of blind answers lead to a replay of an error
SOURCES = 5  # errors that are known before one is replayed
DELTA = 0.05


def _product(lost: Lost, second: Lost, now: Allowance) -> Allowance:
    """What a desk does."""
    return allowed(lost, second, now, missed_by_pairs(OVERLOOKED))


def _of_two(lost: Lost, second: Lost, now: Allowance) -> Allowance:
    """What a desk does where two people are all there are: their second answers are all that is known of them."""
    return allowed(Lost(0.0, 0.0, 1.0, 0), second, now, missed_by_pairs(OVERLOOKED))


def _probed(lost: Lost, second: Lost, now: Allowance) -> Allowance:
    """By probes alone."""
    return allowed(lost, Lost(0.0, 0.0, 1.0, 0), now, missed_by_pairs(OVERLOOKED))


def _strictly(lost: Lost, second: Lost, now: Allowance) -> Allowance:
    """The measured limit from `ENOUGH` answers on, whatever it is."""
    if lost.answers >= ENOUGH and now.measured is None:
        return Allowance(min(lost.upper, MOST), lost.answers)
    return _probed(lost, second, now)


def _proven(lost: Lost, second: Lost, now: Allowance) -> Allowance:
    """Another allowance only where the limits prove that the one in force is wrong."""
    upper = min(lost.upper, MOST)
    wrong = lost.lower > now.rate or (lost.answers >= ENOUGH and upper <= WORTH * now.rate)
    return Allowance(upper, lost.answers) if wrong else now


TEAM, SHIFT = 5, 200
Catch = float | str  # the share of errors that each person catches; or "tires", or "stamper"


def _tired(answers: np.ndarray | int) -> np.ndarray | float:
    """What somebody misses after so many answers: from 5 to 60 % within each shift of 200."""
    return 0.05 + 0.55 * (answers % SHIFT) / SHIFT


def looked_at(catch: Catch, rule: str, stream: Stream, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which errors a first person sees, and which a second one would, whatever the score."""
    rng, count = np.random.default_rng([seed, 8]), len(stream)
    draws = rng.random((2, count))
    if catch == "tires":
        first = rng.integers(TEAM, size=count)
        second = (first + rng.integers(1, TEAM, size=count)) % TEAM
        work = np.arange(count) // TEAM  # answers so far; people begin their shifts one after the other
        caught = [1.0 - _tired(work + who * SHIFT // TEAM) for who in (first, second)]
    elif catch == "stamper":  # blind answers catch 95 %, shown ones a tenth
        caught = [0.1 if rule == "shown" else 0.95, 0.95]
    else:
        caught = [catch, catch]
    return stream.wrong & (draws[0] < caught[0]), stream.wrong & (draws[1] < caught[1])


RULES: dict[str, Callable[[Lost, Lost, Allowance], Allowance]] = {
    "product": _product, "two": _of_two, "probes": _probed, "strict": _strictly, "proven": _proven,
    "assumed": lambda lost, second, now: now, "nothing missed": lambda lost, second, now: now,
    "shown": lambda lost, second, now: now,
}  # fmt: skip


class Probed(Governed):
    """A loop whose people are probed while they answer."""

    def __init__(self, stream: Stream, catch: Catch, rule: str, seed: int, known: bool = False) -> None:
        self.catch, self.rule, self.chance = catch, RULES[rule], np.random.default_rng([seed, 7])
        self.first, self.second, self.seconds = *looked_at(catch, rule, stream, seed), SecondAnswers()
        stream, self.told_of = replace(stream, seen=self.first & self.second), 0
        self.blind, self.allowance = Blind(), Allowance(0.0 if known else missed_by_pairs(OVERLOOKED))
        self.kept, self.sources, self.changes, self.told = 0.0 if known else KEPT, 0, 0, 0
        super().__init__(stream, Promise(delta=DELTA, blind=1.0 if rule == "shown" else Promise.blind))

    def begin(self, launch: int, first: int | None = None, tries: int = 0) -> None:
        """A new epoch; a restart spends what was kept for it."""
        super().begin(launch, first, tries)
        self.options: dict[str, Any] = {"launch": launch, "first": first, "again": tries}
        self.counted: list[dict[str, Any]] = []
        self.told_of = 0
        self.certificate = self.by_allowance()
        self.monitor = Monitor(self.promise.max_error, floor=self.floor, miss_rate=self.allowance.rate)

    def missed(self) -> float:
        """The chance that somebody misses an error that they are asked about now, without the proposal."""
        if self.catch == "tires":
            return float(_tired(self.reviewed // TEAM + int(self.chance.integers(TEAM)) * SHIFT // TEAM))
        return 0.05 if isinstance(self.catch, str) else 1.0 - self.catch

    def by_allowance(self) -> Certificate:
        """A certificate of this epoch with the allowance in force, fed with what the epoch has counted."""
        certificate = Noted(
            self.promise.max_error, 1.0 - self.promise.delta, edges=self.stream.edges, floor=self.floor, spent=0,
            kept=self.kept, miss_rate=self.allowance.rate, **self.options,
        )  # fmt: skip
        for label in self.counted:
            certificate.observe(**label)
            certificate.tick(label["seq"])
        certificate.noted = self.counted
        return certificate

    def refresh(self, alarm: bool, start: int, end: int) -> None:
        """What the labels change, and what the probes change that people have answered meanwhile."""
        super().refresh(alarm, start, end)
        errors = int(self.stream.seen[start:end].sum())
        answers, self.told = self.reviewed - self.told + errors, self.reviewed  # each error is seen a second time
        self.sources += errors
        evidence = 1.0 if self.live >= self.nothing or self.certificate.launching else self.promise.blind
        for _ in range(self.chance.binomial(answers, PROBED * evidence) if self.sources > SOURCES else 0):
            half = self.blind.halves()
            source = half[0] if half else str(self.blind.answers)
            self.blind.observe(BlindAnswer(source, bool(self.chance.random() < self.missed())))
        for label in self.counted[self.told_of :]:
            seq = label["seq"]
            self.seconds.observe(label["score"], bool(self.second[seq]) if self.first[seq] else None)
        self.told_of = len(self.counted)
        kept = self.promise.delta * KEPT
        other = self.rule(self.blind.lost(kept, confirmed=True), self.seconds.lost(kept), self.allowance)
        if other == self.allowance:
            return
        self.allowance, self.changes = other, self.changes + 1
        self.certificate = self.by_allowance()
        self.monitor.miss_rate = other.rate
        if self.certificate.threshold is None:
            self.live, self.shares = self.nothing, np.ones(self.nothing)
        else:
            self.share(self.monitor.suspicious)


class Noted(Certificate):
    """A certificate that keeps its labels, as the loop's stream does."""

    noted: list[dict[str, Any]] | None = None

    def observe(self, **label: Any) -> None:
        """Count and keep a label."""
        if self.noted is not None:
            self.noted.append(label)
        super().observe(**label)


def once(task: tuple[str, Catch, str, int, int]) -> dict[str, Any]:
    """One stream."""
    name, catch, rule, seed, decisions = task
    loop = Probed(drawn(name, decisions, seed), catch, rule, seed, known=rule == "nothing missed")
    for start in range(0, decisions, REFRESH):
        loop.batch(start)
    run = loop.finish()
    return {
        "violated": run.violated, "opened": run.opened, "coverage": run.final, "answers": loop.blind.answers,
        "allowed": loop.allowance.rate, "changes": loop.changes,
    }  # fmt: skip


def summed_up(name: str, catch: Catch, rule: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the runs of a row came to; coverage as a share of what an oracle automates."""
    opened = [run["opened"] for run in runs if run["opened"] >= 0]
    means = ("coverage", "allowed", "answers", "changes")
    return {
        "stream": name, "catch": catch, "rule": rule, "runs": len(runs),
        "violated": float(np.mean([run["violated"] for run in runs])), "opened": len(opened) / len(runs),
        "opened at": float(np.median(opened)) if opened else None,
        **{key: float(np.mean([run[key] for run in runs])) for key in means},
    }  # fmt: skip


def holds(row: dict[str, Any]) -> bool:
    """Whether a row of the product keeps its promise and opens."""
    most = DELTA + 1.65 * sqrt(DELTA * (1.0 - DELTA) / row["runs"])
    return row["rule"] not in ("product", "two") or (
        row["violated"] <= most and (row["catch"] in CLOSED or row["opened"] >= 0.9)
    )


def people(text: str) -> Catch:
    """A share of errors caught, or a kind of people."""
    return text if text in ("tires", "stamper") else float(text)


def main() -> int:
    """Run what was asked for and print it, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stream", nargs="+", choices=list(ERRORS), default=list(STREAMS))
    parser.add_argument("--catch", nargs="+", type=people, default=list(CATCH), help="shares, tires, stamper")
    parser.add_argument("--rules", nargs="+", choices=list(RULES), default=["product"])
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--decisions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one row a line")
    asked = parser.parse_args()
    rows = []
    with get_context("fork").Pool(asked.jobs) as pool:
        for name in asked.stream:
            for catch in asked.catch:
                for rule in asked.rules:
                    tasks = [(name, catch, rule, asked.seed + n, asked.decisions) for n in range(asked.runs)]
                    rows.append(summed_up(name, catch, rule, pool.map(once, tasks, chunksize=2)))
                    if asked.json:
                        print(json.dumps(rows[-1]), flush=True)
    if not asked.json:
        console = Console() if sys.stdout.isatty() else Console(width=150)
        table = Table(*rows[0], title=f"{asked.decisions:,} decisions, seeds from {asked.seed}")
        for row in rows:
            table.add_row(*(f"{c:.3f}" if isinstance(c, float) else "" if c is None else str(c) for c in row.values()))
        console.print(table)
    return 0 if all(map(holds, rows)) else 1


if __name__ == "__main__":
    sys.exit(main())
