"""The whole trip of a case over HTTP, for every verdict."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import web_cases
from starlette.testclient import TestClient

import dualcontrol as dc

BIG = 2**63 + 11
REFUND = {
    "action": "refund", "args": {"order": "A-17", "amount": BIG}, "input": "It never came.", "confidence": 0.4,
    "rationale": "Lost.", "alternatives": [],
}  # fmt: skip


def propose(api: TestClient, loop: str = "refunds", **given: Any) -> dict[str, Any]:
    """A new case over HTTP."""
    reply = api.post(f"/api/v1/loops/{loop}/cases", json={**REFUND, **given} if loop == "refunds" else given)
    assert reply.status_code == 201, reply.text
    return reply.json()


def claim(api: TestClient, loop: str = "refunds", person: str = "ana") -> dict[str, Any]:
    """A claim over HTTP."""
    reply = api.post("/api/v1/claims", json={"person": person, "loop": loop})
    assert reply.status_code == 201, reply.text
    return reply.json()


def answer(api: TestClient, claim_id: str, verdict: str, **said: Any) -> Any:
    """The reply to an answer."""
    return api.post(f"/api/v1/claims/{claim_id}/answer", json={"verdict": verdict, **said})


APPROVAL = [
    ("approve", {}, {"action": "refund", "args": REFUND["args"]}),
    ("edit", {"value": {"order": "A-17", "amount": BIG + 1}, "rationale": "less"},
     {"action": "refund", "args": {"order": "A-17", "amount": BIG + 1}}),
    ("reject", {"rationale": "no"}, None),
    ("respond", {"value": "Ask the carrier."}, {"text": "Ask the carrier."}),
]  # fmt: skip


@pytest.mark.parametrize(("verdict", "said", "value"), APPROVAL)
def test_an_approval_case_goes_the_whole_way(
    api: TestClient, desk: dc.Desk, verdict: str, said: dict[str, Any], value: Any
) -> None:
    """Propose, claim, answer; the outcome carries the value with integers exact."""
    web_cases.define(desk, undo=0)
    case = propose(api)
    held = claim(api)
    assert held["case_id"] == case["id"]
    assert held["view"]["proposal"]["value"]["amount"] == BIG
    assert answer(api, held["id"], verdict, **said).status_code == 200
    shown = api.get(f"/api/v1/cases/{case['id']}").json()
    assert (shown["outcome"]["verdict"], shown["outcome"]["value"]) == (verdict, value)
    actor = shown["answers"][0]["actor"]
    assert (actor["person"], actor["via"], actor["authenticated"]) == ("ana", "http", "token")


def test_the_other_modes(api: TestClient) -> None:
    """Labels, preferences and replies settle their cases."""
    spam = propose(api, "spam", input="Win!", proposal="spam", confidence=0.5)
    assert answer(api, claim(api, "spam")["id"], "label", value="ham").json()["outcome"]["value"] == "ham"
    assert api.get(f"/api/v1/cases/{spam['id']}").json()["decision"]["wrong"] == 1
    propose(api, "summaries", input="Minutes", candidates=["one", "two"])
    settled = answer(api, claim(api, "summaries")["id"], "prefer", value="c2").json()
    assert settled["decision"]["verdict"] == "prefer"
    propose(api, "helpdesk", input=[{"role": "user", "content": "hi"}])
    assert answer(api, claim(api, "helpdesk")["id"], "respond", value="hello").json()["outcome"]["value"] == {
        "text": "hello"
    }


def test_abstain_and_escalate_settle_nothing(api: TestClient, desk: dc.Desk) -> None:
    """A passed review opens another for somebody else."""
    case = propose(api)
    answer(api, claim(api)["id"], "abstain")
    assert api.post("/api/v1/claims", json={"person": "ana", "loop": "refunds"}).status_code == 204
    assert answer(api, claim(api, person="ben")["id"], "escalate", rationale="too big").status_code == 200
    shown = api.get(f"/api/v1/cases/{case['id']}").json()
    assert shown["outcome"] is None
    assert [r["group"] for r in shown["reviews"] if r["state"] == "open"] == ["leads"]


def test_a_known_key_finds_its_case(api: TestClient) -> None:
    """The key stands in the body or in the Idempotency-Key header; other content is a conflict."""
    case = propose(api, key="order-17")
    again = api.post("/api/v1/loops/refunds/cases", json=REFUND, headers={"Idempotency-Key": "order-17"})
    assert (again.status_code, again.json()["id"]) == (200, case["id"])
    other = api.post(
        "/api/v1/loops/refunds/cases", json={**REFUND, "args": {}}, headers={"Idempotency-Key": "order-17"}
    )
    assert (other.status_code, other.json()["code"]) == (409, "DC-KEY-CONFLICT")


def test_the_second_answer_learns_who_was_first(api: TestClient) -> None:
    """409 carries who answered, and what."""
    propose(api)
    held = claim(api)
    answer(api, held["id"], "approve")
    late = answer(api, held["id"], "reject", rationale="no")
    assert (late.status_code, late.json()["by"], late.json()["verdict"]) == (409, "ana", "approve")


def test_if_match_guards_against_what_has_moved(api: TestClient) -> None:
    """An answer to an older state of the case is refused with the present one."""
    case = propose(api)
    held = claim(api)
    address = f"/api/v1/claims/{held['id']}/answer"
    api.post(f"/api/v1/claims/{held['id']}/extend", json={"time": "1h"})
    stale = api.post(address, json={"verdict": "approve"}, headers={"If-Match": held["etag"]})
    assert (stale.status_code, stale.json()["code"], stale.json()["seq"]) == (409, "DC-CONFLICT", 3)
    assert stale.json()["hint"].startswith("Nothing was written; read the case again")
    assert stale.json()["hint"].endswith("give it with 3.")
    fresh = api.get(f"/api/v1/cases/{case['id']}").headers["ETag"]
    assert api.post(address, json={"verdict": "approve"}, headers={"If-Match": fresh}).status_code == 200


def test_a_claim_is_extended_and_given_back(api: TestClient) -> None:
    """A lease grows; a released claim is held no more, and the review is open again."""
    propose(api)
    held = claim(api)
    longer = api.post(f"/api/v1/claims/{held['id']}/extend", json={"time": 7200}).json()
    assert longer["lease_until"] > held["lease_until"]
    assert api.delete(f"/api/v1/claims/{held['id']}").status_code == 204
    assert answer(api, held["id"], "approve").status_code in (409, 422)
    assert claim(api, person="ben")["review"]["id"] == held["review"]["id"]


def test_a_long_poll_ends_with_the_outcome(api: TestClient, desk: dc.Desk) -> None:
    """The reply comes when the case is decided, long before patience ends."""
    case = propose(api, "spam", input="Win!", proposal="spam", confidence=0.5)
    held = claim(api, "spam")
    timer = threading.Timer(0.4, lambda: desk.answer(held["id"], "approve"))
    timer.start()
    started = time.monotonic()
    reply = api.get(f"/api/v1/cases/{case['id']}", headers={"Prefer": "wait=20"})
    assert reply.json()["outcome"]["value"] == "spam"
    assert time.monotonic() - started < 8
    assert reply.headers["Preference-Applied"] == "wait=20"


def test_a_long_poll_gives_up_politely(api: TestClient) -> None:
    """Patience that ends gives the case as it is."""
    case = propose(api)
    reply = api.get(f"/api/v1/cases/{case['id']}", headers={"Prefer": "respond-async, wait=1"})
    assert (reply.status_code, reply.json()["outcome"]) == (200, None)


def test_an_etag_spares_the_body(api: TestClient) -> None:
    """304 while nothing has happened."""
    address = f"/api/v1/cases/{propose(api)['id']}"
    assert api.get(address, headers={"If-None-Match": '"1"'}).status_code == 304
    claim(api)
    assert api.get(address, headers={"If-None-Match": '"1"'}).status_code == 200


def test_any_program_runs_its_own_effect(api: TestClient, desk: dc.Desk) -> None:
    """Start gives fence and value once; finish takes the fence; a result comes back in the outcome."""
    web_cases.define(desk, undo=0)
    case = propose(api)
    address = f"/api/v1/cases/{case['id']}/effect"
    assert api.post(f"{address}/start").status_code == 409
    answer(api, claim(api)["id"], "approve")
    mine = api.post(f"{address}/start", json={"owner": "curl"}).json()
    assert mine["value"] == {"action": "refund", "args": REFUND["args"]}
    assert api.post(f"{address}/start").json()["code"] == "DC-EFFECT-TAKEN"
    assert api.post(f"{address}/finish", json={"fence": mine["fence"] + 1, "succeeded": True}).status_code == 409
    done = api.post(f"{address}/finish", json={"fence": mine["fence"], "succeeded": True, "result": {"id": BIG}}).json()
    assert done["outcome"]["effect"] == {"state": "succeeded", "result": {"id": BIG}}


def test_an_end_said_again_is_the_end_that_is_recorded(api: TestClient, desk: dc.Desk) -> None:
    """The reply to a finish was lost: the program asks again and learns what stands."""
    case = propose(api, confidence=0.99)
    effect = f"/api/v1/cases/{case['id']}/effect"
    fence = api.post(f"{effect}/start").json()["fence"]
    done = {"fence": fence, "succeeded": True, "result": "sent"}
    first, again = api.post(f"{effect}/finish", json=done), api.post(f"{effect}/finish", json=done)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    assert api.post(f"{effect}/finish", json={**done, "succeeded": False}).status_code == 409
    assert api.post(f"{effect}/finish", json={**done, "fence": fence + 1}).status_code == 409
    assert [type(e).__name__ for e in desk.events(case["id"])].count("EffectSucceeded") == 1


@pytest.mark.parametrize("address", ["/api/v1/health", "/api/v1/cases", "/api/v1/cases/{case}", "/api/v1/events"])
def test_head_is_get_without_its_body(api: TestClient, address: str) -> None:
    """The same status and type as GET; an endless stream is not begun."""
    address = address.format(case=propose(api)["id"])
    got, head = api.get(address), api.head(address, headers={"Accept": "text/event-stream"})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert api.head("/api/v1/cases/nowhere").status_code == 404


def test_head_on_a_page(web: TestClient, stranger: TestClient, app: Any) -> None:
    """Pages too, and a look with HEAD does not use up the address that works once."""
    assert (web.head("/").status_code, web.head("/").content) == (200, b"")
    token = app.state.access.entry
    assert stranger.head("/", params={"token": token}).status_code in (303, 401)


def test_the_description_names_streams_and_foreign_hosts(api: TestClient) -> None:
    """What the event address can send, and that every address refuses another server's name."""
    told = api.get("/api/v1/openapi.json").json()
    assert set(told["paths"]["/api/v1/events"]["get"]["responses"]["200"]["content"]) == {
        "application/json", "text/event-stream",
    }  # fmt: skip
    for path in told["paths"].values():
        assert all("421" in method["responses"] for method in path.values())
    assert api.get("/api/v1/health", headers={"Host": "elsewhere"}).status_code == 421


