"""A "wrong" that one person said is read again by another, blind, before it counts; the outcome never moves."""

from __future__ import annotations

from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol.errors import EligibilityError, SamePersonError
from dualcontrol.events import AlarmRaised, Audited, Concluded, ReviewCancelled, ReviewOpened
from dualcontrol.review.adjudication import Adjudicated, truth, verdict

GROUPS = {"team": ["ana", "ben", "cleo"], "solo": ["ana"], "leads": ["lee"]}
PROMISE: dict[str, Any] = {"max_error": 0.05}
TO_AUTOPILOT = {"name": "all", "when": "true", "route": "autopilot"}
PENDING, RIGHT, WRONG = (
    Adjudicated(state="pending"), Adjudicated(state="final", wrong=0), Adjudicated(state="final", wrong=1),
)  # fmt: skip


@pytest.fixture
def desk():
    with dc.open("sqlite:///:memory:", durability="process", groups=GROUPS) as desk:
        yield desk


def labelled(desk, *, promise: dict[str, Any] | None = PROMISE, proposal: str = "spam", **settings: Any):
    loop = desk.loop(
        "mail", mode="labels", labels=["spam", "ham", "news"], context="minimal",
        **{"group": "team", "guarantee": promise, **settings},
    )  # fmt: skip
    return loop.propose(input="a mail", proposal=proposal, confidence=0.7)


def audited(desk, **settings: Any):
    return labelled(desk, rules=[TO_AUTOPILOT], audit=1.0, **settings)


def paid(desk, *, promise: dict[str, Any] | None = PROMISE, **settings: Any):
    loop = desk.loop("pay", context="minimal", **{"group": "team", "guarantee": promise, **settings})
    return loop.propose(action="pay", args={"amount": 10.0}, input="an invoice")


def held(desk, case, person: str):
    """A claim that is ready for its answer."""
    claim = desk.claim(person, case=case)
    return claim.commit("happen") if claim.view.get("committed", claim) is None else claim


def say(desk, case, person: str, what: str, value: Any = None) -> None:
    held(desk, case, person).answer(what, value)


def found(desk, case) -> Adjudicated:
    return verdict(desk.case(case.id), desk.control(case.loop))


def asked(desk, case) -> list[tuple[str, str, str]]:
    return [(r.kind, r.group, r.state) for r in desk.case(case.id).reviews if r.adjudicates]


def kinds(desk, case, kind: type) -> list[Any]:
    return [e for e in desk.events(case.id) if isinstance(e, kind)]


@pytest.mark.parametrize(
    ("second", "final", "label"), [("spam", RIGHT, "spam"), ("ham", WRONG, "ham"), ("news", WRONG, "news")]
)
@pytest.mark.parametrize("of", [labelled, audited])
def test_a_label_that_differs_is_asked_of_a_second_person(desk, of, second: str, final: Adjudicated, label: str):
    case = of(desk)
    say(desk, case, "ana", "label", "ham")
    before = desk.case(case.id)
    assert asked(desk, case) == [("second", "team", "open")]
    assert (found(desk, case), truth(before), before.outcome is not None) == (PENDING, None, True)
    say(desk, case, "ben", "label", second)
    after = desk.case(case.id)
    assert (found(desk, case), truth(after)) == (final, label)
    assert (after.outcome, after.decision) == (before.outcome, before.decision)
    assert kinds(desk, case, Audited)[-1].review == "second"
    assert [type(e).__name__ for e in desk.events(case.id)].count("Concluded") == 1


def test_a_first_right_is_believed(desk):
    case = audited(desk)
    say(desk, case, "ana", "label", "spam")
    assert (asked(desk, case), found(desk, case), truth(desk.case(case.id))) == ([], RIGHT, "spam")


@pytest.mark.parametrize(
    ("first", "second", "final"),
    [
        (("reject", None), ("approve", None), RIGHT),
        (("reject", None), ("reject", None), WRONG),
        (("edit", {"amount": 9.0}), ("edit", {"amount": 8.0}), WRONG),
        (("edit", {"amount": 9.0}), ("edit", {"amount": 10.0}), RIGHT),
        (("respond", "ask first"), ("approve", None), RIGHT),
    ],
)
@pytest.mark.parametrize("settings", [{}, {"autopilot_actions": ["pay"], "audit": 1.0}])
def test_an_action_is_asked_again_as_it_was_proposed(desk, first, second, final: Adjudicated, settings: dict[str, Any]):
    case = paid(desk, **settings)
    say(desk, case, "ana", *first)
    claim = held(desk, case, "ben")
    assert (claim.review.kind, claim.view["answers"]) == ("second", [])
    assert claim.view["proposal"]["value"] == {"amount": 10.0}
    outcome = desk.case(case.id).outcome
    claim.answer(*second)
    assert (found(desk, case), desk.case(case.id).outcome) == (final, outcome)


def test_fallback_is_asked_again(desk):
    loop = desk.loop("help", mode="fallback", context="minimal", group="team", guarantee={**PROMISE, "blind": False})
    case = loop.propose(input="hello", proposal="Hi.", confidence=0.5)
    say(desk, case, "ana", "respond", "Good day.")
    assert found(desk, case) == PENDING
    say(desk, case, "ben", "edit", "Hi.")
    assert found(desk, case) == RIGHT


