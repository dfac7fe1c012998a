"""Tokens: what proposes never decides, by any door, under any name; hashed, scoped, by loop, expiring, last used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import web_cases
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from team import team

import dualcontrol as dc
from dualcontrol.errors import AccountError
from dualcontrol.web.app import addresses, create_app

CONFIGURED = "a-token-of-the-tests"
BASE = "http://127.0.0.1:8765"
DECIDING = {
    "Claimed", "Extended", "Released", "Committed", "Answered", "Passed", "Retracted", "Revoked", "EffectResolved",
    "AutopilotOpened", "AutopilotClosed", "LoopStopped", "LoopResumed", "AllStopped", "AllResumed", "SettingOverridden",
    "OverrideDropped", "AccountAdded", "RolesChanged", "GroupNamed", "AccountsLinked", "AccountRemoved", "TokenIssued",
    "PeopleChanged", "GroupChanged",
}  # fmt: skip
NAMES = ["ana", "root", "bot", "api", "program", "Ana ", "reviewer", "system", "", "zoe"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[dc.Desk]:
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process") as desk:
        web_cases.define(desk)
        team(desk, ("ana", "ben"))
        desk.people.register("bot", "root", owner="ana")
        yield desk


@pytest.fixture
def app(desk: dc.Desk) -> FastAPI:
    return create_app(desk, token=CONFIGURED)


def client(app: FastAPI, token: str) -> TestClient:
    headers = {"Authorization": f"Bearer {token}"}
    return TestClient(app, base_url=BASE, headers=headers, raise_server_exceptions=False)


def kinds(desk: dc.Desk) -> list[str]:
    """What happened since the desk was made, in all streams."""
    streams = list(desk.store.queries.streams())
    return [type(e).__name__ for s in streams for entry in desk.store.queries.entries(s) for e in entry.events]


def every_address(case: dc.Case, claim_id: str) -> list[tuple[str, str]]:
    """Every method and address of the server, with a case, a claim and a loop that there are."""
    known = {"case_id": case.id, "claim_id": claim_id, "loop": "refunds", "code": "DC-ACCESS", "key": "threshold"}
    listed = []
    for method, path, _ in addresses():
        listed.append((method, re.sub(r"\{(\w+)\}", lambda name: known.get(name[1], "ana"), path)))
    assert len(listed) > 50
    return listed


def bodies(name: str) -> list[dict[str, Any]]:
    """What a program could send that wants to decide as somebody."""
    return [
        {"person": name}, {"person": name, "loop": "refunds"}, {"verdict": "approve"}, {"should": "happen"},
        {"time": "10m"}, {"person": name, "because": "x"}, {"because": "x"}, {"because": "x", "by": name},
        {"happened": True, "by": name}, {"happened": True}, {"person": name, "rationale": "x"}, {"value": 0.1},
        {"name": name, "password": "x" * 12}, {"by": name}, {},
    ]  # fmt: skip


def tokens(desk: dc.Desk) -> dict[str, str]:
    """Every token that proposes."""
    return {
        "configured": CONFIGURED,
        "of a service": desk.tokens.issue("bot", "root", scopes=("propose",))[1],
        "that reads as well": desk.tokens.issue("bot", "root", scopes=("propose", "read"))[1],
        "of one loop": desk.tokens.issue("bot", "root", loops=("refunds",))[1],
    }


@pytest.mark.parametrize("kind", ["configured", "of a service", "that reads as well", "of one loop"])
def test_what_proposes_never_decides_by_any_door_under_any_name(app: FastAPI, desk: dc.Desk, kind: str) -> None:
    """Every address with every body and name: nothing is claimed, answered, opened, changed, and no id is told."""
    case, other = web_cases.refund(desk), web_cases.refund(desk)
    claim = desk.claim("ben", case=other)
    assert claim is not None
    token, names = tokens(desk)[kind], cycle(NAMES)
    before = [name for name in kinds(desk) if name in DECIDING]
    with client(app, token) as program:
        for method, path in every_address(case, claim.id):
            if path.endswith(("/live", "/events")):
                continue  # streams
            for body in bodies(next(names)) if method != "GET" else [{}]:
                name = next(names)
                headers = {"X-Forwarded-User": name.strip(), "Cookie": f"dualcontrol-8765={token}"}
                asked: list[dict[str, Any]] = [{}] if method == "GET" else [{"json": body}, {"data": body}]
                for content in asked:
                    reply = program.request(method, path, headers=headers, **content)
                    assert reply.status_code < 500, (method, path, reply.text)
                    assert claim.id not in reply.text.replace(path, ""), (method, path)
    assert [name for name in kinds(desk) if name in DECIDING] == before
    outcome = desk.case(case.id).outcome
    assert outcome is None or outcome.by == "withdrawn"  # which a program may, and which lets nothing happen
    assert desk.claimed(claim.id).person == "ben"


def test_a_program_proposes_reads_and_runs(app: FastAPI, desk: dc.Desk) -> None:
    """What the token is for; the case names the service, and neither it nor its owner may decide it."""
    token = tokens(desk)["that reads as well"]
    with client(app, token) as program:
        body = {"action": "refund", "args": {}, "input": "x", "rationale": "y", "alternatives": [], "owner": "eve"}
        made = program.post("/api/v1/loops/refunds/cases", json=body)
        assert made.status_code == 201, made.text
        case = desk.case(made.json()["id"])
        assert (case.owner, case.submitter) == ("eve", "bot")
        assert program.get(f"/api/v1/cases/{case.id}").status_code == 200
        with pytest.raises(dc.errors.EligibilityError, match="ana is, or answers for, bot"):
            desk.claim("ana", case=case)  # the owner of the service
        held = desk.claim("ben", case=case)
        assert held is not None
        held.approve(rationale="fine")
        assert program.post(f"/api/v1/cases/{case.id}/withdraw", json={}).status_code in (200, 409)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scopes=st.lists(st.sampled_from(["propose", "read", "decide", "admin", ""]), max_size=4))
def test_no_token_has_both_scopes(desk: dc.Desk, scopes: list[str]) -> None:
    """Whoever it is for: a service never decides, a person never proposes, nobody does both."""
    for account in ("bot", "ana", "root"):
        try:
            token, _ = desk.tokens.issue(account, "root", scopes=scopes)
        except AccountError:
            continue
        assert not {"propose", "decide"} <= set(token.scopes)
        assert account == "bot" or "propose" not in token.scopes
        assert account == "ana" or "decide" not in token.scopes
        assert set(token.scopes) == set(scopes)


def refused(app: FastAPI, token: str, path: str = "/api/v1/cases") -> tuple[int, str]:
    with client(app, token) as program:
        reply = program.get(path)
        return reply.status_code, reply.json().get("code", "") if reply.status_code != 200 else ""


def test_a_token_ends_by_time_by_hand_and_with_its_account(app: FastAPI, desk: dc.Desk) -> None:
    brief = desk.tokens.issue("bot", "root", life=1)[1]
    token, lasting = desk.tokens.issue("bot", "root", life=None)
    assert refused(app, brief) == (401, "DC-ACCESS")
    assert refused(app, lasting) == (200, "")
    desk.tokens.revoke(token.id, "root")
    assert refused(app, lasting) == (401, "DC-ACCESS")
    of_ana = desk.tokens.issue("ana", "root", scopes=("read", "decide"))[1]
    assert refused(app, of_ana) == (200, "")
    desk.people.remove("ana", "root")
    assert refused(app, of_ana) == (401, "DC-ACCESS")


def test_a_token_of_one_loop_opens_no_other(app: FastAPI, desk: dc.Desk) -> None:
    case, foreign = web_cases.refund(desk), web_cases.spam(desk)
    token = desk.tokens.issue("ben", "root", scopes=("read", "decide"), loops=("spam",))[1]
    assert refused(app, token, f"/api/v1/cases/{case.id}") == (403, "DC-SCOPE")
    assert refused(app, token, f"/api/v1/cases/{foreign.id}") == (200, "")
    with client(app, token) as ben:
        assert {row["loop"] for row in ben.get("/api/v1/cases").json()["rows"]} == {"spam"}
        assert {row["loop"] for row in ben.get("/api/v1/inbox").json()["rows"]} == {"spam"}
        assert ben.post("/api/v1/claims", json={"loop": "refunds"}).status_code == 403
        assert ben.post("/api/v1/claims", json={}).json()["case_id"] == foreign.id
        assert ben.post("/api/v1/claims", json={}).status_code == 204


def test_a_person_acts_as_nobody_else(app: FastAPI, desk: dc.Desk) -> None:
    web_cases.spam(desk)
    token = desk.tokens.issue("ben", "root", scopes=("decide",))[1]
    with client(app, token) as ben:
        reply = ben.post("/api/v1/claims", json={"person": "ana"})
        assert (reply.status_code, reply.json()["code"]) == (403, "DC-ROLE")
        held = ben.post("/api/v1/claims", json={"person": "Ben"}).json()
        assert held["person"] == "ben"
    other = desk.tokens.issue("ana", "root", scopes=("decide",))[1]
    with client(app, other) as ana:
        for method, path, body in (
            ("GET", f"/api/v1/claims/{held['id']}", None),
            ("POST", f"/api/v1/claims/{held['id']}/answer", {"verdict": "label", "value": "ham"}),
            ("POST", f"/api/v1/claims/{held['id']}/extend", {"time": "20m"}),
            ("DELETE", f"/api/v1/claims/{held['id']}", None),
        ):
            reply = ana.request(method, path, json=body)
            assert (reply.status_code, reply.json()["code"]) == (404, "DC-NOT-FOUND"), path
        case_id = held["case_id"]
        for path in (f"/api/v1/cases/{case_id}", f"/api/v1/cases/{case_id}/events", "/api/v1/inbox"):
            assert held["id"] not in ana.get(path).text, path
    with client(app, token) as ben:
        assert held["id"] in ben.get(f"/api/v1/cases/{case_id}").text


def test_a_secret_is_kept_nowhere_and_its_use_is_noted(app: FastAPI, desk: dc.Desk, tmp_path: Path) -> None:
    token, secret = desk.tokens.issue("bot", "root", name="ci")
    assert token.used_at is None
    assert refused(app, secret) == (200, "")
    (listed, account), *_ = [pair for pair in desk.tokens.listed() if pair[0].id == token.id]
    assert listed.used_at is not None
    assert (account.name if account else "", listed.name) == ("bot", "ci")
    desk.close()
    for file in tmp_path.glob("dc.db*"):
        assert secret.encode() not in file.read_bytes()
        assert secret.split("_")[2].encode() not in file.read_bytes()


def test_a_decision_by_token_of_high_risk_takes_a_person(app: FastAPI, desk: dc.Desk) -> None:
    """A token proves nobody's presence (RFC 9470): it may refuse, and let nothing happen."""
    case = web_cases.refund(desk, risk="critical")
    token = desk.tokens.issue("ben", "root", scopes=("decide",))[1]
    with client(app, token) as ben:
        held = ben.post("/api/v1/claims", json={"loop": "refunds"}).json()
        reply = ben.post(f"/api/v1/claims/{held['id']}/answer", json={"verdict": "approve", "rationale": "x"})
        assert (reply.status_code, reply.json()["code"]) == (401, "DC-STEP-UP")
        assert 'error="insufficient_user_authentication", max_age=300' in reply.headers["www-authenticate"]
        reply = ben.post(f"/api/v1/claims/{held['id']}/answer", json={"verdict": "reject", "rationale": "x"})
        assert reply.status_code == 200
    assert (d := desk.case(case.id).decision) is not None
    assert d.verdict == "reject"


