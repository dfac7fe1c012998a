"""Who comes in: tokens, the single-use address, hosts, sessions, forms from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
import web_cases
from fastapi import FastAPI
from starlette.testclient import TestClient

import dualcontrol as dc
from dualcontrol.errors import SettingsError
from dualcontrol.web.access import Access
from dualcontrol.web.app import create_app
from dualcontrol.web.attempts import Attempts

TOKEN = "a-token-of-the-tests"
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


@pytest.mark.parametrize("token", ["", "wrong", "a-token-of-the-tests2", "Ü"])
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
    assert stranger.get("/?token=a-token-of-the-tests").status_code == 403


def test_a_restart_gives_a_new_address_and_signs_nobody_out(tmp_path: Path) -> None:
    """The key of sessions lies in the database, not in the process: with a configured token and with a drawn one."""
    for token in (TOKEN, None):
        url = f"sqlite:///{tmp_path}/{'drawn' if token is None else 'configured'}.db"
        with dc.open(url, durability="process") as desk:
            one = create_app(desk, token=token).state.access
            cookie = one.issue(person="eve")
        with dc.open(url, durability="process") as desk:
            app = create_app(desk, token=token)
            with TestClient(app, base_url="http://localhost", cookies={one.cookie: cookie}) as client:
                page = client.get("/", headers={"Accept": "text/html"})
            assert (page.status_code, '<span class="you-name">eve</span>' in page.text) == (200, True)
            assert app.state.access.entry != one.entry


def test_another_token_or_another_database_ends_every_session(desk: dc.Desk, tmp_path: Path) -> None:
    """Changing a token that somebody learned lets nobody stay in."""
    cookie = create_app(desk, token=TOKEN).state.access.issue()
    assert create_app(desk, token="another-token-of-the-tests").state.access.session(cookie) is None
    with dc.open(f"sqlite:///{tmp_path}/other.db", durability="process") as other:
        assert create_app(other, token=TOKEN).state.access.session(cookie) is None


def test_leaving_ends_every_copy_of_the_session(app: FastAPI, web: TestClient, desk: dc.Desk) -> None:
    """A cookie that was taken along opens neither page nor stream, here or in a server started later."""
    access = app.state.access
    renamed = web.post("/you", data={"csrf": csrf(web.get("/keys").text), "person": "eve"})
    assert renamed.status_code == 200
    stolen = web.cookies[access.cookie]
    web.post("/leave", data={"csrf": csrf(web.get("/keys").text)})
    for server in (app, create_app(desk, token=TOKEN, people=("ana",))):
        with TestClient(server, base_url="http://127.0.0.1:8765", cookies={access.cookie: stolen}) as thief:
            for path in PRIVATE:
                assert thief.get(path).status_code == 401, path
            assert thief.post("/inbox/next", data={}).status_code == 401


ELSEWHERE = """
import sys, dualcontrol as dc
from starlette.testclient import TestClient
from dualcontrol.web.app import create_app
url, token, cookie = sys.argv[1:]
with dc.open(url, durability="process") as desk:
    app = create_app(desk, token=token)
    cookies = {app.state.access.cookie: cookie}
    with TestClient(app, base_url="http://127.0.0.1:8765", cookies=cookies) as client:
        print(client.get("/").status_code, client.get("/inbox.json").status_code)
