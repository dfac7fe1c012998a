"""The gate before every handler: hosts, forms from elsewhere, and the headers of every reply."""

from __future__ import annotations

import re

import pytest
import web_cases
from starlette.testclient import TestClient
from team import PASSWORD, passwords

import dualcontrol as dc
from dualcontrol.web.access import Access

TOKEN = "a-token-of-the-tests"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "10.0.0.7"])
def test_a_foreign_host_is_refused(api: TestClient, host: str) -> None:
    """DNS rebinding: the name in the Host header is not ours."""
    assert api.get("/api/v1/health", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:1", "LOCALHOST", "[::1]:8765"])
def test_own_hosts(api: TestClient, host: str) -> None:
    """Every name of the loopback."""
    assert api.get("/api/v1/health", headers={"Host": host}).status_code == 200


def test_hosts_of_a_server_for_others(desk: dc.Desk) -> None:
    """The configured host, named hosts, and where every address is bound any literal address."""
    named = Access(desk, token=TOKEN, port=1, host="10.0.0.7", allowed=("Desk.example",))
    assert [named.answers_to(h) for h in ("10.0.0.7:1", "desk.example", "10.0.0.8")] == [True, True, False]
    anywhere = Access(desk, token=TOKEN, port=1, host="0.0.0.0")
    assert [anywhere.answers_to(h) for h in ("10.9.8.7:1", "[fe80::1]:1", "evil.example")] == [True, True, False]


def csrf(page: str) -> str:
    """The token in a page's forms."""
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert found is not None
    return found[1]


def test_forms_carry_the_sessions_token(web: TestClient, desk: dc.Desk) -> None:
    """Without it nothing happens."""
    web_cases.spam(desk)
    assert web.post("/inbox/next", data={}).status_code == 403
    assert web.post("/inbox/next", data={"csrf": "0" * 40}).status_code == 403
    assert desk.store.queries.counts(desk.control("spam").loop_id)["claimed"] == 0  # type: ignore[union-attr]
    token = csrf(web.get("/inbox").text)
    assert web.post("/inbox/next", data={"csrf": token}).url.path.startswith("/claims/")


def test_a_form_of_another_session_is_not_taken(web: TestClient, desk: dc.Desk) -> None:
    """Not even of the same person's."""
    access = web.app.state.access  # type: ignore[attr-defined]
    other = desk.sign_ins.begin(desk.people.account("ana"), "password")
    elsewhere = access.csrf(access.session(other.secret))
    assert web.post("/leave", data={"csrf": elsewhere}).status_code == 403
    assert web.get("/inbox").status_code == 200
    assert web.post("/leave", data={"csrf": csrf(web.get("/inbox").text)}, follow_redirects=False).status_code == 303


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "null"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_forms_from_elsewhere_are_refused(web: TestClient, headers: dict[str, str]) -> None:
    """Even with the right token in them."""
    token = csrf(web.get("/inbox").text)
    reply = web.post("/inbox/next", data={"csrf": token}, headers=headers)
    assert (reply.status_code, "another site" in reply.text) == (403, True)


@pytest.mark.parametrize("headers", FOREIGN)
def test_nobody_is_signed_in_from_elsewhere(stranger: TestClient, desk: dc.Desk, headers: dict[str, str]) -> None:
    """Else another site could have somebody work under an account that it knows, and watch."""
    passwords(desk, "ana")
    invitation = desk.people.invite("nora", "root").secret
    sign_in = {"name": "ana", "password": PASSWORD}
    assert stranger.post("/sign-in", data=sign_in, headers=headers).status_code == 403
    joining = {"token": invitation, "password": PASSWORD}
    assert stranger.post("/join", data=joining, headers=headers).status_code == 403
    assert not stranger.cookies
    assert stranger.post("/sign-in", data=sign_in).status_code == 303


def test_a_form_under_our_own_policy_is_taken(web: TestClient) -> None:
    """`no-referrer` makes a browser say Origin: null; Sec-Fetch-Site says the rest."""
    token = csrf(web.get("/inbox").text)
    own = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    assert web.post("/inbox/next", data={"csrf": token}, headers=own).status_code == 200


def test_a_session_does_not_open_the_api(web: TestClient) -> None:
    """No page of another site can use the cookie there; a page's twin is JSON at its own address."""
    for path in ("/api/v1/cases", "/api/v1/inbox", "/api/v1/events", "/api/v1/loops"):
        assert web.get(path).status_code == 403, path
    assert web.post("/api/v1/claims", json={}).status_code == 403
    assert web.get("/inbox.json").status_code == 200


def test_every_reply_is_closed(web: TestClient) -> None:
    """A strict policy for content on every page, and nothing inline."""
    for path in ("/", "/inbox", "/cases", "/sign-in", "/join?token=x", "/errors/DC-CASE", "/keys"):
        reply = web.get(path)
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["cache-control"] == "no-store"
        assert not re.search(r"<style|style=|<script(?! type=\"module\" src=)| on[a-z]+=\"", reply.text), path


def test_a_link_from_another_site_finds_its_session(stranger: TestClient) -> None:
    """A strict cookie does not come with such a link: the page asks once more by itself, and only once."""
    link = {"Accept": "text/html", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert 'http-equiv="refresh"' in stranger.get("/inbox", headers=link).text
    own = stranger.get("/inbox", headers={**link, "Sec-Fetch-Site": "same-origin"})
    assert (own.status_code in (401, 303), 'http-equiv="refresh"' in own.text) == (True, False)
