"""The record of what people do: through which door, by which sign-in and when, in the entry that holds it."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import web_cases
from fastapi import FastAPI
from starlette.testclient import TestClient
from team import People, csrf, session

import dualcontrol as dc
from dualcontrol.case import Actor
from dualcontrol.cli import main
from dualcontrol.doctor import examine
from dualcontrol.events import Entry

BASE = "http://127.0.0.1:8765"


def browser(app: FastAPI, desk: dc.Desk, name: str) -> TestClient:
    """A browser in which somebody has just signed in."""
    client = TestClient(app, base_url=BASE, headers={"Accept": "text/html"})
    client.cookies.set(app.state.access.cookie, session(desk, name), domain="127.0.0.1", path="/")
    return client


def entries(desk: dc.Desk, stream: str, kind: str) -> list[Entry]:
    """The entries of a stream that hold an event of this kind."""
    rows = desk.store.queries.entries(stream)
    return [entry for entry in rows if any(type(event).__name__ == kind for event in entry.events)]


def proven(desk: dc.Desk, stream: str, kind: str) -> tuple[str, str, str]:
    """How who did the last of a kind was known."""
    found = entries(desk, stream, kind)[-1].proof
    assert found is not None
    return found.person, found.via, found.authenticated


def lost_effect(desk: dc.Desk) -> dc.Case:
    """A refund that autopilot let begin, and of which nobody knows what became."""
    case = web_cases.refund(desk, effect="ready", confidence=0.99)
    desk.loop("refunds", **{**web_cases.REFUNDS, "effect_lease": "1ms"}).start_effect(case.id)
    time.sleep(0.01)
    desk.sweep()
    return desk.case(case.id)


def test_what_is_done_on_a_page_says_by_which_sign_in(app: FastAPI, desk: dc.Desk) -> None:
    with browser(app, desk, "ana") as web:
        web_cases.spam(desk)
        case_id = desk.store.queries.cases().rows[0].id
        page = web.post("/inbox/next", data={"csrf": csrf(web)})
        review = page.url.path
        web.post(f"{review}/release", data={"csrf": csrf(web)})
        web.post("/loops/spam/settings", data={
            "csrf": csrf(web), "key": "threshold", "seen": "0.97", "value": "0.5",
        })  # fmt: skip
        loop = desk.loop("spam").stream
        assert proven(desk, f"case/{case_id}", "Claimed") == ("ana", "web", "password")
        assert proven(desk, loop, "SettingOverridden") == ("ana", "web", "password")
        proof = entries(desk, loop, "SettingOverridden")[-1].proof
        assert proof is not None
        assert proof.signed_in_at == desk.sign_ins.sessions(desk.people.account("ana").id)[0].signed_in_at
        assert "on a page, signed in by password" in web.get(f"/cases/{case_id}").text


def test_what_an_admin_changes_says_so_in_every_stream_that_it_concerns(app: FastAPI, desk: dc.Desk) -> None:
    with browser(app, desk, "root") as web:
        account = desk.people.account("ben").id
        reply = web.post(f"/people/{account}/revoke", data={"csrf": csrf(web), "role": "lead", "loop": ""})
        assert reply.status_code == 200
    for stream, kind in (("people", "RolesChanged"), (desk.loop("spam").stream, "PeopleChanged")):
        assert proven(desk, stream, kind) == ("root", "web", "password")


def test_the_change_log_of_a_loop_says_so(app: FastAPI, desk: dc.Desk) -> None:
    desk.loop("sure", mode="labels", labels=["a", "b"], guarantee={"max_error": 0.05}, context="minimal")
    with browser(app, desk, "ana") as web:
        web.post("/loops/sure/stop", data={"csrf": csrf(web), "act": "stop", "because": "odd"})
        assert "On a page, signed in by password" in web.get("/loops/sure/guarantee").text
        moves = web.get("/loops/sure/guarantee.json").json()["moves"]
    assert [move["proof"]["via"] for move in moves if move["what"] == "loop stopped"] == ["web"]


def test_what_is_done_over_http_says_by_a_token(app: FastAPI, desk: dc.Desk) -> None:
    with People(app, desk, base_url=BASE) as api:
        claim = api.post("/api/v1/claims", json={"person": "ana", "loop": "spam", "case": web_cases.spam(desk).id})
        assert claim.status_code == 201
        case_id = desk.store.queries.cases().rows[0].id
        assert proven(desk, f"case/{case_id}", "Claimed") == ("ana", "http", "token")
        row = next(e for e in api.get(f"/api/v1/cases/{case_id}/events", headers={
            "Authorization": f"Bearer {api.token('ana')}"
        }).json()["entries"] if any(event["kind"] == "Claimed" for event in e["events"]))  # fmt: skip
        assert row["proof"] == {"person": "ana", "via": "http", "authenticated": "token"}


def test_a_change_by_two_says_how_both_were_known(app: FastAPI, desk: dc.Desk) -> None:
    desk.loop("spam").override("changes", "two", "lee")
    with browser(app, desk, "ana") as web:
        web.post("/loops/spam/settings", data={
            "csrf": csrf(web), "key": "threshold", "seen": "0.97", "value": "0.5",
        })  # fmt: skip
        (case_id,) = [row.id for row in desk.store.queries.cases(loop="changes").rows]
    assert proven(desk, f"case/{case_id}", "Opened") == ("ana", "web", "password")
    with browser(app, desk, "ben") as web:
        page = web.post(f"/cases/{case_id}/claim", data={"csrf": csrf(web)})
        web.post(f"{page.url.path}/answer", data={**web_cases.seen(web, page.url.path), "verdict": "approve"})
    (answer,) = desk.case(case_id).answered
    assert (answer.actor.person, answer.actor.via, answer.actor.authenticated) == ("ben", "web", "password")
    laid = entries(desk, desk.loop("spam").stream, "SettingOverridden")[-1]
    assert laid.events[0].case_id == case_id  # type: ignore[attr-defined]
    assert laid.proof is None  # what ben's request carried out is not ana's sign-in


def test_a_command_says_whose_machine_it_was(
    desk: dc.Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dualcontrol.cli.read.os_user", lambda: "ana")
    database = ("--database", desk.store.url)
    for name, how in (("ana", "os"), ("ben", "none")):
        case = lost_effect(desk)
        assert main([*database, "resolve", case.id, "--happened", "--person", name]) == 0, capsys.readouterr().err
        assert proven(desk, f"case/{case.id}", "EffectResolved") == (name, "cli", how)
    capsys.readouterr()
    assert main([*database, "show", case.id, "--events", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    last = document["events"][-1]["proof"]
    assert (last["person"], last["via"], last["authenticated"]) == ("ben", "cli", "none")


def test_python_with_the_database_in_its_hands_says_nothing(desk: dc.Desk) -> None:
    case = lost_effect(desk)
    desk.resolve_effect(case.id, happened=True, by="ana")
    assert [entry.proof for entry in desk.store.queries.entries(f"case/{case.id}")] == [None] * desk.case(case.id).seq


def test_what_the_system_does_in_somebodys_request_is_not_theirs(app: FastAPI, desk: dc.Desk) -> None:
    """A lease of somebody else that has run out is taken back before ana claims."""
    case = web_cases.spam(desk)
    assert desk.claim("ben", case=case.id, lease="1ms") is not None
    time.sleep(0.01)
    with browser(app, desk, "ana") as web:
        web.post(f"/cases/{case.id}/claim", data={"csrf": csrf(web)})
    by_kind = {
        type(event).__name__: (entry.actor, entry.proof and entry.proof.person)
        for entry in desk.store.queries.entries(f"case/{case.id}") for event in entry.events
    }  # fmt: skip
    assert by_kind["LeaseExpired"] == ("system", None)
    assert by_kind["Claimed"] == ("ana", "ana")


def test_the_chain_holds_the_proof(app: FastAPI, desk: dc.Desk, tmp_path: Path) -> None:
    """Whoever alters how somebody was known breaks the chain, as doctor says."""
    case = web_cases.spam(desk)
    with browser(app, desk, "ana") as web:
        web.post(f"/cases/{case.id}/claim", data={"csrf": csrf(web)})
    assert not [f for f in findings(desk) if case.id in f]
    with closing(sqlite3.connect(tmp_path / "dc.db")) as connection, connection:
        statement = 'UPDATE entries SET body = replace(body, \'"via":"web"\', \'"via":"http"\')'
        assert connection.execute(statement).rowcount > 0
    assert [f for f in findings(desk) if case.id in f]


def findings(desk: dc.Desk) -> list[str]:
    """What doctor says."""
    return [finding.what for finding in examine(desk.store)]


def test_an_entry_without_a_proof_has_the_bytes_of_before() -> None:
    """So that no hash of an older release changes."""
    from dualcontrol.events import opened, sealed

    plain = sealed(Entry(stream="people", seq=1, at=1, actor="ana", events=()), "")
    assert plain.body == '{"actor":"ana","at":1,"events":[],"seq":1,"stream":"people"}'
    known = sealed(
        Entry(stream="people", seq=1, at=1, actor="ana", events=(), proof=Actor(person="ana", via="cli")), ""
    )
    assert known.body == (
        '{"actor":"ana","at":1,"events":[],"proof":{"person":"ana","via":"cli"},"seq":1,"stream":"people"}'
    )
    assert opened(known.body).proof == Actor(person="ana", via="cli")
    assert opened(plain.body).proof is None
