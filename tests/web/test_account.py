"""One's own account: sessions, tokens, password; and the demo, which has people to switch between instead."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from team import PASSWORD, csrf, passwords, session

import dualcontrol as dc
from dualcontrol.web.app import create_app

BASE = "http://127.0.0.1:8765"
BROWSERS = {
    "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0": "Firefox on Linux",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 "
    "Edg/131.0.0.0": "Edge on Windows",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 "
    "Mobile/15E148 Safari/604.1": "Safari on iPhone",
    "<script>": "<script>",
}


def post(web: TestClient, path: str, **fields: str) -> Any:
    """Send a form of the account's page."""
    return web.post(path, data={"csrf": csrf(web), **fields})


@pytest.fixture
def other(app: FastAPI, desk: dc.Desk) -> TestClient:
    """A second browser of ana's."""
    client = TestClient(app, base_url=BASE, headers={"Accept": "text/html"}, follow_redirects=False)
    client.cookies.set(app.state.access.cookie, session(desk, "ana"))
    return client


def test_who_one_is(web: TestClient) -> None:
    page = web.get("/account").text
    assert "answers cases" in page
    assert "this browser" in page
    assert 'href="/account"' in page


def test_one_session_ends_or_all_others(web: TestClient, other: TestClient, app: FastAPI, desk: dc.Desk) -> None:
    """By its id, and only one's own: somebody else's id ends nothing."""
    bens = desk.sign_ins.begin(desk.people.account("ben"), "password").session
    post(web, "/account/sessions", id=bens.id)
    assert [s.id for s in desk.sign_ins.sessions(bens.account)] == [bens.id]
    ours = app.state.access.session(web.cookies[app.state.access.cookie]).session
    theirs = next(s for s in desk.sign_ins.sessions(ours.account) if s.id != ours.id)
    assert other.get("/inbox").status_code == 200
    post(web, "/account/sessions", id=theirs.id)
    assert other.get("/inbox").status_code == 303
    other.cookies.set(app.state.access.cookie, session(desk, "ana"))
    assert other.get("/inbox").status_code == 200
    post(web, "/account/sessions", id="others")
    assert other.get("/inbox").status_code == 303
    assert web.get("/inbox").url.path == "/inbox"


def test_a_token_of_ones_own(web: TestClient, api: TestClient, desk: dc.Desk) -> None:
    """Shown once, for one loop, and never one that proposes; of somebody else's none is revoked."""
    page = post(web, "/account/tokens", name="report", scope="read", loop="spam", life="30").text
    secret = re.search(r"dc_[0-9a-f]{8}_[\w-]{43}", page)
    assert secret is not None
    assert secret[0] not in web.get("/account").text
    bearer = {"Authorization": f"Bearer {secret[0]}"}
    assert [loop["loop"] for loop in api.get("/api/v1/loops", headers=bearer).json()["loops"]] == ["spam"]
    assert post(web, "/account/tokens", scope="propose").status_code == 409
    bens, _ = desk.tokens.issue("ben", "root", scopes=("read",))
    assert post(web, "/account/tokens/revoke", token=bens.id).status_code == 409
    post(web, "/account/tokens/revoke", token=secret[0].split("_")[1])
    assert api.get("/api/v1/loops", headers=bearer).status_code == 401


def test_a_password_is_changed(web: TestClient, other: TestClient, app: FastAPI, desk: dc.Desk) -> None:
    """With the one before; every other session ends and this one has a new secret; a weak one keeps one signed in."""
    passwords(desk, "ana")
    cookie = app.state.access.cookie
    before = web.cookies[cookie]
    assert post(web, "/account/password", current="wrong", password="four words are good").status_code == 403
    assert web.cookies[cookie] == before
    weak = post(web, "/account/password", current=PASSWORD, password="password12")
    assert (weak.status_code, "easily guessed" in weak.text) == (409, True)
    assert web.get("/inbox").url.path == "/inbox"
    assert other.get("/inbox").status_code == 200
    changed = post(web, "/account/password", current=PASSWORD, password="four words are good")
    assert "1 other session ended" in changed.text
    assert PASSWORD not in changed.text
    assert other.get("/inbox").status_code == 303
    assert web.get("/inbox").url.path == "/inbox"
    other.cookies.clear()
    other.cookies.set(cookie, before)
    assert other.get("/inbox").status_code == 303
    other.cookies.clear()
    fields = {"name": "ana", "password": "four words are good", "to": "/inbox"}
    assert other.post("/sign-in", data=fields).headers["location"] == "/inbox"


