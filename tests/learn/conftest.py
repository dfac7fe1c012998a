"""A small labels loop whose answers a model can learn from, with a clock, ids and draws that repeat."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualcontrol import compose
from dualcontrol.desk import Desk, Loop
from dualcontrol.settings import Database, Settings
from dualcontrol.testing import FakeClock, seeded_ids

SECRET = "5eed" * 16


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    database = Database(url=f"sqlite:///{tmp_path}/dc.db", durability="process")
    return Settings(database=database, models=str(tmp_path / "models"), secret=SECRET)


@pytest.fixture
def desk(settings: Settings, clock: FakeClock) -> Iterator[Desk]:
    with compose.open(settings=settings, clock=clock, new_id=seeded_ids(0)) as opened:
        yield opened


@pytest.fixture
def loop(desk: Desk) -> Loop:
    feedback = {"retrain_every": 20, "or_every": "7d", "trainer": "sklearn", "holdout": 0.25}
    return desk.loop(
        "sides", mode="labels", labels=["left", "right"], threshold=0.9, audit=0.5, context=["input"], feedback=feedback
    )


@pytest.fixture
def answer(desk: Desk, loop: Loop, clock: FakeClock):
    """Propose and answer `count` cases; a point's side is the sign of x, flipped where `wrong` says so."""
    noise = random.Random(1)

    def go(count: int, *, wrong: bool = False, **given) -> None:
        for _ in range(count):
            clock.tick(1)
            x = noise.uniform(-1, 1)
            side = "right" if (x > 0) != wrong else "left"
            given = {"candidates": ["left", "right"]} | given
            loop.propose(input={"x": x, "y": noise.uniform(-1, 1)}, **given)
            claim = desk.claim("ana", loop)
            if claim is not None:
                claim.label(side)

    return go
