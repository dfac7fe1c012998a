"""Who comes in: tokens, sessions, and how long each lasts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from team import session, team

import dualcontrol as dc
from dualcontrol.errors import SettingsError
from dualcontrol.web.app import create_app

TOKEN = "a-token-of-the-tests"
BASE = "http://127.0.0.1:8765"
PRIVATE = [
    "/",
    "/inbox",
    "/cases",
    "/keys",
    "/live",
    "/set-up",
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


@pytest.mark.parametrize("token", ["", "wrong", "a-token-of-the-tests2", "dc_00000000_x", "Ü"])
def test_a_wrong_token_is_none(stranger: TestClient, token: str) -> None:
    """Also one that is nearly right."""
    reply = stranger.get("/api/v1/loops", headers={"Authorization": f"Bearer {token}".encode()})
    assert (reply.status_code, reply.json()["code"]) == (401, "DC-ACCESS")


def test_what_is_open(stranger: TestClient) -> None:
    """Health, the description, the error pages and the way in need no token; they hold nothing of anybody."""
    assert stranger.get("/api/v1/health").json()["status"] == "ok"
    assert stranger.get("/api/v1/openapi.json").json()["openapi"] == "3.1.0"
    for path in ("/errors/DC-CASE", "/sign-in"):
        page = stranger.get(path)
        assert (page.status_code, "ana" in page.text) == (200, False)


def test_the_entry_token_is_no_api_token(app: FastAPI, stranger: TestClient) -> None:
    """And the API token does not stand in addresses, nor does it sign anybody in."""
    bearer = {"Authorization": f"Bearer {app.state.access.entry}"}
    assert stranger.get("/api/v1/loops", headers=bearer).status_code == 401
    assert stranger.get(f"/?token={TOKEN}").status_code == 403
    assert stranger.post("/sign-in", data={"name": "api", "password": TOKEN}).status_code == 403


@pytest.mark.parametrize("token", ["", "t", "fifteen-letters"])
def test_a_token_that_could_be_guessed_is_refused(desk: dc.Desk, token: str) -> None:
    """Where an app is made by hand as well."""
    with pytest.raises(SettingsError, match="at least 16 characters"):
        create_app(desk, token=token)
    with pytest.raises(SettingsError, match=r"at least 16 characters|not empty"):
        dc.settings.load(env={"DUALCONTROL_WEB__TOKEN": token})


def test_a_token_of_an_account_ends(tmp_path: Path) -> None:
    """By its time, when it is revoked, and with its account; its secret stands nowhere in the database."""
    now = [1_800_000_000_000_000]
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process", clock=lambda: now[0]) as desk:
        team(desk, ("ana", "ben"))
        with TestClient(create_app(desk, token=TOKEN), base_url=BASE) as client:

            def status(secret: str) -> int:
                return client.get("/api/v1/cases", headers={"Authorization": f"Bearer {secret}"}).status_code

            short = desk.tokens.issue("ana", "root", scopes=("read",), life=60_000_000)[1]
            token, revoked = desk.tokens.issue("ana", "root", scopes=("read",))
            bens = desk.tokens.issue("ben", "root", scopes=("read",), life=None)[1]
            assert [status(secret) for secret in (short, revoked, bens)] == [200] * 3
            now[0] += 60_000_000
            desk.tokens.revoke(token.id, "root")
            desk.people.remove("ben", "root")
            assert [status(secret) for secret in (short, revoked, bens)] == [401] * 3
    database = b"".join(path.read_bytes() for path in tmp_path.glob("dc.db*"))
    assert not [secret for secret in (short, revoked, bens) if secret.encode() in database]


# Sessions


def test_a_restart_gives_a_new_address_and_signs_nobody_out(tmp_path: Path) -> None:
    """Sessions are rows of the database, not of the process, whatever the token of programs is."""
    url = f"sqlite:///{tmp_path}/dc.db"
    with dc.open(url, durability="process") as desk:
        team(desk)
        one = create_app(desk, token=TOKEN).state.access
        cookie = session(desk, "eve")
    for token in (TOKEN, None, "another-token-of-the-tests"):
        with dc.open(url, durability="process") as desk:
            app = create_app(desk, token=token)
            with TestClient(app, base_url="http://localhost", cookies={one.cookie: cookie}) as client:
                page = client.get("/", headers={"Accept": "text/html"})
            assert (page.status_code, '<span class="you-name">eve</span>' in page.text) == (200, True)
            assert app.state.access.entry != one.entry


def test_a_session_opens_nothing_on_another_database(desk: dc.Desk, tmp_path: Path) -> None:
    cookie = session(desk, "ana")
    assert create_app(desk).state.access.session(cookie) is not None
    with dc.open(f"sqlite:///{tmp_path}/other.db", durability="process") as other:
        team(other)
        assert create_app(other).state.access.session(cookie) is None


@pytest.mark.parametrize("how", ["ended", "removed", "recovered"])
def test_every_session_of_somebody_ends_at_once(desk: dc.Desk, app: FastAPI, how: str) -> None:
    """Where an admin ends them, or the account does; with a new password as well."""
    access, ana, ben = app.state.access, session(desk, "ana"), session(desk, "ben")
    visitor = access.session(ana)
    if how == "ended":
        assert desk.sign_ins.end(account_id=desk.people.account("ana").id) == 1
    elif how == "removed":
        desk.people.remove("ana", "root")
    else:
        desk.people.recover("ana", "root")
    assert (access.session(ana), access.lives(visitor)) == (None, False)
    assert access.session(ben) is not None


def test_a_role_that_was_taken_is_gone_within_a_session(web: TestClient, desk: dc.Desk) -> None:
    assert web.get("/inbox").status_code == 200
    for role in ("reviewer", "lead", "policy"):
        desk.people.revoke("ana", role, "root")
    refused = web.get("/inbox.json")
    assert (refused.status_code, refused.json()["code"]) == (403, "DC-ROLE")


def test_leaving_ends_every_copy_of_the_session(app: FastAPI, web: TestClient, desk: dc.Desk) -> None:
    """A cookie that was taken along opens neither page nor stream, here or in a server started later."""
    access = app.state.access
    stolen = web.cookies[access.cookie]
    web.post("/leave", data={"csrf": access.csrf(access.session(stolen))})
    for server in (app, create_app(desk, token=TOKEN)):
        with TestClient(server, base_url=BASE, cookies={access.cookie: stolen}) as thief:
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
        command = [sys.executable, "-c", ELSEWHERE, url, TOKEN, cookie]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    with dc.open(url, durability="process") as desk:
        team(desk)
        signed_in = desk.sign_ins.begin(desk.people.account("ana"), "password")
        assert signed_in.secret not in str(signed_in.session)
        assert elsewhere(signed_in.secret) == "200 200"
        desk.sign_ins.end(digest=signed_in.session.digest)
        assert elsewhere(signed_in.secret) == "401 401"


def test_a_session_lasts_a_week(tmp_path: Path) -> None:
    """Its row says until when, by the clock of the database; looking does not make it longer."""
    now = [1_800_000_000_000_000]
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process", clock=lambda: now[0]) as desk:
        team(desk)
        access = create_app(desk, token=TOKEN).state.access
        cookie = session(desk, "ana")
        visitor = access.session(cookie)
        now[0] += 6 * 86_400_000_000
        assert access.session(cookie) is not None
        assert access.lives(visitor)
        now[0] += 86_400_000_001
        assert access.session(cookie) is None
        assert not access.lives(visitor)


def test_a_forged_cookie_is_none(app: FastAPI, stranger: TestClient, desk: dc.Desk) -> None:
    """A secret that was handed out, or nothing; the digest that the database holds opens nothing."""
    signed_in = desk.sign_ins.begin(desk.people.account("ana"), "password")
    for cookie in ("x", "eyJwZXJzb24iOiJldmUifQ.aaaa.bbbb", signed_in.secret[:-2], signed_in.session.digest):
        stranger.cookies.set(app.state.access.cookie, cookie)
        assert stranger.get("/").status_code == 401


# The demo


@pytest.fixture
def fresh(tmp_path: Path) -> Any:
    """A desk without accounts."""
    with dc.open(f"sqlite:///{tmp_path}/fresh.db", durability="process") as desk:
        yield desk


def test_the_demo_is_for_this_machine_and_for_a_desk_without_accounts(fresh: dc.Desk) -> None:
    for host in ("0.0.0.0", "10.0.0.7", "::", "demo.example"):
        with pytest.raises(SettingsError, match="on this machine only"):
            create_app(fresh, host=host, people=("ana",))
    for host in ("127.0.0.1", "localhost", "::1"):
        create_app(fresh, host=host, people=("ana",))
    team(fresh)
    with pytest.raises(SettingsError, match="this database has accounts"):
        create_app(fresh, people=("ana",))


def test_a_session_of_the_demo_opens_nothing_but_a_demo_with_its_person(fresh: dc.Desk) -> None:
    demo = create_app(fresh, people=("ana", "ben")).state.access
    cookie = demo.entered().secret
    assert demo.session(cookie).person == "ana"
    assert create_app(fresh, people=("cleo",)).state.access.session(cookie) is None
    assert create_app(fresh).state.access.session(cookie) is None
    team(fresh)
    assert create_app(fresh).state.access.session(cookie) is None
