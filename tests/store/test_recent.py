"""What a process keeps of the cases it wrote is what the database says, after every kind of step."""

from __future__ import annotations

import json
import threading

import pytest

import dualcontrol as dc
from dualcontrol.testing import FakeClock

GIVEN = {
    "input": {"mail": "é\u2028 😀", "n": [1, 1.0, True, None, 2**70]},
    "rationale": "r",
    "alternatives": [],
    "history": [{"a": 1}],
    "meta": {"b": 2.5},
}


def shape(case: dc.Case) -> str:
    """A case as text, in which 1, 1.0 and true differ."""
    return json.dumps(case.to_dict(), sort_keys=True)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request, tmp_path) -> str:
    return f"sqlite:///{tmp_path}/dc.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(url, clock):
    with dc.open(url, durability="process", clock=clock) as desk:
        yield desk


@pytest.fixture
def agreed(desk, url, clock):
    """Compare a case as this process has it with the case as another one reads it."""

    def agree(case_id: str) -> dc.Case:
        here = desk.case(case_id)
        with desk.store.transaction() as tx:
            held = tx.load(case_id)
        with dc.open(url, durability="process", clock=clock) as other:
            there = other.case(case_id)
        assert here == there == held
        assert shape(here) == shape(there) == shape(held)
        return here

    return agree


def test_approval_with_everything_that_may_happen_to_a_claim(desk, agreed, clock):
    loop = desk.loop("pay", mode="approval", threshold=0.9, undo="1m", context="full", quorum={"answers": 2})
    case = loop.propose(action="pay", args={"amount": 10.0, "id": 2**60 + 1}, confidence=0.3, risk=0.4, **GIVEN)
    agreed(case.id)
    claim = desk.claim("ana")
    claim.extend("1h")
    agreed(case.id)
    claim.release()
    agreed(case.id)
    desk.claim("ana").edit({"amount": 1, "id": 2**60 + 2}, rationale="less")
    agreed(case.id)
    desk.claim("ben").abstain()
    agreed(case.id)
    desk.claim("cleo").edit({"amount": 1, "id": 2**60 + 2}, rationale="less")
    assert agreed(case.id).state == "decided"
    desk.retract(case.id, "cleo")
    agreed(case.id)
    desk.claim("cleo", case=case.id).edit({"amount": 1, "id": 2**60 + 2}, rationale="still less")
    clock.tick(61)
    desk.sweep()
    with loop.effect(case.id) as value:
        assert value["args"] == {"amount": 1, "id": 2**60 + 2}
        agreed(case.id)
    assert agreed(case.id).state == "closed"
    desk.erase(case.id)
    assert agreed(case.id).input is None


def test_labels_audits_and_timeouts(desk, agreed, clock):
    loop = desk.loop(
        "spam", mode="labels", threshold=0.9, audit=1.0, labels=["spam", "ham"], respond_within="1m",
        on_timeout="reject", context="minimal",
    )  # fmt: skip
    sure = loop.propose(proposal="ham", input="x", confidence=0.95, scores={"spam": 0.05, "ham": 0.95})
    agreed(sure.id)
    desk.claim("ana", case=sure.id).label("spam")
    assert agreed(sure.id).audits[0]["wrong"] == 1
    late = loop.propose(proposal="ham", input="y", confidence=0.5)
    clock.tick(61)
    desk.sweep()
    assert agreed(late.id).outcome.by == "timeout"


def test_another_process_moved_the_case(desk, url, clock):
    loop = desk.loop("pay", mode="approval", threshold=0.9, context="minimal")
    case = loop.propose(action="pay", args={"amount": 10.0}, input=1, confidence=0.3)
    with dc.open(url, durability="process", clock=clock) as other:
        other.loop("pay")
        other.claim("ben", case=case.id).edit({"amount": 2.0})
    assert desk.case(case.id).answers[0].value["args"] == {"amount": 2.0}
    with loop.effect(case.id) as value:
        assert value["args"] == {"amount": 2.0}


def test_reading_one_case_beside_a_writer_of_the_same_process(desk):
    loop = desk.loop("pay", mode="approval", threshold=0.9, context="minimal")
    case = loop.propose(action="pay", args={"amount": 10.0}, input=1, confidence=0.3)
    seen = []
    with desk.store.transaction():
        seen.append(desk.case(case.id).state)
        reader = threading.Thread(target=lambda: seen.append(desk.case(case.id).state))
        reader.start()
        reader.join(10)
    assert seen == ["open", "open"]
