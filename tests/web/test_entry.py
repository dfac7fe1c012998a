"""Coming in: the printed address, the set-up, sign-in, invitations; and who one is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import web_cases
from fastapi import FastAPI
from starlette.testclient import TestClient
from team import PASSWORD, csrf, passwords, team

import dualcontrol as dc
from dualcontrol.errors import AccountError, SignInError
from dualcontrol.people import Grant
from dualcontrol.web.app import create_app

BASE = "http://127.0.0.1:8765"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[dc.Desk]:
    """A desk without accounts."""
    with dc.open(f"sqlite:///{tmp_path}/fresh.db", durability="process") as desk:
        web_cases.define(desk)
        yield desk


def browser(app: FastAPI, **options: Any) -> TestClient:
    """A browser of its own, which does not follow where it is sent."""
    return TestClient(app, base_url=options.pop("base_url", BASE), follow_redirects=False, **options)


def entered(app: FastAPI) -> TestClient:
    """The browser that brought the printed address."""
    client = browser(app)
    assert client.get("/", params={"token": app.state.access.entry}).status_code == 303
    return client


def who(client: TestClient) -> str | None:
    """Whose session a browser holds."""
    access = client.app.state.access  # type: ignore[attr-defined]
    visitor = access.session(client.cookies.get(access.cookie) or "")
    return None if visitor is None else visitor.person


# The printed address


def test_the_printed_address_of_the_demo_lets_one_browser_in(fresh: dc.Desk) -> None:
    """It works once; the address is clean afterwards; the cookie is not for scripts or other sites."""
    app = create_app(fresh, people=("ana", "ben"))
    address = f"/?token={app.state.access.entry}"
    client = browser(app)
    first = client.get(address)
    assert (first.status_code, first.headers["location"]) == (303, "/")
    cookie = first.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=strict", "path=/"))
    assert client.get("/").status_code == 200
    client.cookies.clear()
    assert client.get(address).status_code == 403
    assert client.get("/").status_code == 401


def test_an_address_that_somebody_signed_in_opens_is_spent(fresh: dc.Desk) -> None:
    """It lets nobody else in afterwards, and does not change who they are."""
    app = create_app(fresh, people=("ana", "ben"))
    client = browser(app)
    client.cookies.set(app.state.access.cookie, app.state.access.entered().secret)
    assert client.get("/", params={"token": app.state.access.entry}).headers["location"] == "/"
    assert browser(app).get("/", params={"token": app.state.access.entry}).status_code == 403


def test_the_printed_address_signs_nobody_in_where_there_are_accounts(app: FastAPI, stranger: TestClient) -> None:
    """It leads to the sign-in, without a cookie."""
    reply = stranger.get("/", params={"token": app.state.access.entry})
    assert (reply.status_code, reply.headers["location"]) == (303, "/sign-in")
    assert not stranger.cookies
    assert stranger.get("/inbox").status_code == 401


def test_a_head_or_a_form_does_not_use_the_address_up(fresh: dc.Desk) -> None:
    app = create_app(fresh, people=("ana",))
    address = f"/?token={app.state.access.entry}"
    assert browser(app).head(address).status_code != 303
    assert browser(app).post(address).status_code == 405
    assert browser(app).get(address).status_code == 303


# The set-up


def set_up(client: TestClient, **typed: str) -> Any:
    """Send the form of the set-up."""
    return client.post("/set-up", data={"csrf": csrf(client), "name": "root", "password": PASSWORD, **typed})


def test_the_first_browser_makes_the_admin(fresh: dc.Desk) -> None:
    """And is signed in as them, under a new secret; the set-up is over then, for everybody."""
    app = create_app(fresh)
    client, other = entered(app), browser(app)
    before = client.cookies[app.state.access.cookie]
    assert client.get("/set-up").status_code == 200
    for path in ("/", "/inbox", "/cases", "/keys"):
        assert client.get(path).status_code in (303, 401), path
    assert set_up(client).status_code == 303
    (root,) = fresh.people.accounts()
    assert (root.name, root.grants, root.state) == ("root", (Grant(role="admin"),), "active")
    assert who(client) == "root"
    assert client.cookies[app.state.access.cookie] != before
    other.cookies.set(app.state.access.cookie, before)
    for path in ("/set-up", "/inbox"):
        assert other.get(path).status_code == 401, path
    assert other.post("/set-up", data={"name": "eve", "password": PASSWORD}).status_code == 401
    assert create_app(fresh).state.access.entered() is None


def test_who_reviews_as_well_has_two_accounts_and_is_one_human(fresh: dc.Desk) -> None:
    client = entered(create_app(fresh))
    assert set_up(client, alone="Zoë").headers["location"] == "/"
    assert who(client) == "Zoë"
    root, zoe = fresh.people.account("root"), fresh.people.account("zoë")
    assert root.behind == zoe.behind
    assert {grant.role for grant in zoe.grants} == {"reviewer", "lead", "policy"}
    assert {grant.role for grant in root.grants} == {"admin"}
    assert fresh.sign_ins.by_password("root", PASSWORD).id == root.id


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"password": "short"}, "a password has 10 to 200 characters"),
        ({"password": "x" * 201}, "a password has 10 to 200 characters"),
        ({"password": "password1234"}, "easily guessed"),
        ({"name": "Bartholomew", "password": "bartholomew1"}, "easily guessed"),
        ({"name": " "}, "a person is named by"),
        ({"alone": "ROOT"}, "needs a name of its own"),
    ],
)
def test_a_mistake_of_the_set_up_is_shown_and_nothing_is_made(fresh: dc.Desk, typed: dict[str, str], says: str) -> None:
    client = entered(create_app(fresh))
    page = set_up(client, **typed)
    assert page.status_code in (403, 409)
    assert all(words in page.text for words in (says, "<h1>Set up</h1>", 'action="/set-up"'))
    assert f'value="{typed.get("password", PASSWORD)}"' not in page.text
    assert fresh.people.accounts() == []
    assert set_up(client).status_code == 303


def test_two_who_set_up_at_once_make_one_admin(fresh: dc.Desk) -> None:
    """Two servers on one database, each with an address of its own."""
    one, two = entered(create_app(fresh)), entered(create_app(fresh))
    form = {"csrf": csrf(two), "name": "two", "password": PASSWORD}
    assert set_up(one, name="one").status_code == 303
    assert two.post("/set-up", data=form).status_code == 401
    with pytest.raises(AccountError, match="this desk has its admin"):
        fresh.sign_ins.set_up("two", PASSWORD)
    assert [account.name for account in fresh.people.accounts()] == ["one"]


def test_the_set_up_ends_after_an_hour(tmp_path: Path) -> None:
    now = [1_800_000_000_000_000]
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process", clock=lambda: now[0]) as desk:
        client = entered(create_app(desk))
        assert client.get("/set-up").status_code == 200
        now[0] += 3_600_000_001
        assert client.get("/set-up").status_code == 401


# Sign-in


def test_signing_in_by_name_and_password(stranger: TestClient, desk: dc.Desk) -> None:
    """In any spelling of the name; it sends nobody to another site."""
    passwords(desk, "Zoë")
    for to, location in (("/inbox", "/inbox"), ("//evil.example/", "/"), ("https://evil.example", "/"), ("/\\e", "/")):
        reply = stranger.post("/sign-in", data={"name": " zoë ", "password": PASSWORD, "to": to})
        assert (reply.status_code, reply.headers["location"]) == (303, location)
        cookie = reply.headers["set-cookie"].lower()
        assert all(part in cookie for part in ("httponly", "samesite=strict", "path=/"))
        assert "secure" not in cookie
        stranger.cookies.clear()
        stranger.cookies.set(*reply.headers["set-cookie"].split(";")[0].split("=", 1))
        assert who(stranger) == "Zoë"
        stranger.cookies.clear()


def test_over_https_the_cookie_is_for_https_only(app: FastAPI, desk: dc.Desk) -> None:
    passwords(desk, "ana")
    reply = browser(app, base_url="https://127.0.0.1:8765").post("/sign-in", data={"name": "ana", "password": PASSWORD})
    assert "secure" in reply.headers["set-cookie"].lower()


def test_whatever_is_wrong_with_a_sign_in_the_answer_is_the_same(stranger: TestClient, desk: dc.Desk) -> None:
    """A wrong password, a name that is nobody's, one that was only invited or was removed, a service, no password."""
    passwords(desk, "ana", "ben")
    desk.people.invite("ida", "root")
    desk.people.remove("ben", "root")
    desk.people.register("bot", "root", owner="ana")
    attempts = (("ana", "wrong guess"), ("nobody", PASSWORD), ("ida", PASSWORD), ("ben", PASSWORD), ("bot", PASSWORD))
    pages = set()
    for name, word in (*attempts, ("cleo", "")):
        page = stranger.post("/sign-in", data={"name": name, "password": word})
        same = page.text.replace(f'value="{name}"', "")
        pages.add((page.status_code, re.sub(r'data-now="\d+"', "", same)))
    ((status, text),) = pages
    assert (status, "The name or the password is wrong." in text) == (403, True)
    assert not stranger.cookies


