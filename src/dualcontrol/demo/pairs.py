"""Pairs: two summaries of a README section, by two methods; choices train a scorer whose accuracy is shown.

Who chooses sees neither method, in an order drawn for each reviewer and recorded with the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualcontrol.case import JSON, Case
from dualcontrol.demo.readmes import Section, sections
from dualcontrol.demo.summaries import features, luhn, sentences, textrank
from dualcontrol.desk import Desk, Loop
from dualcontrol.learn.examples import TrainingRow
from dualcontrol.learn.export import preferences

NAME = "pairs"
SCORER = "bradley-terry"
SETTINGS: dict[str, Any] = {"mode": "preference", "feedback": "export", "markdown": ["input.text", "proposal"]}


class Pair(NamedTuple):
    """A section and two summaries of it that differ."""

    section: Section
    luhn: str
    textrank: str


class PairScorer(NamedTuple):
    """What the choices came to: how many, the features' weights, and how well they foresee choices not seen."""

    choices: int
    strengths: list[float]
    held_out: float | None

    def told(self) -> str:
        """A line for the reviewer, which says nothing about the case at hand."""
        if self.held_out is None:
            return f"the scorer has {self.choices} choices to learn from, too few to say how good it is"
        return f"the scorer foresees {self.held_out:.0%} of {self.choices} choices, each when it was held out"


def open_loop(desk: Desk) -> Loop:
    """The loop with its settings in force."""
    return desk.loop(NAME, **SETTINGS)


def pairs() -> Iterator[Pair]:
    """Sections whose two summaries differ, one package after the other in turns."""
    waiting: dict[str, list[Section]] = {}
    for section in sections():
        waiting.setdefault(section.package, []).append(section)
    while waiting:
        for package in list(waiting):
            section = waiting[package].pop(0)
            one, other = luhn(section.sentences), textrank(section.sentences)
            if one != other:
                yield Pair(section, one, other)
            if not waiting[package]:
                del waiting[package]


def propose(loop: Loop, pair: Pair, scorer: PairScorer) -> Case:
    """Open the case of a pair; the same section is proposed once."""
    section = pair.section
    methods = {"luhn": pair.luhn, "textrank": pair.textrank}
    candidates: list[dict[str, JSON]] = [
        {"id": f"s{place}", "value": text, "source": {"model": method}}
        for place, (method, text) in enumerate(methods.items(), start=1)
    ]
    return loop.propose(
        input={"package": section.package, "section": section.heading, "text": " ".join(section.sentences)},
        candidates=candidates, key=section.key, rationale=f"Which says better what the section says? {scorer.told()}.",
    )  # fmt: skip


def train(loop: Loop) -> PairScorer:
    """Fit the scorer to all choices so far; ties and twice-rejected pairs say nothing."""
    rows = [row for row in loop.examples() if row.kind == "preference"]
    found = np.array([gap for row in rows for gap in _gaps(row)])
    if not len(found):
        return PairScorer(0, [], None)
    with loop.desk.store.transaction() as tx:
        tx.mark_used(loop.control.loop_id, [row.id for row in rows if row.used_by is None], SCORER)
    strengths = [float(weight) for weight in fit(found)]
    return PairScorer(len(found), strengths, held_out_accuracy(found))


def _gaps(row: TrainingRow) -> Iterator[list[float]]:
    """Chosen minus rejected, feature by feature."""
    section = sentences(str(row.input["text"]))
    for chosen, rejected in preferences(row):
        yield _minus(features(str(chosen), section), features(str(rejected), section))


def _minus(a: Sequence[float], b: Sequence[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


# A scorer from preferences: Bradley and Terry (1952), with strengths that are linear in features of a text.
#
# The chance that one thing is preferred to another is the logistic function of the difference of their strengths;
# the weights maximise the likelihood of the choices under a Gaussian prior, by Newton's method.


Floats = NDArray[np.float64]
PRIOR = 1.0
STEPS = 50
TINY = 1e-9


def chances(differences: Floats, strengths: Floats) -> Floats:
    """The probability of each choice, given chosen minus rejected features."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(differences @ strengths, -40, 40))))


def fit(differences: Floats, weights: Floats | None = None, prior: float = PRIOR) -> Floats:
    """The weights of the features from rows of chosen minus rejected."""
    rows, width = differences.shape
    weight = np.ones(rows) if weights is None else weights
    strengths = np.zeros(width)
    for _ in range(STEPS):
        chance = chances(differences, strengths)
        slope = differences.T @ (weight * (1.0 - chance)) - prior * strengths
        bend = (differences.T * (weight * chance * (1.0 - chance))) @ differences + prior * np.eye(width)
        step = np.linalg.solve(bend, slope)
        strengths = strengths + step
        if np.abs(step).max() < TINY:
            break
    return np.asarray(strengths)


def accuracy(differences: Floats, strengths: Floats) -> float:
    """The share of choices that the strengths foresee; an even chance counts as half."""
    margin = differences @ strengths
    return float(((margin > 0) + 0.5 * (margin == 0)).mean()) if len(margin) else 0.0


def held_out_accuracy(differences: Floats, folds: int = 5) -> float | None:
    """Accuracy on choices that the fit has not seen, each once, over folds; None below two choices a fold."""
    count = len(differences)
    if count < 2 * folds:
        return None
    fold = np.arange(count) % folds
    right = [
        accuracy(differences[fold == part], fit(differences[fold != part])) * int((fold == part).sum())
        for part in range(folds)
    ]
    return sum(right) / count
