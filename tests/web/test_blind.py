"""The pages of a blind review: nothing that is shown before the answer tells of the proposal."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

import dualcontrol as dc

MARKER = "MARKER"
PROMISE: dict[str, Any] = {"max_error": 0.05}
TO_AUTOPILOT = {"name": "all-MARKER", "when": "true", "route": "autopilot"}
TELLING: dict[str, Any] = {
    "rationale": MARKER, "source": {"model": MARKER}, "segment": MARKER, "confidence": 0.98765, "risk": "low",
}  # fmt: skip


def token(web: TestClient) -> str:
    """What a form of this session carries."""
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', web.get("/keys").text)
    assert found is not None
    return found[1]


def mail(desk: dc.Desk, **settings: Any) -> dc.Case:
    """A mail that autopilot labelled and an audit asks about."""
    loop = desk.loop(
        "mail", mode="labels", context="minimal",
        **{"labels": ["spam", "ham"], "guarantee": PROMISE, "rules": [TO_AUTOPILOT], "audit": 1.0, **settings},
    )  # fmt: skip
    return loop.propose(input="a mail", proposal="spam", scores={"spam": 0.98765, "ham": 0.01235}, **{
        k: v for k, v in TELLING.items() if k != "confidence"
    })  # fmt: skip


def chat(desk: dc.Desk) -> dc.Case:
    """A reply that autopilot gave and an audit asks about."""
    loop = desk.loop(
        "chat", mode="fallback", context="minimal", guarantee=PROMISE, rules=[TO_AUTOPILOT], audit=1.0,
    )  # fmt: skip
    return loop.propose(input="hello", proposal=f"Hi {MARKER}.", alternatives=[f"Bye {MARKER}."], **TELLING)


def tells(text: str) -> list[str]:
    """What of the proposal stands in a page."""
    return re.findall(r"MARKER|0\.98|0\.99|label-note|label proposed|proposed: ", text)


def review(web: TestClient, case: dc.Case) -> str:
    """The address of the review after pressing the button on the case's page."""
    page = web.post(f"/cases/{case.id}/claim", data={"csrf": token(web)})
    assert page.status_code == 200, page.text
    return str(page.url.path)


@pytest.mark.parametrize("make", [mail, chat])
def test_a_blind_review_page_and_its_twin_tell_nothing(web: TestClient, desk: dc.Desk, make: Any) -> None:
    case = make(desk)
    address = review(web, case)
    page, twin = web.get(address).text, web.get(f"{address}.json")
    assert "This review is blind" in page
    assert str(case.input) in page
    assert (tells(page), tells(twin.text)) == ([], [])
    assert (twin.json()["view"]["blind"], twin.json()["review"]["presented"]) == (True, [])
    for button in ("Approve", "Edit the proposal"):
        assert button not in page


@pytest.mark.parametrize("make", [mail, chat])
@pytest.mark.parametrize("claimed", [False, True])
def test_nor_do_the_pages_around_it(web: TestClient, desk: dc.Desk, make: Any, claimed: bool) -> None:
    case = make(desk)
    if claimed:
        review(web, case)
    for address in (f"/cases/{case.id}", f"/cases/{case.id}.json", "/inbox", "/inbox.json", "/cases"):
        page = web.get(address)
        assert (page.status_code, tells(page.text)) == (200, []), address
    assert "hidden while a blind review is open" in web.get(f"/cases/{case.id}").text


def test_nor_does_the_case_while_somebody_else_holds_the_review(web: TestClient, desk: dc.Desk) -> None:
    """They may give it back, and then it is anybody's."""
    case = mail(desk)
    desk.claim("ben", case=case)
    assert tells(web.get(f"/cases/{case.id}").text) == []


def test_a_held_claim_and_the_inbox_of_the_api_tell_nothing(api: TestClient, desk: dc.Desk) -> None:
    case = mail(desk)
    assert tells(api.get("/api/v1/inbox", params={"person": "ben"}).text) == []
    claim = api.post("/api/v1/claims", json={"person": "ben", "loop": "mail"})
    assert (claim.status_code, tells(claim.text)) == (201, [])
    refused = api.post(f"/api/v1/claims/{claim.json()['id']}/answer", json={"verdict": "approve"})
    assert (refused.status_code, refused.json()["code"], tells(refused.text)) == (422, "DC-VERDICT", [])
    assert api.get(f"/api/v1/cases/{case.id}").json()["outcome"]["value"] == "spam"  # the program goes on with it


def test_a_wrong_form_does_not_give_it_away(web: TestClient, desk: dc.Desk) -> None:
    address = review(web, chat(desk))
    sent = {"csrf": token(web), "verdict": "edit", "how": "text", "text": "x"}
    for more in ({}, {"how": "alternative", "candidate": "c2"}, {"how": "json", "json": "{"}):
        page = web.post(f"{address}/answer", data={**sent, **more})
        assert (page.status_code, tells(page.text)) == (422, [])


