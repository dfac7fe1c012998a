"""Accounts, roles, groups, one human, removal: what changes is an event, in the stream of people and in each loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from team import team

import dualcontrol as dc
from dualcontrol.errors import (
    AccountError,
    ClaimError,
    DualcontrolError,
    EligibilityError,
    RoleError,
    SamePersonError,
    SignInError,
    UnknownLoopError,
)
from dualcontrol.people import Grant
from dualcontrol.store.accounts import news_for

GROUPS = {"team": ["ana", "ben"], "leads": ["lee"]}


@pytest.fixture
def desk(database_url: str) -> Iterator[dc.Desk]:
    with dc.open(database_url, durability="process", groups=GROUPS) as desk:
        desk.loop("pay", context="minimal", group="team", quorum={"arbiter": "leads"})
        desk.loop("mail", mode="labels", labels=["spam", "ham"], context="minimal")
        yield desk


@pytest.fixture
def staffed(desk: dc.Desk) -> dc.Desk:
    team(desk, ("ana", "ben", "lee", "pia"), roles=("reviewer",))
    return desk


def proposed(desk: dc.Desk, loop: str = "pay", **fields: Any) -> dc.Case:
    return desk.loop(loop).propose(**({"action": "pay", "args": {}, "input": "x"} if loop == "pay" else {
        "proposal": "spam", "input": "x", "confidence": 0.5}) | fields)  # fmt: skip


def refusal(act: Callable[[], Any]) -> tuple[type, str]:
    with pytest.raises(DualcontrolError) as error:
        act()
    return type(error.value), error.value.message


def of_people(desk: dc.Desk) -> list[tuple[str, str]]:
    """(kind, author) of everything in the stream of people."""
    entries = desk.store.queries.entries("people")
    return [(type(event).__name__, entry.actor) for entry in entries for event in entry.events]


def in_step(desk: dc.Desk) -> bool:
    """Whether every loop knows what the accounts say, and its control is the fold of its entries."""
    with desk.store.queries.accounts() as book:
        accounts = book.accounts()
    return all(not news_for(control, accounts) for control in desk.loops())


def test_before_the_first_account_any_name_is_taken(desk: dc.Desk) -> None:
    """As in earlier versions: nobody has to set anything up to try it."""
    case = proposed(desk, "mail")
    assert desk.control("mail").people is None  # type: ignore[union-attr]
    assert desk.claim("whoever", case=case) is not None


def test_with_the_first_account_names_alone_no_longer_do(desk: dc.Desk) -> None:
    case = proposed(desk, "mail")
    desk.people.set_up("root", "no hash", alone="ana")
    kind, message = refusal(lambda: desk.claim("whoever", case=case))
    assert (kind, message) == (EligibilityError, "whoever has no role in loop 'mail'")
    assert refusal(lambda: desk.claim("root", case=case))[0] is RoleError
    assert desk.claim("ana", case=case) is not None
    assert of_people(desk) == [
        ("AccountAdded", "root"), ("RolesChanged", "root"), ("AccountAdded", "root"), ("RolesChanged", "root"),
        ("AccountsLinked", "root"),
    ]  # fmt: skip
    assert refusal(lambda: desk.people.set_up("second", "no hash"))[1] == "this desk has its admin"
    assert in_step(desk)


def test_a_loop_that_is_defined_later_knows_its_people(staffed: dc.Desk) -> None:
    staffed.people.set_group("team", ["pia"], "root")  # in the place of the settings' ana and ben
    loop = staffed.loop("new", context="minimal", group="team")
    case = loop.propose(action="x", args={}, input=1)
    assert refusal(lambda: staffed.claim("ana", case=case))[0] is EligibilityError
    assert staffed.claim("pia", case=case) is not None
    assert in_step(staffed)


def test_roles_by_loop(staffed: dc.Desk) -> None:
    staffed.people.revoke("pia", "reviewer", "root")
    staffed.people.grant("pia", "reviewer", "root", loop="mail")
    mail, pay = proposed(staffed, "mail"), proposed(staffed)
    assert refusal(lambda: staffed.claim("pia", case=pay))[0] is RoleError
    assert staffed.claim("pia") is not None
    assert staffed.case(mail.id).reviews[0].person == "pia"
    kind, message = refusal(lambda: staffed.people.grant("pia", "reviewer", "root", loop="mali"))
    assert (kind, message) == (UnknownLoopError, "there is no loop 'mali'")
    assert "did you mean 'reviewer'" in refusal(lambda: staffed.people.grant("pia", "reviwer", "root"))[1]
    assert "did you mean 'pia'" in refusal(lambda: staffed.people.grant("pja", "reviewer", "root"))[1]


@pytest.mark.parametrize(("account", "role", "words"), [
    ("root", "reviewer", "an admin decides nothing"), ("root", "lead", "an admin decides nothing"),
    ("ana", "admin", "an admin decides nothing"), ("ana", "submitter", "is a person"),
    ("bot", "reviewer", "is a service"), ("bot", "admin", "is a service"), ("bot", "policy", "is a service"),
])  # fmt: skip
def test_roles_that_do_not_go_together(staffed: dc.Desk, account: str, role: str, words: str) -> None:
    staffed.people.register("bot", "root", owner="pia")
    kind, message = refusal(lambda: staffed.people.grant(account, role, "root"))
    assert kind is AccountError
    assert words in message
    assert in_step(staffed)


def test_the_last_admin_stays(staffed: dc.Desk) -> None:
    """Neither removed nor without the role, not even by two at once; an invited one who never came does not count."""
    staffed.people.invite("later", "root", roles=[Grant(role="admin")])
    for act in (lambda: staffed.people.remove("root", "root"), lambda: staffed.people.revoke("root", "admin", "root")):
        assert refusal(act) == (AccountError, "root is the last admin who can sign in")
    staffed.people.invite("second", "root", roles=[Grant(role="admin")])
    with staffed.store.transaction() as tx:
        book = tx.accounts
        account = book.named("second")
        assert account is not None
        book.save_account(dc.accounts.registry.replace(account, state="active"))
    outcomes: list[str] = []
    together = threading.Barrier(2)

    def remove(name: str) -> None:
        together.wait(30)
        try:
            staffed.people.remove(name, "root")
            outcomes.append("removed")
        except DualcontrolError as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=remove, args=(name,)) for name in ("root", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["AccountError", "removed"]


def test_a_removed_person_is_out_everywhere_at_once(staffed: dc.Desk) -> None:
    """The claim is open again, tokens and sessions end, groups and roles are gone; the name is never given again."""
    case = proposed(staffed)
    staffed.people.set_group("night", ["ana", "pia"], "root")
    held = staffed.claim("ana", case=case)
    assert held is not None
    session = staffed.sign_ins.begin(staffed.people.account("ana"), "password").secret
    token = staffed.tokens.issue("ana", "root", scopes=("read", "decide"))[1]
    staffed.people.remove("ana", "root")
    assert staffed.case(case.id).reviews[0].state == "open"
    assert refusal(lambda: held.approve())[0] is ClaimError
    assert (staffed.sign_ins.session(session), staffed.tokens.principal(token)) == (None, None)
    assert [group.people for group in staffed.people.groups()] == [("pia",)]
    assert refusal(lambda: staffed.claim("ana", case=case))[0] is RoleError
    assert "never given again" in refusal(lambda: staffed.people.invite("ANA", "root"))[1]
    assert refusal(lambda: staffed.people.grant("ana", "reviewer", "root"))[1] == "the account of ana was closed"
    assert staffed.claim("ben", case=case) is not None
    assert in_step(staffed)


def test_what_was_decided_stands_when_its_person_goes(staffed: dc.Desk) -> None:
    case = proposed(staffed)
    claim = staffed.claim("ana", case=case)
    assert claim is not None
    claim.approve()
    before = staffed.store.queries.entries(f"case/{case.id}")
    staffed.people.remove("ana", "root")
    assert staffed.store.queries.entries(f"case/{case.id}") == before
    assert staffed.case(case.id).outcome.reviewers == ("ana",)  # type: ignore[union-attr]


def test_an_emptied_group_hands_its_cases_to_the_arbiter(staffed: dc.Desk) -> None:
    case, lone = proposed(staffed), staffed.loop("lone", context="minimal", group="team").propose(
        action="x", args={}, input=2
    )  # fmt: skip
    staffed.people.take_from_group("team", "ana", "root")
    assert [review.state for review in staffed.case(case.id).reviews] == ["open"]
    staffed.people.take_from_group("team", "ben", "root")
    row, above = staffed.case(case.id).reviews
    assert (row.state, above.group, above.kind, above.state) == ("cancelled", "leads", "arbiter", "open")
    assert staffed.case(case.id).alarms[0]["code"] == "too_few_people"
    assert [alarm["reason"] for alarm in staffed.case(lone.id).alarms] == [
        "nobody is left in group 'team', and nobody else is named who could decide"
    ]
    staffed.sweep()
    assert len(staffed.case(lone.id).alarms) == 1
    claim = staffed.claim("lee", case=case)
    assert claim is not None
    assert claim.approve().outcome is not None
    staffed.people.set_group("team", None, "root")  # the settings speak again
    assert staffed.claim("ana", case=lone) is not None


def test_a_group_empties_as_well_by_a_role_that_is_taken(staffed: dc.Desk) -> None:
    case = proposed(staffed)
    for name in ("ana", "ben"):
        staffed.people.revoke(name, "reviewer", "root")
    assert [review.group for review in staffed.case(case.id).reviews if review.state == "open"] == ["leads"]


def test_a_role_that_changes_in_the_middle_of_a_review(staffed: dc.Desk) -> None:
    case = proposed(staffed)
    claim = staffed.claim("ana", case=case)
    assert claim is not None
    staffed.people.revoke("ana", "reviewer", "root")
    assert refusal(claim.approve)[0] is RoleError
    assert staffed.case(case.id).answered == ()
    staffed.people.grant("ana", "reviewer", "root", loop="pay")
    assert claim.approve().outcome is not None


def test_linked_accounts_are_one_person(staffed: dc.Desk) -> None:
    """They count once in a quorum, decide nothing that the other proposed, and the next review passes them over."""
    staffed.people.link("ana", "pia", "root")
    staffed.people.set_group("team", ["ana", "pia", "ben"], "root")
    loop = staffed.loop("two", context="minimal", group="team", quorum={"answers": 2})
    case = loop.propose(action="x", args={}, input=1)
    claim = staffed.claim("ana", "two")
    assert claim is not None
    claim.approve()
    assert refusal(lambda: staffed.claim("pia", case=case))[0] is SamePersonError
    assert staffed.claim("pia", "two") is None
    own, free = loop.propose(action="x", args={}, input=2, owner="ana"), loop.propose(action="x", args={}, input=3)
    assert "is, or answers for, ana" in refusal(lambda: staffed.claim("pia", case=own))[1]
    following = staffed.claim("pia", "two")
    assert following is not None
    assert following.case.id == free.id
    other = staffed.claim("ben", case=case)
    assert other is not None
    assert other.approve().outcome is not None


def test_who_is_linked_after_both_have_claimed_answers_once(staffed: dc.Desk) -> None:
    """The second answer is refused, and so is that of a proposer's other account."""
    staffed.people.set_group("team", ["ana", "pia", "ben"], "root")
    loop = staffed.loop("two", context="minimal", group="team", quorum={"answers": 2})
    case, own = loop.propose(action="x", args={}, input=1), loop.propose(action="x", args={}, input=2, owner="lee")
    one, two = staffed.claim("ana", case=case), staffed.claim("pia", case=case)
    late = staffed.claim("ben", case=own)
    assert one is not None
    assert two is not None
    assert late is not None
    one.approve()
    staffed.people.link("ana", "pia", "root")
    staffed.people.link("ben", "lee", "root")
    assert refusal(two.approve)[0] is SamePersonError
    assert refusal(late.approve)[0] is EligibilityError
    assert len(staffed.case(case.id).answered) == 1


