"""The pages of people, for an admin: invite, grant, group, link, remove; and what auditors read of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import web_cases
from fastapi import FastAPI
from starlette.testclient import TestClient
from team import csrf, session

import dualcontrol as dc

BASE = "http://127.0.0.1:8765"


def signed_in(app: FastAPI, desk: dc.Desk, name: str) -> TestClient:
    """A browser in which somebody has just signed in."""
    client = TestClient(app, base_url=BASE, headers={"Accept": "text/html"}, follow_redirects=False)
    client.cookies.set(app.state.access.cookie, session(desk, name))
    return client


@pytest.fixture
def admin(app: FastAPI, desk: dc.Desk) -> Iterator[TestClient]:
    """The browser of the admin."""
    with signed_in(app, desk, "root") as client:
        yield client


def post(client: TestClient, path: str, **fields: str) -> Any:
    """Send a form of the pages of people."""
    return client.post(path, data={"csrf": csrf(client), **fields})


def of(desk: dc.Desk, name: str) -> str:
    """The address of somebody's page."""
    return f"/people/{desk.people.account(name).id}"


def happened(desk: dc.Desk) -> list[tuple[str, str, str]]:
    """What the stream of people says: what, of whom, by whom."""
    entries = desk.store.queries.entries("people")
    return [(type(e).__name__, e.person, e.by) for entry in entries for e in entry.events]  # type: ignore[union-attr]


def test_an_admin_begins_at_the_people(admin: TestClient) -> None:
    """Who sees no case has no loops to look at."""
    assert admin.get("/").headers["location"] == "/people"
    page = admin.get("/people").text
    assert "Invite somebody" in page
    assert 'href="/inbox"' not in page.partition("<main")[0]


@pytest.mark.parametrize("name", ["ana", None])
def test_nobody_else_sees_them(app: FastAPI, desk: dc.Desk, api: TestClient, name: str | None) -> None:
    """A person who decides is no admin, and no token of anybody's opens pages of people."""
    for path in ("/people", of(desk, "ben"), f"{of(desk, 'ben')}/remove"):
        reply = signed_in(app, desk, name).get(path) if name else api.get(path)
        assert reply.status_code == 403, path
        assert "ben" not in reply.text
    before = happened(desk)
    if name:
        client = signed_in(app, desk, name)
        fields = {"csrf": csrf(client)}
        for path in ("/people", f"{of(desk, 'ana')}/grant", f"{of(desk, 'ben')}/remove"):
            assert client.post(path, data={**fields, "name": "mia", "role": "admin"}).status_code == 403
    assert happened(desk) == before


def test_an_invitation_is_shown_once(admin: TestClient, stranger: TestClient, desk: dc.Desk) -> None:
    """With role and group; looking at the link uses nothing up, and choosing a password does."""
    page = post(admin, "/people", name="Nora", role="reviewer", loop="refunds", group="support", email="n@example.org")
    link = re.search(r"http://127\.0\.0\.1:8765(/join\?token=[\w-]+)", page.text)
    assert link is not None
    assert happened(desk)[-1] == ("GroupNamed", "", "root")
    assert link[1] not in admin.get("/people").text
    account = desk.people.account("Nora")
    assert [(grant.role, grant.loop) for grant in account.grants] == [("reviewer", "refunds")]
    for _ in range(2):
        assert "Welcome" in stranger.get(link[1]).text
    fields = {"token": link[1].partition("=")[2], "password": "horse battery staple nine"}
    assert stranger.post("/join", data=fields).status_code == 303
    assert stranger.get("/inbox").status_code == 200
    assert stranger.post("/join", data=fields).status_code == 403


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "ANA", "role": "reviewer"}, "is that of another account"),
        ({"name": "mia", "role": "reviewer", "loop": "nothing"}, "no loop"),
        ({"name": "mia", "role": "king"}, "no role"),
        ({"name": "mia", "role": "submitter"}, "proposing is for services"),
        ({"name": "", "role": "reviewer"}, "named by 1 to"),
    ],
)
def test_an_invitation_that_cannot_be(admin: TestClient, desk: dc.Desk, fields: dict[str, str], says: str) -> None:
    """It says why, keeps what was typed, and changes nothing."""
    before = happened(desk)
    page = post(admin, "/people", email="x@example.org", **fields)
    assert page.status_code in (403, 404, 409, 422)
    assert says in page.text
    assert happened(desk) == before
    assert 'value="x@example.org"' in page.text


