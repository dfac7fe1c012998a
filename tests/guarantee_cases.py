"""Loops under a guarantee with people who know the truth: what tests and screenshots of the guarantee show."""

from __future__ import annotations

import random
from typing import Any

import dualcontrol as dc

QUICK: dict[str, Any] = {
    "max_error": 0.2, "confidence": 0.9, "pilot": 20, "launch": 0, "adjudicate": False, "blind": False,
    "miss_rate": 0.0, "score": "confidence",
}  # fmt: skip


def define(desk: dc.Desk, name: str = "mail", *, labels: tuple[str, ...] = ("ham", "spam"), **changes: Any) -> dc.Loop:
    """A loop that opens after a few dozen right answers."""
    guarantee = {**QUICK, **changes}
    return desk.loop(name, mode="labels", labels=list(labels), context="minimal", guarantee=guarantee)


class World:
    """Proposals that are the more often right the surer they are, and a reviewer who knows."""

    def __init__(self, desk: dc.Desk, loop: dc.Loop, seed: int = 0, worse: float = 0.35) -> None:
        self.desk, self.loop, self.worse = desk, loop, worse
        self.noise = random.Random(seed)

    def decisions(self, count: int, *, wrong: float | None = None, answer: bool = True, **given: Any) -> None:
        """So many proposals, each answered at once where somebody is asked; `wrong` in place of what the score says."""
        for n in range(count):
            score = round(self.noise.random(), 4)
            risk = self.worse * (1 - score) ** 1.5 if wrong is None else wrong
            truth = "spam" if self.noise.random() < risk else "ham"
            case = self.loop.propose(proposal="ham", input=f"mail {n}", confidence=score, **given)
            if answer and (case.route.to == "human" or case.route.audited):
                self.desk.claim("ana", case=case).label(truth)
        self.loop.certify()
