"""The work of one more label of a loop under a guarantee, in Python calls.

A certificate of 100 regions that has counted hundreds of labels takes one more: counted are the calls of the certifier
from reading the feed to the written event, with those in the store and below it apart; then those of two of its parts.

    python scripts/measure_certificate.py [--json]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from measure_tree import show

import dualcontrol as dc
from dualcontrol.testing import FakeClock, seeded_ids

PILOT, DECISIONS = 200, 500
STORE = ("/dualcontrol/store/", "/contextlib.py")


def calls(work: Callable[[], Any]) -> dict[str, int]:
    """The Python calls that some work takes: those in the store and below it, and all others."""
    count = {"own": 0, "store": 0}
    below: list[bool] = []

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            below.append((below and below[-1]) or any(part in frame.f_code.co_filename for part in STORE))
            count["store" if below[-1] else "own"] += 1
        elif event == "return" and below:
            below.pop()

    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def measured() -> dict[str, int]:
    """All figures."""
    guarantee = {
        "max_error": 0.2,
        "pilot": PILOT,
        "launch": 0,
        "adjudicate": False,
        "blind": False,
        "score": "confidence",
    }
    clock = FakeClock()
    with dc.open("sqlite:///:memory:", clock=clock, new_id=seeded_ids(0), secret="5eed" * 16) as desk:
        loop = desk.loop("mail", mode="labels", context="minimal", guarantee=guarantee)

        def decide(n: int) -> None:
            clock.tick(1.0)
            case = loop.propose(proposal="a", input=n, confidence=(n * 0.618034) % 1.0)
            claim = desk.claim("ana", "mail", case=case)
            if claim is not None:
                claim.label("a" if n % 20 else "b")

        for n in range(DECISIONS):
            decide(n)
        loop.certify()
        desk.certifier.answered = lambda case: None  # type: ignore[method-assign]
        decide(DECISIONS)
        one = calls(loop.certify)
        segment = desk.certifier.segments(loop.control)[""]
        label = (segment.upto + 1, "0.5", 0, "1.0", 0, 0)
        return {
            "regions": len(segment.certificate.edges) + 1,
            "labels counted before": segment.certificate.labels - 1,
            "a label's update": one["own"],
            "of the store meanwhile": one["store"],
            "its copy of the segment": calls(segment.copied)["own"] - 1,
            "its count in the segment": calls(lambda: segment.count(label))["own"] - 1,
        }


if __name__ == "__main__":
    show(measured())
