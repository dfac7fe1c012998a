"""The pages of a blind review: nothing that is shown before the answer tells of the proposal."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import web_cases
from fastapi import FastAPI
from starlette.testclient import TestClient

import dualcontrol as dc
from dualcontrol.review.view import digest

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
    """What of the proposal stands in a page; the seconds of a time, as in 20.98, are none of it."""
    return re.findall(r"MARKER|(?<!\d)0\.9[89]|label-note|label proposed|proposed: ", text)


def review(web: TestClient, case: dc.Case) -> str:
    """The address of the review after pressing the button on the case's page."""
    page = web.post(f"/cases/{case.id}/claim", data={"csrf": token(web)})
    assert page.status_code == 200, page.text
    return str(page.url.path)


def decided_mail(desk: dc.Desk, **given: Any) -> dc.Case:
    """A mail that a score sends to people who decide it."""
    loop = desk.loop(
        "mail", mode="labels", context="minimal", labels=["spam", "ham"], guarantee=PROMISE, risk_ceiling="critical"
    )  # fmt: skip
    scores = {"spam": 0.98765, "ham": 0.01235}
    known = {k: v for k, v in TELLING.items() if k != "confidence"}
    return loop.propose(input="a mail", proposal="spam", scores=scores, **{**known, **given})


def decided_sum(desk: dc.Desk) -> dc.Case:
    """A number that a score sends to people who decide it."""
    loop = desk.loop("sums", mode="fallback", context="minimal", guarantee=PROMISE, schema={"type": "number"})
    return loop.propose(input="1 + 1", proposal=0.98765, **TELLING)


@pytest.mark.parametrize("risk", ["low", "high"])
def test_a_blind_decision_is_given_without_a_script_and_at_a_high_risk_twice(
    web: TestClient, desk: dc.Desk, risk: str
) -> None:  # fmt: skip
    case = decided_mail(desk, risk=risk)
    assert [(r.kind, r.blind) for r in case.reviews] == [("decide", True)]
    address = review(web, case)
    page = web.post(f"{address}/answer", data={
        **web_cases.seen(web, address), "verdict": "label", "value": '"ham"'
    })  # fmt: skip
    if risk == "high":
        assert (tells(page.text), desk.case(case.id).decision) == ([], None)
        fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page.text))
        time.sleep(0.5)  # the dead time of the second page
        page = web.post(f"{address}/answer", data={n: v.replace("&#34;", '"') for n, v in fields.items()})
    assert page.status_code == 200
    assert desk.case(case.id).decision.value == "ham"


def test_a_blind_decision_about_an_action_commits_first(web: TestClient, desk: dc.Desk) -> None:
    loop = desk.loop("refunds", context="minimal", guarantee=PROMISE)
    case = loop.propose(action="refund", args={"to": MARKER}, input="pay me", **TELLING)
    address = review(web, case)
    page = web.get(address).text
    assert ("This review is blind" in page, tells(page), 'name="should"' in page) == (True, [], True)
    web.post(f"{address}/commit", data={**web_cases.seen(web, address), "should": "not", "to": ""})
    assert MARKER in web.get(address).text
    web.post(f"{address}/answer", data={**web_cases.seen(web, address), "verdict": "approve"})
    assert desk.case(case.id).decision.wrong == 1


@pytest.mark.parametrize("make", [mail, chat, decided_mail, decided_sum])
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


@pytest.mark.parametrize("make", [mail, chat, decided_mail, decided_sum])
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
    sent = {**web_cases.seen(web, address), "verdict": "edit", "how": "text", "text": "x"}
    for more in ({}, {"how": "alternative", "candidate": "c2"}, {"how": "json", "json": "{"}):
        page = web.post(f"{address}/answer", data={**sent, **more})
        assert (page.status_code, tells(page.text)) == (422, [])


def test_after_the_answer_the_case_shows_everything_again(web: TestClient, desk: dc.Desk) -> None:
    case = mail(desk)
    address = review(web, case)
    web.post(f"{address}/answer", data={**web_cases.seen(web, address), "verdict": "label", "value": '"spam"'})
    assert [e.wrong for e in desk.events(case.id) if isinstance(e, dc.events.Audited)] == [0]
    page = web.get(f"/cases/{case.id}").text
    assert "hidden while" not in page
    assert MARKER in page


