"""Guessing is limited: passwords, tokens and the printed address, by client, by name and by all together."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from team import PASSWORD, passwords, session

import dualcontrol as dc
from dualcontrol.web.app import create_app
from dualcontrol.web.attempts import Attempts

TOKEN = "a-token-of-the-tests"


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


def try_password(client: TestClient, secret: str, name: str = "ana") -> httpx2.Response:
    return client.post("/sign-in", data={"name": name, "password": secret})


def try_bearer(client: TestClient, token: str) -> httpx2.Response:
    return client.get("/api/v1/loops", headers={"Authorization": f"Bearer {token}"})


def try_address(client: TestClient, token: str) -> httpx2.Response:
    return client.get("/", params={"token": token})


@pytest.mark.parametrize(
    ("attempt", "wrong", "right"), [(try_password, 403, 303), (try_bearer, 401, 200), (try_address, 403, 303)]
)
def test_guessing_is_limited_at_every_door(
    app: FastAPI, desk: dc.Desk, time: Time, attempt: Any, wrong: int, right: int
) -> None:
    """Ten misses, then 429 with the seconds to wait, for the right secret too; a moment later the owner is in."""
    passwords(desk, "ana")
    secret = {try_address: app.state.access.entry, try_bearer: TOKEN, try_password: PASSWORD}[attempt]
    guesser = person(app, "10.0.0.1")
    replies = [attempt(guesser, f"wrong-{n}") for n in range(14)]
    assert [r.status_code for r in replies] == [wrong] * 10 + [429] * 4
    assert {r.headers.get("Retry-After") for r in replies[10:]} == {"6"}
    assert "oo many wrong secrets were tried; the next is looked at in 6 seconds" in replies[-1].text
    assert attempt(guesser, secret).status_code == 429
    time.now += 6
    assert attempt(guesser, secret).status_code == right


def test_guessing_a_password_is_limited_by_client_and_by_name(app: FastAPI, desk: dc.Desk, time: Time) -> None:
    """One client that tries many names, and many clients that try one, however they spell it."""
    passwords(desk, "ana", "ben")
    guesser = person(app, "10.0.0.1")
    names = [try_password(guesser, "wrong", f"somebody-{n}").status_code for n in range(12)]
    assert names == [403] * 10 + [429] * 2
    assert try_password(guesser, PASSWORD).status_code == 429
    assert try_password(person(app, "10.0.0.2"), PASSWORD).status_code == 303
    spelled = ("ben", "BEN", " Ben ")
    clients = [try_password(person(app, f"10.1.0.{n}"), "wrong", spelled[n % 3]).status_code for n in range(12)]
    assert clients == [403] * 10 + [429] * 2
    assert try_password(person(app, "10.2.0.1"), PASSWORD, "ben").status_code == 429
    assert try_password(person(app, "10.2.0.1"), PASSWORD).status_code == 303
    time.now += 6
    assert try_password(person(app, "10.2.0.1"), PASSWORD, "ben").status_code == 303


def test_what_one_tries_keeps_nobody_else_out(app: FastAPI, desk: dc.Desk, time: Time) -> None:
    """Another client, another door, a session, and what needs no token."""
    passwords(desk, "ana")
    guesser, other = person(app, "10.0.0.1"), person(app, "10.0.0.2")
    for n in range(12):
        try_bearer(guesser, f"wrong-{n}")
    reply = guesser.get("/api/v1/loops", headers={"Authorization": "Bearer x"})
    assert (reply.json()["code"], reply.headers["content-type"]) == ("DC-ATTEMPTS", "application/problem+json")
    assert try_bearer(other, TOKEN).status_code == 200
    assert guesser.get("/api/v1/health", headers={"Authorization": "Bearer x"}).status_code == 200
    assert try_password(guesser, PASSWORD).status_code == 303
    guesser.cookies.clear()
    guesser.cookies.set(app.state.access.cookie, session(desk, "ana"))
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


def test_tokens_of_accounts_are_counted_like_the_configured_one(app: FastAPI, desk: dc.Desk, time: Time) -> None:
    """One that was revoked is a miss; one in force lets its program go on."""
    token, secret = desk.tokens.issue("ana", "root", scopes=("decide",))
    machine = person(app, "10.0.0.1")
    assert try_bearer(machine, secret).status_code == 200
    _, other = desk.tokens.issue("ana", "root", scopes=("read",))
    desk.tokens.revoke(token.id, "root")
    assert [try_bearer(machine, secret).status_code for _ in range(12)] == [401] * 10 + [429] * 2
    assert try_bearer(machine, other).status_code == 200


def test_one_ipv6_network_is_one_client(app: FastAPI, time: Time) -> None:
    """Whoever has one address of it has all."""
    codes = [try_bearer(person(app, f"2001:db8::{n:x}"), "wrong").status_code for n in range(11)]
    assert codes[-1] == 429
    assert try_bearer(person(app, "2001:db8:0:1::1"), "wrong").status_code == 401
    assert try_bearer(person(app, "::ffff:10.0.0.1"), "wrong").status_code == 401


def test_a_page_says_when_to_try_again(desk: dc.Desk, app: FastAPI, time: Time) -> None:
    """With the way back to the form."""
    browser = person(app, "10.0.0.1")
    for n in range(11):
        page = browser.post("/sign-in", data={"name": f"n{n}", "password": "x"}, headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["Retry-After"]) == (429, "6")
    assert "Too many wrong secrets" in page.text
    assert re.search(r'(href|action)="/sign-in', page.text)


def test_another_server_counts_for_itself(app: FastAPI, desk: dc.Desk, time: Time) -> None:
    """What is tried at one holds nobody up at another on the same database."""
    for n in range(11):
        try_bearer(person(app, "10.0.0.1"), f"wrong-{n}")
    other = create_app(desk, token=TOKEN)
    assert try_bearer(person(other, "10.0.0.1"), TOKEN).status_code == 200
