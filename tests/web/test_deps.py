"""The role matrix: every address times every role, and what each address asks, held against a table written by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import web_cases
from fastapi import FastAPI
from msgspec.structs import replace
from starlette.testclient import TestClient
from team import session, team

import dualcontrol as dc
from dualcontrol.people import PERMITTED, ROLES
from dualcontrol.web.app import addresses, create_app
from dualcontrol.web.deps import asks

BASE = "http://127.0.0.1:8765"
#                submitter reviewer lead policy auditor admin
MATRIX = """
overview             x        x      x     x      x      x
read                 x        x      x     x      x      .
audit                .        .      x     x      x      .
propose              x        .      .     .      .      .
run                  x        .      .     .      .      .
withdraw             x        .      x     .      .      .
claim                .        x      x     .      .      .
answer               .        x      x     .      .      .
escalate             .        x      x     .      .      .
retract              .        x      x     .      .      .
revoke               .        x      x     .      .      .
resolve              .        x      x     .      .      .
stop                 .        x      x     x      .      x
resume               .        .      x     .      .      .
configure            .        .      .     x      .      .
erase                .        .      .     x      .      .
people               .        .      .     .      .      x
sign                 .        x      x     x      x      x
"""
NAMES = ("submitter", "reviewer", "lead", "policy", "auditor", "admin")
EXPECTED = {
    (verb, role): mark == "x"
    for verb, *marks in map(str.split, MATRIX.strip().splitlines())
    for role, mark in zip(NAMES, marks, strict=True)
}
# What a token of an account with the role can be good for: none carries people or sign, and no service decides.
SCOPES = {
    "submitter": ("propose", "read"), "reviewer": ("decide", "read"), "lead": ("decide", "read"),
    "policy": ("decide", "read"), "auditor": ("read",), "admin": ("read",),
}  # fmt: skip
BY_SCOPE = {
    "propose": {"overview", "propose", "run", "withdraw"},
    "read": {"overview", "read", "audit"},
    "decide": {
        "overview", "read", "claim", "answer", "escalate", "retract", "revoke", "resolve", "stop", "resume",
        "configure",
    },
}  # fmt: skip
ADDRESSES = """
GET /api/v1/health -
POST /api/v1/loops/{loop}/cases propose
POST /api/v1/loops/{loop}/fingerprint propose
GET /api/v1/loops/{loop}/cases propose
GET /api/v1/cases read
GET /api/v1/cases/{case_id} read
GET /api/v1/cases/{case_id}/events read
POST /api/v1/cases/{case_id}/withdraw withdraw
POST /api/v1/cases/{case_id}/revoke revoke
POST /api/v1/claims claim
GET /api/v1/claims/{claim_id} claim
POST /api/v1/claims/{claim_id}/extend answer
POST /api/v1/claims/{claim_id}/commit answer
DELETE /api/v1/claims/{claim_id} answer
POST /api/v1/claims/{claim_id}/answer answer
POST /api/v1/cases/{case_id}/effect/start run
POST /api/v1/cases/{case_id}/effect/finish run
POST /api/v1/cases/{case_id}/effect/recall run
POST /api/v1/cases/{case_id}/effect/resolve resolve
GET /api/v1/inbox read
GET /api/v1/loops overview
GET /api/v1/loops/{loop} overview
POST /api/v1/loops/{loop}/autopilot/stop stop
POST /api/v1/loops/{loop}/autopilot/open resume
GET /api/v1/loops/{loop}/examples read
GET /api/v1/loops/{loop}/guarantee overview
GET /api/v1/loops/{loop}/oversight read
POST /api/v1/loops/{loop}/suspend resume
POST /api/v1/loops/{loop}/readmit resume
GET /api/v1/loops/{loop}/settings overview
PUT /api/v1/loops/{loop}/settings/{key} configure
DELETE /api/v1/loops/{loop}/settings/{key} configure
GET /api/v1/events read
POST /api/v1/stop stop
POST /api/v1/resume resume
POST /api/v1/loops/{loop}/stop stop
POST /api/v1/loops/{loop}/resume resume
GET / -
GET /live sign
GET /inbox read
POST /inbox/next claim
GET /claims/{claim_id} claim
POST /claims/{claim_id}/answer answer
POST /claims/{claim_id}/commit answer
POST /claims/{claim_id}/release answer
POST /claims/{claim_id}/extend answer
GET /cases read
GET /cases/{case_id} read
POST /cases/{case_id}/claim claim
POST /cases/{case_id}/undo retract
POST /cases/{case_id}/revoke revoke
POST /cases/{case_id}/effect resolve
GET /loops/{loop}/guarantee overview
GET /loops/{loop}/oversight read
GET /loops/{loop}/suspend resume
GET /loops/{loop}/readmit resume
POST /loops/{loop}/suspend resume
POST /loops/{loop}/readmit resume
GET /loops/{loop}/settings overview
POST /loops/{loop}/settings configure
GET /loops/{loop}/stop stop
GET /stop stop
GET /loops/{loop}/resume resume
GET /resume resume
POST /loops/{loop}/stop stop
POST /stop stop
POST /loops/{loop}/resume resume
POST /resume resume
GET /api/v1/people audit
GET /people people
POST /people people
POST /people/services people
POST /people/groups people
GET /people/{account_id} people
GET /people/{account_id}/remove people
POST /people/{account_id}/remove people
POST /people/{account_id}/invite people
POST /people/{account_id}/tokens people
POST /people/{account_id}/{act} people
GET /account sign
POST /account/password sign
POST /account/sessions sign
POST /account/tokens sign
POST /account/tokens/revoke sign
POST /account/provider sign
GET /claims/{claim_id}/answer answer
POST /sign-in/provider -
GET /sign-in/back -
GET /set-up -
POST /set-up -
GET /sign-in -
POST /sign-in -
GET /join -
POST /join -
POST /you sign
POST /leave -
GET /errors/{code} -
GET /keys sign
GET /cases/{case_id}/whole read
GET /claims/{claim_id}/whole claim
GET /cases/{case_id}/image read
GET /claims/{claim_id}/image claim
"""
REFUSED = ("DC-ROLE", "DC-SCOPE")


def test_the_matrix_is_the_one_written_here() -> None:
    """A cell that is changed in the code has to be changed here by hand."""
    assert tuple(ROLES) == NAMES
    assert {(verb, role): role in PERMITTED[verb] for verb in PERMITTED for role in NAMES} == EXPECTED


def test_every_address_asks_what_is_written_here() -> None:
    listed = [f"{method} {path} {verb or '-'}" for method, path, verb in addresses()]
    assert sorted(listed) == sorted(ADDRESSES.strip().splitlines())


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dc.Desk]:
    """An account for every role, in the loop `refunds` alone; the admin of all loops beside them."""
    folder: Path = tmp_path_factory.mktemp("roles")
    with dc.open(f"sqlite:///{folder}/dc.db", durability="process") as desk:
        web_cases.define(desk)
        team(desk, ("ana",), roles=())
        for role in NAMES:
            if role == "submitter":
                desk.people.register("submitter", "root", owner="ana", loops=("refunds",))
            else:
                team_of_one(desk, role)
        yield desk


def team_of_one(desk: dc.Desk, role: str) -> None:
    """An active account with one role, in one loop; an admin is one of all."""
    desk.people.invite(role, "root")
    account = desk.people.account(role)
    with desk.store.transaction() as tx:
        tx.accounts.save_account(replace(account, state="active"))
    desk.people.grant(role, role, "root", loop="" if role == "admin" else "refunds")


@pytest.fixture(scope="module")
def app(desk: dc.Desk) -> FastAPI:
    return create_app(desk, token="a-token-of-the-tests")


def clients(app: FastAPI, desk: dc.Desk, role: str) -> tuple[TestClient, TestClient | None]:
    """A client with a token of the role's account, and one with a session, which no service has."""
    token = desk.tokens.issue(role, "root", scopes=SCOPES[role])[1]
    program = TestClient(app, base_url=BASE, headers={"Authorization": f"Bearer {token}"}, follow_redirects=False)
    if role == "submitter":
        return program, None
    browser = TestClient(app, base_url=BASE, headers={"Accept": "application/json"}, follow_redirects=False)
    browser.cookies.set(app.state.access.cookie, session(desk, role))
    return program, browser