def test_without_a_proposal_nobody_was_wrong(desk):
    loop = desk.loop("help", mode="fallback", context="minimal", group="team", guarantee=PROMISE)
    case = loop.propose(input="hello")
    say(desk, case, "ana", "respond", "Good day.")
    assert (asked(desk, case), found(desk, case)) == ([], Adjudicated(state="none"))


@pytest.mark.parametrize("promise", [None, {**PROMISE, "adjudicate": False}])
def test_where_it_is_off_the_first_word_counts(desk, promise: dict[str, Any] | None):
    case = labelled(desk, promise=promise)
    say(desk, case, "ana", "label", "ham")
    assert (asked(desk, case), found(desk, case), truth(desk.case(case.id))) == ([], WRONG, "ham")


def test_whoever_answered_is_not_asked_again(desk):
    case = audited(desk)
    say(desk, case, "ana", "abstain")
    say(desk, case, "ben", "label", "ham")
    (opened,) = [e for e in kinds(desk, case, ReviewOpened) if e.review == "second"]
    assert set(opened.excludes) == {"ana", "ben"}
    for person, refusal in (("ana", SamePersonError), ("ben", SamePersonError), ("lee", EligibilityError)):
        with pytest.raises(refusal):
            desk.claim(person, case=case)
        assert desk.claim(person) is None
    say(desk, case, "cleo", "label", "spam")
    assert found(desk, case) == RIGHT


def test_nobody_else_is_an_alarm_and_the_first_word_counts(desk):
    case = labelled(desk, group="solo")
    say(desk, case, "ana", "label", "ham")
    (alarm,) = kinds(desk, case, AlarmRaised)
    assert (alarm.code, "'solo'" in alarm.reason, asked(desk, case)) == ("no_adjudicator", True, [])
    assert (found(desk, case), truth(desk.case(case.id))) == (WRONG, "ham")


def test_a_passed_second_goes_to_the_next(desk):
    case = audited(desk)
    say(desk, case, "ana", "label", "ham")
    say(desk, case, "ben", "abstain")
    assert (asked(desk, case), found(desk, case)) == (
        [("second", "team", "passed"), ("second", "team", "open")], PENDING,
    )  # fmt: skip
    say(desk, case, "cleo", "label", "spam")
    assert found(desk, case) == RIGHT


@pytest.mark.parametrize(("said", "final"), [(("ham", "ham"), WRONG), (("ham", "news"), PENDING)])
def test_two_who_said_the_very_same_need_no_third(desk, said: tuple[str, str], final: Adjudicated):
    case = labelled(desk, quorum={"answers": 2, "arbiter": "leads"})
    for person, label in zip(("ana", "ben"), said, strict=True):
        say(desk, case, person, "label", label)
    if said[0] != said[1]:
        say(desk, case, "lee", "label", "ham")
    assert (found(desk, case), bool(asked(desk, case))) == (final, final == PENDING)


def test_rows_that_are_over_leave_room_for_the_second(desk):
    """One of three decides; the two rows that are cancelled with it take nobody away."""
    case = labelled(desk, quorum={"answers": 1, "of": 3, "settle": 1})
    say(desk, case, "ana", "label", "ham")
    assert (len(kinds(desk, case, ReviewCancelled)), asked(desk, case)) == (2, [("second", "team", "open")])
    assert kinds(desk, case, AlarmRaised) == []


def test_an_edit_that_a_second_person_agreed_to_needs_no_third(desk):
    rule = {"name": "large", "when": "args.amount > 500.0", "route": "human", "quorum": {"answers": 2}}
    case = paid(desk, rules=[rule])
    say(desk, case, "ana", "edit", {"amount": 900.0})
    claim = desk.claim("ben", case=case)
    assert (claim.review.adjudicates, claim.view["proposal"]["value"]) == (False, {"amount": 900.0})
    claim.approve()
    assert (asked(desk, case), found(desk, case)) == ([], WRONG)


def test_a_decision_taken_back_leaves_nothing(desk):
    case = labelled(desk, undo=60)
    say(desk, case, "ana", "label", "ham")
    assert (asked(desk, case), found(desk, case)) == ([], Adjudicated(state="none"))
    desk.retract(case.id, "ana")
    say(desk, case, "ana", "label", "spam")
    assert asked(desk, case) == []


def test_what_is_effective_later_is_asked_then(desk):
    case = labelled(desk, undo=0.001)
    say(desk, case, "ana", "label", "ham")
    desk.loop("mail").wait(case, timeout=10)
    assert (len(kinds(desk, case, Concluded)), asked(desk, case)) == (1, [("second", "team", "open")])


def test_erasure_ends_the_second(desk):
    case = audited(desk)
    say(desk, case, "ana", "label", "ham")
    desk.erase(case.id)
    assert asked(desk, case) == [("second", "team", "cancelled")]
    assert kinds(desk, case, ReviewCancelled)[-1].reason == "erased"
    assert found(desk, case) == WRONG


def test_on_every_database(database_url: str):
    with dc.open(database_url, durability="process", groups=GROUPS) as desk:
        case = audited(desk)
        say(desk, case, "ana", "label", "ham")
        assert desk.claim("ana") is None
        claim = desk.claim("ben")
        assert (claim.review.kind, claim.review.case_id) == ("second", case.id)
        claim.label("spam")
        assert (found(desk, case), truth(desk.case(case.id))) == (RIGHT, "spam")
        assert desk.claim("cleo") is None