def test_links_join_whole_families(staffed: dc.Desk) -> None:
    staffed.people.link("ana", "ben", "root")
    staffed.people.link("lee", "pia", "root")
    staffed.people.link("ben", "lee", "root")
    control = staffed.control("pay")
    assert control is not None
    assert len({dc.people.human_of(name, control) for name in ("ana", "ben", "lee", "pia")}) == 1


def test_the_owner_of_a_service_decides_none_of_its_cases(staffed: dc.Desk) -> None:
    staffed.people.register("bot", "root", owner="ana")
    case = proposed(staffed, owner="bot")
    assert refusal(lambda: staffed.claim("ana", case=case))[0] is EligibilityError
    assert refusal(lambda: staffed.claim("bot", case=case))[0] is RoleError
    assert staffed.claim("ben", case=case) is not None
    assert "has an owner" in refusal(lambda: staffed.people.register("orphan", "root", owner=""))[1]


def test_the_arbiter_is_none_of_the_two(staffed: dc.Desk) -> None:
    """Also where the arbiter's second account has answered."""
    staffed.people.set_group("leads", ["lee", "ana"], "root")
    staffed.people.link("lee", "ben", "root")
    loop = staffed.loop("both", context="minimal", group="team", quorum={"answers": 2, "arbiter": "leads"})
    case = loop.propose(action="x", args={}, input=1)
    for name, verdict in (("ana", "approve"), ("ben", "reject")):
        claim = staffed.claim(name, case=case)
        assert claim is not None
        claim.answer(verdict)
    for name in ("ana", "lee"):
        assert refusal(lambda name=name: staffed.claim(name, case=case))[0] is SamePersonError  # type: ignore[misc]


