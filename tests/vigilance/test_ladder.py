"""The ladder: who is flagged goes a step up, who does well goes down, and each step does what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ladder_cases import answer, clear, flag, happened, mail, pay, probe, settled, steps

import dualcontrol as dc
from dualcontrol.case import Actor
from dualcontrol.commands import GiveAnswer
from dualcontrol.control import BY_TWO, Control, LoopSettings, Rung
from dualcontrol.errors import (
    CommitError,
    EligibilityError,
    RoleError,
    SamePersonError,
    SettingsError,
    SuspendedError,
    TrainingError,
    VerdictError,
)
from dualcontrol.events import Decided, Rerouted, ReviewerStepped
from dualcontrol.evolve import governed_by
from dualcontrol.probe import key_of
from dualcontrol.review.view import seen_by
from dualcontrol.testing import FakeClock
from dualcontrol.vigilance.ladder import ASK, BURST, CLEAR, FLAG, SCARCE, TRAINED, disclosure, moves
from dualcontrol.vigilance.record import Verdict

GROUPS = {"leads": ["lee", "lou", "ana"], "policy": ["paul"]}
DAY = 86_400_000_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(clock: FakeClock) -> Iterator[dc.Desk]:
    with dc.open("sqlite:///:memory:", durability="process", groups=GROUPS, clock=clock) as desk:
        yield desk


# up and down


def test_each_flag_is_a_step_up_and_healthy_runs_are_a_step_down(desk: dc.Desk) -> None:
    loop = mail(desk, "second_review")
    flag(desk, loop, "ana")
    assert steps(desk, loop) == [("ana", 1, FLAG)]
    clear(desk, loop, "ana", 1)
    assert loop.control.step_of("ana") == 1  # one healthy run may be chance
    clear(desk, loop, "ana", 1)
    assert steps(desk, loop)[1:] == [("ana", 0, CLEAR)]
    assert loop.control.step_of("Ana") == 0
    assert loop.control.step_of("ben") == 0


def test_a_flag_between_two_healthy_runs_begins_the_count_anew(desk: dc.Desk) -> None:
    loop = mail(desk, "notice")
    flag(desk, loop, "ana")
    clear(desk, loop, "ana", 1)
    flag(desk, loop, "ana")
    clear(desk, loop, "ana", 1)
    assert [step for _, step, _ in steps(desk, loop)] == [1, 1]
    clear(desk, loop, "ana", 1)
    assert loop.control.step_of("ana") == 0


def test_who_was_flagged_more_often_needs_more_healthy_runs(desk: dc.Desk) -> None:
    loop = mail(desk, "commit_first")
    flag(desk, loop, "ana", 3)
    assert loop.control.step_of("ana") == 3
    clear(desk, loop, "ana", 2)
    assert loop.control.step_of("ana") == 3
    clear(desk, loop, "ana", 1)
    assert loop.control.step_of("ana") == 2
    assert not loop.control.in_training("ana")  # a burst is for who goes up


def test_the_settings_say_how_far_it_goes_and_off_is_off_at_once(desk: dc.Desk) -> None:
    loop = mail(desk, "off")
    flag(desk, loop, "ana", 2)
    assert steps(desk, loop) == []
    loop = mail(desk, "notice")
    flag(desk, loop, "ben", 3)
    assert loop.control.step_of("ben") == 1
    assert len(steps(desk, loop)) == 3  # each flag is recorded
    loop = mail(desk, "off")
    assert loop.control.step_of("ben") == 0
    assert desk.prober.ladder.standings(loop.control) == []
    with pytest.raises(SettingsError, match="did you mean 'notice'"):
        mail(desk, "notic")


def test_without_a_word_it_goes_as_far_as_commit_first_and_nowhere_without_probes(desk: dc.Desk) -> None:
    labels = desk.loop("mail", mode="labels", labels=["a", "b"], context="minimal")
    assert labels.control.settings.ladder == 3
    assert desk.loop("pay", context="minimal").control.settings.ladder == 0


def test_an_old_verdict_moves_nobody(desk: dc.Desk, clock: FakeClock) -> None:
    loop = mail(desk, "off")
    flag(desk, loop, "ana", 2)
    clock.tick(31 * 86_400.0)
    loop = mail(desk, "suspension")
    answer(desk, probe(desk, loop, "ana"), "ana", careless=True)
    assert steps(desk, loop) == []
    flag(desk, loop, "ana")
    assert steps(desk, loop) == [("ana", 1, FLAG)]


def test_two_desks_on_one_database_take_one_step_for_one_flag(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/dc.db"
    with dc.open(url, durability="process") as one, dc.open(url, durability="process") as other:
        loop = mail(one)
        for desk in (one, other, one):
            answer(desk, probe(desk, loop, "ana"), "ana", careless=True)
        case = probe(other, loop, "ana")
        answer(other, case, "ana", careless=False)
        for desk in (one, other):
            desk.prober.ladder.answered(desk.case(case.id))  # whoever looks writes what is not there yet
        assert steps(one, loop) == [("ana", 1, FLAG)]
        assert loop.control.rungs["ana"].verdicts == 1


def test_moves_by_hand() -> None:
    """A stamping verdict is a step up and two others one down, whatever was heeded before."""
    now = 100 * DAY
    runs = [Verdict("ana", now - DAY + n, f"c{n}", kind == "F") for n, kind in enumerate("FFHHFH")]
    listed = moves(None, runs, 5, now)
    assert [(m.step, m.because, m.verdicts) for m in listed] == [
        (1, FLAG, 1), (2, FLAG, 2), (1, CLEAR, 4), (2, FLAG, 5),
    ]  # fmt: skip
    assert [m.training for m in listed] == [False, True, False, True]
    up = Rung(name="ana", step=3, at=now - DAY, because=FLAG, verdicts=2)
    assert [(m.step, m.training) for m in moves(up, runs, 5, now)] == [(2, False), (3, False)]
    top = Rung(name="ana", step=2, at=now - DAY, because=FLAG, verdicts=4)
    assert [(m.step, m.training) for m in moves(top, runs, 2, now)] == [(2, False)]  # no second burst
    assert moves(None, runs, 0, now) == []
    assert moves(None, runs, 5, now + 40 * DAY) == []


# what the steps do


def test_a_burst_of_training_comes_first_and_ends_by_itself(desk: dc.Desk) -> None:
    loop = mail(desk, "training", quorum={"answers": 2})
    settled(desk, loop, 30)
    waiting = loop.propose(proposal="a", alternatives=["b", "c"], input="live", confidence=0.5)
    flag(desk, loop, "ana", 2)
    assert loop.control.in_training("ana")
    assert desk.prober.ladder.standing(loop.control, "ana").left == BURST
    with pytest.raises(TrainingError) as refused:
        desk.claim("ana", case=waiting)
    assert refused.value.code == "DC-TRAINING"
    wrongs, figures = 0, len(desk.prober.figures(loop.control).probes)
    for _ in range(BURST):
        claim = desk.claim("ana", "mail")
        assert claim is not None
        assert claim.case.kind == "practice"
        assert claim.view["practice"] is True
        assert claim.view["proposal"] is not None
        key = key_of(claim.case)
        assert key is not None
        wrongs += key.wrong
        after = claim.label("a")
        assert (after.state, after.decision, after.outcome) == ("closed", None, None)
        assert after.scored is not None
        assert after.scored.rejected is key.wrong
    assert wrongs == BURST // 2
    assert steps(desk, loop)[-1] == ("ana", 2, TRAINED)
    assert len(desk.prober.figures(loop.control).probes) == figures  # counted in no rate
    assert not loop.control.in_training("ana")
    assert len({desk.case(c.id).parent for c in practised(desk)}) == BURST  # no case twice


def practised(desk: dc.Desk) -> list[Any]:
    return list(desk.store.queries.cases(loop="mail", kind="practice", limit=100).rows)


def test_a_training_case_that_is_passed_on_is_followed_by_another(desk: dc.Desk) -> None:
    loop = mail(desk, "training", quorum={"answers": 2})
    settled(desk, loop, 30)
    flag(desk, loop, "ana", 2)
    claim = desk.claim("ana", "mail")
    claim.abstain()
    assert desk.prober.ladder.standing(loop.control, "ana").left == BURST
    assert desk.claim("ana", "mail").case.kind == "practice"


def test_a_burst_ends_where_nothing_is_left_to_train_with(desk: dc.Desk) -> None:
    loop = mail(desk, "training", quorum={"answers": 2})
    settled(desk, loop, 3)
    flag(desk, loop, "ana", 2)
    for _ in range(3):
        desk.claim("ana", "mail").label("a")
    assert steps(desk, loop)[-1] == ("ana", 2, SCARCE)
    assert desk.claim("ana", "mail") is None


def test_a_label_is_given_without_the_proposal_and_the_next_person_sees_it_again(desk: dc.Desk) -> None:
    loop = mail(desk, "commit_first")
    flag(desk, loop, "ana", 3)
    case = loop.propose(proposal="b", alternatives=["a", "c"], input="live", confidence=0.5, risk="high")
    claim = desk.claim("ana", case=case)
    assert claim.view["proposal"] is None
    assert claim.view["signal"].get("risk") is None
    assert [c["value"] for c in claim.view["candidates"]] == ["a", "b", "c"]  # the loop's order
    with pytest.raises(VerdictError):
        claim.approve()
    claim.release()
    other = desk.claim("ben", case=case)
    assert other.view["proposal"]["value"] == "b"
    other.release()
    assert desk.claim("ana", case=case).view["proposal"] is None


def test_an_action_is_committed_to_before_it_is_shown(desk: dc.Desk) -> None:
    loop = pay(desk, "commit_first")
    flag(desk, loop, "ana", 3)
    case = loop.propose(action="pay", args={"amount": 9}, alternatives=[], input="live", confidence=0.5)
    claim = desk.claim("ana", case=case)
    assert claim.view["proposal"] is None
    with pytest.raises(CommitError):
        claim.approve()
    claim.commit("happen", to="the shop")
    assert claim.view["proposal"]["value"] == {"amount": 9}
    after = claim.approve()
    assert after.answers[0].first == {"verdict": "approve", "value": "the shop"}
    assert after.outcome.verdict == "approve"


def test_an_answer_of_who_is_under_second_review_settles_nothing_alone(desk: dc.Desk) -> None:
    loop = mail(desk, "second_review")
    flag(desk, loop, "ana", 4)
    case = loop.propose(proposal="b", alternatives=["a", "c"], input="live", confidence=0.5)
    assert desk.claim("ana", case=case).label("b").state == "open"
    kinds = [type(event) for event in desk.events(case.id)]
    assert Decided not in kinds
    (rerouted,) = [event for event in desk.events(case.id) if isinstance(event, Rerouted)]
    assert (rerouted.by, rerouted.quorum.answers) == ("ladder", 2)
    assert "ana" not in rerouted.reason
    with pytest.raises(SamePersonError):
        desk.claim("ana", case=case)
    after = desk.claim("ben", case=case).label("b")
    assert after.decision.value == "b"
    assert after.outcome.reviewers == ("ana", "ben")


def test_what_others_decide_is_decided_as_ever(desk: dc.Desk) -> None:
    loop = mail(desk, "second_review")
    flag(desk, loop, "ana", 4)
    case = loop.propose(proposal="b", alternatives=["a", "c"], input="live", confidence=0.5)
    assert desk.claim("ben", case=case).label("b").outcome.value == "b"


def test_a_second_person_who_says_otherwise_makes_it_a_dispute(desk: dc.Desk) -> None:
    loop = mail(desk, "second_review", quorum={"arbiter": "leads"})
    flag(desk, loop, "ana", 4)
    case = loop.propose(proposal="b", alternatives=["a", "c"], input="live", confidence=0.5)
    desk.claim("ana", case=case).label("b")
    after = desk.claim("ben", case=case).label("a")
    assert (after.state, after.reviews[-1].kind) == ("open", "arbiter")
    assert desk.claim("lee", case=case).label("a").outcome.value == "a"


def test_an_edit_of_who_is_under_second_review_is_read_by_a_second_person(desk: dc.Desk) -> None:
    loop = pay(desk, "second_review")
    flag(desk, loop, "ana", 4)
    case = loop.propose(action="pay", args={"amount": 9}, alternatives=[], input="live", confidence=0.5)
    claim = desk.claim("ana", case=case)
    claim.commit("happen")
    assert claim.edit({"amount": 8}).state == "open"
    second = desk.claim("ben", case=case)
    assert second.review.kind == "second"
    assert second.view["proposal"]["value"] == {"amount": 8}
    after = second.approve()
    assert after.outcome.value == {"action": "pay", "args": {"amount": 8}}


def test_who_is_under_second_review_does_not_arbitrate(desk: dc.Desk) -> None:
    loop = mail(desk, "second_review", quorum={"answers": 2, "settle": "unanimous", "arbiter": "leads"})
    flag(desk, loop, "ana", 4)
    case = loop.propose(proposal="b", alternatives=["a", "c"], input="live", confidence=0.5)
    desk.claim("ben", case=case).label("b")
    desk.claim("cleo", case=case).label("a")
    with pytest.raises(EligibilityError, match="does not arbitrate"):
        desk.claim("ana", case=case)
    assert desk.claim("ana", "mail") is None
    assert desk.claim("lee", "mail").label("a").outcome.value == "a"


# suspension


def suspension(desk: dc.Desk) -> dc.Case:
    (row,) = desk.store.queries.cases(loop=BY_TWO, state="open").rows
    return desk.case(row.id)


def test_nobody_is_suspended_before_a_lead_says_so(desk: dc.Desk) -> None:
    loop = mail(desk)
    flag(desk, loop, "ana", 5)
    assert steps(desk, loop)[-1] == ("ana", 4, ASK)
    case = suspension(desk)
    assert (case.action, case.owner, case.reviews[0].group) == ("suspend_reviewer", "system", "leads")
    assert case.proposed_value()["args"] == {"loop": "mail", "person": "ana", "because": ASK}
    waiting = loop.propose(proposal="b", alternatives=["a", "c"], input="live", confidence=0.5)
    desk.claim("ana", case=waiting).release()  # still theirs to do
    with pytest.raises(EligibilityError, match="about ana"):
        desk.claim("ana", case=case)
    with pytest.raises(EligibilityError, match="not a member"):
        desk.claim("paul", case=case)
    desk.claim("lee", BY_TWO).approve()
    (event,) = [e for e in happened(desk, loop, ReviewerStepped) if e.step == 5]
    assert (event.person, event.by, event.approved_by, event.case_id) == ("ana", "system", "lee", case.id)
    for claim in (lambda: desk.claim("ana", "mail"), lambda: desk.claim("Ana", case=waiting)):
        with pytest.raises(SuspendedError):
            claim()
    assert desk.claim("ben", "mail") is not None


def test_a_rejected_suspension_is_asked_for_again_by_the_next_flag_alone(desk: dc.Desk) -> None:
    loop = mail(desk)
    flag(desk, loop, "ana", 5)
    desk.claim("lee", BY_TWO).reject("a bad week")
    desk.sweep()
    answer(desk, probe(desk, loop, "ana"), "ana", careless=True)
    assert desk.claim("lee", BY_TWO) is None
    assert loop.control.step_of("ana") == 4
    for _ in range(2):
        answer(desk, probe(desk, loop, "ana"), "ana", careless=True)
    assert desk.claim("lee", BY_TWO) is not None


def test_a_lead_ends_a_suspension_and_what_was_before_counts_no_more(desk: dc.Desk) -> None:
    loop = mail(desk)
    flag(desk, loop, "ana", 5)
    with pytest.raises(EligibilityError, match="about themselves"):
        loop.suspend("ana", by="Ana", because="rest")
    assert loop.suspend("ana", by="lee", because="stamps").step_of("ana") == 5
    desk.sweep()
    assert loop.readmit("ana", by="lou", because="trained").step_of("ana") == 0
    assert desk.claim("ana", "mail") is None
    assert steps(desk, loop)[-2:] == [("ana", 5, "stamps"), ("ana", 0, "trained")]
    answer(desk, probe(desk, loop, "ana"), "ana", careless=False)
    assert loop.control.step_of("ana") == 0


def test_what_only_somebody_suspended_could_answer_goes_to_the_arbiter() -> None:
    with dc.open("sqlite:///:memory:", groups={"solo": ["ana"], "leads": ["lee"]}) as desk:
        loop = mail(desk, group="solo", quorum={"arbiter": "leads"})
        case = loop.propose(proposal="b", alternatives=["a", "c"], input="live", confidence=0.5)
        loop.suspend("ana", by="lee", because="stamps")
        desk.sweep()
        claim = desk.claim("lee", case=case)
        assert claim is not None
        assert claim.review.kind == "arbiter"
        later = loop.propose(proposal="b", alternatives=["a", "c"], input="later", confidence=0.5)
        assert [review.kind for review in later.reviews] == ["arbiter"]
        loop.readmit("ana", by="lee", because="trained")
        last = loop.propose(proposal="b", alternatives=["a", "c"], input="last", confidence=0.5)
        assert desk.claim("ana", case=last) is not None


def test_a_suspension_takes_two_where_changes_do(desk: dc.Desk) -> None:
    loop = mail(desk, changes="two")
    with pytest.raises(dc.Pending) as waits:
        loop.suspend("zed", by="lee", because="stamps")
    with pytest.raises(EligibilityError, match="proposed"):
        desk.claim("lee", case=waits.value.case_id)
    desk.claim("lou", case=waits.value.case_id).approve()
    assert loop.control.step_of("zed") == 5
    with pytest.raises(dc.Pending):
        loop.readmit("zed", by="lee", because="well again")
    assert loop.control.step_of("zed") == 5


def test_with_accounts_leads_decide_about_people_and_policy_owners_do_not(desk: dc.Desk) -> None:
    loop = mail(desk)
    people = desk.people
    people.set_up("root", "a long password of ours")
    for name, role in (("ana", "reviewer"), ("lee", "lead"), ("paul", "policy")):
        people.invite(name, by="root", roles=[dc.people.Grant(role=role)])
    flag(desk, loop, "ana", 5)
    case = suspension(desk)
    with pytest.raises(RoleError, match="claim takes lead"):
        desk.claim("paul", case=case)
    claim = desk.claim("lee", BY_TWO)
    assert claim.case.id == case.id
    claim.approve()
    assert loop.control.step_of("ana") == 5


# what is told


def test_people_are_told_where_they_stand_and_what_is_measured(desk: dc.Desk) -> None:
    loop = mail(desk, "commit_first")
    flag(desk, loop, "ana")
    (standing,) = desk.prober.ladder.standings(loop.control)
    assert (standing.person, standing.step, standing.name, standing.by) == ("ana", 1, "notice", "system")
    assert standing.to_dict()["words"].startswith("You let more wrong proposals pass")
    assert desk.prober.notices("ana", [loop.control]) == [f"mail: {standing.words}"]
    assert desk.prober.notices("ben", [loop.control]) == []
    told = disclosure(loop.control.settings)
    assert "you say what is right before you see the proposal" in told[-2]
    assert "second person" not in told[-2]
    assert disclosure(desk.loop("pay", context="minimal").control.settings) == []


def test_switches_of_who_commits_first_are_counted(desk: dc.Desk) -> None:
    loop = pay(desk, "commit_first")
    flag(desk, loop, "ana", 3)
    answer(desk, probe(desk, loop, "ana"), "ana", careless=True)  # happen was right; 900 was let pass
    answer(desk, probe(desk, loop, "ana"), "ana", careless=False)
    claim = desk.claim("ana", case=probe(desk, loop, "ana", wrong=False))
    claim.commit("not")
    claim.approve()
    card = desk.prober.figures(loop.control).cards["ana"]
    assert (card.harmful, card.could_harm, card.helpful, card.could_help) == (1, 2, 1, 1)


# through a whole climb, on every database; and killed in between


def test_a_whole_climb_is_in_the_record_and_folds_again(database_url: str) -> None:
    with dc.open(database_url, durability="process", groups=GROUPS) as desk:
        loop = mail(desk, quorum={"answers": 2})
        settled(desk, loop, 25)
        flag(desk, loop, "ana", 2)
        while loop.control.in_training("ana"):
            desk.claim("ana", "mail").label("a")
        flag(desk, loop, "ana", 3)
        desk.claim("lee", BY_TWO).approve()
        assert [step for _, step, _ in steps(desk, loop)] == [1, 2, 2, 3, 4, 4, 5]
        stored = loop.control
        folded = Control(loop="mail", loop_id=stored.loop_id, version=0, settings=LoopSettings(name="mail"))
        for entry in desk.store.queries.entries(loop.stream):
            for event in entry.events:
                folded = governed_by(folded, event)
        assert folded.rungs == stored.rungs
        assert folded.version == stored.version
        assert stored.rungs["ana"].verdicts == 5


def unattended(desk: dc.Desk, case: dc.Case) -> None:
    """A careless answer whose program is killed before anything follows from it."""
    desk.steps.answer_case(
        case.id, "ana",
        lambda _, review: GiveAnswer(
            case_id=case.id, claim_id=review.claim_id or "", verdict="label", value="b", actor=Actor(person="ana")
        ),
    )  # fmt: skip


def test_a_flag_that_was_not_heeded_is_heeded_with_the_next_answer(desk: dc.Desk) -> None:
    loop = mail(desk)
    for _ in range(3):
        unattended(desk, probe(desk, loop, "ana"))
    assert steps(desk, loop) == []
    answer(desk, probe(desk, loop, "ana"), "ana", careless=False)
    assert steps(desk, loop) == [("ana", 1, FLAG)]


def test_a_training_case_that_was_not_opened_is_opened_by_the_sweep_once(desk: dc.Desk) -> None:
    loop = mail(desk, quorum={"answers": 2})
    settled(desk, loop, 3)
    put(desk, 2, FLAG, training=True)
    assert desk.claim("ana", "mail") is None
    desk.sweep()
    desk.sweep()
    assert len(practised(desk)) == 1
    assert desk.claim("ana", "mail").case.kind == "practice"


def test_a_suspension_that_was_not_asked_for_is_asked_for_by_the_sweep_once(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/dc.db"
    with dc.open(url, groups=GROUPS) as one, dc.open(url, groups=GROUPS) as other:
        mail(one)
        put(one, 4, ASK)
        for desk in (one, other, one):
            desk.sweep()
        assert len(one.store.queries.cases(loop=BY_TWO).rows) == 1
        one.claim("lee", BY_TWO).reject("no")
        other.sweep()
        assert len(one.store.queries.cases(loop=BY_TWO).rows) == 1


def put(desk: dc.Desk, step: int, because: str, *, training: bool = False) -> None:
    """Where somebody stands when a program is killed right after that was written."""
    desk.steps.move("mail", lambda now, at: [
        ReviewerStepped(version=now.version + 1, at=at, person="ana", step=step, because=because, training=training)
    ])  # fmt: skip


def test_who_is_in_training_sees_no_more_of_a_blind_case_than_before(desk: dc.Desk) -> None:
    loop = mail(desk, guarantee={"max_error": 0.1})
    case = loop.propose(proposal="b", alternatives=["a", "c"], input="live", confidence=0.5)
    assert seen_by(desk.case(case.id), "ana", loop.control).kept
    put(desk, 2, FLAG, training=True)
    assert seen_by(desk.case(case.id), "ana", loop.control).kept


def test_a_training_case_is_seen_also_by_who_commits_first_by_now(desk: dc.Desk) -> None:
    loop = mail(desk, quorum={"answers": 2})
    settled(desk, loop, 3)
    put(desk, 2, FLAG, training=True)
    desk.sweep()
    put(desk, 3, FLAG)
    claim = desk.claim("ana", "mail")
    assert claim is not None
    assert claim.view["practice"] is True
    assert claim.view["proposal"] is not None
