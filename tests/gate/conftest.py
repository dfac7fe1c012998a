"""A loop whose calls wait for a person, on each database, with a clock that the test moves."""

from __future__ import annotations

import pytest

import dualcontrol as dc
from dualcontrol.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(database_url, clock):
    with dc.open(database_url, durability="process", clock=clock) as desk:
        yield desk


@pytest.fixture
def loop(desk):
    return desk.loop("pay", context="minimal", threshold=0.9, rationale="optional")
