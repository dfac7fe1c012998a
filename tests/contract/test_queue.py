"""The queue for people: order, exclusions, claims, and what is due."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from store_cases import answered, claim, concluded, decided, define, new_id, propose, step

import dualcontrol as dc
from dualcontrol.case import Actor
from dualcontrol.events import (
    Concluded,
    EffectStarted,
    LeaseExpired,
    Parted,
    Passed,
    Released,
    ReviewCancelled,
    TimedOut,
    Withdrawn,
)
from dualcontrol.store import Conflict, PersonTaken, Store
from dualcontrol.testing import FakeClock

SUPPORT = [(1, "support")]


def take(store: Store, person: str, pools: list[tuple[int, str]] = SUPPORT) -> tuple[str, str] | None:
    with store.transaction() as tx:
        return tx.take(person, pools, now=50)


def taken(store: Store, person: str, pools: list[tuple[int, str]] = SUPPORT) -> str | None:
    """Take and claim the next review; returns the case."""
    with store.transaction() as tx:
        found = tx.take(person, pools, now=50)
        if found is not None:
            claim(tx, *found, person)
    return found[0] if found else None


def test_reviews_come_in_queue_order(store: Store) -> None:
    define(store)
    cases = {at: propose(store, order_at=at).id for at in (30, 10, 20)}
    assert [taken(store, "ana") for _ in range(4)] == [cases[10], cases[20], cases[30], None]


def test_equal_order_falls_back_to_the_id(store: Store) -> None:
    define(store)
    reviews = sorted(propose(store).reviews[0].id for _ in range(5))
    found = take(store, "ana")
    assert found is not None
    assert found[1] == reviews[0]


def test_pools_are_merged_in_order(store: Store) -> None:
    define(store)
    second = define(store, "second").loop_id
    late = propose(store, order_at=20).id
    early = propose(store, loop="second", groups=["leads"], order_at=10).id
    pools = [(1, "support"), (second, "leads"), (1, "support")]
    assert take(store, "ana", [(1, "leads"), (second, "support")]) is None
    assert take(store, "ana", []) is None
    assert [taken(store, "ana", pools) for _ in range(3)] == [early, late, None]


@pytest.mark.parametrize("person", ["ana", "o'brien", 'say "hi"', "a\\", ",", "%", "ä😀", "a\nb"])
def test_excluded_people_get_other_cases(store: Store, person: str) -> None:
    define(store)
    propose(store, order_at=1, excludes=("bob", person))
    propose(store, order_at=2, excludes=(person, "bob"))
    propose(store, order_at=3, excludes=(person,))
    free = propose(store, order_at=4, excludes=(person + "x", "x" + person, person.upper() + "y"))
    assert taken(store, person) == free.id
    assert taken(store, person) is None


def test_only_the_excluded_are_excluded(store: Store) -> None:
    define(store)
    case = propose(store, excludes=("ann", "anabel", "an"))
    assert taken(store, "ana") == case.id


def test_nobody_reviews_an_own_case(store: Store) -> None:
    define(store)
    propose(store, order_at=1, owner="ana")
    other = propose(store, order_at=2, owner="bob")
    assert taken(store, "ana") == other.id


def test_nobody_gets_a_second_review_of_a_case(store: Store) -> None:
    define(store)
    case = propose(store, groups=["support", "support"])
    assert taken(store, "ana") == case.id
    assert take(store, "ana") is None
    first, second = sorted(review.id for review in case.reviews)
    step(store, case.id, answered(first, "ana", 1))
    assert take(store, "ana") is None
    assert take(store, "bob") == (case.id, second)
    with pytest.raises(PersonTaken), store.transaction() as tx:
        claim(tx, case.id, second, "ana")


def test_a_review_that_was_passed_on_stays_with_whom_it_was(store: Store) -> None:
    define(store)
    case = propose(store, groups=["support", "support"])
    with store.transaction() as tx:
        claim(tx, case.id, case.reviews[0].id, "ana")
    passed = Passed(review_id=case.reviews[0].id, actor=Actor(person="ana"), verdict="abstain", at=30)
    step(store, case.id, passed)
    assert take(store, "ana") is None


@pytest.mark.parametrize("how", ["released", "expired"])
def test_a_review_given_back_is_open(store: Store, how: str) -> None:
    define(store)
    case = propose(store)
    review = case.reviews[0].id
    with store.transaction() as tx:
        claim(tx, case.id, review, "ana", claim_id="first")
    back = {
        "released": Released(review_id=review, claim_id="first"),
        "expired": LeaseExpired(review_id=review, claim_id="first", person="ana"),
    }[how]
    step(store, case.id, back)
    assert taken(store, "bob") == case.id


def test_closed_reviews_are_not_taken(store: Store) -> None:
    define(store)
    case = propose(store)
    step(store, case.id, ReviewCancelled(review_id=case.reviews[0].id, reason="settled"))
    assert take(store, "ana") is None


def test_a_head_of_the_queue_that_may_not_be_taken_is_passed_over(store: Store) -> None:
    define(store)
    for at in range(60):
        propose(store, order_at=at, excludes=("ana",) if at % 2 else (), owner=None if at % 2 else "ana")
    free = propose(store, order_at=60)
    assert taken(store, "ana") == free.id


def test_claimers_at_once_get_different_reviews(store: Store) -> None:
    define(store)
    wanted = {propose(store, order_at=at).id for at in range(30)}
    got: list[str] = []
    failures: list[BaseException] = []

    def work(person: str) -> None:
        try:
            while True:
                try:
                    found = taken(store, person)
                except Conflict:
                    continue
                if found is None:
                    return
                got.append(found)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"p{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(got) == 30
    assert set(got) == wanted


def test_the_whole_queue_is_what_take_gives_one_after_the_other(store: Store) -> None:
    define(store)
    ids = [propose(store, order_at=at, excludes=("ana",) if at == 3 else ()).id for at in range(45)]
    with store.transaction() as tx:
        found = [case_id for case_id, _ in tx.queue("ana", SUPPORT, without={ids[0], *ids[10:40]})]
        first = next(tx.queue("ana", SUPPORT, without=()))
        assert first == tx.take("ana", SUPPORT, now=50)
    assert found == [*ids[1:3], *ids[4:10], *ids[40:]]


@pytest.mark.postgres
def test_a_case_that_another_transaction_holds_is_skipped(postgres_url: str) -> None:
    from dualcontrol.store.sql import open_store

    store = open_store(postgres_url)
    define(store)
    for at in range(25):
        propose(store, order_at=at)
    last = propose(store, order_at=99)
    held = {case.id for case in store.queries.cases(limit=100).rows} - {last.id}
    with store.transaction() as tx:
        for case_id in held:
            tx.load(case_id)
        assert take(store, "ana") == (last.id, last.reviews[0].id)
        with store.transaction() as other:
            assert list(other.queue("ana", SUPPORT, without=())) == [(last.id, last.reviews[0].id)]
    store.close()


# what is due


def due(store: Store, what: str, now: int, limit: int = 10) -> list[tuple[str, str | None]]:
    with store.transaction() as tx:
        return tx.due(what, now, limit)


def test_leases_are_due_when_they_have_run_out(store: Store) -> None:
    define(store)
    first, second = propose(store), propose(store)
    with store.transaction() as tx:
        claim(tx, first.id, first.reviews[0].id, "ana", until=100)
        claim(tx, second.id, second.reviews[0].id, "bob", until=90)
    assert due(store, "lease", 89) == []
    assert due(store, "lease", 100) == [(second.id, second.reviews[0].id), (first.id, first.reviews[0].id)]
    assert due(store, "lease", 100, limit=1) == [(second.id, second.reviews[0].id)]


def test_cases_are_due_while_they_are_open(store: Store) -> None:
    define(store)
    case, held = propose(store, due_at=100), propose(store, due_at=90)
    propose(store, due_at=None)
    step(store, held.id, TimedOut(how="hold", at=91))
    assert due(store, "case", 99) == []
    assert due(store, "case", 100) == [(case.id, None)]
    step(store, case.id, concluded())
    assert due(store, "case", 100) == []


def test_decisions_are_due_when_they_become_effective(store: Store) -> None:
    define(store)
    case = propose(store)
    review = case.reviews[0].id
    step(store, case.id, answered(review, "ana", 1), decided(review, effective_at=60))
    assert due(store, "settle", 59) == []
    assert due(store, "settle", 60) == [(case.id, None)]
    step(store, case.id, concluded())
    assert due(store, "settle", 99) == []


def test_effects_are_due_when_their_lease_has_run_out(store: Store) -> None:
    define(store)
    case = propose(store)
    step(store, case.id, EffectStarted(fence=1, owner="w", at=10, until=70))
    assert due(store, "effect", 69) == []
    assert due(store, "effect", 70) == [(case.id, None)]


def test_nothing_else_is_ever_due(store: Store) -> None:
    with pytest.raises(ValueError, match="lunch"):
        due(store, "lunch", 1)


# lists


def inbox(store: Store, **how: Any) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = store.queries.inbox(SUPPORT, limit=2, cursor=cursor, **how)
        found += [row.review.case_id for row in page.rows]
        cursor = page.next
        if cursor is None:
            return found


def test_the_inbox_is_in_queue_order_with_what_the_person_holds(store: Store) -> None:
    define(store)
    cases = {at: propose(store, order_at=at).id for at in (5, 3, 1, 4, 2)}
    excluded = propose(store, order_at=6, excludes=("ana",)).id
    assert inbox(store) == [cases[at] for at in (1, 2, 3, 4, 5)] + [excluded]
    assert taken(store, "ana") == cases[1]
    assert taken(store, "bob") == cases[2]
    assert inbox(store, person="ana") == [cases[at] for at in (1, 3, 4, 5)]
    assert inbox(store, person="bob") == [cases[at] for at in (2, 3, 4, 5)] + [excluded]
    row = store.queries.inbox(SUPPORT, person="ana").rows[0]
    assert (row.review.state, row.review.person, row.loop, row.mode, row.action) == (
        "claimed", "ana", "refunds", "approval", "refund",
    )  # fmt: skip
    assert (row.confidence, row.reason, row.on_timeout) == (0.62, "confidence 0.62 is below 0.9", "hold")


def test_cases_are_listed_newest_first_and_filtered(store: Store) -> None:
    define(store)
    define(store, "second")
    ids = [propose(store, order_at=at).id for at in range(5)]
    other = propose(store, loop="second", order_at=9).id
    probe = propose(store, order_at=8, case_kind="probe").id
    step(store, ids[0], concluded())

    def listed(**how: Any) -> list[str]:
        page = store.queries.cases(**how)
        rows = list(page.rows)
        while page.next:
            page = store.queries.cases(cursor=page.next, **how)
            rows += page.rows
        return [row.id for row in rows]

    assert listed(limit=2) == [other, *reversed(ids)]
    assert listed(kind=None) == [other, probe, *reversed(ids)]
    assert listed(kind="probe") == [probe]
    assert listed(loop="refunds", limit=3) == list(reversed(ids))
    assert listed(loop="nowhere") == []
    assert listed(state="closed") == [ids[0]]
    row = store.queries.cases(state="closed").rows[0]
    assert (row.loop, row.by, row.verdict, row.audited, row.confidence) == ("refunds", "human", "edit", False, 0.62)


@pytest.mark.parametrize("listing", ["cases", "inbox"])
def test_a_cursor_that_is_none_of_ours_is_refused(store: Store, listing: str) -> None:
    from dualcontrol.errors import NotFoundError

    calls: dict[str, Callable[[], object]] = {
        "cases": lambda: store.queries.cases(cursor="tomorrow"),
        "inbox": lambda: store.queries.inbox(SUPPORT, cursor="tomorrow"),
    }
    with pytest.raises(NotFoundError):
        calls[listing]()


def test_counts_and_rows_of_a_loop(store: Store) -> None:
    control = define(store)
    done = propose(store, order_at=1)
    propose(store, order_at=2, groups=(), due_at=None)
    held = propose(store, order_at=3)
    propose(store, order_at=4, case_kind="practice")
    step(store, done.id, concluded())
    with store.transaction() as tx:
        claim(tx, held.id, held.reviews[0].id, "ana")
    counted = store.queries.counts(control.loop_id)
    assert counted == {  # `done` is overdue as an audit is: it is closed, and a review of it is late
        "open": 2, "decided": 0, "closed": 1, "human": 2, "autopilot": 1, "audited": 0, "overdue": 2, "claimed": 1,
        "unfed": 0,
    }  # fmt: skip
    found = store.queries.route_rows(control.loop_id)
    assert [row["route"] for row in found] == ["human", "autopilot", "human"]
    assert found[0] == {
        "id": done.id, "route": "human", "audited": False, "inclusion": 1.0, "wrong": None, "verdict": "edit",
        "by": "human", "control": 1, "score": 0.62,
    }  # fmt: skip
    assert set(store.queries.counts(99).values()) == {0}


def test_what_came_in_and_how_long_people_held_it(store: Store) -> None:
    control = define(store)
    for at, risk in ((1, "low"), (20, "low"), (20, "0.1"), (20, None)):
        propose(store, order_at=at, risk=risk)
    propose(store, order_at=20, groups=(), due_at=None, risk="high")
    propose(store, order_at=20, case_kind="practice")
    propose(store, order_at=20, origin="shadow")
    done = propose(store, order_at=20)
    with store.transaction() as tx:
        claim(tx, done.id, done.reviews[0].id, "ana")
    step(store, done.id, answered(done.reviews[0].id, "ana"))
    found = sorted(store.queries.arrivals(control.loop_id, 10), key=str)
    assert found == [("autopilot", "high", 1, 0), ("human", "low", 1, 0), ("human", 0.1, 1, 0), ("human", None, 2, 0)]
    assert store.queries.handling(control.loop_id, 10, 100) == [("ana", 1e-05)]
    assert store.queries.handling(control.loop_id, 21, 100) == []
    assert store.queries.arrivals(99, 0) == []


def test_settled_says_which_have_an_outcome(store: Store) -> None:
    define(store)
    cases = [propose(store).id for _ in range(3)]
    step(store, cases[1], concluded())
    unknown = new_id()
    assert store.settled([*cases, unknown]) == {cases[0]: False, cases[1]: True, cases[2]: False}
    assert store.settled([]) == {}
    assert len(store.settled(cases * 400)) == 3


# cases that ask the same


def alike(store: Store, likeness: str, loop_id: int = 1) -> str | None:
    with store.transaction() as tx:
        return tx.alike(loop_id, likeness)


def followers(store: Store, case_id: str) -> list[str]:
    with store.transaction() as tx:
        return tx.followers(case_id)


def test_the_oldest_open_case_of_a_likeness_is_found(store: Store) -> None:
    other = define(store) and define(store, "second")
    late, early = (propose(store, likeness="a", order_at=at) for at in (30, 10))
    propose(store, likeness="b")
    propose(store)
    propose(store, loop="second", likeness="a", order_at=1)
    assert alike(store, "a") == early.id
    assert alike(store, "c") is None
    assert alike(store, "a", other.loop_id) not in (None, early.id)
    step(store, early.id, Withdrawn(by="program", at=40), Concluded(by="withdrawn", at=40, verdict="reject"))
    assert alike(store, "a") == late.id


def test_a_case_that_somebody_holds_has_answered_or_that_follows_is_not_found(store: Store) -> None:
    define(store)
    case = propose(store, likeness="a", groups=("support", "support"))
    propose(store, likeness="a", leader=case.id, order_at=1)
    first, second = (review.id for review in case.reviews)
    assert alike(store, "a") == case.id
    with store.transaction() as tx:
        claim(tx, case.id, first, "ana", claim_id="c1")
    assert alike(store, "a") is None
    step(store, case.id, Released(review_id=first, claim_id="c1"))
    assert alike(store, "a") == case.id
    with store.transaction() as tx:
        claim(tx, case.id, second, "ben")
    step(store, case.id, answered(second, "ben"))
    assert alike(store, "a") is None


def test_an_erased_case_is_not_found_by_what_it_asked(store: Store) -> None:
    define(store)
    case = propose(store, likeness="a")
    with store.transaction() as tx:
        tx.erase(case)
    assert alike(store, "a") is None


def test_followers_are_the_open_cases_that_a_case_leads(store: Store) -> None:
    define(store)
    leader, other = propose(store, likeness="a"), propose(store)
    made = [propose(store, likeness="a", leader=leader.id, groups=()) for _ in range(3)]
    ids = sorted(case.id for case in made)
    assert (followers(store, leader.id), followers(store, other.id)) == (ids, [])
    assert store.queries.following(leader.id) == 3
    step(store, ids[0], Parted(leader=leader.id, at=40, reason="r"))
    step(store, ids[1], Withdrawn(by="program", at=40), Concluded(by="withdrawn", at=40, verdict="reject"))
    assert followers(store, leader.id) == ids[2:]
    assert store.queries.following(leader.id) == 1


def test_followers_are_due_once_their_leader_has_an_outcome(store: Store) -> None:
    define(store)
    leader = propose(store)
    ids = sorted(propose(store, leader=leader.id, groups=()).id for _ in range(3))
    with store.transaction() as tx:
        assert tx.due("follow", 50, 10) == []
    step(store, leader.id, concluded())
    with store.transaction() as tx:
        assert tx.due("follow", 50, 10) == [(case_id, leader.id) for case_id in ids]
        assert tx.due("follow", 50, 2) == [(case_id, leader.id) for case_id in ids[:2]]
    step(store, ids[0], concluded())
    step(store, ids[1], Parted(leader=leader.id, at=40, reason="r"))
    with store.transaction() as tx:
        assert tx.due("follow", 50, 10) == [(ids[2], leader.id)]


def test_what_is_asked_again_is_listed_with_when_it_was_taken(store: Store) -> None:
    control = define(store)
    first = propose(store, likeness="a", order_at=10, risk="low")
    propose(store, likeness="a", order_at=20, risk="0.5")
    propose(store, likeness="b", order_at=15)
    propose(store, likeness="c", order_at=1)
    propose(store, likeness="c", order_at=30)
    propose(store, likeness="a", order_at=40, case_kind="probe")
    with store.transaction() as tx:
        claim(tx, first.id, first.reviews[0].id, "ana")
    assert store.queries.repeats(control.loop_id, 10) == [("a", "low", 10, 20), ("a", 0.5, 20, None)]
    assert [row[0] for row in store.queries.repeats(control.loop_id, 0)] == ["c", "a", "a", "c"]
    assert store.queries.repeats(control.loop_id + 1, 0) == []


def test_handling_is_told_by_reviewer(database_url: str) -> None:
    """Whoever answered or passed, by the name that all spellings share; who still holds a review is not in it."""
    clock = FakeClock()
    with dc.open(database_url, durability="process", clock=clock) as desk:
        loop = desk.loop("spam", mode="labels", threshold=0.9, context="minimal")
        for mail in ("a", "b", "c"):
            loop.propose(input=mail, proposal="ham", confidence=0.5)
        for person, seconds in (("Ana", 3), ("ben", 5)):
            claim = desk.claim(person)
            clock.tick(seconds)
            claim.approve()
        desk.claim("cleo")
        clock.tick(1)
        rows = desk.store.queries.handling(desk.control("spam").loop_id, 0, 10)
    assert sorted(rows) == [("ana", 3.0), ("ben", 5.0)]
