"""Every refusal is problem+json with a code, a hint and a page."""

from __future__ import annotations

from typing import Any

import pytest
import web_cases
from starlette.testclient import TestClient

import dualcontrol as dc
from dualcontrol.errors import StoreUnavailableError

CASES = "/api/v1/loops/refunds/cases"
REFUSED: list[tuple[int, str, str, str, Any]] = [
    (404, "DC-LOOP", "POST", "/api/v1/loops/refund/cases", b"{}"),
    (404, "DC-CASE", "GET", "/api/v1/cases/none", None),
    (404, "DC-NOT-FOUND", "GET", "/api/v1/claims/none", None),
    (404, "DC-NOT-FOUND", "GET", "/api/v1/nothing", None),
    (405, "DC-REQUEST", "PUT", "/api/v1/cases", None),
    (413, "DC-PAYLOAD-SIZE", "POST", CASES, b'{"input": "' + b"x" * 2_200_000 + b'"}'),
    (422, "DC-REQUEST", "POST", CASES, b'{"input": '),
    (422, "DC-REQUEST", "POST", CASES, b'{"input": NaN}'),
    (422, "DC-REQUEST", "POST", CASES, b'{"input": [1, -Infinity]}'),
    (422, "DC-REQUEST", "POST", CASES, b'{"input": "\\ud800"}'),
    (422, "DC-REQUEST", "POST", CASES, b"[" * 100_000),
    (422, "DC-REQUEST", "POST", CASES, b'{"input": 1' + b"0" * 5000 + b"}"),
    (422, "DC-REQUEST", "POST", CASES, b"\xff"),
    (422, "DC-REQUEST", "POST", CASES, b'{"confidence": "0.5"}'),
    (422, "DC-REQUEST", "POST", CASES, b'{"confidence": 1.5}'),
    (422, "DC-CONTEXT", "POST", CASES, b'{"action": "refund"}'),
    (422, "DC-PROPOSAL", "POST", CASES, b"{}"),
    (422, "DC-REQUEST", "POST", "/api/v1/claims", b'{"person": ""}'),
    (422, "DC-REQUEST", "GET", "/api/v1/cases?limit=0", None),
    (404, "DC-LOOP", "POST", "/api/v1/claims", b'{"person": "ana", "loop": "refnds"}'),
]  # fmt: skip


@pytest.mark.parametrize(("status", "code", "method", "path", "body"), REFUSED)
def test_a_refusal_says_what_to_do(
    api: TestClient, status: int, code: str, method: str, path: str, body: bytes | None
) -> None:
    """Status, code and media type as documented; nothing is written."""
    reply = api.request(method, path, content=body, headers={"Content-Type": "application/json"})
    told = reply.json()
    assert (reply.status_code, told["status"], told["code"]) == (status, status, code), told
    assert reply.headers["content-type"] == "application/problem+json"
    assert told["type"] == f"/errors/{code}"
    assert {"title", "detail", "hint"} <= set(told)
    assert api.get("/api/v1/cases").json()["rows"] == []


def test_an_unknown_field_names_the_one_that_was_meant(api: TestClient) -> None:
    """The nearest right name stands in the message."""
    told = api.post(CASES, json={"action": "refund", "confidnce": 0.5}).json()
    assert told["errors"] == [
        {"where": "body.confidnce", "message": "there is no such field; did you mean 'confidence'?"}
    ]


def test_a_loop_that_was_misspelt(api: TestClient) -> None:
    """The nearest loop stands in the message."""
    assert "did you mean 'refunds'?" in api.get("/api/v1/loops/refnds").json()["detail"]


def test_errors_carry_their_details(api: TestClient, desk: dc.Desk) -> None:
    """What the error knows is in the problem: missing fields, legal verdicts, the path of a bad value."""
    lacking = api.post(CASES, json={"action": "refund", "args": {}, "input": "x"}).json()
    assert lacking["fields"] == ["rationale", "alternatives"]
    web_cases.refund(desk)
    claim = desk.claim("ana")
    assert claim is not None
    address = f"/api/v1/claims/{claim.id}/answer"
    assert api.post(address, json={"verdict": "label"}).json()["legal"][0] == "approve"
    wrong = api.post(address, json={"verdict": "edit", "rationale": "x", "value": {**web_cases.ARGS, "amount": "12"}})
    assert (wrong.json()["code"], wrong.json()["path"]) == ("DC-ANSWER-VALUE", ["amount"])
    assert api.post(address, json={"verdict": "reject"}).json()["code"] == "DC-RATIONALE"


def test_the_store_that_refuses(api: TestClient, desk: dc.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """503, so that a client tries again."""

    def refuse(*_: object, **__: object) -> None:
        raise StoreUnavailableError("no database")

    monkeypatch.setattr(desk.store.queries, "case", refuse)
    reply = api.get("/api/v1/cases/any")
    assert (reply.status_code, reply.json()["code"]) == (503, "DC-STORE-UNAVAILABLE")


def test_every_code_has_a_page(stranger: TestClient) -> None:
    """The link in `type` leads somewhere, also without a token."""
    assert "The content is larger" in stranger.get("/errors/DC-PAYLOAD-SIZE").text
    assert stranger.get("/errors/DC-NONE").status_code == 404


def test_a_page_that_is_not_there_is_a_page(web: TestClient) -> None:
    """People read a page, programs problem+json."""
    page = web.get("/cases/none")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "there is no case" in page.text
    assert web.get("/cases/none.json").headers["content-type"] == "application/problem+json"
