"""The step-up: a decision on which much depends asks an old sign-in for its password, and loses nothing."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
import web_cases
from fastapi import FastAPI
from starlette.testclient import TestClient
from team import PASSWORD, long_ago, passwords
from web_cases import ARGS, seen

import dualcontrol as dc
from dualcontrol.people import FRESH
from dualcontrol.web.attempts import Attempts

RATIONALE = "The carrier confirmed it.\nAnd <b>so</b> did the customer."


@pytest.fixture
def held(web: TestClient, desk: dc.Desk) -> str:
    """The address of a review of high risk that ana holds, whose sign-in is old."""
    passwords(desk, "ana")
    claim = desk.claim("ana", case=web_cases.refund(desk, risk="high"))
    assert claim is not None
    long_ago(desk, "ana")
    return f"/claims/{claim.id}"


def fields_of(page: str) -> dict[str, str]:
    """The hidden fields of the form that answers once more."""
    form = page.partition('/answer"')[2].partition("</form>")[0]
    pairs = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form)
    return {html.unescape(name): html.unescape(value) for name, value in pairs}


def ask(web: TestClient, held: str, **fields: str) -> Any:
    """The page that follows a first act."""
    return web.post(f"{held}/answer", data={**seen(web, held), "rationale": RATIONALE, **fields})


def again(web: TestClient, held: str, page: Any, **fields: str) -> Any:
    """The one more act, with the page's own fields, by a hand that has looked at it."""
    return web.post(
        f"{held}/answer", data={**fields_of(page.text), **seen(web, held), **fields}, follow_redirects=False
    )


def test_one_more_submit_answers(web: TestClient, held: str, desk: dc.Desk, app: FastAPI) -> None:
    """The page says what runs; with the password the edit is taken as it was typed, by who stepped up when."""
    before = web.cookies[app.state.access.cookie]
    page = ask(web, held, verdict="edit", how="json", json='{"order": "A-1207", "amount": 99.5, "to": "card"}')
    assert page.status_code == 200
    assert "prove that it is you" in page.text
    assert "99.5" in page.text
    assert 'type="password"' in page.text
    case_id = desk.store.queries.cases().rows[0].id
    assert desk.case(case_id).answered == ()
    assert again(web, held, page, password=PASSWORD).status_code == 303
    case = desk.case(case_id)
    (given,) = case.answers
    assert given.value["args"]["amount"] == 99.5
    assert given.rationale == RATIONALE
    assert given.actor.authenticated == "password"
    assert given.actor.signed_in_at < given.at - FRESH < given.actor.stepped_up_at <= given.at
    assert web.cookies[app.state.access.cookie] != before
    assert app.state.access.session(before) is None
    assert web.get("/inbox").url.path == "/inbox"


def test_a_wrong_password_loses_nothing(web: TestClient, held: str, desk: dc.Desk, caplog: Any) -> None:
    """The page comes again with what was typed; too many are not looked at; no password is written anywhere."""
    web.app.state.access.attempts = Attempts(lambda: 0.0)  # type: ignore[attr-defined]
    page = ask(web, held, verdict="approve")
    for _ in range(10):
        page = again(web, held, page, password="not-the-password")
        assert (page.status_code, "name or the password is wrong" in page.text) == (403, True)
    assert fields_of(page.text)["rationale"] == RATIONALE.replace("\r\n", "\n")
    limited = again(web, held, page, password=PASSWORD)
    assert (limited.status_code, "Too many" in limited.text) == (429, True)
    assert desk.case(desk.store.queries.cases().rows[0].id).answered == ()
    for text in (page.text, limited.text, caplog.text, str(limited.url)):
        assert "not-the-password" not in text
        assert PASSWORD not in text


def test_the_password_counts_for_the_very_answer(web: TestClient, held: str, desk: dc.Desk) -> None:
    """What was changed in between is asked again: the page said something else."""
    page = ask(web, held, verdict="approve")
    changed = again(web, held, page, password=PASSWORD, rationale="Something else.")
    assert (changed.status_code, "Really approve?" in changed.text) == (200, True)
    assert 'type="password"' not in changed.text
    assert desk.case(desk.store.queries.cases().rows[0].id).answered == ()
    assert again(web, held, changed).status_code == 303


@pytest.mark.parametrize("fields", [{"verdict": "reject"}, {"verdict": "abstain"}])
def test_what_lets_nothing_happen_asks_for_no_password(web: TestClient, held: str, fields: dict[str, str]) -> None:
    page = ask(web, held, **fields)
    assert 'type="password"' not in page.text


def test_a_low_risk_asks_for_none(web: TestClient, desk: dc.Desk) -> None:
    claim = desk.claim("ana", case=web_cases.refund(desk, risk="low", args=ARGS))
    assert claim is not None
    long_ago(desk, "ana")
    held = f"/claims/{claim.id}"
    reply = web.post(f"{held}/answer", data={**seen(web, held), "rationale": RATIONALE, "verdict": "approve"})
    assert reply.url.path != f"{held}/answer"


def test_the_json_of_the_page_says_so(web: TestClient, held: str) -> None:
    """A program gets 401 and how old a sign-in may be (RFC 9470)."""
    fields = {**seen(web, held), "rationale": RATIONALE, "verdict": "approve"}
    reply = web.post(f"{held}/answer", data=fields, headers={"Accept": "application/json"})
    assert (reply.status_code, reply.json()["code"]) == (401, "DC-STEP-UP")
    assert "max_age=300" in reply.headers["WWW-Authenticate"]


def test_a_refusal_after_the_password_keeps_one_signed_in(web: TestClient, held: str, desk: dc.Desk) -> None:
    """Somebody was first: the old secret is gone, and the browser has the new one."""
    page = ask(web, held, verdict="approve")
    desk.release(held.split("/")[2])
    other = desk.claim("ben", case=desk.store.queries.cases().rows[0].id)
    assert other is not None
    assert again(web, held, page, password=PASSWORD).status_code in (303, 404)
    assert web.get("/inbox").url.path == "/inbox"


def test_ids_of_others_claims_are_on_no_page(web: TestClient, app: FastAPI, desk: dc.Desk) -> None:
    """Neither of one that is held nor of one that ran out: not in a page, its JSON, or a part of it."""
    case = web_cases.refund(desk)
    bens = desk.claim("ben", case=case)
    assert bens is not None
    token = bens.id.rpartition(".")[2]
    for path in (f"/cases/{case.id}", "/inbox", "/cases", "/"):
        for address in (path, f"{path.rstrip('/')}/.json" if path == "/" else f"{path}.json"):
            assert token not in web.get(address).text, address
    for at in ("", "/reviews", f"/reviews/{case.reviews[0].id}"):
        for path in (f"/cases/{case.id}/whole", f"/cases/{case.id}/whole.json"):
            assert token not in web.get(path, params={"at": at}).text, (path, at)
    assert web.get(f"/claims/{bens.id}").status_code == 404
