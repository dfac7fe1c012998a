"""Payments whose mistakes confidence hides: a quarter is confident and often wrong, which their arguments say."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import dualcontrol as dc
from dualcontrol.case import Case
from dualcontrol.testing import FakeClock, seeded_ids

PROMISE: dict[str, Any] = {
    "max_error": 0.05, "learn_from": 400, "pilot": 100, "launch": 0, "adjudicate": False, "blind": False,
    "miss_rate": 0.0,
}  # fmt: skip


def opened(folder: Path, ids: int = 0) -> dc.Desk:
    """A desk on the database of a folder."""
    url = f"sqlite:///{folder}/dc.db"
    return dc.open(url, clock=FakeClock(), durability="process", secret="5eed" * 16, new_id=seeded_ids(ids))


def define(desk: dc.Desk, score: str = "risk", **changes: Any) -> dc.Loop:
    """The loop of these tests."""
    return desk.loop("pay", context="minimal", guarantee={**PROMISE, "score": score, **changes})


class Stream:
    """Payments, and a reviewer who knows which are wrong."""

    def __init__(self, desk: dc.Desk, loop: dc.Loop, seed: int = 0) -> None:
        self.desk, self.loop, self.noise = desk, loop, random.Random(seed)
        self.autopilot: list[bool] = []
        self.asked: list[Case] = []

    def go(self, count: int) -> Stream:
        """Propose so many payments; whoever is asked answers at once."""
        for _ in range(count):
            foreign = self.noise.random() < 0.25
            sure = 0.8 + 0.2 * self.noise.random() if foreign else self.noise.random()
            wrong = self.noise.random() < (0.4 if foreign else 0.3 * (1 - sure) ** 3)
            case = pay(self.loop, "foreign" if foreign else "plain", sure, self.noise.expovariate(0.01))
            if case.route.to == "autopilot":
                self.autopilot.append(wrong)
            if case.route.to == "human" or case.route.audited:
                self.asked.append(case)
                claim = self.desk.claim("ana", case=case)
                claim.reject("not ours") if wrong else claim.approve()
        return self


def pay(loop: dc.Loop, kind: str, sure: float, amount: float = 10.0) -> Case:
    """Propose one payment."""
    args = {"kind": kind, "amount": amount}
    return loop.propose(action="pay", args=args, input={"bill": 7}, confidence=sure, alternatives=[])
