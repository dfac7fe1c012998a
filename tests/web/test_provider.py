"""Sign-in by a provider through the pages: to come in, to link, to step up, and what it refuses."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import identity_provider
import pytest
import web_cases
from fastapi import FastAPI
from starlette.testclient import TestClient
from team import PASSWORD, csrf, long_ago, passwords, session
from web_cases import seen

import dualcontrol as dc
from dualcontrol.accounts.sign_in import Subject
from dualcontrol.adapters.oidc import Provider
from dualcontrol.settings import Oidc
from dualcontrol.web.app import create_app

BASE = "http://127.0.0.1:8765"
BOB = {"sub": "bob-3", "preferred_username": "bob", "email": "bob@example.org"}


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A provider that is not ours."""
    with identity_provider.running(identity_provider.PERSON, BOB) as address:
        yield address


@pytest.fixture
def app(desk: dc.Desk, issuer: str) -> FastAPI:
    """The console with that provider."""
    settings = Oidc(issuer=issuer, client_id="dualcontrol", client_secret="s3cret", name="Example ID")
    return create_app(desk, token="a-token-of-the-tests", provider=Provider(settings))


def vouched(issuer: str, sub: str) -> Subject:
    """A subject of the provider, as an earlier sign-in would have said."""
    return Subject(issuer=issuer, subject=sub, name=sub)