def test_a_sign_in_begins_a_session_of_its_own_and_ends_the_one_before(
    app: FastAPI, stranger: TestClient, desk: dc.Desk
) -> None:
    """Fixation: a cookie that somebody else chose, or knows, is never the one that is signed in."""
    passwords(desk, "ana")
    cookie = app.state.access.cookie
    stranger.cookies.set(cookie, "chosen-by-somebody-else")
    sign_in = {"name": "ana", "password": PASSWORD}
    assert stranger.post("/sign-in", data=sign_in).status_code == 303
    first = app.state.access.session(stranger.cookies.get(cookie, domain="127.0.0.1") or "")
    assert app.state.access.session("chosen-by-somebody-else") is None
    known = desk.sign_ins.begin(desk.people.account("ben"), "password").secret
    client = browser(app)
    client.cookies.set(cookie, known)
    assert client.post("/sign-in", data=sign_in).status_code == 303
    assert app.state.access.session(known) is None
    sessions = desk.sign_ins.sessions(desk.people.account("ana").id)
    assert len({row.digest for row in sessions}) == 2
    assert first is None or first.person == "ana"


def test_a_page_of_before_the_sign_in_still_signs_in(web: TestClient, desk: dc.Desk) -> None:
    """Another tab may have signed in since; who signs in shows a secret, and acts under no session."""
    passwords(desk, "ben")
    reply = web.post("/sign-in", data={"name": "ben", "password": PASSWORD}, follow_redirects=False)
    assert reply.status_code == 303
    invitation = desk.people.invite("nora", "root").secret
    reply = web.post("/join", data={"token": invitation, "password": PASSWORD}, follow_redirects=False)
    assert reply.status_code == 303