"""


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_leaving_counts_in_another_process(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Who is in is a row of the database, which every server asks; no secret of it stands in the row."""
    url = f"sqlite:///{tmp_path}/dc.db" if kind == "sqlite" else str(request.getfixturevalue("postgres_url"))

    def elsewhere(cookie: str) -> str:
        given = [sys.executable, "-c", ELSEWHERE, url, TOKEN, cookie]
        return subprocess.run(given, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    with dc.open(url, durability="process") as desk:
        access = create_app(desk, token=TOKEN).state.access
        cookie = access.issue()
        visitor = access.session(cookie)
        assert visitor is not None
        assert elsewhere(cookie) == "200 200"
        access.end(visitor)
        assert elsewhere(cookie) == "401 401"


def test_a_session_lasts_a_week(tmp_path: Path) -> None:
    """Its row says until when, by the clock of the database."""
    now = [1_800_000_000_000_000]
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process", clock=lambda: now[0]) as desk:
        access = create_app(desk, token=TOKEN).state.access
        visitor = access.session(access.issue())
        now[0] += 6 * 86_400_000_000
        assert access.lives(visitor)
        now[0] += 86_400_000_001
        assert not access.lives(visitor)


@pytest.mark.parametrize("token", ["", "t", "fifteen-letters"])
def test_a_token_that_could_be_guessed_is_refused(desk: dc.Desk, token: str) -> None:
    """Where an app is made by hand as well."""
    with pytest.raises(SettingsError, match="at least 16 characters"):
        create_app(desk, token=token)
    with pytest.raises(SettingsError, match=r"at least 16 characters|not empty"):
        dc.settings.load(env={"DUALCONTROL_WEB__TOKEN": token})


def person(app: FastAPI, address: str) -> TestClient:
    """A client at an address of its own."""
    return TestClient(app, base_url="http://127.0.0.1:8765", client=(address, 1), follow_redirects=False)


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(app: FastAPI) -> Time:
    """The time by which attempts are counted."""
    clock = Time()
    app.state.access.attempts = Attempts(clock)
    return clock


def try_form(client: TestClient, token: str) -> httpx2.Response:
    return client.post("/enter", data={"token": token})


def try_bearer(client: TestClient, token: str) -> httpx2.Response:
    return client.get("/api/v1/loops", headers={"Authorization": f"Bearer {token}"})


def try_address(client: TestClient, token: str) -> httpx2.Response:
    return client.get("/", params={"token": token})


@pytest.mark.parametrize(
    ("attempt", "wrong", "right"), [(try_form, 403, 303), (try_bearer, 401, 200), (try_address, 403, 303)]
)
def test_guessing_is_limited_at_every_door(
    app: FastAPI, time: Time, attempt: Any, wrong: int, right: int
) -> None:  # fmt: skip
    """Ten misses, then 429 with the seconds to wait, for the right token too; a moment later the owner is in."""
    token = app.state.access.entry if attempt is try_address else TOKEN
    guesser = person(app, "10.0.0.1")
    replies = [attempt(guesser, f"wrong-{n}") for n in range(14)]
    assert [r.status_code for r in replies] == [wrong] * 10 + [429] * 4
    assert {r.headers.get("Retry-After") for r in replies[10:]} == {"6"}
    assert "too many wrong tokens were tried; the next is looked at in 6 seconds" in replies[-1].text
    assert attempt(guesser, token).status_code == 429
    time.now += 6
    assert attempt(guesser, token).status_code == right


def test_what_one_tries_keeps_nobody_else_out(app: FastAPI, time: Time) -> None:
    """Another client, another door, a session, and what needs no token."""
    guesser, other = person(app, "10.0.0.1"), person(app, "10.0.0.2")
    cookie = app.state.access.issue()
    for n in range(12):
        try_bearer(guesser, f"wrong-{n}")
    told = guesser.get("/api/v1/loops", headers={"Authorization": "Bearer x"})
    assert (told.json()["code"], told.headers["content-type"]) == ("DC-ATTEMPTS", "application/problem+json")
    assert try_bearer(other, TOKEN).status_code == 200
    assert guesser.get("/api/v1/health", headers={"Authorization": "Bearer x"}).status_code == 200
    assert try_form(guesser, TOKEN).status_code == 303
    guesser.cookies.clear()
    guesser.cookies.set(app.state.access.cookie, cookie)
    assert guesser.get("/inbox").status_code == 200


def test_a_program_that_works_goes_on_beside_one_that_guesses(app: FastAPI, time: Time) -> None:
    """On the same machine as well: the right token was brought from there before."""
    machine = person(app, "10.0.0.1")
    assert try_bearer(machine, TOKEN).status_code == 200
    assert [try_bearer(machine, "old-token").status_code for _ in range(12)] == [401] * 10 + [429] * 2
    assert try_bearer(machine, TOKEN).status_code == 200


def test_many_clients_together_are_limited_too(app: FastAPI, time: Time) -> None:
    """A hundred misses from a hundred addresses, then one a second; who was in before is not held up."""
    known = person(app, "10.9.9.9")
    assert try_bearer(known, TOKEN).status_code == 200
    codes = [try_bearer(person(app, f"10.1.{n // 200}.{n % 200}"), "wrong").status_code for n in range(103)]
    assert codes == [401] * 100 + [429] * 3
    assert try_bearer(person(app, "10.2.0.1"), TOKEN).headers["Retry-After"] == "1"
    assert try_bearer(known, TOKEN).status_code == 200
    time.now += 1
    assert try_bearer(person(app, "10.2.0.1"), TOKEN).status_code == 200


def test_one_ipv6_network_is_one_client(app: FastAPI, time: Time) -> None:
    """Whoever has one address of it has all."""
    codes = [try_bearer(person(app, f"2001:db8::{n:x}"), "wrong").status_code for n in range(11)]
    assert codes[-1] == 429
    assert try_bearer(person(app, "2001:db8:0:1::1"), "wrong").status_code == 401
    assert try_bearer(person(app, "::ffff:10.0.0.1"), "wrong").status_code == 401


def test_a_page_says_when_to_try_again(app: FastAPI, time: Time) -> None:
    """With the way back to the form."""
    browser = person(app, "10.0.0.1")
    for n in range(11):
        page = browser.post("/enter", data={"token": f"wrong-{n}"}, headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["Retry-After"]) == (429, "6")
    assert "Too many wrong tokens" in page.text
    assert 'href="/enter' in page.text


def test_the_token_typed_by_hand(stranger: TestClient) -> None:
    """The entry page takes the API token and a name; it sends nobody to another site."""
    wrong = stranger.post("/enter", data={"token": "no", "person": "eve"})
    assert wrong.status_code == 403
    right = stranger.post("/enter", data={"token": "a-token-of-the-tests", "person": "eve", "to": "//evil.example/"})
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


def test_hosts_of_a_server_for_others(desk: dc.Desk) -> None:
    """The configured host, named hosts, and where every address is bound any literal address."""
    secret = b"s" * 32
    given: dict[str, Any] = {"token": TOKEN, "store": desk.store, "secret": secret, "port": 1}
    named = Access(**given, host="10.0.0.7", allowed=("Desk.example",))
    assert [named.answers_to(h) for h in ("10.0.0.7:1", "desk.example", "10.0.0.8")] == [True, True, False]
    anywhere = Access(**given, host="0.0.0.0")
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


def test_who_you_are(web: TestClient, desk: dc.Desk) -> None:
    """The name in the session stands beside the decision."""
    token = csrf(web.get("/inbox").text)
    web.post("/you", data={"csrf": token, "person": "  Zoë  ", "to": "/inbox"})
    web_cases.spam(desk)
    page = web.post("/inbox/next", data={"csrf": token})
    web.post(f"{page.url.path}/answer", data={**web_cases.seen(web, page.url.path), "verdict": "approve"})
    given = next(iter(desk.case(desk.store.queries.cases().rows[0].id).answered))
    assert (given.actor.person, given.actor.via, given.actor.authenticated) == ("Zoë", "web", "token")


def test_a_forged_cookie_is_none(app: FastAPI, stranger: TestClient) -> None:
    """Signed by us or nothing."""
    for cookie in ("x", "eyJwZXJzb24iOiJldmUifQ.aaaa.bbbb", app.state.access.issue()[:-2]):
        stranger.cookies.set(app.state.access.cookie, cookie)
        assert stranger.get("/").status_code == 401


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
