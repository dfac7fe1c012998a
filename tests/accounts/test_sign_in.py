"""Sign-in: passwords, links that work once, subjects of a provider, sessions that end everywhere, the step-up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from team import session, team

import dualcontrol as dc
from dualcontrol.accounts import sign_in
from dualcontrol.accounts.sign_in import Subject
from dualcontrol.errors import AccountError, DualcontrolError, SignInError, StepUpError
from dualcontrol.people import Grant

GOOD = "staple battery horse"
ISSUER = "https://id.example"
NOW = 1_800_000_000_000_000
SECOND = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(database_url: str, clock: Clock) -> Iterator[dc.Desk]:
    with dc.open(database_url, durability="process", clock=clock) as desk:
        desk.loop("pay", context="minimal", undo=0)
        team(desk, ("ana", "ben"), roles=("reviewer",))
        yield desk


def refusal(act: Callable[[], Any]) -> str:
    with pytest.raises(DualcontrolError) as error:
        act()
    return error.value.message


def test_an_invitation_works_once_and_lets_one_choose_a_password(desk: dc.Desk) -> None:
    invited = desk.people.invite("cleo", "root", roles=[Grant(role="reviewer")])
    assert refusal(lambda: desk.sign_ins.by_password("cleo", GOOD)) == "the name or the password is wrong"
    for _ in range(3):  # mail programs look ahead
        assert desk.sign_ins.link(invited.secret)[1] == invited.account
    assert "10 to 200 characters" in refusal(lambda: desk.sign_ins.choose_password(invited.secret, "short"))
    account = desk.sign_ins.choose_password(invited.secret, GOOD)
    assert (account.state, account.name) == ("active", "cleo")
    assert desk.sign_ins.by_password(" CLEO", GOOD).id == account.id
    assert "used already" in refusal(lambda: desk.sign_ins.choose_password(invited.secret, GOOD))
    assert account.password is not None
    assert account.password.startswith("$argon2id$")


def test_a_link_that_two_use_at_once_lets_in_one(desk: dc.Desk) -> None:
    invited = desk.people.invite("cleo", "root")
    together, outcomes = threading.Barrier(2), []

    def choose(password: str) -> None:
        together.wait(30)
        try:
            desk.sign_ins.choose_password(invited.secret, password)
            outcomes.append(password)
        except SignInError:
            outcomes.append("refused")

    threads = [threading.Thread(target=choose, args=(f"{GOOD} {n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert outcomes.count("refused") == 1
    winner = next(password for password in outcomes if password != "refused")
    assert desk.sign_ins.by_password("cleo", winner).name == "cleo"


def test_links_and_sessions_end_with_time(desk: dc.Desk, clock: Clock) -> None:
    invited = desk.people.invite("cleo", "root")
    secret = session(desk, "ana")
    clock.now += 7 * 86_400 * SECOND + 1
    assert "too old" in refusal(lambda: desk.sign_ins.choose_password(invited.secret, GOOD))
    assert desk.sign_ins.session(secret) is None


def test_a_recovery_ends_what_was_before(desk: dc.Desk) -> None:
    """Sessions, older links and the old password."""
    invited = desk.people.invite("cleo", "root")
    desk.sign_ins.choose_password(invited.secret, GOOD)
    secret = session(desk, "cleo")
    older = desk.people.recover("cleo", "root")
    newer = desk.people.recover("cleo", "root")
    assert desk.sign_ins.session(secret) is None
    assert "used already" in refusal(lambda: desk.sign_ins.choose_password(older.secret, GOOD))
    desk.sign_ins.choose_password(newer.secret, "another four good words")
    assert refusal(lambda: desk.sign_ins.by_password("cleo", GOOD)) == sign_in.WRONG
    assert desk.sign_ins.by_password("cleo", "another four good words").name == "cleo"


def test_the_machine_makes_an_admin_where_none_can_sign_in(desk: dc.Desk) -> None:
    desk.people.invite("cleo", "root")
    link = desk.people.recover("cleo", "os", admin=True)
    assert desk.sign_ins.choose_password(link.secret, GOOD).has("admin")
    assert refusal(lambda: desk.people.recover("ana", "os", admin=True)).startswith("an admin decides nothing")


@pytest.mark.parametrize("password", [
    "", "short", "password", "Password12345", "aaaaaaaaaaaa", "cleocleocleo", "dualcontrol", "x" * 201, "1234512345",
])  # fmt: skip
def test_passwords_that_are_guessed(password: str) -> None:
    with pytest.raises(AccountError):
        sign_in.checked_password(password, "cleo")


ODD = [GOOD, "pä\u0308sswörter sind schön", "\ud800 lone surrogate \x00", "🦊" * 5 + " 12345678"]


@pytest.mark.parametrize("password", ODD)
def test_passwords_of_any_signs(password: str) -> None:
    assert sign_in.matches(sign_in.hash_of(sign_in.checked_password(password, "cleo")), password)


def test_who_has_no_account_is_refused_as_everybody_is(desk: dc.Desk) -> None:
    """One word for all, and the same work: no answer tells who has an account."""
    hashed: list[str] = []
    real = sign_in.matches

    def counted(stored: str, password: str) -> bool:
        hashed.append(stored[:9])
        return real(stored, password)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sign_in, "matches", counted)
        words = {refusal(lambda name=name: desk.sign_ins.by_password(name, GOOD)) for name in ("ana", "nobody", "")}
    assert words == {sign_in.WRONG}
    assert hashed == ["$argon2id"] * 3


def test_a_session_is_read_anew_each_time(desk: dc.Desk) -> None:
    secret = session(desk, "ana")
    known = desk.sign_ins.session(secret)
    assert known is not None
    assert known[1].roles("pay") == {"reviewer"}
    desk.people.grant("ana", "lead", "root")
    assert desk.sign_ins.session(secret)[1].roles("pay") == {"reviewer", "lead"}  # type: ignore[index]
    desk.people.remove("ana", "root")
    assert desk.sign_ins.session(secret) is None
    assert desk.sign_ins.session("") is None


def test_two_sign_ins_are_two_sessions_and_each_ends_by_itself(desk: dc.Desk) -> None:
    one, two = session(desk, "ana"), session(desk, "ana")
    assert one != two
    listed = desk.sign_ins.sessions(desk.people.account("ana").id)
    assert len({row.id for row in listed}) == 2
    assert all(one not in repr(row) and two not in repr(row) for row in listed)
    desk.sign_ins.end(digest=listed[0].digest)
    assert [desk.sign_ins.session(secret) is None for secret in (one, two)].count(True) == 1


def test_a_renewed_session_has_another_secret(desk: dc.Desk, clock: Clock) -> None:
    secret = session(desk, "ana")
    before = desk.sign_ins.session(secret)
    assert before is not None
    clock.now += 600 * SECOND
    renewed = desk.sign_ins.renewed(before[0], stepped_up=True)
    assert desk.sign_ins.session(secret) is None
    after = desk.sign_ins.session(renewed.secret)
    assert after is not None
    assert (after[0].id, after[1].stepped_up_at, after[1].signed_in_at) == (before[0].id, clock.now, NOW)
    assert refusal(lambda: desk.sign_ins.renewed(before[0])) == "this session has ended"


# Step-up: by the stage, whatever the door


@pytest.mark.parametrize(("authenticated", "age", "verdict", "risk", "taken"), [
    ("password", 299, "approve", "high", True), ("password", 301, "approve", "high", False),
    ("password", 301, "edit", "critical", False), ("password", 301, "respond", 0.9, False),
    ("password", 301, "reject", "critical", True), ("password", 301, "abstain", "critical", True),
    ("password", 301, "approve", "medium", True), ("oidc", 301, "approve", "high", False),
    ("token", 0, "approve", "high", False), ("token", 0, "reject", "high", True),
    ("none", 10**6, "approve", "critical", True), ("os", 10**6, "approve", "critical", True),
    ("made-up", 301, "approve", "high", False),
])  # fmt: skip
def test_much_depends_on_it(
    desk: dc.Desk, clock: Clock, authenticated: str, age: int, verdict: str, risk: Any, taken: bool
) -> None:
    case = desk.loop("pay").propose(action="pay", args={"a": 1}, input="x", risk=risk)
    claim = desk.claim("ana", case=case)
    assert claim is not None
    at = None if authenticated == "token" else clock.now
    clock.now += age * SECOND
    actor = dc.case.Actor(person="ana", via="web", authenticated=authenticated, signed_in_at=at)
    claim = desk.claim("ana", case=case) or claim  # the lease may have run out meanwhile
    value = {"edit": {"a": 2}, "respond": {"text": "no"}}.get(verdict)
    if taken:
        claim.answer(verdict, value, actor=actor)
        answered = desk.case(case.id).answered
        assert verdict == "abstain" or answered[0].actor == actor  # the record says when they proved who they are
    else:
        with pytest.raises(StepUpError) as error:
            claim.answer(verdict, value, actor=actor)
        assert error.value.details["max_age"] == 300
        assert desk.case(case.id).answered == ()
        stepped = replace(actor, stepped_up_at=clock.now, authenticated="password")
        claim.answer(verdict, value, actor=stepped)


# Subjects of a provider


def who(subject: str, email: str | None = None, *, verified: bool = True) -> Subject:
    return Subject(issuer=ISSUER, subject=subject, name=subject, email=email, email_verified=verified)


def test_a_subject_comes_in_by_an_invitation_and_then_by_itself(desk: dc.Desk) -> None:
    assert "nobody here has invited you" in refusal(lambda: desk.sign_ins.by_subject(who("s1")))
    invited = desk.people.invite("cleo", "root")
    account = desk.sign_ins.by_subject(who("s1"), invitation=invited.secret)
    assert desk.sign_ins.by_subject(who("s1")).id == account.id
    assert refusal(lambda: desk.sign_ins.by_subject(Subject(issuer="https://other.example", subject="s1", name="s1")))
    desk.people.remove("cleo", "root")
    assert "account was closed" in refusal(lambda: desk.sign_ins.by_subject(who("s1")))


def test_an_address_lets_in_only_if_the_provider_has_verified_it(desk: dc.Desk) -> None:
    desk.people.invite("cleo", "root", email="Cleo@example.org")
    assert refusal(lambda: desk.sign_ins.by_subject(who("s1", "cleo@example.org", verified=False)))
    assert refusal(lambda: desk.sign_ins.by_subject(who("s1", None)))
    assert desk.sign_ins.by_subject(who("s1", "cleo@example.org")).name == "cleo"
    assert refusal(lambda: desk.sign_ins.by_subject(who("s2", "cleo@example.org")))  # the invitation is used up


def test_accounts_of_one_subject_are_one_person(desk: dc.Desk) -> None:
    first = desk.people.invite("cleo", "root", roles=[Grant(role="reviewer")])
    second = desk.people.invite("cleo at night", "root", roles=[Grant(role="reviewer")])
    for invited in (first, second):
        desk.sign_ins.by_subject(who("s1"), invitation=invited.secret)
    case = desk.loop("pay").propose(action="pay", args={}, input="x", owner="cleo")
    assert "is, or answers for, cleo" in refusal(lambda: desk.claim("cleo at night", case=case))
    assert desk.sign_ins.by_subject(who("s1"), name="cleo at night").name == "cleo at night"


def test_what_waits_for_a_provider_is_given_once(desk: dc.Desk, clock: Clock) -> None:
    desk.sign_ins.remember("key", {"state": "x"})
    assert desk.sign_ins.recall("other") is None
    assert (desk.sign_ins.recall("key"), desk.sign_ins.recall("key")) == ({"state": "x"}, None)
    desk.sign_ins.remember("late", {"state": "x"})
    clock.now += 601 * SECOND
    assert desk.sign_ins.recall("late") is None