# Invitations


def test_an_invitation_works_once_and_looking_uses_nothing_up(stranger: TestClient, desk: dc.Desk) -> None:
    """The password is chosen by whom it is for, who is signed in then."""
    invitation = desk.people.invite("Nora", "root", roles=[Grant(role="reviewer")]).secret
    for _ in range(2):
        page = stranger.get("/join", params={"token": invitation})
        assert (page.status_code, "Welcome, Nora" in page.text) == (200, True)
        stranger.head("/join", params={"token": invitation})
    wrong = stranger.post("/join", data={"token": invitation, "password": "short"})
    assert (wrong.status_code, "a password has 10 to 200 characters" in wrong.text) == (409, True)
    assert desk.people.account("nora").state == "invited"
    assert stranger.post("/join", data={"token": invitation, "password": PASSWORD}).status_code == 303
    assert who(stranger) == "Nora"
    for again in (
        stranger.get("/join", params={"token": invitation}),
        stranger.post("/join", data={"token": invitation, "password": "another one of mine"}),
    ):
        assert (again.status_code, "used already" in again.text) == (403, True)
    assert desk.sign_ins.by_password("nora", PASSWORD).name == "Nora"


def test_a_link_that_was_never_given_or_is_too_old_is_none(tmp_path: Path) -> None:
    now = [1_800_000_000_000_000]
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process", clock=lambda: now[0]) as desk:
        team(desk, ("ana",))
        client = browser(create_app(desk))
        invitation, recovery = desk.people.invite("ida", "root").secret, desk.people.recover("ana", "root").secret
        assert client.get("/join", params={"token": recovery}).status_code == 200
        now[0] += 86_400_000_001
        assert client.get("/join", params={"token": recovery}).status_code == 403
        assert client.get("/join", params={"token": invitation}).status_code == 200
        now[0] += 6 * 86_400_000_000
        for token in (invitation, "", "x"):
            assert client.post("/join", data={"token": token, "password": PASSWORD}).status_code == 403


