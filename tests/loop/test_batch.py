"""Rows in columns: cases only for those that a human sees, one entry a chunk for the rest."""

from __future__ import annotations

import numpy as np
import pytest

import dualcontrol as dc
from dualcontrol.batch import propose_batch
from dualcontrol.errors import ContextError, SignalError
from dualcontrol.events import BatchRouted


@pytest.fixture
def desk(database_url):
    desk = dc.open(database_url, durability="process")
    yield desk
    desk.close()


@pytest.fixture
def mail(desk):
    return desk.loop("mail", mode="labels", threshold=0.9, audit=0.3, context="minimal")


def rows(n: int = 200) -> dict:
    confidence = np.random.default_rng(1).random(n)
    return {
        "input": [f"mail {i}" for i in range(n)],
        "proposal": ["ham"] * n,
        "confidence": confidence,
        "meta.row": list(range(n)),
    }


def batches(desk, loop) -> list[BatchRouted]:
    entries = desk.store.queries.entries(loop.stream)
    return [e for entry in entries for e in entry.events if isinstance(e, BatchRouted)]


def test_cases_are_opened_for_people_only(desk, mail):
    made = mail.propose_batch(rows())
    to = np.array(["block", "human", "autopilot"])[made.to]
    seen = set(np.flatnonzero((to == "human") | made.audited).tolist())
    assert set(made.cases) == seen
    assert 0 < made.audited.sum() < 60
    assert (made.inclusion[to == "autopilot"] == 0.3).all()
    event = batches(desk, mail)[0]
    assert (event.rows, event.human, event.autopilot) == (
        200,
        int((to == "human").sum()),
        int((to == "autopilot").sum()),
    )
    case = desk.case(made.cases[min(seen)])
    assert case.meta == {"row": min(seen)}
    assert case.candidates[0].value == "ham"


def test_an_audited_row_is_a_case_on_autopilot(desk, mail):
    made = mail.propose_batch(rows())
    row = int(np.flatnonzero(made.audited)[0])
    case = desk.case(made.cases[row])
    assert (case.route.to, case.route.audited, case.outcome.by) == ("autopilot", True, "autopilot")
    assert case.reviews[0].kind == "audit"


def test_the_same_batch_again_writes_nothing(desk, mail):
    first = mail.propose_batch(rows(), key="monday")
    again = mail.propose_batch(rows(), key="monday")
    assert first.cases == again.cases
    assert (first.audited == again.audited).all()
    assert len(batches(desk, mail)) == 1


def test_a_batch_is_written_in_chunks(desk, mail):
    made = propose_batch(desk.steps, "mail", rows(), key="k", chunk=64)
    assert [e.chunk for e in batches(desk, mail)] == [0, 1, 2, 3]
    assert sum(made.counts[k] for k in ("autopilot", "human", "blocked")) == 200


def test_bad_rows_are_named_and_nothing_is_written(desk, mail):
    bad = rows(10)
    bad["confidence"][7] = float("nan")
    with pytest.raises(SignalError, match="row 7"):
        mail.propose_batch(bad)
    loop = desk.loop("strict", mode="labels", threshold=0.9, context="standard")
    with pytest.raises(ContextError):
        loop.propose_batch(rows(10))
    assert desk.store.queries.cases().rows == ()
    assert batches(desk, mail) == []
