"""What a door keeps closed: other people's claims, other loops, and what a token or a role is not good for."""

from __future__ import annotations

from typing import Any

import pytest
import web_cases
from fastapi import FastAPI
from starlette.testclient import TestClient
from team import session

import dualcontrol as dc
from dualcontrol.people import Grant
from dualcontrol.web.app import create_app

BASE = "http://127.0.0.1:8765"
TOKEN = "a-token-of-the-tests"


def bearer(app: FastAPI, secret: str) -> TestClient:
    """A program with a token."""
    return TestClient(app, base_url=BASE, headers={"Authorization": f"Bearer {secret}"})


def visiting(app: FastAPI, desk: dc.Desk, name: str) -> TestClient:
    """Somebody who has signed in."""
    client = TestClient(app, base_url=BASE)
    client.cookies.set(app.state.access.cookie, session(desk, name))
    return client


def answered(reply: Any) -> tuple[int, str | None]:
    """Status and error code of a reply."""
    return reply.status_code, reply.json().get("code") if reply.content else None


def test_what_was_configured_proposes_and_reads_and_decides_nothing(app: FastAPI, desk: dc.Desk) -> None:
    """The token that was printed or set: it could be anybody's."""
    case = web_cases.refund(desk)
    api = bearer(app, TOKEN)
    assert api.get(f"/api/v1/cases/{case.id}").status_code == 200
    body = {"input": "x", "proposal": "spam", "confidence": 0.1}
    assert api.post("/api/v1/loops/spam/cases", json=body).status_code == 201
    claim = desk.claim("ana", case=case)
    assert claim is not None
    for path, body in (
        ("/api/v1/claims", {"person": "ana"}),
        ("/api/v1/claims", {}),
        (f"/api/v1/claims/{claim.id}/answer", {"verdict": "reject", "rationale": "no"}),
        (f"/api/v1/claims/{claim.id}/extend", {"time": "10m"}),
        (f"/api/v1/cases/{case.id}/revoke", {"rationale": "no"}),
    ):
        assert answered(api.post(path, json=body)) == (403, "DC-SCOPE"), path
    assert desk.case(case.id).decision is None


def test_nobody_acts_for_somebody_else(app: FastAPI, desk: dc.Desk) -> None:
    """Whatever name a body gives; a claim of somebody else is not found."""
    web_cases.refund(desk)
    ana, ben = (bearer(app, desk.tokens.issue(name, "root", scopes=("decide",))[1]) for name in ("ana", "ben"))
    assert answered(ana.post("/api/v1/claims", json={"person": "ben"})) == (403, "DC-ROLE")
    claim = ana.post("/api/v1/claims", json={"person": "ANA"}).json()
    assert claim["person"] == "ana"
    for verb, path, body in (
        ("GET", "", None), ("POST", "/answer", {"verdict": "approve"}), ("POST", "/extend", {"time": "10m"}),
        ("DELETE", "", None),
    ):  # fmt: skip
        reply = ben.request(verb, f"/api/v1/claims/{claim['id']}{path}", json=body)
        assert answered(reply) == (404, "DC-NOT-FOUND"), (verb, path)
    assert ana.get(f"/api/v1/claims/{claim['id']}").status_code == 200


def test_a_token_that_decides_proposes_nothing_and_a_token_that_reads_does_neither(app: FastAPI, desk: dc.Desk) -> None:
    case = web_cases.spam(desk)
    body = {"input": "x", "proposal": "spam", "confidence": 0.1}
    reads = bearer(app, desk.tokens.issue("ana", "root", scopes=("read",))[1])
    decides = bearer(app, desk.tokens.issue("ana", "root", scopes=("decide",))[1])
    assert [api.get(f"/api/v1/cases/{case.id}").status_code for api in (reads, decides)] == [200, 200]
    for api in (reads, decides):
        assert answered(api.post("/api/v1/loops/spam/cases", json=body)) == (403, "DC-SCOPE")
        assert answered(api.post(f"/api/v1/cases/{case.id}/effect/start", json={"owner": "x"})) == (403, "DC-SCOPE")
        assert answered(api.post(f"/api/v1/cases/{case.id}/withdraw")) == (403, "DC-SCOPE")
    assert answered(reads.post("/api/v1/claims", json={})) == (403, "DC-SCOPE")
    assert decides.post("/api/v1/claims", json={}).status_code == 201


def test_a_service_proposes_and_never_decides(app: FastAPI, desk: dc.Desk) -> None:
    desk.people.register("bot", "root", owner="ana")
    api = bearer(app, desk.tokens.issue("bot", "root")[1])
    body = {"input": "x", "proposal": "spam", "confidence": 0.1}
    case = api.post("/api/v1/loops/spam/cases", json=body)
    assert case.status_code == 201
    assert answered(api.post("/api/v1/claims", json={})) == (403, "DC-SCOPE")
    with pytest.raises(dc.errors.AccountError):
        desk.tokens.issue("bot", "root", scopes=("decide",))
    owner = bearer(app, desk.tokens.issue("ana", "root", scopes=("decide",))[1])
    assert owner.post("/api/v1/claims", json={"loop": "spam"}).status_code == 204


