"""Pairs: two summaries of a README section, by two methods; choices train a scorer whose accuracy is shown.

Who chooses sees neither method, in an order drawn for each reviewer and recorded with the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from dualcontrol.case import JSON, Case
from dualcontrol.demo import bradley_terry
from dualcontrol.demo.readmes import Section, sections
from dualcontrol.demo.summaries import features, luhn, sentences, textrank
from dualcontrol.desk import Desk, Loop
from dualcontrol.learn.examples import Row
from dualcontrol.learn.export import preferences

NAME = "pairs"
SCORER = "bradley-terry"
SETTINGS: dict[str, Any] = {"mode": "preference", "feedback": "export", "markdown": ["input.text", "proposal"]}


class Pair(NamedTuple):
    """A section and two summaries of it that differ."""

    section: Section
    luhn: str
    textrank: str


class Scorer(NamedTuple):
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


def propose(loop: Loop, pair: Pair, scorer: Scorer) -> Case:
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


def train(loop: Loop) -> Scorer:
    """Fit the scorer to all choices so far; ties and twice-rejected pairs say nothing."""
    rows = [row for row in loop.examples() if row.kind == "preference"]
    found = np.array([gap for row in rows for gap in _gaps(row)])
    if not len(found):
        return Scorer(0, [], None)
    with loop.desk.store.transaction() as tx:
        tx.mark_used(loop.control.loop_id, [row.id for row in rows if row.used_by is None], SCORER)
    strengths = [float(weight) for weight in bradley_terry.fit(found)]
    return Scorer(len(found), strengths, bradley_terry.held_out_accuracy(found))


def _gaps(row: Row) -> Iterator[list[float]]:
    """Chosen minus rejected, feature by feature."""
    section = sentences(str(row.input["text"]))
    for chosen, rejected in preferences(row):
        yield _minus(features(str(chosen), section), features(str(rejected), section))


def _minus(a: Sequence[float], b: Sequence[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]
