"""Cases that ask the same while there is relief: one answer for all of them, and nobody lost where there is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from burst import at_level

import dualcontrol as dc
from dualcontrol import step
from dualcontrol.case import Case
from dualcontrol.commands import Follow, Timeout
from dualcontrol.doctor import PROBLEM, examine
from dualcontrol.errors import SettledError
from dualcontrol.route.capacity import AUDITS, JOINED, LATER, NONE, SHED
from dualcontrol.store.sql.tx import SqlTx
from dualcontrol.sweep import measured_load, relieve
from dualcontrol.testing import FakeClock

PROMISE = 900.0
PAY: dict[str, Any] = {
    "action": "pay", "args": {"amount": 10.0}, "input": "a letter", "history": ["first"], "meta": {"shop": 1},
    "confidence": 0.5, "risk": "medium",
}  # fmt: skip


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def desk(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[dc.Desk]:
    url = "sqlite:///:memory:" if request.param == "memory" else request.getfixturevalue("postgres_url")
    with dc.open(url, durability="process", clock=clock, groups={"two": ["ana", "ben"]}) as desk:
        yield desk
        assert [found.what for found in examine(desk.store) if found.level == PROBLEM] == []


def opened(desk: dc.Desk, level: int = JOINED, **settings: Any) -> dc.Loop:
    given = {
        "threshold": 0.9, "context": "minimal", "lease": "10m", "respond_within": "15m", "on_timeout": "reject",
        "capacity": {"reviewers": 3, "availability": 1.0},
    }  # fmt: skip
    loop = desk.loop("pay", **{**given, **settings})
    at_level(desk, loop, level)
    return loop


def kinds(desk: dc.Desk, case: Case) -> list[str]:
    return [type(event).__name__ for event in desk.events(case.id)]


def claimed(desk: dc.Desk, person: str = "ana") -> dc.Claim:
    claim = desk.claim(person, "pay")
    assert claim is not None
    return claim


def answer_all(desk: dc.Desk) -> None:
    """Approve and sweep until there is nothing left to do."""
    while True:
        swept, claim = desk.sweep(), desk.claim("ana", "pay")
        if claim is not None:
            claim.approve()
        elif not swept:
            return


# which cases join


def test_a_case_joins_one_that_asks_the_same_and_opens_no_review(desk: dc.Desk) -> None:
    loop = opened(desk)
    leader, follower = loop.propose(**PAY), loop.propose(**{**PAY, "confidence": 0.6, "rationale": "because"})
    assert (follower.leader, follower.reviews, follower.state) == (leader.id, (), "open")
    assert kinds(desk, follower) == ["Opened", "Routed"]
    assert (follower.route.relief, follower.route.by) == ("joined", "threshold")
    assert follower.route.reason.endswith(
        f"; the same question as case {leader.id}, which waits already; its answer will count for both"
    )
    assert (desk.case(leader.id).followers, kinds(desk, leader)[-1]) == (1, "Joined")


def test_without_relief_nothing_joins_and_nothing_is_looked_up(desk: dc.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, looked = opened(desk, NONE), []
    monkeypatch.setattr(SqlTx, "alike", lambda *given: looked.append(given))
    assert [loop.propose(**PAY).leader for _ in range(2)] == [None, None]
    assert looked == []


def test_a_case_from_before_the_relief_is_joined(desk: dc.Desk) -> None:
    loop = opened(desk, NONE)
    leader = loop.propose(**PAY)
    at_level(desk, loop, JOINED)
    assert loop.propose(**PAY).leader == leader.id


@pytest.mark.parametrize(
    "other",
    [
        {"args": {"amount": 11.0}}, {"args": {"amount": 10}}, {"input": "another"}, {"action": "refund"},
        {"segment": "eu"}, {"requires_approval": True}, {"risk": "low"}, {"risk": None}, {"owner": "bot"},
        {"history": []}, {"meta": {"shop": 2}}, {"alternatives": [{"action": "pay", "args": {"amount": 1.0}}]},
        {"schema": {"type": "object"}}, {"origin": "import"},
    ],
)  # fmt: skip
def test_what_differs_in_the_question_does_not_join(desk: dc.Desk, other: dict[str, Any]) -> None:
    loop = opened(desk)
    loop.propose(**PAY)
    assert loop.propose(**{**PAY, **other}).leader is None


@pytest.mark.parametrize("risk", ["high", "critical", 0.8])
def test_a_high_risk_neither_joins_nor_is_joined(desk: dc.Desk, risk: Any) -> None:
    loop = opened(desk)
    assert [loop.propose(**{**PAY, "risk": risk}).leader for _ in range(2)] == [None, None]


def test_a_risk_that_a_rule_raises_is_high_as_well(desk: dc.Desk) -> None:
    loop = opened(desk, rules=[{"name": "r", "when": "args.amount > 5.0", "route": "human", "risk": "high"}])
    assert [loop.propose(**PAY).leader for _ in range(2)] == [None, None]


def test_another_group_or_quorum_is_another_question(desk: dc.Desk) -> None:
    rule = {"name": "unsure", "when": "signal.confidence < 0.3", "route": "human", "quorum": {"answers": 2}}
    loop = opened(desk, rules=[rule])
    loop.propose(**PAY)
    assert loop.propose(**{**PAY, "confidence": 0.2}).leader is None
    opened(desk, group="two", rules=[rule])
    assert loop.propose(**PAY).leader is None


def test_once_somebody_has_taken_it_nobody_joins(desk: dc.Desk) -> None:
    loop = opened(desk)
    loop.propose(**PAY)
    claim = claimed(desk)
    later = loop.propose(**PAY)
    assert later.leader is None
    claim.release()
    assert loop.propose(**PAY).leader == claim.case.id


def test_a_quorum_of_which_one_has_answered_is_not_joined(desk: dc.Desk) -> None:
    loop = opened(desk, quorum={"answers": 2})
    leader = loop.propose(**PAY)
    claimed(desk).approve()
    assert loop.propose(**PAY).leader is None
    assert desk.case(leader.id).followers == 0


def test_a_follower_is_not_a_leader(desk: dc.Desk) -> None:
    loop = opened(desk)
    leader, *followers = [loop.propose(**PAY) for _ in range(3)]
    assert {case.leader for case in followers} == {leader.id}


def test_in_the_shadow_and_on_autopilot_nothing_joins(desk: dc.Desk) -> None:
    loop = opened(desk, start="shadow")
    assert [loop.propose(**PAY).leader for _ in range(2)] == [None, None]
    opened(desk, audit=1.0)
    assert [loop.propose(**{**PAY, "confidence": 0.95}).leader for _ in range(2)] == [None, None]


@pytest.mark.parametrize("level", [AUDITS, LATER, SHED])
def test_joining_goes_before_later_and_shed(desk: dc.Desk, clock: FakeClock, level: int) -> None:
    loop = opened(desk)
    leader = loop.propose(**{**PAY, "risk": "low"})
    at_level(desk, loop, level)
    follower = loop.propose(**{**PAY, "risk": "low"})
    times = 4 if level >= LATER else 1
    assert (follower.leader, follower.route.relief) == (leader.id, "joined")
    assert (follower.due_at, follower.outcome) == (clock() + int(times * PROMISE * 1e6), None)


def test_rows_of_a_batch_join_as_single_cases_do(desk: dc.Desk) -> None:
    loop = opened(desk)
    columns = {"action": ["pay"] * 3, "input": ["x"] * 3, "confidence": [0.5] * 3, "risk": ["low"] * 3}
    made = loop.propose_batch({**columns, "args.n": [1, 2, 1]})
    first, second, third = (desk.case(made.cases[row]) for row in range(3))
    assert (first.leader, second.leader, third.leader) == (None, None, first.id)
    assert "the same question" in third.route.reason
    claimed(desk).approve()
    assert desk.case(third.id).outcome.by == "human"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def replica(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dc.Desk]:
    """A desk on a database that others use as well."""
    url = f"sqlite:///{tmp_path}/dc.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with dc.open(url, durability="process", groups={"two": ["ana", "ben"]}) as desk:
        yield desk
        assert [found.what for found in examine(desk.store) if found.level == PROBLEM] == []


def test_two_who_propose_the_same_at_once_lose_nothing(replica: dc.Desk) -> None:
    desk = replica
    loop, made = opened(desk), []
    with dc.open(desk.store.url, durability="process", groups={"two": ["ana", "ben"]}) as other:
        loops = [loop, other.loop("pay", **_settings(loop))]
        gate = threading.Barrier(8)

        def work(number: int) -> None:
            gate.wait()
            made.extend(loops[number % 2].propose(**PAY) for _ in range(4))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    leaders = [case for case in made if case.leader is None]
    assert len(made) == 32
    assert {case.leader for case in made if case.leader} <= {case.id for case in leaders}
    assert sum(desk.case(case.id).followers for case in leaders) == 32 - len(leaders)
    answer_all(desk)
    assert all(desk.case(case.id).outcome.by == "human" for case in made)


def _settings(loop: dc.Loop) -> dict[str, Any]:
    said = loop.control.settings.to_dict()
    return {name: value for name, value in said.items() if name not in ("name", "groups")}


def test_proposals_answers_withdrawals_and_sweeps_at_once_lose_nothing(
    replica: dc.Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever locks several cases locks a leader before its followers, so that nobody waits for each other."""
    desk = replica
    monkeypatch.setattr(step, "AT_ONCE", 1)
    loop, made, failed = opened(desk), [], []
    over = threading.Event()

    def until_over(work: Any) -> None:
        try:
            while not over.is_set():
                work()
        except Exception as error:
            failed.append(error)

    def propose() -> None:
        made.append(loop.propose(**PAY))

    def answer(person: str) -> None:
        time.sleep(0.03)  # long enough for others to join
        claim = desk.claim(person, "pay")
        if claim is not None:
            with suppress(SettledError):
                claim.approve()

    def withdraw() -> None:
        for case in made[-3:]:
            with suppress(SettledError):
                desk.withdraw(case.id)

    work = [propose, propose, lambda: answer("ana"), lambda: answer("ben"), withdraw, desk.sweep]
    threads = [threading.Thread(target=until_over, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    time.sleep(3)
    over.set()
    for thread in threads:
        thread.join()
    assert failed == []
    answer_all(desk)
    ends = [desk.case(case.id) for case in made]
    assert {case.outcome.by for case in ends} == {"human", "withdrawn"}
    assert all(kinds(desk, case).count("Concluded") == 1 for case in ends)
    assert any(case.followers for case in ends)


# what the reviewer is told


def test_the_reviewer_is_told_how_many_ask_the_same(desk: dc.Desk) -> None:
    loop = opened(desk)
    leader, *followers = [loop.propose(**PAY) for _ in range(4)]
    desk.withdraw(followers[0].id)
    claim = claimed(desk)
    assert (claim.case.id, claim.view["followers"], claim.review.followers) == (leader.id, 2, 2)
    claim.release()
    loop.propose(**PAY)
    assert claimed(desk, "ben").view["followers"] == 3


def test_a_case_that_nobody_joined_says_nothing_of_it(desk: dc.Desk) -> None:
    opened(desk).propose(**PAY)
    assert "followers" not in claimed(desk).view


def test_the_doctor_does_not_take_a_follower_for_forgotten(desk: dc.Desk) -> None:
    loop = opened(desk, on_timeout="hold")
    _, follower = loop.propose(**PAY), loop.propose(**PAY)
    assert [found for found in examine(desk.store) if found.case_id == follower.id] == []


def test_a_follower_has_no_review_of_its_own_to_take(desk: dc.Desk) -> None:
    loop = opened(desk)
    leader, follower = loop.propose(**PAY), loop.propose(**PAY)
    with pytest.raises(SettledError, match=f"settled with case {leader.id}"):
        desk.claim("ana", case=follower.id)


# settled together


@pytest.mark.parametrize("verdict", ["approve", "edit", "reject", "respond"])
def test_each_follower_is_settled_with_the_same_verdict_in_its_own_entry(desk: dc.Desk, verdict: str) -> None:
    loop = opened(desk)
    leader, *followers = [loop.propose(**PAY) for _ in range(3)]
    value = {"edit": {"amount": 5.0}, "respond": "no need"}.get(verdict)
    claimed(desk).answer(verdict, value, rationale="seen")
    said = desk.case(leader.id).outcome
    for follower in followers:
        found = desk.case(follower.id)
        assert kinds(desk, follower) == ["Opened", "Routed", "Answered", "Decided", "Concluded"]
        assert (found.outcome.verdict, found.outcome.value, found.outcome.rationale) == (verdict, said.value, "seen")
        assert (found.outcome.by, found.outcome.reviewers) == ("human", ("ana",))
        assert (found.decision.wrong, found.effect.state) == (desk.case(leader.id).decision.wrong, said.effect["state"])


def test_all_the_answers_of_a_quorum_count_for_a_follower(desk: dc.Desk) -> None:
    loop = opened(desk, quorum={"answers": 2})
    _, follower = loop.propose(**PAY), loop.propose(**PAY)
    claimed(desk).approve()
    assert desk.case(follower.id).outcome is None
    claimed(desk, "ben").approve()
    found = desk.case(follower.id)
    assert (found.outcome.reviewers, len(found.answers)) == (("ana", "ben"), 2)


def test_answers_that_are_only_collected_are_collected_for_a_follower(desk: dc.Desk) -> None:
    loop = opened(desk, mode="labels", labels=["a", "b"], quorum={"answers": 2, "settle": "collect"})
    given = {"proposal": "a", "input": "x", "confidence": 0.5}
    leader, follower = loop.propose(**given), loop.propose(**given)
    claimed(desk).label("a")
    claimed(desk, "ben").label("b")
    spread = desk.case(leader.id).decision.distribution
    assert (desk.case(follower.id).decision.distribution, len(spread)) == (spread, 2)


def test_the_effect_of_each_runs_once(desk: dc.Desk) -> None:
    loop, ran = opened(desk), []

    @loop.gate(confidence=0.5, risk="medium", timeout=0, context=lambda amount: {"input": "x"})
    def pay(amount: float) -> None:
        ran.append(amount)

    def call(run: str) -> None:
        with desk.run(run):
            pay(10.0)

    for run in ("one", "two", "one", "two"):
        with pytest.raises(dc.Pending):
            call(run)
    assert len(desk.store.queries.cases(loop="pay").rows) == 2
    claimed(desk).edit({"amount": 5.0})
    for run in ("two", "one", "two", "one"):
        call(run)
    assert ran == [5.0, 5.0]


def test_a_key_finds_the_follower_again(desk: dc.Desk) -> None:
    loop = opened(desk)
    leader, follower = loop.propose(**PAY, key="a"), loop.propose(**PAY, key="b")
    assert loop.propose(**PAY, key="b").id == follower.id
    claimed(desk).approve()
    assert loop.propose(**PAY, key="b").outcome.verdict == "approve"
    assert desk.case(leader.id).followers == 1


def test_who_waits_for_a_follower_is_woken(replica: dc.Desk) -> None:
    loop = opened(replica)
    _, follower = loop.propose(**PAY), loop.propose(**PAY)
    timer = threading.Timer(0.2, lambda: claimed(replica).approve())
    timer.start()
    assert loop.wait(follower, timeout=20).by == "human"
    timer.join()


def test_followers_are_announced_with_their_leader(desk: dc.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, told = opened(desk), []
    cases = [loop.propose(**PAY) for _ in range(3)]
    monkeypatch.setattr(desk.store, "publish", told.extend)
    claimed(desk).approve()
    assert sorted(told) == sorted(case.id for case in cases)


def test_a_decision_counts_for_followers_when_it_can_no_longer_be_taken_back(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk, undo="1m")
    leader, follower = loop.propose(**PAY), loop.propose(**PAY)
    claimed(desk).reject("no")
    assert desk.case(follower.id).outcome is None
    assert loop.propose(**PAY).leader is None
    desk.retract(leader.id, "ana")
    clock.tick(90)
    desk.sweep()
    assert desk.case(follower.id).outcome is None
    claimed(desk).approve()
    clock.tick(90)
    desk.sweep()
    assert [desk.case(c.id).outcome.verdict for c in (leader, follower)] == ["approve", "approve"]


def test_examples_are_made_of_followers_with_their_provenance(desk: dc.Desk) -> None:
    loop = opened(desk)
    cases = [loop.propose(**PAY) for _ in range(3)]
    claimed(desk).edit({"amount": 5.0})
    rows = loop.examples()
    assert {row.case_id for row in rows} == {case.id for case in cases}
    assert {(tuple(row.who), row.verdict, row.wrong, row.inclusion, len(row.shown)) for row in rows} == {
        (("ana",), "edit", 1, 1.0, 1)
    }


def test_what_is_beyond_one_transaction_is_left_to_the_sweep(desk: dc.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = opened(desk)
    _, *followers = [loop.propose(**PAY) for _ in range(5)]
    monkeypatch.setattr(step, "AT_ONCE", 2)
    claimed(desk).approve()
    assert [desk.case(c.id).outcome is not None for c in followers].count(True) == 2
    desk.sweep()
    desk.sweep()
    assert all(kinds(desk, c).count("Concluded") == 1 for c in followers)


def test_a_sweep_ends_joined_cases_once_each(desk: dc.Desk, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are beyond one transaction; those that nobody joined are done in the same sweep."""
    loop = opened(desk)
    joined = [loop.propose(**PAY) for _ in range(6)]
    others = [loop.propose(**{**PAY, "args": {"amount": 20.0 + n}}) for n in range(3)]
    monkeypatch.setattr(step, "AT_ONCE", 2)
    clock.tick(2 * PROMISE)
    desk.sweep()
    assert [kinds(desk, case).count("Concluded") for case in joined + others] == [1] * 9
    assert desk.sweep() == 0


def test_a_sweep_leaves_a_joined_case_that_comes_to_nothing(
    desk: dc.Desk, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at once and not counted; the sweep ends."""
    loop = opened(desk)
    joined = [loop.propose(**PAY) for _ in range(3)]
    other = loop.propose(**{**PAY, "args": {"amount": 20.0}})
    timeout = step.HANDLERS[Timeout]
    ids = {case.id for case in joined}
    monkeypatch.setitem(step.HANDLERS, Timeout, lambda case, *a: [] if case.id in ids else timeout(case, *a))
    clock.tick(2 * PROMISE)
    assert desk.sweep() == 1
    assert [kinds(desk, case).count("Concluded") for case in [*joined, other]] == [0, 0, 0, 1]


def test_a_follower_that_is_settled_is_not_settled_again(desk: dc.Desk) -> None:
    loop = opened(desk)
    leader, follower = loop.propose(**PAY), loop.propose(**PAY)
    early = desk.steps.run(Follow(case_id=follower.id, leader=leader.id))
    assert (early.outcome, early.seq) == (None, 1)
    claimed(desk).approve()
    settled = desk.case(follower.id)
    assert desk.steps.run(Follow(case_id=follower.id, leader=leader.id)) == settled


def test_an_edit_that_asks_for_more_in_a_follower_is_not_taken_over(desk: dc.Desk) -> None:
    rule = {
        "name": "large and unsure", "when": "args.amount > 500.0 && signal.confidence < 0.4", "route": "human",
        "quorum": {"answers": 2},
    }  # fmt: skip
    loop = opened(desk, rules=[rule])
    leader, unsure, sure = (loop.propose(**{**PAY, "confidence": c}) for c in (0.5, 0.3, 0.6))
    assert {unsure.leader, sure.leader} == {leader.id}
    claimed(desk).edit({"amount": 900.0})
    assert desk.case(sure.id).outcome.value["args"] == {"amount": 900.0}
    assert desk.case(unsure.id).outcome is None
    assert kinds(desk, unsure)[-2:] == ["Parted", "ReviewOpened"]


# the leader goes another way


def parted(desk: dc.Desk, follower: Case, why: str) -> Case:
    found = desk.case(follower.id)
    assert kinds(desk, follower)[2:] == ["Parted", "ReviewOpened"]
    assert (found.leader, found.outcome, [r.state for r in found.reviews]) == (None, None, ["open"])
    assert found.route.reason.endswith(f"but that case {why}, so this one is asked by itself")
    return found


@pytest.mark.parametrize(("how", "why"), [("withdraw", "was withdrawn"), ("erase", "was erased")])
def test_a_leader_that_is_withdrawn_or_erased_leaves_its_followers_to_people(
    desk: dc.Desk, clock: FakeClock, how: str, why: str
) -> None:
    loop = opened(desk)
    leader = loop.propose(**PAY)
    clock.tick(60)
    follower = loop.propose(**PAY)
    other = loop.propose(**{**PAY, "input": "another"})
    clock.tick(60)
    getattr(desk, how)(leader.id)
    found = parted(desk, follower, why)
    assert found.reviews[0].due_at == found.due_at == found.opened_at + int(PROMISE * 1e6)
    assert found.reviews[0].order_at == desk.case(other.id).reviews[0].order_at
    desk.claim("ana", case=follower.id).approve()
    assert desk.case(follower.id).outcome.by == "human"


def test_a_leader_that_nobody_answers_in_time_leaves_its_followers_to_people(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk)
    leader = loop.propose(**PAY)
    clock.tick(PROMISE / 2)
    follower = loop.propose(**PAY)
    clock.tick(PROMISE / 2)
    desk.sweep()
    assert desk.case(leader.id).outcome.by == "timeout"
    parted(desk, follower, "was not answered in time")
    clock.tick(PROMISE / 2)
    desk.sweep()
    assert desk.case(follower.id).outcome.by == "timeout"


def test_a_leader_that_is_withdrawn_while_its_decision_could_be_taken_back_decides_nothing(desk: dc.Desk) -> None:
    loop = opened(desk, undo="1m")
    leader, follower = loop.propose(**PAY), loop.propose(**PAY)
    claimed(desk).approve()
    desk.withdraw(leader.id)
    parted(desk, follower, "was withdrawn")


def test_a_leader_that_is_held_after_its_time_still_leads(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk, on_timeout="hold")
    leader, follower = loop.propose(**PAY), loop.propose(**PAY)
    clock.tick(2 * PROMISE)
    desk.sweep()
    assert (desk.case(follower.id).leader, desk.case(follower.id).reviews) == (leader.id, ())
    at_level(desk, loop, JOINED)  # the sweep has ended it: nothing came in for so long
    later = loop.propose(**PAY)
    claimed(desk).approve()
    assert {desk.case(case.id).outcome.by for case in (leader, follower, later)} == {"human"}


def test_those_who_part_can_be_joined_and_lead(desk: dc.Desk) -> None:
    loop = opened(desk)
    leader, follower = loop.propose(**PAY), loop.propose(**PAY)
    desk.withdraw(leader.id)
    assert loop.propose(**PAY).leader == follower.id


def test_a_lease_that_runs_out_leaves_a_follower_where_it_is(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk, respond_within="1d")
    leader, follower = loop.propose(**PAY), loop.propose(**PAY)
    claimed(desk)
    clock.tick(3600)
    desk.sweep()
    assert (desk.case(follower.id).leader, desk.case(follower.id).outcome) == (leader.id, None)
    claimed(desk, "ben").approve()
    assert desk.case(follower.id).outcome.reviewers == ("ben",)


def test_relief_that_ends_leaves_what_has_joined_and_joins_no_more(desk: dc.Desk) -> None:
    loop = opened(desk)
    leader, follower = loop.propose(**PAY), loop.propose(**PAY)
    at_level(desk, loop, NONE)
    assert loop.propose(**PAY).leader is None
    claim = claimed(desk)
    assert (claim.case.id, claim.view["followers"]) == (leader.id, 1)
    claim.approve()
    assert desk.case(follower.id).outcome.by == "human"


# the follower goes its own way


def test_a_follower_times_out_by_itself(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk, NONE, respond_within="1d", on_timeout="hold")
    leader = loop.propose(**PAY)
    opened(desk)
    follower = loop.propose(**PAY)
    assert follower.leader == leader.id
    clock.tick(PROMISE)
    desk.sweep()
    assert desk.case(follower.id).outcome.by == "timeout"
    claimed(desk).approve()
    assert desk.case(follower.id).outcome.by == "timeout"
    assert kinds(desk, follower).count("Concluded") == 1


def test_a_follower_that_is_escalated_is_decided_by_who_comes_first(desk: dc.Desk, clock: FakeClock) -> None:
    settings = {"on_timeout": "escalate", "quorum": {"answers": 1, "arbiter": "two"}}
    loop = opened(desk, NONE, **settings, respond_within="1d")
    loop.propose(**PAY)
    opened(desk, **settings)
    follower = loop.propose(**PAY)
    clock.tick(PROMISE)
    desk.sweep()
    assert [(r.kind, r.state) for r in desk.case(follower.id).reviews] == [("arbiter", "open")]
    desk.claim("cleo", "pay").approve()
    found = desk.case(follower.id)
    assert (found.outcome.reviewers, found.reviews[0].state) == (("cleo",), "cancelled")


@pytest.mark.parametrize("how", ["withdraw", "erase"])
def test_a_follower_is_withdrawn_or_erased_by_itself(desk: dc.Desk, how: str) -> None:
    loop = opened(desk)
    leader, follower = loop.propose(**PAY), loop.propose(**PAY)
    getattr(desk, how)(follower.id)
    claimed(desk).approve()
    assert desk.case(follower.id).outcome.by == "withdrawn"
    assert desk.case(leader.id).outcome.by == "human"


def test_what_was_said_of_an_erased_leader_stays_with_its_followers_until_they_are_erased(desk: dc.Desk) -> None:
    loop = opened(desk)
    leader, follower = loop.propose(**PAY), loop.propose(**PAY)
    claimed(desk).reject("no")
    desk.erase(leader.id)
    assert desk.case(follower.id).outcome.rationale == "no"
    desk.erase(follower.id)
    assert desk.case(follower.id).content.values == {}


def test_an_erased_leader_decides_nothing_that_was_left_to_the_sweep(
    desk: dc.Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = opened(desk)
    leader, follower = loop.propose(**PAY), loop.propose(**PAY)
    monkeypatch.setattr(step, "AT_ONCE", 0)
    claimed(desk).approve()
    desk.erase(leader.id)
    desk.sweep()
    parted(desk, follower, "was erased")


# under a guarantee


def test_a_leader_and_its_followers_are_one_label_and_one_second_opinion(desk: dc.Desk) -> None:
    promise = {"max_error": 0.1}
    loop = opened(desk, mode="labels", labels=["a", "b"], threshold=None, guarantee=promise, group="two")
    given = {"proposal": "a", "input": "x", "confidence": 0.5}
    leader, *followers = (loop.propose(**given) for _ in range(3))
    assert [follower.leader for follower in followers] == [leader.id] * 2
    assert [case.route.score for case in (leader, *followers)] == [0.5, None, None]
    claimed(desk).label("b")
    assert [desk.case(follower.id).reviews for follower in followers] == [(), ()]
    assert [desk.case(follower.id).decision.value for follower in followers] == ["b", "b"]
    assert desk.claim("ana", "pay") is None
    assert claimed(desk, "ben").label("b").id == leader.id
    assert desk.claim("ben", "pay") is None
    loop.certify()
    assert [row["wrong"] for row in loop.evidence()] == [1]


def test_a_leader_that_was_not_answered_is_one_label_too(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk, threshold=None, guarantee={"max_error": 0.1})
    cases = [loop.propose(**PAY) for _ in range(2)]
    assert cases[1].leader == cases[0].id
    clock.tick(PROMISE)
    desk.sweep()
    assert [desk.case(c.id).outcome.by for c in cases] == ["timeout", "timeout"]
    loop.certify()
    assert [row["wrong"] for row in loop.evidence()] == [1]


# what is measured


def test_what_has_joined_is_counted_as_without_relief(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk, quorum={"answers": 2})
    for risk in ("low", "low", "low", "medium", "medium", "high", "high"):
        loop.propose(**{**PAY, "risk": risk})
        clock.tick(1)
    demand = measured_load(desk.store.queries, loop.control, clock()).demand
    window = 2 * PROMISE
    assert (demand.low * window, demand.other * window) == (pytest.approx(6), pytest.approx(8))
    assert (demand.low_again * window, demand.other_again * window) == (pytest.approx(4), pytest.approx(2))


def test_what_could_have_joined_before_the_relief_is_counted_with_it(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk, NONE)
    for _ in range(3):
        loop.propose(**PAY)
        clock.tick(1)
    claim = claimed(desk)
    clock.tick(1)
    loop.propose(**PAY)
    claim.approve()
    at_level(desk, loop, JOINED)
    demand = measured_load(desk.store.queries, loop.control, clock()).demand
    assert demand.other_again * 2 * PROMISE == pytest.approx(2)
    assert demand.whole * 2 * PROMISE == pytest.approx(4)


def test_a_flood_of_one_question_needs_no_more_than_joining(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk, NONE)
    moves = []
    for _ in range(120):
        loop.propose(**PAY)
        clock.tick(10)
        before = loop.control.relief
        after = relieve(desk.steps, loop.control).relief
        moves += [after] if after != before else []
    assert moves == [JOINED]
    clock.tick(3 * PROMISE)
    assert relieve(desk.steps, loop.control).relief == NONE
