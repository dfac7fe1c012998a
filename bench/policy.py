"""A changed policy, many epochs, many candidates: how often a region in force breaks the promise, with its rivals.

Every run has its truth: a region is broken where more than `BOUND` of the cases in it are wrong.  A promise with 95 %
confidence may be broken in 5 % of the runs.  `python bench/policy.py [RUNS] [SEED]` prints the tables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
from streams import drawn

from dualcontrol.case import Signal
from dualcontrol.control import Control, Guarantee, LoopSettings, Rule
from dualcontrol.guarantee import certificate as counting
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.warm_start import POLICIES
from dualcontrol.route.route import route, subject_of

BOUND, CONFIDENCE = 0.05, 0.95
AUDIT = 0.1
HARD = Rule(name="hard", when="input.hard", route="human")
EASY = Rule(name="easy", when="!input.hard", route="human")


def reaching(rules: Sequence[Rule]) -> np.ndarray:
    """Whether an easy and a hard case reach the threshold under these rules, as they are routed."""
    settings = LoopSettings(name="bench", guarantee=Guarantee(max_error=BOUND), rules=tuple(rules))
    control = Control(loop="bench", loop_id=1, version=1, settings=settings)
    subjects = [subject_of("", None, {"hard": hard}, Signal(confidence=0.5), None, True) for hard in (False, True)]
    return np.array([route(subject, control, 0).score is not None for subject in subjects])


class Cases:
    """Cases that are easy or hard, with scores that say nothing of which; `wrong` by kind and score."""

    def __init__(self, rng: np.random.Generator, count: int, hard: float, errors: Sequence[float]) -> None:
        self.hard = (rng.random(count) < hard).astype(int)
        self.score = rng.random(count)
        self.share, self.errors = hard, errors
        self.wrong = (rng.random(count) < self.risk(self.hard, self.score)).astype(int)
        self.draw = rng.random(count)

    def risk(self, hard: np.ndarray, score: np.ndarray) -> np.ndarray:
        """The chance of being wrong: it falls with the score, three times as high at the lowest as on average."""
        return np.asarray(self.errors)[hard] * 3.0 * (1.0 - score) ** 2

    def broken(self, threshold: float | None, reach: np.ndarray) -> bool:
        """Whether more than the bound is wrong of the cases that reach this threshold under these rules."""
        if threshold is None:
            return False
        masses = np.array([1.0 - self.share, self.share]) * reach
        mean = (masses @ np.asarray(self.errors)) / masses.sum()
        return bool(mean * (1.0 - threshold) ** 2 > BOUND + 1e-12)  # the mean of 3 (1 - s)^2 from there on


def changed(
    rng: np.random.Generator, before: Sequence[Rule], after: Sequence[Rule], errors: Sequence[float], hard: float,
    how: str, count: int = 10_000,
) -> tuple[bool, int | None]:  # fmt: skip
    """A policy that changes in the middle: whether a region in force was ever broken, and when it opened again.

    `how` is what the change does: "nothing", a "cold" epoch, or one with a "warm" start.
    """
    cases, change = Cases(rng, count, hard, errors), count // 2
    old, new = reaching(before), reaching(after)
    live = Certificate(BOUND, CONFIDENCE, pilot=200, launch=2000, spent=0)
    recorded: list[tuple[int, float, int, float, float]] = []
    broken, opened = False, None
    for n in range(count):
        reach = old if n < change else new
        if n == change:
            broken = False  # what counts is what the change does
            if how != "nothing":
                taken = [row for row in recorded if new[cases.hard[row[0]]]] if how == "warm" else []
                live = Certificate(
                    BOUND, CONFIDENCE, pilot=200, spent=1, warm=len(taken), warm_share=1.0 / POLICIES
                )  # fmt: skip
                for seq, score, wrong, inclusion, floor in taken:
                    live.observe(score=score, wrong=wrong, inclusion=inclusion, seq=seq, floor=floor)
                live.tick()
        score, wrong = float(cases.score[n]), int(cases.wrong[n])
        alone = live.threshold is not None and score >= live.threshold and not live.launching
        floor = AUDIT if live.threshold is not None and not live.launching else 1.0
        if not reach[cases.hard[n]]:
            recorded.append((n, score, wrong, 1.0, floor))
            continue
        if not alone or cases.draw[n] < AUDIT:
            label = (n, score, wrong, AUDIT if alone else 1.0, floor)
            recorded.append(label)
            live.observe(score=score, wrong=wrong, inclusion=label[3], seq=n, floor=floor)
            live.tick()
        if n >= change:
            broken = broken or cases.broken(live.threshold, new)
            opened = n - change if opened is None and live.threshold is not None else opened
    return broken, opened


def labelled(live: Certificate, wrong: np.ndarray, score: np.ndarray, first: int = 0) -> bool:
    """Count labels until something is certified; whether it was."""
    for n, (one, at) in enumerate(zip(wrong.tolist(), score.tolist(), strict=True)):
        live.observe(score=at, wrong=one, inclusion=1.0, seq=first + n)
        live.tick()
        if live.threshold is not None:
            return True
    return False


def epochs(rng: np.random.Generator, spent: Callable[[int], int | None], many: int = 20, labels: int = 1_500) -> bool:
    """Epochs in a row, in each of which everything is a little too bad: whether any certifies something."""
    for nth in range(many):
        wrong, score = (rng.random(labels) < BOUND * 1.02).astype(int), rng.random(labels)
        live = Certificate(BOUND, CONFIDENCE, pilot=0, edges=[0.5], start=1.0, first=0, spent=spent(nth))
        if labelled(live, wrong, score):
            return True
    return False


def candidates(rng: np.random.Generator, share: Callable[[int], float], many: int = 50, labels: int = 1_500) -> bool:
    """Models that are tried on the same cases, each a little too bad: whether any of them certifies something at once.

    Their errors are as different as errors on the same cases can be.
    """
    for nth in range(many):
        wrong, score = (rng.random(labels) < BOUND * 1.02).astype(int), rng.random(labels)
        live = Certificate(
            BOUND, CONFIDENCE, pilot=0, edges=[0.5], first=0, spent=1, warm=labels, warm_share=share(nth + 1)
        )  # fmt: skip
        if share(nth + 1) > 1.0 - 1e-9:  # as before: without a part of its own
            live = Certificate(BOUND, CONFIDENCE, pilot=0, edges=[0.5], first=0)
        if labelled(live, wrong, score):
            return True
    return False


def chosen(rng: np.random.Generator, share: float, groups: int = 10, labels: int = 1_000) -> bool:
    """The best of ten policies by what is recorded, each a little too bad: whether it certifies something at once."""
    wrong = (rng.random((groups, labels)) < BOUND * 1.02).astype(int)
    best = wrong[wrong.sum(axis=1).argmin()]
    live = Certificate(BOUND, CONFIDENCE, pilot=0, edges=[0.5], first=0, spent=1, warm=labels, warm_share=share)
    return labelled(live, best, rng.random(labels))


def opening(name: str, seed: int, part: float, launch: int) -> int:
    """After how many decisions of a stream a first region opens, all reviewed, where this part of delta is spent."""
    stream = drawn(name, 20_000, seed)
    live = Certificate(BOUND, 1.0 - (1.0 - CONFIDENCE) * part, pilot=200, launch=launch)
    for n, (score, wrong) in enumerate(zip(stream.scores.tolist(), stream.wrong.tolist(), strict=True)):
        live.observe(score=score, wrong=int(wrong), inclusion=1.0, seq=n)
        live.tick()
        if live.threshold is not None:
            return n + 1
    return len(stream)


STREAMS = ("cal_light", "cal_heavy", "overconf")
SCHEDULES: dict[str, Callable[[int], float]] = {
    "each epoch all (before)": lambda nth: 1.0,
    "half, then 1 / n (n + 1) of the rest (in force)": lambda nth: counting.part_of(nth),
    "6 / (pi n)^2": lambda nth: 6.0 / (np.pi * (nth + 1)) ** 2,
    "half, the rest over 20 epochs": lambda nth: 0.5 if nth == 0 else 0.5 / 19,
}


def main(runs: int, seed: int) -> None:
    """Print every table."""
    stories = {
        "a rule that kept 40 % hard cases with people is deleted": ([HARD], [], (0.02, 0.16), 0.4),
        "a rule is added that sends the easy half to people": ([], [EASY], (0.01, 0.105), 0.5),
        "a rule is deleted, and the cases it kept are as easy": ([HARD], [], (0.03, 0.03), 0.4),
    }
    print(f"{runs} runs; share of them in which a region in force was ever broken after the change, and median opening")
    for story, (before, after, errors, hard) in stories.items():
        for how in ("nothing", "cold", "warm"):
            rng = np.random.default_rng([seed, len(story), len(how)])
            results = [changed(rng, before, after, errors, hard, how) for _ in range(runs)]
            times = [time for _, time in results if time is not None]
            share = sum(broken for broken, _ in results) / runs
            when = f"{median(times):,.0f} ({len(times) / runs:.0%} open)" if times else "never"
            print(f"{story:58} {how:8} {share:5.2f}  {when}")
    print("\n20 epochs in a row, all a little too bad: share of runs in which one opened")
    for name, spent in {"each epoch all (before)": lambda nth: None, "by the schedule": lambda nth: nth}.items():
        rng = np.random.default_rng([seed, 20])
        print(f"{name:58} {sum(epochs(rng, spent) for _ in range(runs)) / runs:5.2f}")
    print("\n50 candidate models tried on one set of cases, all a little too bad: share of runs in which one opened")
    for name, share in {"each all (before)": lambda nth: 1.0, "each its part": counting.chance_of}.items():
        rng = np.random.default_rng([seed, 50])
        print(f"{name:58} {sum(candidates(rng, share) for _ in range(runs)) / runs:5.2f}")
    print("\nthe best of 10 policies by what is recorded, all a little too bad: share of runs in which it opened")
    for name, part in {"half of an epoch's delta": 1.0, "a tenth of that": 1.0 / POLICIES}.items():
        rng = np.random.default_rng([seed, 10])
        print(f"{name:58} {sum(chosen(rng, part) for _ in range(runs)) / runs:5.2f}")
    print("\nmedian opening after so many decisions, in the 1st, 2nd, 6th and 20th epoch")
    for name in STREAMS:
        for schedule, part in SCHEDULES.items():
            rows = [
                median(opening(name, seed + run, part(nth), 0 if nth else 2_000) for run in range(max(5, runs // 5)))
                for nth in (0, 1, 5, 19)
            ]
            print(f"{name:10} {schedule:48} {' '.join(f'{row:6,.0f}' for row in rows)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
