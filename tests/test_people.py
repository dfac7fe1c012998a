"""Who may do what: one question with one answer, the same at the doors and in the stages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from team import team

import dualcontrol as dc
from dualcontrol.case import Actor
from dualcontrol.control import BY_TWO, Control, Member, Role
from dualcontrol.errors import (
    AccountError,
    ClaimError,
    DualcontrolError,
    EligibilityError,
    EscalationError,
    RoleError,
    SamePersonError,
    ScopeError,
    StepUpError,
)
from dualcontrol.people import (
    DECISIONS,
    FRESH,
    PERMITTED,
    ROLES,
    SCOPES,
    Grant,
    Principal,
    Scope,
    Verb,
    arbiter_of,
    available,
    belongs,
    human_of,
    may,
    pools_of,
    proof_lacking,
    refuse,
)

GROUPS = {"team": ["ana", "ben", "cleo"], "leads": ["lee", "ana"], "empty": []}


@pytest.fixture
def desk() -> Iterator[dc.Desk]:
    with dc.open("sqlite:///:memory:", durability="process", groups=GROUPS) as desk:
        yield desk


def control(desk: dc.Desk, loop: str = "pay") -> Control:
    """What governs a loop."""
    governing = desk.control(loop)
    assert governing is not None
    return governing


def opened(desk: dc.Desk, owner: str | None = "olga", **settings: Any) -> dc.Case:
    loop = desk.loop("pay", **{"context": "minimal", "group": "team", "quorum": {"arbiter": "leads"}, **settings})
    return loop.propose(action="pay", args={}, input="x", owner=owner)


def why(desk: dc.Desk, case: dc.Case, person: str, verb: Verb, review: int = 0, **facts: Any) -> Any:
    """What the question answers: the kind of the error and what it says, or None."""
    case = desk.case(case.id)
    error = may(person, verb, control(desk), case, case.reviews[review].id, **facts)
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
    assert (belongs("zoe", "reviewers", control(desk)), belongs(None, "team", control(desk))) == (True, False)
    assert available(case, "reviewers", control(desk), ()) is None


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
    assert arbiter_of(case, control(desk)) == "leads"
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
    governing = control(desk)
    every = [(governing.loop_id, group) for group in ("team", "leads", "empty")]
    assert pools_of(None, governing) == every
    assert pools_of("Ben", governing) == every[:1]
    assert pools_of("ana", governing) == every[:2]
    assert pools_of("zoe", governing) == []


def test_who_is_left_is_counted_by_person(desk: dc.Desk) -> None:
    case, governing = opened(desk, "Ben "), control(desk)
    assert available(case, "team", governing, ()) == 2
    assert available(case, "team", governing, ("ANA", "zoe")) == 1
    assert available(case, "empty", governing, ()) == 0


# Accounts and roles


ALLOWED: dict[Role, str] = {
    "submitter": "overview read propose run withdraw",
    "reviewer": "overview read claim answer escalate retract revoke resolve stop sign",
    "lead": "overview read audit withdraw claim answer escalate retract revoke resolve stop resume sign",
    "policy": "overview read audit stop configure erase sign",
    "auditor": "overview read audit sign",
    "admin": "overview stop people sign",
}


def principal(*roles: Role, loop: str = "", **facts: Any) -> Principal:
    """Somebody who has these roles in one loop, or in all."""
    return Principal(person="mia", grants=tuple(Grant(role=role, loop=loop) for role in roles), **facts)


@pytest.mark.parametrize("verb", get_args(Verb))
@pytest.mark.parametrize("role", get_args(Role))
def test_every_cell_of_the_matrix(desk: dc.Desk, role: Role, verb: Verb) -> None:
    """Written out a second time on purpose: whoever changes who may do what changes it here as well."""
    opened(desk)
    for governing in (None, control(desk)):
        reason = may(principal(role), verb, governing)
        assert (reason is None) == (verb in ALLOWED[role].split())
        assert reason is None or isinstance(reason, RoleError)
    assert isinstance(may(principal(), verb, control(desk)), RoleError)


@given(st.lists(st.sampled_from(get_args(Role)), min_size=1, unique=True), st.sampled_from(get_args(Verb)))
def test_roles_add_up_but_an_admin_decides_nothing(roles: list[Role], verb: Verb) -> None:
    permitted = any(verb in ALLOWED[role].split() for role in roles)
    hindered = "admin" in roles and verb in DECISIONS
    assert (may(principal(*roles), verb) is None) == (permitted and not hindered)


def test_a_role_counts_in_its_loop(desk: dc.Desk) -> None:
    opened(desk)
    assert may(principal("reviewer", loop="pay"), "claim", control(desk)) is None
    elsewhere = may(principal("reviewer", loop="hire"), "claim", control(desk))
    assert elsewhere is not None
    assert elsewhere.message == "mia has no role in loop 'pay'; claim takes reviewer or lead"
    assert may(principal("reviewer", loop="hire"), "claim") is None  # asked of no loop in particular


def test_every_role_is_explained_and_every_verb_is_somebodys() -> None:
    assert set(ROLES) == set(get_args(Role))
    assert set(PERMITTED) == set(get_args(Verb))
    assert all(PERMITTED.values())


GOOD_FOR: dict[Scope, str] = {
    "propose": "overview propose run withdraw",
    "read": "overview read audit",
    "decide": "overview read claim answer escalate retract revoke resolve stop resume configure",
}


@pytest.mark.parametrize("scope", get_args(Scope))
@pytest.mark.parametrize("verb", get_args(Verb))
def test_a_token_is_good_for_its_scopes_only(scope: Scope, verb: Verb) -> None:
    """Whatever roles its account has; and it never does what a role does not permit."""
    every: tuple[Role, ...] = ("submitter", "lead", "policy", "auditor")
    reason = may(principal(*every, scopes=(scope,)), verb)
    assert (reason is None) == (verb in GOOD_FOR[scope].split())
    assert reason is None or isinstance(reason, ScopeError)
    assert may(principal(scopes=(scope,)), verb) is not None
    assert may(principal(*every, scopes=()), verb) is not None


def test_no_scope_both_proposes_and_decides() -> None:
    assert not SCOPES["propose"] & set(DECISIONS)
    assert not SCOPES["decide"] & {"propose", "run"}
    assert not any({"people", "erase", "sign"} & verbs for verbs in SCOPES.values())


def test_a_token_is_good_for_its_loops_only(desk: dc.Desk) -> None:
    opened(desk)
    reason = may(principal("reviewer", scopes=("decide",), loops=("hire",)), "claim", control(desk))
    assert isinstance(reason, ScopeError)
    assert reason.message == "this token is not good for loop 'pay', only for hire"
    assert may(principal("reviewer", scopes=("decide",), loops=("hire", "pay")), "claim", control(desk)) is None


def test_where_there_are_accounts_a_name_alone_is_nobody(desk: dc.Desk) -> None:
    """By every door, Python as well; before the first account any name is taken."""
    case = opened(desk, group="reviewers")
    assert why(desk, case, "zoe", "claim") is None
    team(desk, ("ana", "ben"), ("reviewer",))
    assert why(desk, case, "ANA ", "claim") is None
    assert why(desk, case, "zoe", "claim") == (EligibilityError, "zoe has no role in loop 'pay'")
    assert why(desk, case, "root", "claim") == (
        RoleError, "root is admin in loop 'pay', and an admin decides nothing; a second account may"
    )  # fmt: skip
    with pytest.raises(EligibilityError, match="zoe has no role"):
        desk.claim("zoe", case=case)
    with pytest.raises(RoleError, match="an admin decides nothing"):
        desk.claim("root", case=case)
    assert pools_of("zoe", control(desk)) == []
    assert {group for _, group in pools_of("ana", control(desk))} == {"reviewers", "team", "leads"}
    assert "Claimed" not in [type(event).__name__ for event in desk.events(case.id)]


@pytest.mark.parametrize("verb", ["withdraw", "erase"])
def test_a_program_tidies_up_under_a_name_of_its_own(desk: dc.Desk, verb: Verb) -> None:
    """Python that holds the database; who has an account is asked for a role all the same."""
    case = opened(desk)
    team(desk, ("ana",), ("reviewer",))
    assert why(desk, case, "nightly", verb) is None
    refused = why(desk, case, "ana", verb)
    assert refused[0] is RoleError
    assert "ana has reviewer in loop 'pay'" in refused[1]


def test_what_was_taken_from_somebody_is_gone_at_once(desk: dc.Desk) -> None:
    case = opened(desk, group="reviewers")
    team(desk, ("ana", "ben"), ("reviewer",))
    desk.people.revoke("ana", "reviewer", "root")
    assert why(desk, case, "ana", "claim") == (
        RoleError, "ana has no role in loop 'pay'; claim takes reviewer or lead"
    )  # fmt: skip
    desk.people.remove("ben", "root")
    assert why(desk, case, "ben", "claim")[0] is RoleError


def test_accounts_of_one_human_are_one(desk: dc.Desk) -> None:
    """Who holds two accounts gives one of two answers, and does not approve what the other proposed."""
    case = opened(desk, "ben", group="reviewers", quorum={"answers": 2})
    team(desk, ("ana", "anna", "ben", "benno", "cleo"), ("reviewer",))
    assert why(desk, case, "anna", "claim") is None
    desk.people.link("ana", "anna", "root")
    desk.people.link("ben", "benno", "root")
    people = control(desk)
    assert human_of("ANA", people) == human_of("anna", people) != human_of("cleo", people)
    claim = desk.claim("ana", case=case)
    assert claim is not None
    other = 1 - [review.id for review in desk.case(case.id).reviews].index(claim.review.id)
    twice = (SamePersonError, f"anna has already worked on case {case.id}")
    assert why(desk, case, "anna", "claim", other) == twice
    assert why(desk, case, "benno", "claim", other) == (
        EligibilityError, f"benno is, or answers for, ben, who proposed case {case.id} and does not review it"
    )  # fmt: skip
    assert why(desk, case, "cleo", "claim", other) is None
    with pytest.raises(SamePersonError):
        desk.claim("anna", case=case)


def test_links_join_whole_humans(desk: dc.Desk) -> None:
    """Three accounts, linked in two steps, are one human."""
    opened(desk)
    team(desk, ("ana", "anna", "annie"), ("reviewer",))
    desk.people.link("ana", "anna", "root")
    desk.people.link("annie", "anna", "root")
    assert len({human_of(name, control(desk)) for name in ("ana", "anna", "annie")}) == 1


def test_whoever_answers_for_a_service_approves_none_of_it(desk: dc.Desk) -> None:
    """And neither does another account of theirs."""
    team(desk, ("ana", "olga", "olga2"), ("reviewer",))
    desk.people.register("bot", "root", owner="olga")
    desk.people.link("olga", "olga2", "root")
    case = opened(desk, "bot", group="reviewers")
    for name in ("olga", "olga2"):
        assert why(desk, case, name, "claim") == (
            EligibilityError, f"{name} is, or answers for, bot, who proposed case {case.id} and does not review it"
        )  # fmt: skip
        assert why(desk, case, name, "revoke") == (
            EligibilityError, f"{name} proposed case {case.id}, and does not decide it"
        )  # fmt: skip
    assert why(desk, case, "ana", "claim") is None
    assert why(desk, case, "bot", "claim")[0] is RoleError


def test_who_is_left_is_counted_by_human_and_by_role(desk: dc.Desk) -> None:
    case = opened(desk, "olga")
    team(desk, ("ana", "ben", "olga"), ("reviewer",))
    assert available(case, "team", control(desk), ()) == 2  # cleo has no account
    desk.people.link("ana", "ben", "root")
    assert available(case, "team", control(desk), ()) == 1
    desk.people.link("olga", "ben", "root")
    assert available(case, "team", control(desk), ()) == 0


def test_an_admin_says_who_is_of_a_group(desk: dc.Desk) -> None:
    """In place of the settings, until the group is given back to them."""
    case = opened(desk)
    team(desk, ("ana", "ben", "zoe"), ("reviewer",))
    desk.people.set_group("team", ["zoe"], "root")
    assert [why(desk, case, name, "claim") is None for name in ("zoe", "ana", "ben")] == [True, False, False]
    desk.people.add_to_group("team", "ana", "root")
    assert [why(desk, case, name, "claim") is None for name in ("zoe", "ana", "ben")] == [True, True, False]
    desk.people.set_group("team", None, "root")
    assert [why(desk, case, name, "claim") is None for name in ("zoe", "ana", "ben")] == [False, True, True]
    with pytest.raises(AccountError, match="no account 'cleo'"):
        desk.people.add_to_group("team", "cleo", "root")


@pytest.mark.parametrize("verb", DECISIONS)
def test_changes_that_take_two_are_policy_owners_to_decide(desk: dc.Desk, verb: Verb) -> None:
    opened(desk)
    changes = replace(control(desk), loop=BY_TWO, people={"pia": Member(name="pia", roles=("policy",))})
    assert may(principal("policy"), verb, changes) is None
    assert may("pia", verb, changes) is None
    for roles in (("reviewer", "lead"), ("admin",), ("admin", "policy"), ("auditor",)):
        assert isinstance(may(principal(*roles), verb, changes), RoleError)
    assert isinstance(may(principal("policy"), verb, control(desk)), RoleError)
    assert may(principal("auditor"), "read", changes) is None


# A fresh sign-in


@pytest.mark.parametrize(
    ("actor", "lacking"),
    [
        ({"authenticated": "none"}, False),
        ({"authenticated": "os"}, False),
        ({"authenticated": "demo"}, False),
        ({"authenticated": "token"}, True),
        ({"authenticated": "password"}, True),
        ({"authenticated": "password", "signed_in_at": 1}, True),
        ({"authenticated": "password", "signed_in_at": 2}, False),
        ({"authenticated": "oidc", "signed_in_at": 1, "stepped_up_at": 2}, False),
    ],
)
def test_a_decision_of_high_risk_takes_a_fresh_sign_in(actor: dict[str, Any], lacking: bool) -> None:
    """Five minutes, to the microsecond; below high risk any sign-in does."""
    asked = Actor(person="mia", via="web", **actor)
    reason = proof_lacking(asked, "high", FRESH + 2)
    assert isinstance(reason, StepUpError) == lacking
    assert reason is None or reason.details["max_age"] == 300
    assert [proof_lacking(asked, risk, FRESH + 2) for risk in (None, "low", "medium")] == [None] * 3


def test_a_reason_is_raised_and_no_reason_is_not() -> None:
    refuse(None)
    with pytest.raises(ClaimError, match="because"):
        refuse(ClaimError("because"))