def test_roles_and_groups_are_given_and_taken(admin: TestClient, desk: dc.Desk) -> None:
    """Each is an event by the admin, and in force at once."""
    ana = of(desk, "ana")
    assert post(admin, f"{ana}/revoke", role="lead", loop="").headers["location"] == ana
    assert post(admin, f"{ana}/grant", role="auditor", loop="spam").status_code == 303
    assert post(admin, f"{ana}/group", group="seniors").status_code == 303
    assert "seniors" in admin.get(ana).text
    grants = {(grant.role, grant.loop) for grant in desk.people.account("ana").grants}
    assert ("auditor", "spam") in grants
    assert ("lead", "") not in grants
    assert post(admin, f"{ana}/ungroup", group="seniors").status_code == 303
    assert [tuple(group.people) for group in desk.people.groups()] == [()]
    assert "nobody: its cases go to the arbiter" in admin.get("/people").text
    assert post(admin, "/people/groups", group="seniors").status_code == 303
    assert desk.people.groups() == []


def test_what_does_not_go_together_is_refused(admin: TestClient, desk: dc.Desk) -> None:
    """An admin who decides, and no admin at all; the page says why."""
    page = post(admin, f"{of(desk, 'ana')}/grant", role="admin", loop="")
    assert (page.status_code, "admin decides nothing" in page.text) == (409, True)
    page = post(admin, f"{of(desk, 'root')}/revoke", role="admin", loop="")
    assert (page.status_code, "last admin" in page.text) == (409, True)
    page = post(admin, f"{of(desk, 'root')}/remove")
    assert (page.status_code, "last admin" in page.text) == (409, True)
    assert post(admin, f"{of(desk, 'ana')}/crown").status_code == 404
    assert admin.get("/people/nobody").status_code == 404


def test_an_admin_keeps_the_accounts_of_all_loops(admin: TestClient, desk: dc.Desk) -> None:
    """One of a single loop could make themselves admin of the others."""
    page = post(admin, f"{of(desk, 'eve')}/grant", role="admin", loop="spam")
    assert (page.status_code, "cannot be admin of one loop" in page.text) == (409, True)


def test_a_change_that_takes_two_waits(admin: TestClient, desk: dc.Desk) -> None:
    """The page says in which case; nothing has changed until a policy owner approves it."""
    desk.loop("spam", mode="labels", labels=["spam", "ham"], changes="two")
    eve = of(desk, "eve")
    waits = post(admin, f"{eve}/grant", role="auditor", loop="spam").headers["location"]
    assert waits.startswith(f"{eve}?case=")
    assert "waits for a second person" in admin.get(waits).text
    assert not desk.people.account("eve").has("auditor")
    assert post(admin, f"{eve}/group", group="seniors").headers["location"].startswith(f"{eve}?case=")
    page = post(admin, "/people", name="Nora", role="reviewer", loop="spam")
    assert (page.status_code, "waits for a second person" in page.text) == (200, True)


def test_two_accounts_of_one_human(admin: TestClient, desk: dc.Desk) -> None:
    """They say so on both pages."""
    assert post(admin, f"{of(desk, 'ana')}/link", other="eva").status_code == 303
    assert "One person with" in admin.get(of(desk, "eva")).text
    assert happened(desk)[-1] == ("AccountsLinked", "ana", "root")


def test_a_service_and_its_token(admin: TestClient, desk: dc.Desk, api: TestClient) -> None:
    """Its owner is named; the token is shown once, proposes, and is revoked."""
    address = post(admin, "/people/services", name="bot", owner="ana", loop="spam").headers["location"]
    assert "Who answers for it" in admin.get(address).text
    page = post(admin, f"{address}/tokens", name="night run", scopes="propose read", loop="spam", life="30")
    secret = re.search(r"dc_[0-9a-f]{8}_[\w-]{43}", page.text)
    assert secret is not None
    assert secret[0] not in admin.get(address).text
    bearer = {"Authorization": f"Bearer {secret[0]}"}
    assert api.get("/api/v1/loops", headers=bearer).status_code == 200
    assert "last used" in admin.get(address).text
    assert post(admin, f"{address}/revoke-token", token=secret[0].split("_")[1]).status_code == 303
    assert api.get("/api/v1/loops", headers=bearer).status_code == 401
    assert post(admin, f"{address}/tokens", scopes="decide").status_code == 409
    assert post(admin, f"{of(desk, 'ana')}/tokens", scopes="read").status_code == 409


