"""Pairs: two summaries of a README section, by two methods; choices train a scorer whose accuracy is shown.

Who chooses sees neither method, in an order drawn for each reviewer and recorded with the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, groupby, zip_longest
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from dualcontrol.case import JSON, Case
from dualcontrol.demo.readmes import Section, sections
from dualcontrol.demo.summaries import features, luhn, sentences, textrank
from dualcontrol.desk import Desk, Loop
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

    def in_words(self) -> str:
        """A line for the reviewer, which says nothing about the case at hand."""
        if self.held_out is None:
            return f"the scorer has {self.choices} choices to learn from, too few to say how good it is"
        return f"the scorer foresees {self.held_out:.0%} of {self.choices} choices, each when it was held out"


def open_loop(desk: Desk) -> Loop:
    """The loop with its settings in force."""
    return desk.loop(NAME, **SETTINGS)


def pairs() -> Iterator[Pair]:
    """Sections whose two summaries differ, one package after the other in turns."""
    packages = [list(group) for _, group in groupby(sections(), key=attrgetter("package"))]
    for section in filter(None, chain.from_iterable(zip_longest(*packages))):
        one, other = luhn(section.sentences), textrank(section.sentences)
        if one != other:
            yield Pair(section, one, other)


def propose(loop: Loop, pair: Pair, scorer: PairScorer) -> Case:
    """Open the case of a pair; the same section is proposed once."""
    section = pair.section
    candidates: list[dict[str, JSON]] = [
        {"id": "s1", "value": pair.luhn, "source": {"model": "luhn"}},
        {"id": "s2", "value": pair.textrank, "source": {"model": "textrank"}},
    ]
    return loop.propose(
        input={"package": section.package, "section": section.heading, "text": " ".join(section.sentences)},
        candidates=candidates, key=section.key,
        rationale=f"Which says better what the section says? {scorer.in_words()}.",
    )  # fmt: skip


def train(loop: Loop) -> PairScorer:
    """Fit the scorer to all choices so far; ties and twice-rejected pairs say nothing."""
    rows, gaps = [row for row in loop.examples() if row.kind == "preference"], []
    for row in rows:
        section = sentences(str(row.input["text"]))
        for chosen, rejected in preferences(row):
            gaps.append(np.subtract(features(str(chosen), section), features(str(rejected), section)))
    if not gaps:
        return PairScorer(0, [], None)
    with loop.desk.store.transaction() as tx:
        tx.mark_used(loop.control.loop_id, [row.id for row in rows if row.used_by is None], SCORER)
    differences = np.array(gaps)
    return PairScorer(len(gaps), fit(differences).tolist(), held_out_accuracy(differences))


# A scorer from preferences: Bradley and Terry (1952), with strengths that are linear in features of a text.
#
# The chance that one thing is preferred to another is the logistic function of the difference of their strengths:
# logistic regression without an intercept, on each difference and its opposite, under a Gaussian prior.


Floats = NDArray[np.float64]
PRIOR = 1.0


def fit(differences: Floats) -> Floats:
    """The weights of the features from rows of chosen minus rejected: maximum a posteriori."""
    both = np.concatenate([differences, -differences])
    regression = LogisticRegression(C=0.5 / PRIOR, fit_intercept=False, solver="newton-cholesky", tol=1e-9)
    return np.asarray(regression.fit(both, np.repeat([1, 0], len(differences))).coef_[0])


def held_out_accuracy(differences: Floats, folds: int = 5) -> float | None:
    """The share of choices foreseen by a fit that has not seen them, over folds; an even chance counts as half.

    None below two choices a fold.
    """
    if len(differences) < 2 * folds:
        return None
    fold = np.arange(len(differences)) % folds
    margins = [differences[fold == part] @ fit(differences[fold != part]) for part in range(folds)]
    return float((np.sign(np.concatenate(margins)) / 2 + 0.5).mean())