def allowed(role: str, verb: str, by_token: bool) -> bool:
    """What the tables above say."""
    carried = any(verb in BY_SCOPE[scope] for scope in SCOPES[role])
    return EXPECTED[verb, role] and (carried or not by_token)


@pytest.mark.parametrize("role", NAMES)
def test_every_address_lets_in_whom_the_matrix_lets_in(app: FastAPI, desk: dc.Desk, role: str) -> None:
    """By token and by session, in the loop of the role; in another loop nobody is let in."""
    known = {"code": "DC-CASE", "key": "threshold", "account_id": desk.people.account("ana").id, "act": "group"}
    ours, others = web_cases.refund(desk), web_cases.spam(desk)
    program, browser = clients(app, desk, role)
    for method, path, verb in addresses():
        if verb is None or path.endswith(("/live", "/api/v1/events")):
            continue
        for loop, case in (("refunds", ours), ("spam", others)):
            named = {**known, "loop": loop, "case_id": case.id, "claim_id": f"{case.id}.0123456789abcdef"}
            address = re.sub(r"\{(\w+)\}", lambda name, named=named: named[name[1]], path)  # type: ignore[misc]
            if loop == "spam" and address == path:
                continue  # it names no loop
            for client, by_token in ((program, True), (browser, False)):
                if client is None or path.startswith("/api/") is not by_token:
                    continue
                reply = client.request(method, address, **({} if method == "GET" else {"json": {"because": ""}}))
                code = reply.json().get("code") if "json" in reply.headers.get("content-type", "") else None
                refused = reply.status_code == 403 and code in REFUSED
                here = loop == "refunds" or role == "admin"
                assert refused is not (allowed(role, verb, by_token) and here), (
                    method, address, verb, role, loop, reply.status_code, reply.text[:300],
                )  # fmt: skip


def test_an_address_that_says_nothing_is_closed(app: FastAPI, desk: dc.Desk) -> None:
    """Whoever adds one and forgets to say what it asks lets nobody in, the admin included."""
    unmarked = create_app(desk, token="a-token-of-the-tests")
    unmarked.add_api_route("/api/v1/forgotten", lambda: {"secret": 1})
    unmarked.add_api_route("/api/v1/marked", asks("overview")(lambda: {"open": 1}))
    for role in NAMES:
        program, _ = clients(unmarked, desk, role)
        assert (program.get("/api/v1/forgotten").status_code, program.get("/api/v1/marked").status_code) == (403, 200)


def test_nobody_without_a_sign_in_gets_anything(app: FastAPI) -> None:
    with TestClient(app, base_url=BASE, follow_redirects=False) as stranger:
        for method, path, verb in addresses():
            if verb is None:
                continue
            address = re.sub(r"\{\w+\}", "x", path)
            reply = stranger.request(method, address, headers={"Accept": "application/json"})
            assert (reply.status_code, reply.json()["code"]) == (401, "DC-ACCESS"), (method, address)