def limited(desk: dc.Desk, how: str) -> str:
    """The secret of a token that is good for the loop `spam` alone, by itself or by its person's roles."""
    if how == "by token":
        return desk.tokens.issue("ana", "root", scopes=("decide", "read"), loops=["spam"])[1]
    desk.people.invite("ida", "root", roles=[Grant(role="reviewer", loop="spam")])
    account = desk.people.account("ida")
    desk.sign_ins.choose_password(desk.people.recover("ida", "root").secret, "four words or so")
    return desk.tokens.issue(account.name, "root", scopes=("decide", "read"))[1]


@pytest.mark.parametrize("how", ["by token", "by role"])
def test_one_loop_is_one_loop_at_every_address(app: FastAPI, desk: dc.Desk, how: str) -> None:
    """Cases, claims, lists and the feed of other loops are closed, where a loop is named and where none is."""
    inside, outside = web_cases.spam(desk), web_cases.refund(desk)
    api = bearer(app, limited(desk, how))
    assert api.get(f"/api/v1/cases/{inside.id}").status_code == 200
    closed = (
        f"/api/v1/cases/{outside.id}", f"/api/v1/cases/{outside.id}/events", "/api/v1/cases?loop=refunds",
        "/api/v1/inbox?loop=refunds", "/api/v1/loops/refunds", "/api/v1/loops/refunds/guarantee",
        "/api/v1/loops/refunds/examples", "/api/v1/events?loop=refunds", "/api/v1/events",
    )  # fmt: skip
    for path in closed:
        assert api.get(path).status_code == 403, path
    stream = {"Accept": "text/event-stream"}
    assert api.get("/api/v1/events?loop=refunds", headers=stream).status_code == 403
    assert [row["id"] for row in api.get("/api/v1/cases").json()["rows"]] == [inside.id]
    assert {row["loop"] for row in api.get("/api/v1/inbox").json()["rows"]} == {"spam"}
    assert [loop["loop"] for loop in api.get("/api/v1/loops").json()["loops"]] == ["spam"]
    rows = api.get("/api/v1/events?loop=spam").json()["entries"]
    assert {row["case_id"] for row in rows} <= {inside.id, None}
    assert answered(api.post("/api/v1/claims", json={"loop": "refunds"}))[0] == 403
    assert api.post("/api/v1/claims", json={}).json()["case_id"] == inside.id
    assert api.post("/api/v1/claims", json={}).status_code == 204


def test_an_admin_sees_no_case(app: FastAPI, desk: dc.Desk) -> None:
    """Neither on a page, nor by a token, nor by name in a list."""
    case = web_cases.refund(desk)
    claim = desk.claim("ana", case=case)
    assert claim is not None
    root = visiting(app, desk, "root")
    for path in (f"/cases/{case.id}.json", "/inbox.json", "/cases.json", f"/claims/{claim.id}.json"):
        assert root.get(path).status_code == 403, path
    assert case.id not in root.get("/.json").text
    api = bearer(app, desk.tokens.issue("root", "root", scopes=("read",))[1])
    for path in (f"/api/v1/cases/{case.id}", "/api/v1/cases", "/api/v1/inbox", "/api/v1/events"):
        reply = api.get(path)
        assert reply.status_code == 403 or not reply.json().get("rows"), path
        assert case.id not in reply.text, path


def test_an_auditor_reads_and_changes_nothing(app: FastAPI, desk: dc.Desk) -> None:
    case = web_cases.refund(desk)
    desk.people.invite("otto", "root", roles=[Grant(role="auditor")])
    desk.sign_ins.choose_password(desk.people.recover("otto", "root").secret, "four words or so")
    otto = visiting(app, desk, "otto")
    access = app.state.access
    csrf = access.csrf(access.session(otto.cookies[access.cookie]))
    for path in ("/.json", "/inbox.json", "/cases.json", f"/cases/{case.id}.json"):
        assert otto.get(path).status_code == 200, path
    for path in (f"/cases/{case.id}/claim", "/inbox/next", f"/cases/{case.id}/revoke"):
        assert answered(otto.post(path, data={"csrf": csrf}, headers={"Accept": "application/json"}))[0] == 403, path
    assert all(review.state == "open" for review in desk.case(case.id).reviews)


def test_who_was_removed_is_out_in_another_server_too(app: FastAPI, desk: dc.Desk) -> None:
    """With their next request, though they hold a claim, which goes back to the queue."""
    case = web_cases.refund(desk)
    ana = visiting(create_app(desk), desk, "ana")
    claim = desk.claim("ana", case=case)
    assert claim is not None
    assert ana.get(f"/claims/{claim.id}.json").status_code == 200
    desk.people.remove("ana", "root")
    assert ana.get(f"/claims/{claim.id}.json").status_code == 401
    assert [review.state for review in desk.case(case.id).reviews] == ["open"]
    assert desk.claim("ben", case=case) is not None