@pytest.mark.parametrize("name", ["", " ", "a" * 300, "\u200b"])
def test_names_that_cannot_be(staffed: dc.Desk, name: str) -> None:
    assert refusal(lambda: staffed.people.invite(name, "root"))[0] in (EligibilityError, AccountError)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(
    st.sampled_from(["grant", "revoke", "link", "remove", "group", "invite"]),
    st.sampled_from(["ana", "ben", "lee", "pia", "root", "new"]),
    st.sampled_from(["reviewer", "lead", "admin", "policy", "auditor"]), st.sampled_from(["", "pay", "mail"]),
), max_size=12))  # fmt: skip
def test_loops_and_accounts_agree_whatever_is_done(steps: list[tuple[str, str, str, str]]) -> None:
    """After any changes, refused ones among them: what loops know is what the accounts say, and an admin is left."""
    with dc.open("sqlite:///:memory:", durability="process") as desk:
        desk.loop("pay", context="minimal")
        desk.loop("mail", context="minimal")
        team(desk, ("ana", "ben", "lee", "pia"), roles=("reviewer",))
        people = desk.people
        for what, name, role, loop in steps:
            acts: dict[str, Callable[[], Any]] = {
                "grant": lambda name=name, role=role, loop=loop: people.grant(name, role, "root", loop=loop),
                "revoke": lambda name=name, role=role, loop=loop: people.revoke(name, role, "root", loop=loop),
                "link": lambda name=name: people.link(name, "ana", "root"),
                "remove": lambda name=name: people.remove(name, "root"),
                "group": lambda name=name: people.add_to_group("g", name, "root"),
                "invite": lambda name=name: people.invite(name, "root"),
            }
            try:
                acts[what]()
            except (AccountError, SignInError):
                continue
        assert in_step(desk)
        assert any(a.has("admin") and a.state == "active" for a in people.accounts())
        for control in desk.loops():
            folded = dc.control.Control(loop=control.loop, loop_id=0, version=0, settings=control.settings)
            for entry in desk.store.queries.entries(f"loop/{control.loop_id}"):
                for event in entry.events:
                    folded = dc.evolve.governed_by(folded, event)
            assert (folded.people, folded.groups) == (control.people, control.groups)
