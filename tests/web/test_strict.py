"""Bodies are read strictly: each key once, a type that says JSON, and one Idempotency-Key is one new case."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import web_cases
from starlette.testclient import TestClient

import dualcontrol as dc
from dualcontrol.web.app import create_app

CASES = "/api/v1/loops/refunds/cases"
JSON_TYPE = {"Content-Type": "application/json"}
REFUND = {
    "action": "refund", "args": {"order": "A-17"}, "input": "It never came.", "confidence": 0.4, "rationale": "Lost.",
    "alternatives": [],
}  # fmt: skip
TWICE: list[tuple[str, str]] = [
    ('{"action": "refund", "args": {"amount": 1, "amount": 1000}}', "amount"),
    ('{"action": "refund", "action": "resend", "args": {}}', "action"),
    ('{"action": "refund", "args": {"lines": [{"sku": "a", "sku": "a"}]}}', "sku"),
    ('{"action": "refund", "args": {}, "input": {"deep": {"er": [[{"x": 1, "y": 2, "x": 1}]]}}}', "x"),
    ('{"action": "refund", "args": {"\\u0061mount": 1, "amount": 2}}', "amount"),
    ('{"action": "refund", "args": {"": 1, "": 2}}', ""),
]


@pytest.mark.parametrize(("body", "key"), TWICE)
def test_a_key_that_stands_twice_is_refused_by_name(api: TestClient, body: str, key: str) -> None:
    """At any depth, also when both say the same or are spelt in two ways; nothing is written."""
    reply = api.post(CASES, content=body, headers=JSON_TYPE)
    assert (reply.status_code, reply.json()["code"]) == (422, "DC-REQUEST")
    assert reply.headers["content-type"] == "application/problem+json"
    assert f"the key {key!r} stands twice in one object" in reply.json()["detail"]
    assert api.get("/api/v1/cases").json()["rows"] == []


def test_equal_keys_of_different_objects_are_not_twice(api: TestClient) -> None:
    args = '{"a": {"n": 1}, "b": {"n": 2}, "n": [{"n": 1}, {"n": 1}]}'
    given = f'"input": "x", "rationale": "y", "alternatives": [], "confidence": 0.4, "action": "refund", "args": {args}'
    assert api.post(CASES, content=f"{{{given}}}", headers=JSON_TYPE).status_code == 201


def test_an_answer_with_a_key_twice_is_refused_and_the_claim_still_holds(api: TestClient, desk: dc.Desk) -> None:
    web_cases.refund(desk)
    claim = desk.claim("ana")
    assert claim is not None
    body = '{"verdict": "edit", "rationale": "x", "value": {"order": "A", "amount": 1, "to": "bank", "amount": 900}}'
    reply = api.post(f"/api/v1/claims/{claim.id}/answer", content=body, headers=JSON_TYPE)
    assert (reply.status_code, "'amount' stands twice" in reply.json()["detail"]) == (422, True)
    assert desk.claimed(claim.id).review.state == "claimed"


UNSAID: list[tuple[str | None, str]] = [
    (None, "has no Content-Type"),
    ("", "has no Content-Type"),
    ("text/plain", "'text/plain'"),
    ("application/x-www-form-urlencoded", "'application/x-www-form-urlencoded'"),
    ("application/json; charset=latin-1", "UTF-8"),
    ("json", "'json'"),
]


@pytest.mark.parametrize(("media", "named"), UNSAID)
@pytest.mark.parametrize("address", [CASES, "/api/v1/claims"])
def test_a_body_that_does_not_say_it_is_json(api: TestClient, address: str, media: str | None, named: str) -> None:
    """415 with what to send, wherever a body is read."""
    reply = api.post(address, content=b'{"person": "ana"}', headers={} if media is None else {"Content-Type": media})
    told = reply.json()
    assert (reply.status_code, told["status"], told["code"]) == (415, 415, "DC-REQUEST"), told
    assert named in told["detail"]
    assert "Content-Type: application/json" in told["detail"]


@pytest.mark.parametrize("media", ["application/json", "Application/JSON; charset=UTF-8", "application/vnd.x+json"])
def test_every_way_to_say_json(api: TestClient, media: str) -> None:
    reply = api.post("/api/v1/claims", content=b'{"person": "ana"}', headers={"Content-Type": media})
    assert reply.status_code == 204


def test_a_request_without_a_body_needs_no_type(api: TestClient, desk: dc.Desk) -> None:
    case = web_cases.refund(desk)
    assert api.post(f"/api/v1/cases/{case.id}/withdraw").status_code == 200


def test_the_description_names_what_a_type_may_cost(api: TestClient) -> None:
    """415 stands at every address that reads a body, and at no other."""
    for path in api.get("/api/v1/openapi.json").json()["paths"].values():
        for method in path.values():
            assert ("415" in method["responses"]) == ("requestBody" in method)


@pytest.fixture
def shared(database_url: str) -> Iterator[TestClient]:
    """A client of a console over a database of each kind."""
    with dc.open(database_url, durability="process") as desk:
        web_cases.define(desk)
        app = create_app(desk, token="a-token-of-the-tests")
        headers = {"Authorization": "Bearer a-token-of-the-tests"}
        with TestClient(app, base_url="http://127.0.0.1:8765", headers=headers) as client:
            yield client


def test_one_idempotency_key_is_one_new_case(shared: TestClient) -> None:
    """However many come at once: one is told 201, the others 200, all with the same case."""
    together, many = threading.Barrier(6), 12
    replies: list[tuple[int, int, str]] = []

    def post() -> None:
        for n in range(many):
            together.wait(60)
            reply = shared.post(CASES, json=REFUND, headers={"Idempotency-Key": f"order-{n}"})
            replies.append((n, reply.status_code, reply.json().get("id") or reply.text))

    threads = [threading.Thread(target=post) for _ in range(together.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert Counter((n, status) for n, status, _ in replies) == {
        (n, status): count for n in range(many) for status, count in ((201, 1), (200, 5))
    }
    assert len({case for _, _, case in replies}) == many


@pytest.mark.parametrize("where", ["header", "body"])
def test_a_replay_is_told_so(shared: TestClient, where: str) -> None:
    """Also when the case has moved on meanwhile, by either name of the key."""
    given: dict[str, Any] = (
        {"json": REFUND, "headers": {"Idempotency-Key": "k"}} if where == "header" else {"json": {**REFUND, "key": "k"}}
    )
    first = shared.post(CASES, **given)
    assert shared.app.state.desk.claim("ana") is not None  # type: ignore[attr-defined]
    again = shared.post(CASES, **given)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]


def test_two_keys_in_one_request_are_refused(api: TestClient) -> None:
    """In the body and in the header, or two headers: nobody could say which of them names the case."""
    both = api.post(CASES, json={**REFUND, "key": "a"}, headers={"Idempotency-Key": "b"})
    twice = api.post(CASES, json=REFUND, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    assert [(r.status_code, r.json()["code"]) for r in (both, twice)] == [(422, "DC-REQUEST")] * 2
    assert api.get("/api/v1/cases").json()["rows"] == []
    same = api.post(CASES, json={**REFUND, "key": "a"}, headers={"Idempotency-Key": "a"})
    assert same.status_code == 201