def test_whoever_answered_first_sees_what_the_second_does_not(web: TestClient, desk: dc.Desk) -> None:
    case = mail(desk, rules=[], audit=0.0, undo=0)
    address = review(web, case)
    web.post(f"{address}/answer", data={**web_cases.seen(web, address), "verdict": "label", "value": '"ham"'})
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
    early = web.post(f"{address}/answer", data={**web_cases.seen(web, address), "verdict": "approve"})
    assert (early.status_code, "only after a commitment" in early.text, tells(early.text)) == (422, True, [])
    page = web.post(
        f"{address}/commit", data={**web_cases.seen(web, address), "should": "happen", "to": "<b>Jana</b>"}
    ).text
    assert "You said first: it should happen, to &lt;b&gt;Jana&lt;/b&gt;." in page
    assert MARKER in page
    assert "Approve" in page
    web.post(f"{address}/answer", data={**web_cases.seen(web, address), "verdict": "approve"})
    (answer,) = desk.case(case.id).answers
    assert (answer.first, answer.actor.via) == ({"verdict": "approve", "value": "<b>Jana</b>"}, "web")


def test_a_commitment_that_says_nothing_shows_the_form_again(web: TestClient, desk: dc.Desk) -> None:
    address = review(web, refund(desk))
    page = web.post(f"{address}/commit", data={**web_cases.seen(web, address), "to": "Jana & co"})
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


# every door at once: whoever may be asked blind learns nothing of proposal, first answer, outcome or truth

FIRST, TRUTH = "FIRST-MARKER", "TRUTH-MARKER"
SECRET: dict[str, Any] = {**TELLING, "source": {"model": "m"}}  # the loop's pages name the model it is certified for
KNOWN: dict[str, Any] = {"meta": {"truth": TRUTH}, "key": "key-MARKER"}


def edited_refund(desk: dc.Desk) -> dc.Case:
    """A refund that ben edited and that ran: ana may be asked whether the proposal was wrong, before seeing it."""
    loop = desk.loop("pay", context="minimal", guarantee=PROMISE)
    args = {"to": MARKER, "amount": 98.76}
    case = loop.propose(
        action="refund-MARKER", args=args, input="please pay me", effect="ready", requires_approval=True, **SECRET,
        **KNOWN,
    )  # fmt: skip
    claim = desk.claim("ben", case=case)
    assert claim is not None
    claim.edit({"to": FIRST, "amount": 1.5}, rationale=f"because {FIRST}")
    loop.finish_effect(case.id, loop.start_effect(case.id), succeeded=True, result={"ran": FIRST})
    return desk.case(case.id)


def relabelled_mail(desk: dc.Desk) -> dc.Case:
    """A mail that ben labelled otherwise than was proposed: ana may be asked for its label."""
    loop = desk.loop("mail", mode="labels", labels=["spam", "ham", "news"], guarantee=PROMISE, context="minimal")
    case = loop.propose(input="a mail", proposal="spam", scores={"spam": 0.98765, "ham": 0.01235}, **KNOWN, **{
        k: v for k, v in SECRET.items() if k != "confidence"
    })  # fmt: skip
    claim = desk.claim("ben", case=case)
    assert claim is not None
    claim.label("ham", rationale=f"because {FIRST}")
    return desk.case(case.id)


def answered_chat(desk: dc.Desk) -> dc.Case:
    """A question that ben answered without the proposal: ana may be asked to compare the two."""
    loop = desk.loop("chat", mode="fallback", context="minimal", guarantee=PROMISE)
    case = loop.propose(input="hello", proposal=f"Hi {MARKER}.", alternatives=[f"Bye {MARKER}."], **SECRET, **KNOWN)
    claim = desk.claim("ben", case=case)
    assert claim is not None
    claim.respond(FIRST)
    return desk.case(case.id)