def test_a_recovery_ends_what_the_old_password_opened(app: FastAPI, web: TestClient, desk: dc.Desk) -> None:
    passwords(desk, "ana")
    link = desk.people.recover("ana", "root").secret
    assert web.get("/inbox.json").status_code == 401
    client = browser(app)
    new = "another four words"
    assert client.post("/join", data={"token": link, "password": new}).status_code == 303
    assert desk.sign_ins.by_password("ana", new).name == "ana"
    with pytest.raises(SignInError):
        desk.sign_ins.by_password("ana", PASSWORD)


# Who you are


def test_who_signed_in_stands_beside_the_decision(web: TestClient, desk: dc.Desk) -> None:
    """With how they signed in, and when; no form lets anybody be somebody else."""
    refused = web.post("/you", data={"csrf": csrf(web), "person": "ben"})
    assert (refused.status_code, "only the demo has people to switch between" in refused.text) == (409, True)
    web_cases.spam(desk)
    page = web.post("/inbox/next", data={"csrf": csrf(web)})
    web.post(f"{page.url.path}/answer", data={**web_cases.seen(web, page.url.path), "verdict": "approve"})
    (answer,) = desk.case(desk.store.queries.cases().rows[0].id).answered
    assert (answer.actor.person, answer.actor.via, answer.actor.authenticated) == ("ana", "web", "password")
    assert answer.actor.signed_in_at == desk.sign_ins.sessions(desk.people.account("ana").id)[0].signed_in_at


def test_the_demo_has_people_to_switch_between(fresh: dc.Desk) -> None:
    """Those it was started with, and nobody else; the record says that nobody signed in."""
    app = create_app(fresh, people=("ana", "Zoë"))
    with TestClient(app, base_url=BASE, headers={"Accept": "text/html"}) as client:
        client.get("/", params={"token": app.state.access.entry})
        assert who(client) == "ana"
        assert client.post("/you", data={"csrf": csrf(client), "person": "  zoë  ", "to": "/inbox"}).status_code == 200
        assert who(client) == "Zoë"
        assert client.post("/you", data={"csrf": csrf(client), "person": "eve"}).status_code == 409
        assert who(client) == "Zoë"
        web_cases.spam(fresh)
        page = client.post("/inbox/next", data={"csrf": csrf(client)})
        client.post(f"{page.url.path}/answer", data={**web_cases.seen(client, page.url.path), "verdict": "approve"})
        (answer,) = fresh.case(fresh.store.queries.cases().rows[0].id).answered
        assert (answer.actor.person, answer.actor.via, answer.actor.authenticated) == ("Zoë", "web", "demo")
