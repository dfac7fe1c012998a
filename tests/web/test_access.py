"""Who comes in: tokens, the single-use address, hosts, sessions, forms from elsewhere."""

from __future__ import annotations

import re

import pytest
import web_cases
from fastapi import FastAPI
from starlette.testclient import TestClient

import dualcontrol as dc
from dualcontrol.web.access import Access
from dualcontrol.web.app import create_app

PRIVATE = [
    "/",
    "/inbox",
    "/cases",
    "/keys",
    "/live",
    "/api/v1/loops",
    "/api/v1/cases",
    "/api/v1/events",
    "/api/v1/inbox",
]


@pytest.mark.parametrize("path", PRIVATE)
def test_no_token_no_entry(stranger: TestClient, path: str) -> None:
    """401 with the way in."""
    reply = stranger.get(path)
    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("token", ["", "wrong", "test-token2", "Ü"])
def test_a_wrong_token_is_none(stranger: TestClient, token: str) -> None:
    """Also one that is nearly right."""
    reply = stranger.get("/api/v1/loops", headers={"Authorization": f"Bearer {token}".encode()})
    assert (reply.status_code, reply.json()["code"]) == (401, "DC-ACCESS")


def test_what_is_open(stranger: TestClient) -> None:
    """Health, the description and the error pages need no token; they hold nothing of anybody."""
    assert stranger.get("/api/v1/health").json()["status"] == "ok"
    assert stranger.get("/api/v1/openapi.json").json()["openapi"] == "3.1.0"


def test_the_printed_address_lets_one_browser_in(app: FastAPI, stranger: TestClient) -> None:
    """The entry token works once; the address is clean afterwards; the cookie is not for scripts or other sites."""
    address = f"/?token={app.state.access.entry}"
    first = stranger.get(address)
    assert (first.status_code, first.headers["location"]) == (303, "/")
    cookie = first.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=strict", "path=/"))
    assert stranger.get("/").status_code == 200
    stranger.cookies.clear()
    assert stranger.get(address).status_code == 403
    assert stranger.get("/").status_code == 401


def test_the_entry_token_is_no_api_token(app: FastAPI, stranger: TestClient) -> None:
    """And the API token does not stand in addresses."""
    assert (
        stranger.get("/api/v1/loops", headers={"Authorization": f"Bearer {app.state.access.entry}"}).status_code == 401
    )
    assert stranger.get("/?token=test-token").status_code == 403


def test_a_restart_gives_a_new_address(desk: dc.Desk) -> None:
    """A session outlives a restart only under a configured token."""
    one, two, three = (create_app(desk, token=t).state.access for t in ("a", "a", None))
    assert len({one.entry, two.entry, three.entry}) == 3
    assert two.session(one.issue()) is not None
    assert three.session(one.issue()) is None


def test_the_token_typed_by_hand(stranger: TestClient) -> None:
    """The entry page takes the API token and a name; it sends nobody to another site."""
    wrong = stranger.post("/enter", data={"token": "no", "person": "eve"})
    assert wrong.status_code == 403
    right = stranger.post("/enter", data={"token": "test-token", "person": "eve", "to": "//evil.example/"})
    assert (right.status_code, right.headers["location"]) == (303, "/")
    assert '<span class="you-name">eve</span>' in stranger.get("/").text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "10.0.0.7"])
def test_a_foreign_host_is_refused(api: TestClient, host: str) -> None:
    """DNS rebinding: the name in the Host header is not ours."""
    assert api.get("/api/v1/health", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:1", "LOCALHOST", "[::1]:8765"])
def test_own_hosts(api: TestClient, host: str) -> None:
    """Every name of the loopback."""
    assert api.get("/api/v1/health", headers={"Host": host}).status_code == 200


def test_hosts_of_a_server_for_others() -> None:
    """The configured host, named hosts, and where every address is bound any literal address."""
    secret = b"s" * 32
    named = Access(token="t", secret=secret, host="10.0.0.7", port=1, allowed=("Desk.example",))
    assert [named.answers_to(h) for h in ("10.0.0.7:1", "desk.example", "10.0.0.8")] == [True, True, False]
    anywhere = Access(token="t", secret=secret, host="0.0.0.0", port=1)
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


def test_a_form_under_our_own_policy_is_taken(web: TestClient) -> None:
    """`no-referrer` makes a browser say Origin: null; Sec-Fetch-Site says the rest."""
    token = csrf(web.get("/inbox").text)
    own = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    assert web.post("/inbox/next", data={"csrf": token}, headers=own).status_code == 200


def test_a_session_needs_the_token_for_the_api_too(web: TestClient) -> None:
    """A cookie alone may read, not act; a bearer needs nothing more."""
    assert web.get("/api/v1/loops").status_code == 200
    assert web.post("/api/v1/claims", json={"person": "ana"}).status_code == 403
    token = csrf(web.get("/inbox").text)
    assert web.post("/api/v1/claims", json={"person": "ana"}, headers={"X-CSRF-Token": token}).status_code == 204


def test_who_you_are(web: TestClient, desk: dc.Desk) -> None:
    """The name in the session stands beside the decision."""
    token = csrf(web.get("/inbox").text)
    web.post("/you", data={"csrf": token, "person": "  Zoë  ", "to": "/inbox"})
    web_cases.spam(desk)
    page = web.post("/inbox/next", data={"csrf": token})
    web.post(f"{page.url.path}/answer", data={"csrf": token, "verdict": "approve"})
    given = next(iter(desk.case(desk.store.queries.cases().rows[0].id).answered))
    assert (given.actor.person, given.actor.via, given.actor.authenticated) == ("Zoë", "web", "token")


def test_a_forged_cookie_is_none(app: FastAPI, stranger: TestClient) -> None:
    """Signed by us or nothing."""
    for cookie in ("x", "eyJwZXJzb24iOiJldmUifQ.aaaa.bbbb", app.state.access.issue()[:-2]):
        stranger.cookies.set(app.state.access.cookie, cookie)
        assert stranger.get("/").status_code == 401


def test_leaving(web: TestClient) -> None:
    """The session ends in this browser."""
    web.post("/leave", data={"csrf": csrf(web.get("/inbox").text)})
    assert web.get("/").status_code == 401


def test_every_reply_is_closed(web: TestClient) -> None:
    """A strict policy for content on every page, and nothing inline."""
    for path in ("/", "/inbox", "/cases", "/enter", "/errors/DC-CASE", "/keys"):
        reply = web.get(path)
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert not re.search(r"<style|style=|<script(?! type=\"module\" src=)| on[a-z]+=\"", reply.text), path


def test_a_link_from_another_site_finds_its_session(stranger: TestClient) -> None:
    """A strict cookie does not come with such a link: the page asks once more by itself, and only once."""
    link = {"Accept": "text/html", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert 'http-equiv="refresh"' in stranger.get("/inbox", headers=link).text
    own = stranger.get("/inbox", headers={**link, "Sec-Fetch-Site": "same-origin"})
    assert (own.status_code, 'http-equiv="refresh"' in own.text) == (401, False)