def test_a_token_of_one_loop_concerns_no_other_loop(app: FastAPI, desk: dc.Desk) -> None:
    """Neither where its address names all loops, nor in the feed of all, whatever its person may do by other ways."""
    token = desk.tokens.issue("ben", "root", scopes=("read", "decide"), loops=("spam",))[1]
    with client(app, token) as ben:
        for path in ("/api/v1/stop", "/api/v1/resume", "/api/v1/loops/refunds/stop"):
            reply = ben.post(path, json={"because": "x"})
            assert (reply.status_code, reply.json()["code"]) == (403, "DC-SCOPE"), path
        assert refused(app, token, "/api/v1/events") == (403, "DC-SCOPE")
        assert ben.get("/api/v1/events", params={"loop": "refunds"}).status_code == 403
        assert ben.get("/api/v1/events", params={"loop": "spam"}).status_code == 200
        assert ben.post("/api/v1/loops/spam/stop", json={"because": "x"}).status_code == 200
    assert [control.loop for control in desk.loops() if control.stopped is not None] == ["spam"]


def test_what_streams_ends_with_its_token(app: FastAPI, desk: dc.Desk) -> None:
    """A stream asks each time whether its reader is still let in."""
    token, secret = desk.tokens.issue("ben", "root", scopes=("read",))
    access = app.state.access
    reader = access.bearer(f"Bearer {secret}", "127.0.0.1")
    program = access.bearer(f"Bearer {CONFIGURED}", "127.0.0.1")
    assert (access.lives(reader), access.lives(program)) == (True, True)
    desk.tokens.revoke(token.id, "root")
    assert (access.lives(reader), access.lives(program)) == (False, True)
