"""Everything that is due is done in one sweep, each case by itself in the record, and no case stops another."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol import step, sweep
from dualcontrol.commands import Timeout
from dualcontrol.doctor import PROBLEM, examine
from dualcontrol.errors import EffectError
from dualcontrol.testing import FakeClock

PAY: dict[str, Any] = {"action": "pay", "args": {"amount": 10.0}, "input": "invoice 7", "confidence": 0.5}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(database_url: str, clock: FakeClock) -> Iterator[dc.Desk]:
    with dc.open(database_url, durability="process", clock=clock) as desk:
        desk.loop("pay", threshold=0.9, context="minimal", respond_within="15m", on_timeout="reject", undo="1m")
        yield desk


def many(desk: dc.Desk, count: int) -> list[str]:
    """Cases that wait for people, opened at once."""
    rows = {"action": ["pay"] * count, "args.n": list(range(count)), "input.mail": ["please"] * count}
    return list(desk.loop("pay").propose_batch(rows | {"confidence": [0.5] * count}).cases.values())


def kinds(desk: dc.Desk, case_id: str) -> list[str]:
    return [type(event).__name__ for event in desk.events(case_id)]


def sound(desk: dc.Desk) -> bool:
    return [f for f in examine(desk.store) if f.level == PROBLEM] == []


ENDED = ["TimedOut", "Concluded", "ReviewCancelled"]


def test_all_that_is_due_is_done_in_one_sweep(desk: dc.Desk, clock: FakeClock) -> None:
    ids = many(desk, 250)
    decided = [desk.loop("pay").propose(**PAY).id for _ in range(3)]
    for case_id in decided:
        desk.claim("ana", case=case_id).approve()
    held = desk.claim("ben")
    clock.tick(3600)
    assert desk.sweep() == 250 + 3 + 1  # time outs, decisions that take effect, a lease
    assert desk.sweep() == 0
    assert all(kinds(desk, case_id)[-3:] == ENDED for case_id in ids)
    assert [desk.case(case_id).outcome.verdict for case_id in decided] == ["approve"] * 3
    assert kinds(desk, held.case.id).count("LeaseExpired") == 1
    entries = desk.store.queries.entries(f"case/{ids[-1]}")
    assert [(entry.seq, entry.actor) for entry in entries] == [(1, "program"), (2, "system")]
    assert sound(desk)


def test_many_cases_share_a_transaction(desk: dc.Desk, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    many(desk, 250)
    clock.tick(3600)
    monkeypatch.setattr(sweep, "LONGEST", 60.0)
    begun = Counter[str]()
    transaction = type(desk.store).transaction

    def counted(store: Any, durable: bool = True, starts: bool | None = None) -> Any:
        begun["transactions"] += 1
        return transaction(store, durable, starts)

    monkeypatch.setattr(type(desk.store), "transaction", counted)
    assert desk.sweep() == 250
    assert begun["transactions"] < 20


def test_a_transaction_ends_when_others_have_waited_long_enough(
    desk: dc.Desk, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no time at all each transaction does one case, and all are done all the same."""
    ids = many(desk, 12)
    clock.tick(3600)
    monkeypatch.setattr(sweep, "LONGEST", 0.0)
    assert desk.sweep() == 12
    assert all(kinds(desk, case_id)[-3:] == ENDED for case_id in ids)


def test_a_sweep_with_no_time_left_does_some_of_each_kind(
    desk: dc.Desk, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many cases time out, an effect that was lost does not wait for the last of them."""
    many(desk, 30)
    effect = desk.loop("pay").propose(**(PAY | {"confidence": 0.95}), effect="ready")
    desk.loop("pay").start_effect(effect.id)
    clock.tick(3600)
    monkeypatch.setattr(sweep, "AT_ONCE", 10)
    monkeypatch.setattr(sweep, "LONGEST", 60.0)
    assert desk.sweep(seconds=0.0) == 10 + 1
    assert desk.case(effect.id).effect.state == "unknown"
    assert [desk.sweep(seconds=0.0) for _ in range(3)] == [10, 10, 0]


def refusing(monkeypatch: pytest.MonkeyPatch, case_id: str, error: Exception) -> None:
    """The stage fails on one case."""
    timeout = step.HANDLERS[Timeout]

    def handler(case: Any, *rest: Any) -> Any:
        if case.id == case_id:
            raise error
        return timeout(case, *rest)

    monkeypatch.setitem(step.HANDLERS, Timeout, handler)


@pytest.mark.parametrize("error", [EffectError("not this one"), KeyError("a defect"), RecursionError()], ids=repr)
def test_a_case_that_fails_stops_no_other(
    desk: dc.Desk, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """A defect is told of once an hour, though the case is due each second; a refusal is no defect."""
    ids = many(desk, 60)
    clock.tick(3600)
    refusing(monkeypatch, ids[20], error)
    assert desk.sweep() == 59
    assert [case_id for case_id in ids if kinds(desk, case_id)[-3:] != ENDED] == [ids[20]]
    assert desk.sweep() == 0
    told = 0 if isinstance(error, EffectError) else 1
    assert [ids[20] in record.getMessage() for record in caplog.records] == [True] * told
    clock.tick(3601)
    assert desk.sweep() == 0
    assert len(caplog.records) == 2 * told
    monkeypatch.undo()
    assert desk.sweep() == 1
    assert sound(desk)


def test_a_case_whose_content_was_changed_stops_no_other(desk: dc.Desk, clock: FakeClock) -> None:
    ids = many(desk, 60)
    with desk.store.transaction() as tx:
        tx.session.one(f"UPDATE payloads SET body = '\"other\"' WHERE case_id = '{ids[20]}' RETURNING 1")
    desk.store._shared.recent._kept.clear()
    clock.tick(3600)
    assert desk.sweep() == 59
    assert [case_id for case_id in ids if kinds(desk, case_id)[-3:] != ENDED] == [ids[20]]


def test_looking_at_one_case_does_what_is_due_in_that_one(desk: dc.Desk, clock: FakeClock) -> None:
    one, *others = many(desk, 5)
    clock.tick(3600)
    assert desk.loop("pay").wait(one, timeout=0).by == "timeout"
    assert all(desk.case(case_id).outcome is None for case_id in others)


def test_people_go_on_while_there_is_much_to_sweep(desk: dc.Desk, clock: FakeClock) -> None:
    """Their cases are of another loop, and each of their answers is kept."""
    many(desk, 200)
    work = desk.loop("work", threshold=0.9, context="minimal", lease="30d")
    mine = [work.propose(**PAY).id for _ in range(20)]
    clock.tick(3600)
    thread = threading.Thread(target=desk.sweep)
    thread.start()
    for _ in mine:
        desk.claim("ana", "work").approve()
    thread.join()
    assert {desk.case(case_id).outcome.verdict for case_id in mine} == {"approve"}
    assert desk.store.queries.counts(desk.loop("pay").control.loop_id)["open"] == 0
    assert sound(desk)