def audited_mail(desk: dc.Desk) -> dc.Case:
    """A mail that autopilot labelled, with somebody's truth beside it."""
    rule = {"name": "all", "when": "true", "route": "autopilot"}
    loop = desk.loop(
        "mail", mode="labels", labels=["spam", "ham", "news"], guarantee=PROMISE, rules=[rule], audit=1.0,
        context="minimal",
    )  # fmt: skip
    return loop.propose(input="a mail", proposal="spam", scores={"spam": 0.98765, "ham": 0.01235}, **KNOWN)


BLIND = [audited_mail, edited_refund, relabelled_mail, answered_chat]
DONE = re.compile(r'"(?:verdict|by|wrong|outcome|decision|settled|key|run|segment|score|bin|relief)": ?(?!null|"")')


def leaks(text: str) -> list[str]:
    """What a page or its twin says of proposal, first answer, outcome, truth or place in the queue."""
    found = re.findall(r"MARKER|0\.98|0\.99|98\.76|because|succeeded|Edited|Labelled|Answered|first:", text)
    rest = text.partition('"breakdowns":')[0].partition('"moves":')[0]  # counts, which are looked at below, and changes
    return found + DONE.findall(rest) + re.findall(r'"order_at": ?[1-9]', text)


def around(case: dc.Case) -> list[str]:
    """Every address at which somebody could look at a case without holding its review."""
    lists = ["/cases", "/cases.json", f"/cases?loop={case.loop}", f"/cases.json?loop={case.loop}", "/inbox"]
    filtered = [f"/cases{twin}?state={state}" for twin in ("", ".json") for state in ("open", "decided", "closed")]
    flashes = [f"/inbox?done={case.id}", f"/cases/{case.id}?done={case.id}", f"/inbox?loop={case.loop}&done={case.id}"]
    loops = ["/", "/.json", f"/loops/{case.loop}/guarantee", f"/loops/{case.loop}/guarantee.json", "/inbox.json"]
    return [*lists, *filtered, *flashes, *loops, f"/cases/{case.id}", f"/cases/{case.id}.json", "/live"]


@pytest.mark.parametrize("make", BLIND)
@pytest.mark.parametrize("held", ["open", "by ana", "by cleo"])
def test_no_address_tells_anything(web: TestClient, desk: dc.Desk, make: Any, held: str) -> None:
    case = make(desk)
    paths = around(case)
    if held == "by ana":
        claim = desk.claim("ana", case=case)
        assert claim is not None
        paths += [f"/claims/{claim.id}", f"/claims/{claim.id}.json", f"/claims/{claim.id}?done={case.id}"]
    elif held == "by cleo":
        assert desk.claim("cleo", case=case) is not None
    for path in paths:
        page = web.get(path, headers={"Accept": "text/html"})
        assert page.status_code == 200, path
        text = re.sub(r"(?s)<dialog.*?</dialog>", "", page.text)
        if path.startswith("/claims/") and case.mode == "fallback":  # the two texts are what it asks about
            text = text.replace(FIRST, "").replace(f"Hi {MARKER}.", "")
        assert leaks(text) == [], path
        if path.endswith("/guarantee.json"):  # nothing of a case that somebody still has to answer is counted
            assert not any(part["labels"] for table in page.json()["breakdowns"] for part in table["parts"])


@pytest.mark.parametrize("make", BLIND)
def test_a_blind_case_stands_in_no_list_by_what_became_of_it(web: TestClient, desk: dc.Desk, make: Any) -> None:
    """In the list of all, with its outcome hidden; which state it is in would tell what was decided."""
    case = make(desk)
    (row,) = [row for row in web.get("/cases.json").json()["rows"] if row["id"] == case.id]
    hidden = ("action", "verdict", "by", "wrong", "confidence", "closed_at")
    assert ([row[name] for name in hidden], row["state"], row["effect"]) == ([None] * 6, "open", "none")
    assert "hidden from you" in web.get("/cases", headers={"Accept": "text/html"}).text
    for state in ("open", "decided", "closed"):
        assert case.id not in [row["id"] for row in web.get(f"/cases.json?state={state}").json()["rows"]]
    desk.loop(case.loop, guarantee=None, threshold=0.5)
    claim = desk.claim("ana", case=case)
    assert claim is not None
    if case.mode == "approval":
        claim.commit("happen").approve()
    else:
        claim.label("ham" if case.mode == "labels" else "both")
    assert case.id in [row["id"] for row in web.get("/cases.json?state=closed").json()["rows"]]


