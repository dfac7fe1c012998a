"""Who may do what: one question with one answer, the same at the doors and in the stages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest

import dualcontrol as dc
from dualcontrol.errors import ClaimError, DualcontrolError, EligibilityError, EscalationError, SamePersonError
from dualcontrol.people import Verb, arbiter_of, available, belongs, may, pools_of, refuse

GROUPS = {"team": ["ana", "ben", "cleo"], "leads": ["lee", "ana"], "empty": []}


@pytest.fixture
def desk() -> Iterator[dc.Desk]:
    with dc.open("sqlite:///:memory:", durability="process", groups=GROUPS) as desk:
        yield desk


def opened(desk: dc.Desk, owner: str | None = "olga", **settings: Any) -> dc.Case:
    loop = desk.loop("pay", **{"context": "minimal", "group": "team", "quorum": {"arbiter": "leads"}, **settings})
    return loop.propose(action="pay", args={}, input="x", owner=owner)


def why(desk: dc.Desk, case: dc.Case, person: str, verb: Verb, review: int = 0, **facts: Any) -> Any:
    """What the question answers: the kind of the error and what it says, or None."""
    case = desk.case(case.id)
    error = may(person, verb, desk.control("pay").settings, case, case.reviews[review].id, **facts)
    return error and (type(error), error.message)


@pytest.mark.parametrize("person", ["ben", " BEN", "cleo"])
def test_a_member_may_claim(desk: dc.Desk, person: str) -> None:
    assert why(desk, opened(desk), person, "claim") is None


@pytest.mark.parametrize(
    ("person", "owner", "kind", "words"),
    [
        ("zoe", None, EligibilityError, "zoe is not a member of group 'team'"),
        ("lee", None, EligibilityError, "lee is not a member of group 'team'"),
        ("ben", "Ben ", EligibilityError, "ben proposed case {case} and does not review it"),
        ("", None, EligibilityError, "a claim names the person who takes it"),
        (" ", None, EligibilityError, "a claim names the person who takes it"),
    ],
)
def test_who_may_not_claim_is_told_why(
    desk: dc.Desk, person: str, owner: str | None, kind: type[DualcontrolError], words: str
) -> None:
    case = opened(desk, owner)
    assert why(desk, case, person, "claim") == (kind, words.format(case=case.id))


def test_a_door_gives_the_same_reason(desk: dc.Desk) -> None:
    case = opened(desk)
    with pytest.raises(EligibilityError) as caught:
        desk.claim("zoe", case=case)
    assert (type(caught.value), caught.value.message) == why(desk, case, "zoe", "claim")


def test_nobody_reviews_a_case_twice(desk: dc.Desk) -> None:
    case = opened(desk, quorum={"answers": 2})
    claim = desk.claim("ana", case=case)
    assert claim is not None
    other = 1 - [review.id for review in desk.case(case.id).reviews].index(claim.review.id)
    twice = (SamePersonError, f"Ana has already worked on case {case.id}")
    assert why(desk, case, "Ana", "claim", other) == twice
    assert why(desk, case, "ben", "claim", other) is None
    claim.abstain()
    assert why(desk, case, "Ana", "claim", len(desk.case(case.id).reviews) - 1) == twice


def test_a_group_that_is_not_declared_is_open(desk: dc.Desk) -> None:
    case = opened(desk, group="reviewers", quorum={})
    assert why(desk, case, "zoe", "claim") is None
    settings = desk.control("pay").settings
    assert (belongs("zoe", "reviewers", settings), belongs(None, "team", settings)) == (True, False)
    assert available(case, "reviewers", settings, ()) is None


def test_only_the_holder_answers_and_only_the_giver_retracts(desk: dc.Desk) -> None:
    case = opened(desk, undo="1h")
    claim = desk.claim("ben", case=case)
    assert claim is not None
    assert why(desk, case, "BEN", "answer") is None
    assert why(desk, case, "cleo", "answer") == (ClaimError, f"claim {claim.id} is not cleo's")
    untouched = (ClaimError, f"ben has not given the answer of review {claim.review.id}")
    assert why(desk, case, "ben", "retract") == untouched
    claim.approve()
    assert why(desk, case, "ben", "retract") is None
    assert why(desk, case, "cleo", "retract") == (
        ClaimError, f"cleo has not given the answer of review {claim.review.id}"
    )  # fmt: skip


def test_whoever_is_of_the_arbiters_has_nobody_above(desk: dc.Desk) -> None:
    case = opened(desk)
    assert arbiter_of(case, desk.control("pay").settings) == "leads"
    assert why(desk, case, "ana", "escalate", group="leads") == (
        EscalationError, "ana is of group 'leads', and nobody is above it"
    )  # fmt: skip
    assert why(desk, case, "ben", "escalate", group="leads") is None
    assert why(desk, case, "ana", "escalate", group="team") is None


@pytest.mark.parametrize("verb", ["revoke", "withdraw", "resolve", "erase"])
def test_what_is_open_to_whoever_asks(desk: dc.Desk, verb: Verb) -> None:
    assert verb in get_args(Verb)
    assert why(desk, opened(desk), "zoe", verb) is None


def test_the_pools_are_those_that_one_may_claim_from(desk: dc.Desk) -> None:
    opened(desk)
    control = desk.control("pay")
    every = [(control.loop_id, group) for group in ("team", "leads", "empty")]
    assert pools_of(None, control) == every
    assert pools_of("Ben", control) == every[:1]
    assert pools_of("ana", control) == every[:2]
    assert pools_of("zoe", control) == []


def test_who_is_left_is_counted_by_person(desk: dc.Desk) -> None:
    case, settings = opened(desk, "Ben "), desk.control("pay").settings
    assert available(case, "team", settings, ()) == 2
    assert available(case, "team", settings, ("ANA", "zoe")) == 1
    assert available(case, "empty", settings, ()) == 0


def test_a_reason_is_raised_and_no_reason_is_not() -> None:
    refuse(None)
    with pytest.raises(ClaimError, match="because"):
        refuse(ClaimError("because"))