@pytest.mark.parametrize("agent", BROWSERS)
def test_browsers_are_called_as_people_call_them(app: FastAPI, desk: dc.Desk, agent: str) -> None:
    passwords(desk, "ana")
    with TestClient(app, base_url=BASE, headers={"User-Agent": agent}, follow_redirects=False) as client:
        client.post("/sign-in", data={"name": "ana", "password": PASSWORD})
    assert desk.sign_ins.sessions(desk.people.account("ana").id)[0].agent == BROWSERS[agent]


def test_a_session_of_before_is_never_the_one_after(app: FastAPI, desk: dc.Desk, stranger: TestClient) -> None:
    """Fixation: a cookie that somebody planted, made up or their own, opens nothing after the sign-in."""
    passwords(desk, "ana")
    cookie = app.state.access.cookie
    for planted in ("A" * 43, session(desk, "eve")):
        stranger.cookies.clear()
        brought = {"Cookie": f"{cookie}={planted}"}
        form = re.search(r'name="csrf" value="(\w*)"', stranger.get("/sign-in", headers=brought).text)
        fields = {"csrf": form[1] if form else "", "name": "ana", "password": PASSWORD}
        assert stranger.post("/sign-in", data=fields, headers=brought).status_code == 303
        assert stranger.cookies[cookie] != planted
        assert app.state.access.session(planted) is None
    assert len(desk.sign_ins.sessions(desk.people.account("ana").id)) == 2  # two sign-ins at once are two sessions


def test_where_one_signs_in_to(stranger: TestClient) -> None:
    """A page that is opened leads on after the sign-in; programs and the JSON of pages get 401, as before."""
    page = {"Accept": "text/html"}
    assert stranger.get("/cases?loop=spam", headers=page).headers["location"] == "/sign-in?to=%2Fcases%3Floop%3Dspam"
    assert stranger.get("/", headers=page).headers["location"] == "/sign-in"
    for path, headers in (("/cases.json", page), ("/api/v1/cases", page), ("/cases", {"Accept": "application/json"})):
        refused = stranger.get(path, headers=headers)
        assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json"), path
    link = {**page, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert 'http-equiv="refresh"' in stranger.get("/inbox", headers=link).text
    for to in ("//evil.example/", "https://evil.example", "/\\evil", "/sign-in", "/leave"):
        assert 'name="to" value="/"' in stranger.get("/sign-in", params={"to": to}).text, to


def test_the_demo_switches_between_its_people(tmp_path: Any) -> None:
    """By buttons, to nobody else, and without an account."""
    with dc.open(f"sqlite:///{tmp_path}/demo.db", durability="process") as desk:
        app = create_app(desk, people=("ana", "ben"))
        with TestClient(app, base_url=BASE, headers={"Accept": "text/html"}) as client:
            page = client.get("/", params={"token": app.state.access.entry}).text
            assert re.findall(r'name="person" value="(\w+)"', page) == ["ana", "ben"]
            assert '<input id="person"' not in page
            assert 'href="/account"' not in page
            fields = {"csrf": csrf(client), "to": "/keys"}
            assert '<span class="you-name">ben</span>' in client.post("/you", data={**fields, "person": "ben"}).text
            assert client.post("/you", data={**fields, "person": "eve"}).status_code == 409
            assert client.get("/account").status_code == 404
            assert client.get("/people").status_code == 403