def test_the_link_of_somebody_who_came_in_is_made_on_the_machine_only(admin: TestClient, desk: dc.Desk) -> None:
    """Else an admin would sign in as a reviewer and decide."""
    page = post(admin, f"{of(desk, 'ana')}/invite")
    assert (page.status_code, "join?token" in page.text) == (409, False)
    post(admin, "/people", name="Nora", role="reviewer")
    page = post(admin, f"{of(desk, 'Nora')}/invite")
    assert (page.status_code, "/join?token=" in page.text) == (200, True)


def test_removing_says_what_ends_and_ends_it(app: FastAPI, admin: TestClient, desk: dc.Desk) -> None:
    """The page that was open shows nothing any more, and the review goes back to the queue."""
    case = web_cases.spam(desk)
    claim = desk.claim("ana", case=case)
    assert claim is not None
    desk.people.set_group("seniors", ["ana"], "root")
    desk.tokens.issue("ana", "root", scopes=("read",))
    ana = signed_in(app, desk, "ana")
    open_page = ana.get(f"/claims/{claim.id}")
    page = re.sub(r"<[^>]+>|\s+", " ", admin.get(f"{of(desk, 'ana')}/remove").text)
    for part in ("seniors", "Tokens in force 1", "Reviews held 1", "Browsers signed in 1"):
        assert part in re.sub(r" +", " ", page)
    assert open_page.status_code == 200
    fields = {"csrf": csrf(ana), "verdict": "approve", "served": "1.x"}
    assert post(admin, f"{of(desk, 'ana')}/remove").headers["location"] == "/people"
    assert ana.post(f"/claims/{claim.id}/answer", data=fields).status_code == 401
    assert ana.get("/inbox").headers["location"].startswith("/sign-in")
    assert [review.state for review in desk.case(case.id).reviews] == ["open"]
    assert "Removed" in admin.get(of(desk, "ana")).text


def test_sessions_of_somebody_end(app: FastAPI, admin: TestClient, desk: dc.Desk) -> None:
    ana = signed_in(app, desk, "ana")
    assert ana.get("/inbox").status_code == 200
    assert post(admin, f"{of(desk, 'ana')}/end-sessions").status_code == 303
    assert ana.get("/inbox").status_code == 303


def test_nothing_secret_is_on_a_page(admin: TestClient, desk: dc.Desk) -> None:
    """Neither hash nor digest, in HTML or JSON."""
    desk.tokens.issue("ana", "root", scopes=("read",))
    digests = [token.digest for token, _ in desk.tokens.listed()] + [s.digest for s in desk.sign_ins.sessions()]
    for path in ("/people", of(desk, "ana")):
        for text in (admin.get(path).text, admin.get(f"{path}.json").text):
            assert not [digest for digest in digests if digest in text]
            assert "argon2" not in text


def test_auditors_read_who_may_do_what(app: FastAPI, desk: dc.Desk, api: TestClient) -> None:
    """By token, in the loops that they may audit; without addresses; and nothing is changed through the API."""
    desk.people.invite("Nora", "root", roles=(), email="n@example.org")
    desk.people.grant("ben", "auditor", "root", loop="refunds")
    for role in ("reviewer", "lead", "policy"):
        desk.people.revoke("zoe", role, "root")
    desk.people.grant("zoe", "auditor", "root", loop="spam")
    whole = api.get("/api/v1/people", headers={"Authorization": f"Bearer {api.token('ana')}"})  # type: ignore[attr-defined]
    assert whole.status_code == 200
    assert "example.org" not in whole.text
    roles = {person["name"]: person["roles"] for person in whole.json()["people"]}
    assert {"role": "auditor", "loop": "refunds"} in roles["ben"]
    secret = desk.tokens.issue("zoe", "root", scopes=("read",))[1]
    part = api.get("/api/v1/people", headers={"Authorization": f"Bearer {secret}"})
    assert "refunds" not in json.dumps([person["roles"] for person in part.json()["people"]])
    secret = desk.tokens.issue("root", "root", scopes=("read",))[1]
    assert api.get("/api/v1/people", headers={"Authorization": f"Bearer {secret}"}).status_code == 403
    assert api.post("/api/v1/people", json={}).status_code == 405
