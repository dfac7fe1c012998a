"""Replicas count evidence beside each other, and one of them is killed: each label counts once, in order."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from failure.certifying import SETTINGS, truth
from failure.conftest import Beside

import dualcontrol as dc
from dualcontrol.doctor import examine
from dualcontrol.doctor.database import PROBLEM
from dualcontrol.events import EpochBegan, ThresholdMoved
from dualcontrol.guarantee.certificate import Certificate

SCRIPT = Path(__file__).with_name("certifying.py")
CASES = 100


class Reviewers(Beside):
    """Processes that answer and count."""

    def kill(self, process: subprocess.Popen[str], after: int) -> None:
        """End a process without a warning once it has given some answers."""
        assert process.stdout is not None
        for _ in range(after):
            assert process.stdout.readline() == "answered\n"
        process.kill()


@pytest.fixture
def reviewers(lasting_url: str) -> Iterator[Reviewers]:
    made = Reviewers(lasting_url, SCRIPT)
    yield made
    made.end()


def test_a_replica_that_is_killed_loses_nothing_and_counts_nothing_twice(lasting_url: str, reviewers: Reviewers):
    with dc.open(lasting_url, durability="process") as desk:
        loop = desk.loop("mail", **SETTINGS)
        given = [
            desk.loop("mail").propose(proposal="a", input=i, confidence=(i * 37 % 101) / 101) for i in range(1, CASES)
        ]
        first, second = reviewers.start("ana"), reviewers.start("ben")
        reviewers.kill(first, 25)
        third = reviewers.start("cleo")
        for process in (second, third):
            process.communicate(timeout=50)
        loop.certify()
        evidence = loop.evidence()
        assert [row["score"] for row in evidence] == [case.confidence for case in given]
        assert [row["wrong"] for row in evidence] == [int(truth(i) == "b") for i in range(1, CASES)]
        events = [e for entry in desk.store.queries.entries(loop.stream) for e in entry.events]
        pure = Certificate(**json.loads(next(e.promise for e in events if isinstance(e, EpochBegan))))
        for row in evidence:
            pure.observe(**row)
        pure.tick()
        moved = [(e.pos, e.bin, e.threshold) for e in events if isinstance(e, ThresholdMoved)]
        assert moved == [(step.seq, step.bin, repr(step.threshold)) for step in pure.steps]
        assert [found.what for found in examine(desk.store) if found.level == PROBLEM] == []