def test_after_the_answer_the_case_shows_everything_again(web: TestClient, desk: dc.Desk) -> None:
    case = mail(desk)
    web.post(f"{review(web, case)}/answer", data={"csrf": token(web), "verdict": "label", "value": '"spam"'})
    assert [e.wrong for e in desk.events(case.id) if isinstance(e, dc.events.Audited)] == [0]
    page = web.get(f"/cases/{case.id}").text
    assert "hidden while" not in page
    assert MARKER in page


def test_whoever_answered_first_sees_what_the_second_does_not(web: TestClient, desk: dc.Desk) -> None:
    case = mail(desk, rules=[], audit=0.0)
    web.post(f"{review(web, case)}/answer", data={"csrf": token(web), "verdict": "label", "value": '"ham"'})
    assert MARKER in web.get(f"/cases/{case.id}").text
    second = desk.claim("ben", case=case)
    assert second is not None
    assert MARKER not in str(second.view)


def test_a_lost_effect_can_be_resolved_while_the_audit_waits(web: TestClient, desk: dc.Desk) -> None:
    loop = desk.loop("chat", mode="fallback", context="minimal", guarantee=PROMISE, rules=[TO_AUTOPILOT], audit=1.0,
                     effect_lease="1ms")  # fmt: skip
    case = loop.propose(input="hello", proposal="Hi.", effect="ready")
    loop.start_effect(case.id)
    while desk.case(case.id).effect.state != "unknown":
        desk.sweep()
    assert "It happened" in web.get(f"/cases/{case.id}").text


def test_outside_a_guarantee_nothing_is_hidden(web: TestClient, desk: dc.Desk) -> None:
    case = mail(desk, guarantee=None)
    page = web.get(review(web, case)).text
    assert "This review is blind" not in page
    assert MARKER in page


def refund(desk: dc.Desk) -> dc.Case:
    """A refund that autopilot made and an audit asks about."""
    loop = desk.loop(
        "pay", context="minimal", guarantee=PROMISE, autopilot_actions=["refund-MARKER"], audit=1.0,
    )  # fmt: skip
    args = {"to": MARKER, "amount": 98.76}
    return loop.propose(action="refund-MARKER", args=args, input="please pay me", **TELLING)


def test_an_action_is_shown_after_the_commitment(web: TestClient, desk: dc.Desk) -> None:
    case = refund(desk)
    address = review(web, case)
    for shown in (address, f"{address}.json", f"/cases/{case.id}", f"/cases/{case.id}.json", "/inbox", "/cases"):
        assert tells(web.get(shown).text) == [], shown
    page = web.get(address).text
    assert "It should happen" in page
    assert "Approve" not in page
    early = web.post(f"{address}/answer", data={"csrf": token(web), "verdict": "approve"})
    assert (early.status_code, "only after a commitment" in early.text, tells(early.text)) == (422, True, [])
    page = web.post(f"{address}/commit", data={"csrf": token(web), "should": "happen", "to": "<b>Jana</b>"}).text
    assert "You said first: it should happen, to &lt;b&gt;Jana&lt;/b&gt;." in page
    assert MARKER in page
    assert "Approve" in page
    web.post(f"{address}/answer", data={"csrf": token(web), "verdict": "approve"})
    (answer,) = desk.case(case.id).answers
    assert (answer.first, answer.actor.via) == ({"verdict": "approve", "value": "<b>Jana</b>"}, "web")


def test_a_commitment_that_says_nothing_shows_the_form_again(web: TestClient, desk: dc.Desk) -> None:
    address = review(web, refund(desk))
    page = web.post(f"{address}/commit", data={"csrf": token(web), "to": "Jana & co"})
    assert (page.status_code, "Jana &amp; co" in page.text, tells(page.text)) == (422, True, [])


def test_the_api_commits(api: TestClient, desk: dc.Desk) -> None:
    refund(desk)
    claim = api.post("/api/v1/claims", json={"person": "ben", "loop": "pay"})
    assert (tells(claim.text), claim.json()["view"]["committed"]) == ([], None)
    address = f"/api/v1/claims/{claim.json()['id']}"
    refused = api.post(f"{address}/answer", json={"verdict": "approve"})
    assert (refused.status_code, refused.json()["code"]) == (422, "DC-COMMIT")
    assert api.post(f"{address}/commit", json={"should": "perhaps"}).status_code == 422
    shown = api.post(f"{address}/commit", json={"should": "not", "to": {"name": "Jana"}})
    assert (shown.status_code, shown.json()["view"]["proposal"]["action"]) == (200, "refund-MARKER")
    assert api.post(f"{address}/commit", json={"should": "happen"}).json()["code"] == "DC-COMMIT"
    assert shown.headers["etag"] != claim.headers["etag"]
    answered = api.post(f"{address}/answer", json={"verdict": "reject"}, headers={"If-Match": shown.headers["etag"]})
    assert answered.json()["answers"][0]["first"] == {"verdict": "reject", "value": {"name": "Jana"}}


def test_others_see_nothing_while_somebody_has_committed(web: TestClient, desk: dc.Desk) -> None:
    case = refund(desk)
    claim = desk.claim("ben", case=case)
    assert claim is not None
    claim.commit("happen")
    assert tells(web.get(f"/cases/{case.id}").text) == []
    claim.release()
    assert tells(web.get(review(web, case)).text) == []