def leave(page: Any, sub: str) -> str:
    """What the provider sends the browser back to, after a person signed in there."""
    away = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', page.text)
    assert away is not None
    with httpx2.Client(follow_redirects=False, trust_env=False) as browser:
        address = html.unescape(away[1])
        assert browser.get(address).status_code == 200
        back = urlsplit(browser.post(address, data={"sub": sub}).headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == f"{BASE}/sign-in/back"
    return f"{back.path}?{back.query}"


def come_back(client: TestClient, page: Any, sub: str) -> Any:
    """The page on which the browser arrives; a redirect of another site brings no strict cookie."""
    access = client.app.state.access  # type: ignore[attr-defined]
    address, brought = leave(page, sub), client.cookies[access.cookie_of_provider]
    return client.get(address, headers={"Cookie": f"{access.cookie_of_provider}={brought}"})


def onward(page: Any) -> str:
    """Where a page leads on to by itself."""
    to = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', page.text)
    assert to is not None, page.text
    return html.unescape(to[1])


def test_a_person_signs_in(stranger: TestClient, desk: dc.Desk, issuer: str) -> None:
    """With the account of their subject, and goes on to where they wanted; the answer is good once."""
    desk.sign_ins.bind(desk.people.account("ana"), vouched(issuer, "ann-17"))
    page = stranger.post("/sign-in/provider", data={"to": "/cases?loop=spam"})
    cookie = page.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=lax", "max-age=600"))
    back = come_back(stranger, page, "ann-17")
    assert onward(back) == "/cases?loop=spam"
    assert '<span class="you-name">ana</span>' in stranger.get("/keys").text
    assert desk.sign_ins.sessions(desk.people.account("ana").id)[0].method == "oidc"
    again = stranger.get(f"{urlsplit(str(back.url)).path}?{urlsplit(str(back.url)).query}")
    assert (again.status_code, "used already" in again.text) == (403, True)


def test_an_answer_of_another_browser_is_refused(
    app: FastAPI, stranger: TestClient, desk: dc.Desk, issuer: str
) -> None:
    """Nobody is made to use a sign-in that somebody else began."""
    desk.sign_ins.bind(desk.people.account("ana"), vouched(issuer, "ann-17"))
    address = leave(stranger.post("/sign-in/provider", data={}), "ann-17")
    with TestClient(app, base_url=BASE, follow_redirects=False) as victim:
        assert victim.get(address).status_code == 403
        victim.post("/sign-in/provider", data={})
        assert victim.get(address).status_code == 403
        assert app.state.access.cookie not in victim.cookies
        assert victim.get("/inbox").status_code == 401


def test_who_was_not_invited_stays_out(stranger: TestClient, desk: dc.Desk, issuer: str) -> None:
    """And who was removed."""
    page = come_back(stranger, stranger.post("/sign-in/provider", data={}), "bob-3")
    assert (page.status_code, "nobody here has invited you" in page.text) == (403, True)
    desk.sign_ins.bind(desk.people.account("ana"), vouched(issuer, "bob-3"))
    desk.people.remove("ana", "root")
    assert come_back(stranger, stranger.post("/sign-in/provider", data={}), "bob-3").status_code == 403
    assert stranger.get("/inbox").status_code == 401


def test_an_invitation_is_accepted(stranger: TestClient, desk: dc.Desk, issuer: str) -> None:
    """Without a password, once; the subject is the account's from then on."""
    invited = desk.people.invite("Bob", "root")
    page = stranger.get("/join", params={"token": invited.secret}).text
    assert "Use Example ID" in page
    fields = {"token": invited.secret}
    back = come_back(stranger, stranger.post("/sign-in/provider", data=fields), "bob-3")
    assert onward(back) == "/"
    account = desk.people.account("Bob")
    assert (account.state, account.subjects, account.password) == ("active", ((issuer, "bob-3"),), None)
    assert stranger.post("/sign-in/provider", data=fields).status_code == 403
    assert stranger.post("/join", data={**fields, "password": PASSWORD}).status_code == 403


def test_an_account_is_linked(web: TestClient, desk: dc.Desk, issuer: str) -> None:
    """With the password of the account; the sessions of before end, and this browser has a new one."""
    passwords(desk, "ana")
    elsewhere = session(desk, "ana")
    fields = {"csrf": csrf(web)}
    assert web.post("/account/provider", data={**fields, "current": "wrong"}).status_code == 403
    page = web.post("/account/provider", data={**fields, "current": PASSWORD})
    assert onward(come_back(web, page, "ann-17")) == "/account"
    assert desk.people.account("ana").subjects == ((issuer, "ann-17"),)
    assert desk.sign_ins.session(elsewhere) is None
    assert "You can sign in with Example ID" in web.get("/account").text


@pytest.fixture
def held(web: TestClient, desk: dc.Desk, issuer: str) -> str:
    """The address of a review of high risk that ana holds, who signs in by the provider, and did so long ago."""
    desk.sign_ins.bind(desk.people.account("ana"), vouched(issuer, "ann-17"))
    web.cookies.set(web.app.state.access.cookie, session(desk, "ana"), domain="127.0.0.1", path="/")  # type: ignore[attr-defined]
    claim = desk.claim("ana", case=web_cases.refund(desk, risk="high"))
    assert claim is not None
    long_ago(desk, "ana")
    return f"/claims/{claim.id}"


def stepping_up(web: TestClient, held: str) -> Any:
    """The page that leads to the provider, from the one that asks who somebody is."""
    fields = {**seen(web, held), "verdict": "approve", "rationale": "It was\nlost."}
    asked = web.post(f"{held}/answer", data=fields).text
    assert "Sign in with Example ID" in asked
    assert 'type="password"' not in asked
    away = web.post(f"{held}/answer", data={**fields, "by": "provider"})
    assert "max_age=0" in html.unescape(away.text)
    return away


def test_a_person_steps_up(web: TestClient, held: str, desk: dc.Desk) -> None:
    """What was typed is there when they come back, and one more act answers; the moment is the provider's."""
    back = come_back(web, stepping_up(web, held), "ann-17")
    assert onward(back) == f"{held}/answer"
    for _ in range(2):  # it can be loaded again
        page = web.get(f"{held}/answer").text
        assert "Really approve?" in page
        assert "It was\nlost." in html.unescape(page)
    stamp = re.search(r'name="confirmed" value="([^"]+)"', page)
    assert stamp is not None
    fields = {**seen(web, held), "verdict": "approve", "rationale": "It was\nlost.", "confirmed": stamp[1]}
    assert web.post(f"{held}/answer", data=fields, follow_redirects=False).status_code == 303
    (given,) = desk.case(held.split("/")[2].rpartition(".")[0]).answered
    assert given.actor.stepped_up_at is not None
    assert given.at - given.actor.stepped_up_at < 60_000_000
    assert given.actor.stepped_up_at % 1_000_000 == 0  # as the provider tells it


def test_somebody_else_at_the_provider_steps_nobody_up(web: TestClient, held: str, desk: dc.Desk) -> None:
    """The session goes on, nothing is taken, and what was typed is still there."""
    back = come_back(web, stepping_up(web, held), "bob-3")
    page = web.get(onward(back))
    assert "vouches for somebody else than ana" in page.text
    assert "It was\nlost." in html.unescape(page.text)
    assert desk.sign_ins.sessions(desk.people.account("ana").id)[0].stepped_up_at is None
    assert desk.case(held.split("/")[2].rpartition(".")[0]).answered == ()
    assert web.get("/inbox").url.path == "/inbox"


def test_the_provider_is_down(desk: dc.Desk) -> None:
    """The sign-in page says why; who is signed in goes on, and passwords still do."""
    settings = Oidc(issuer="http://127.0.0.1:9", client_id="dualcontrol", name="Example ID")
    app = create_app(desk, token="a-token-of-the-tests", provider=Provider(settings))
    passwords(desk, "ana")
    with TestClient(app, base_url=BASE, follow_redirects=False, headers={"Accept": "text/html"}) as client:
        page = client.post("/sign-in/provider", data={"to": "/inbox"})
        assert (page.status_code, "cannot be reached" in page.text) == (503, True)
        assert 'type="password"' in page.text
        fields = {"name": "ana", "password": PASSWORD, "to": "/inbox"}
        assert client.post("/sign-in", data=fields).status_code == 303
        assert client.get("/inbox").status_code == 200


def test_a_stranger_begins_only_so_many(stranger: TestClient) -> None:
    """Each is kept for a while, so there is an end to them."""
    codes = [stranger.post("/sign-in/provider", data={}).status_code for _ in range(12)]
    assert codes == [200] * 10 + [429] * 2


def test_the_address_behind_a_proxy(desk: dc.Desk, issuer: str) -> None:
    """Where the settings name it, links and the way back have it, and cookies are for https only."""
    settings = Oidc(issuer=issuer, client_id="dualcontrol", name="Example ID")
    app = create_app(desk, token="a-token-of-the-tests", provider=Provider(settings), url="https://review.example.org")
    with TestClient(app, base_url="http://review.example.org", follow_redirects=False) as client:
        page = client.post("/sign-in/provider", data={})
        assert "redirect_uri=https%3A%2F%2Freview.example.org%2Fsign-in%2Fback" in html.unescape(page.text)
        assert "secure" in page.headers["set-cookie"].lower()
    assert app.state.access.answers_to("review.example.org")