def test_withdraw(api: TestClient) -> None:
    """A withdrawn case has an outcome and no open review."""
    case = propose(api)
    gone = api.post(f"/api/v1/cases/{case['id']}/withdraw", json={"by": "billing"}).json()
    assert gone["outcome"]["by"] == "withdrawn"
    assert api.post(f"/api/v1/cases/{case['id']}/withdraw").status_code == 409


def test_lists_and_pages(api: TestClient, desk: dc.Desk) -> None:
    """Cases and inbox come page by page; a loop tells its counts."""
    for n in range(5):
        propose(api, args={"n": n})
    first = api.get("/api/v1/cases", params={"loop": "refunds", "limit": 3}).json()
    second = api.get("/api/v1/cases", params={"loop": "refunds", "limit": 3, "cursor": first["next"]}).json()
    assert len({r["id"] for r in first["rows"] + second["rows"]}) == 5
    queue = api.get("/api/v1/inbox", params={"person": "ana", "loop": "refunds"}).json()
    assert len(queue["rows"]) == 5
    assert api.get("/api/v1/loops/refunds").json()["counts"]["open"] == 5
    assert {row["loop"] for row in api.get("/api/v1/loops").json()["loops"]} >= {"refunds", "digits"}


def test_answers_stay_closed_while_others_still_answer(api: TestClient, desk: dc.Desk) -> None:
    """Neither the case, nor its events, nor the page tells an answer to who has yet to answer."""
    desk.loop("pairs", mode="labels", labels=["x", "y"], context="minimal", quorum={"answers": 2})
    case = propose(api, "pairs", input="?", proposal="x")
    answer(api, claim(api, "pairs")["id"], "label", value="y", rationale="secret reason")
    address = f"/api/v1/cases/{case['id']}"
    assert api.get(address).json()["answers_hidden"] == 1
    for where in (address, f"{address}/events", f"/cases/{case['id']}", f"/cases/{case['id']}.json"):
        assert "secret reason" not in api.get(where, headers={"Accept": "*/*"}).text
    answer(api, claim(api, "pairs", "ben")["id"], "label", value="y")
    assert "secret reason" in api.get(f"{address}/events").text


def test_the_feed_tells_ids_and_kinds_only(api: TestClient) -> None:
    """Entries in order of position, no content; `next` goes on."""
    case = propose(api, input="private words")
    feed = api.get("/api/v1/events").json()
    mine = [row for row in feed["entries"] if row["case_id"] == case["id"]]
    assert mine[0]["kinds"] == ["Opened", "Routed", "ReviewOpened"]
    assert [row["pos"] for row in feed["entries"]] == list(range(1, feed["next"] + 1))
    assert "private" not in str(feed)
    assert api.get("/api/v1/events", params={"after": feed["next"]}).json()["entries"] == []


def test_examples(api: TestClient, desk: dc.Desk) -> None:
    """A decision becomes a row for learning."""
    web_cases.spam(desk)
    answer(api, claim(api, "spam")["id"], "approve")
    rows = api.get("/api/v1/loops/spam/examples", params={"unused": True}).json()["rows"]
    assert [(row["verdict"], row["wrong"]) for row in rows] == [("label", 0)]