def test_the_route_tells_nothing_of_the_proposal(web: TestClient, desk: dc.Desk) -> None:
    """A rule that demands more of large amounts, its risk, and the share of such cases that is audited."""
    case = edited_refund(desk)
    route = web.get(f"/cases/{case.id}.json").json()["route"]
    kept = {"to", "reason", "control", "epoch", "group", "due_at", "on_timeout", "audited"}
    rest = {name: value for name, value in route.items() if name not in kept}
    assert {name for name, value in rest.items() if value not in (None, "", {})} == {"inclusion"}
    assert (rest["inclusion"], rest["quorum"], route["reason"].split(":")[0]) == (1.0, {}, "this review is blind")


@pytest.mark.parametrize("make", [edited_refund, relabelled_mail, answered_chat])
def test_a_refusal_does_not_say_what_the_first_one_said(
    api: TestClient, desk: dc.Desk, make: Any
) -> None:  # fmt: skip
    """A claim whose time ran out: who was first is told, what was said is not, for the review may be taken again."""
    case = make(desk)
    claim = desk.claim("ana", case=case, lease=0.001)
    assert claim is not None
    time.sleep(0.01)
    late = api.post(f"/api/v1/claims/{claim.id}/answer", json={"verdict": "abstain"})
    assert (late.status_code, late.json()["code"], late.json()["by"]) == (409, "DC-CLAIM", "ben")
    assert ("verdict" in late.json(), leaks(late.text.replace('"by":"ben"', ""))) == (False, [])


def test_whoever_answered_first_is_told_what_was_said(api: TestClient, desk: dc.Desk) -> None:
    case = relabelled_mail(desk)
    (review,) = [r for r in case.reviews if r.state == "answered"]
    own = {"Authorization": f"Bearer {api.token(review.person)}"}  # type: ignore[attr-defined]
    address = f"/api/v1/claims/{review.claim_id}/answer"
    late = api.post(address, json={"verdict": "label", "value": "spam"}, headers=own)
    assert (late.status_code, late.json()["verdict"]) == (409, "label")


def over_http(case: dc.Case) -> list[str]:
    """Every address of the API at which somebody could look at a case without holding its review."""
    lists = [f"/api/v1/cases{query}" for query in ("", f"?loop={case.loop}", "?state=decided", "?state=closed")]
    loops = [f"/api/v1/loops/{case.loop}", f"/api/v1/loops/{case.loop}/examples", "/api/v1/inbox"]
    return [*lists, *loops, f"/api/v1/cases/{case.id}", f"/api/v1/cases/{case.id}/events"]


@pytest.mark.parametrize("make", BLIND)
@pytest.mark.parametrize("scope", ["decide", "read"])
def test_a_reviewers_own_token_tells_no_more_than_the_pages(app: Any, desk: dc.Desk, make: Any, scope: str) -> None:
    """A program goes on with the outcome and sees it; who may still review the case does not, by any token."""
    case = make(desk)
    secret = desk.tokens.issue("ana", "root", scopes=(scope,))[1]
    with TestClient(app, base_url="http://127.0.0.1:8765", headers={"Authorization": f"Bearer {secret}"}) as ana:
        for path in over_http(case):
            reply = ana.get(path)
            assert (reply.status_code, leaks(reply.text)) == (200, []), path
        for header, value in (("If-None-Match", f'"{case.seq}"'), ("Prefer", "wait=30")):
            reply = ana.get(f"/api/v1/cases/{case.id}", headers={header: value})
            assert (reply.status_code, "preference-applied" in reply.headers, leaks(reply.text)) == (200, False, [])


@pytest.mark.parametrize("make", BLIND)
def test_a_program_sees_the_whole_case(app: Any, desk: dc.Desk, make: Any) -> None:
    case = make(desk)
    desk.people.register("bot", "root", owner="zoe")
    secret = desk.tokens.issue("bot", "root")[1]
    with TestClient(app, base_url="http://127.0.0.1:8765", headers={"Authorization": f"Bearer {secret}"}) as program:
        assert leaks(program.get(f"/api/v1/cases/{case.id}").text) != []
        assert program.get(f"/api/v1/cases/{case.id}/events").json()["entries"] != []


OPEN = {"/api/v1/health", "/api/v1/openapi.json"}


def test_a_session_opens_nothing_of_the_api(app: FastAPI, web: TestClient, desk: dc.Desk) -> None:
    """Every address and method, with and without the session's token; what is open to everybody stays so."""
    case = relabelled_mail(desk)
    claim = desk.claim("ana", case=case)
    assert claim is not None
    headers = {"X-CSRF-Token": token(web), "Accept": "application/json"}
    names = {"case_id": case.id, "claim_id": claim.id, "loop": case.loop, "key": "threshold"}
    asked = [(path, method) for path, methods in app.openapi()["paths"].items() for method in methods]
    assert len(asked) > 15
    for path, method in [*asked, ("/api/v1/openapi.json", "get"), ("/api/v1/cases", "head"), ("/api/v2", "get")]:
        body = {} if method == "post" else None
        reply = web.request(method.upper(), path.format(**names), headers=headers, json=body)
        assert (reply.status_code == 403) == (path not in OPEN), (method, path)
        assert path in OPEN or leaks(reply.text) == [], path


def test_a_token_opens_the_api_also_in_a_browser_with_a_session(api: TestClient, web: TestClient) -> None:
    given = {"Authorization": api.headers["Authorization"]}
    assert web.get("/api/v1/loops", headers=given).status_code == 200


def test_a_held_review_is_extended_by_its_page(web: TestClient, desk: dc.Desk) -> None:
    """The page's own script needs nothing of the API, and extends nobody else's review."""
    case = mail(desk)
    claim = desk.claim("ana", case=case, lease="30s")
    other = desk.claim("ben", case=mail(desk), lease="30s")
    assert claim is not None
    assert other is not None
    given: dict[str, Any] = {"data": {"csrf": token(web)}, "headers": {"Accept": "application/json"}}
    reply = web.post(f"/claims/{claim.id}/extend", **given)
    assert reply.json() == {"lease_until": desk.claimed(claim.id).review.lease_until}
    assert desk.claimed(claim.id).review.lease_until > claim.review.lease_until  # type: ignore[operator]
    assert tells(web.post(f"/claims/{other.id}/extend", **given).text) == []
    assert desk.claimed(other.id).review.lease_until == other.review.lease_until


# meta is the program's own: a reviewer sees what the loop names

NOTED: dict[str, Any] = {"customer": "Jana", "truth": TRUTH, "ticket": {"id": 7, "solution": TRUTH}, "a.b": "dotted"}


def noted(desk: dc.Desk, **settings: Any) -> dc.Case:
    """A case with notes of the program."""
    given = {"mode": "labels", "labels": ["spam", "ham"], "context": "minimal", "quorum": {"blind": False}, **settings}
    loop = desk.loop("notes", **given)
    return loop.propose(input="a mail", proposal="spam", confidence=0.2, meta=NOTED)


SHOWN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"meta": ["customer"]}, {"customer": "Jana"}),
    ({"meta": ["ticket.id", "customer"]}, {"customer": "Jana", "ticket": {"id": 7}}),
    ({"meta": ["a.b", "ticket.none", "customer.name", "nothing"]}, {"a.b": "dotted"}),
    ({"context": ["input", "proposal", "meta.customer"]}, {"customer": "Jana"}),
    ({"context": ["input", "meta"]}, {}),
]


@pytest.mark.parametrize(("settings", "shown"), SHOWN)
def test_a_reviewer_sees_of_meta_what_the_loop_names(
    web: TestClient, api: TestClient, desk: dc.Desk, settings: dict[str, Any], shown: dict[str, Any]
) -> None:
    """On both pages, in both twins with their events, and in the view that the answer is bound to; programs see all."""
    case = noted(desk, **settings)
    address = review(web, case)
    pages = [web.get(p) for p in (address, f"{address}.json", f"/cases/{case.id}", f"/cases/{case.id}.json")]
    assert [TRUTH in page.text for page in pages] == [False] * 4
    assert pages[1].json()["view"]["meta"] == pages[3].json()["meta"] == shown
    assert [("Jana" in page.text) for page in pages] == ["customer" in shown] * 4
    assert [('<h2 id="meta-h">' in page.text) for page in (pages[0], pages[2])] == [bool(shown)] * 2
    (opened,) = [e for e in pages[3].json()["entries"][0]["events"] if e["kind"] == "Opened"]
    assert opened["content"]["meta"] == shown
    assert api.get(f"/api/v1/cases/{case.id}").json()["meta"] == NOTED
    assert TRUTH in api.get(f"/api/v1/cases/{case.id}/events").text
    assert desk.case(case.id).meta == NOTED


def test_what_was_shown_stays_shown_when_the_settings_change(web: TestClient, desk: dc.Desk) -> None:
    """The digest in the answer is that of the view that was claimed."""
    case = noted(desk, meta=["customer"])
    claim = desk.claim("ana", case=case)
    assert claim is not None
    noted(desk, meta=["customer", "truth"])
    assert desk.claimed(claim.id).view["meta"] == {"customer": "Jana"}
    before = digest(desk.claimed(claim.id).view)
    assert claim.label("ham").answered[0].shown == before


def test_a_rule_sees_all_of_meta(desk: dc.Desk) -> None:
    rule = {"name": "true", "when": f'meta.truth == "{TRUTH}"', "route": "human", "risk": "high"}
    assert noted(desk, rules=[rule]).route.by == "rule:true"  # type: ignore[union-attr]


@pytest.mark.parametrize("make", BLIND)
def test_a_blind_review_shows_no_meta_whatever_the_loop_names(web: TestClient, desk: dc.Desk, make: Any) -> None:
    case = make(desk)
    desk.loop(case.loop, meta=["truth"])
    claim = desk.claim("ana", case=case)
    assert claim is not None
    assert claim.view["meta"] == {}
    assert TRUTH not in web.get(f"/claims/{claim.id}").text + web.get(f"/cases/{case.id}.json").text
    if case.mode == "approval":
        assert claim.commit("happen").view["meta"] == {}
        assert TRUTH not in web.get(f"/claims/{claim.id}").text


# two texts side by side


def test_a_comparison_is_answered_without_a_script(web: TestClient, desk: dc.Desk) -> None:
    case = answered_chat(desk)
    address = review(web, case)
    page = web.get(address).text
    assert "Which of these would be acceptable?" in page
    assert "the other a person’s" in page
    assert "Approve" not in page
    twin = web.get(f"{address}.json").json()
    assert (twin["review"]["presented"], sorted(t["value"] for t in twin["view"]["texts"])) == (
        [], [FIRST, f"Hi {MARKER}."]
    )  # fmt: skip
    wrong = web.post(f"{address}/answer", data={**web_cases.seen(web, address), "verdict": "label", "value": '"c"'})
    assert (wrong.status_code, "say of both texts" in wrong.text) == (422, True)
    person = next(t["id"] for t in twin["view"]["texts"] if t["value"] == FIRST)
    sent = {**web_cases.seen(web, address), "verdict": "label", "value": f'"{person}"'}
    assert web.post(f"{address}/answer", data=sent).status_code == 200
    shown = web.get(f"/cases/{case.id}").text
    assert "the proposal: not acceptable; the answer: acceptable" in shown
    assert "The proposal was wrong." in shown
    assert desk.case(case.id).outcome.value == {"text": FIRST}


def test_the_api_compares(api: TestClient, desk: dc.Desk) -> None:
    case = answered_chat(desk)
    claim = api.post("/api/v1/claims", json={"person": "ana", "loop": "chat"})
    assert (claim.status_code, claim.json()["review"]["presented"]) == (201, [])
    texts = {t["value"]: t["id"] for t in claim.json()["view"]["texts"]}
    said = {texts[FIRST]: "not acceptable", texts[f"Hi {MARKER}."]: "acceptable"}
    done = api.post(f"/api/v1/claims/{claim.json()['id']}/answer", json={"verdict": "label", "value": said})
    assert done.status_code == 200, done.text
    assert [audit["wrong"] for audit in desk.case(case.id).audits] == [0]
