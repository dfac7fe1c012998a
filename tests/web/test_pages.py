"""Pages without JavaScript: every decision is a form, nothing a case says becomes markup."""

from __future__ import annotations

import html
import re
import time
from typing import Any

import pytest
import web_cases
from burst import at_level
from counted import calls
from starlette.testclient import TestClient

import dualcontrol as dc
from dualcontrol.demo.tidy import Agent, copy_samples
from dualcontrol.web.app import create_app
from dualcontrol.web.pages.claim import above, labels, shown

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'>{{7*7}}"


def token(web: TestClient) -> str:
    """What a form of this session carries."""
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', web.get("/keys").text)
    assert found is not None
    return found[1]


def take(web: TestClient, case: dc.Case) -> str:
    """The address of the review after pressing the button on the case's page."""
    page = web.post(f"/cases/{case.id}/claim", data={"csrf": token(web)})
    assert page.status_code == 200, page.text
    return page.url.path


def decide(web: TestClient, address: str, verdict: str, **fields: Any) -> Any:
    """The page after a decision form was sent."""
    return web.post(f"{address}/answer", data={**web_cases.seen(web, address), "verdict": verdict, **fields})


def evil_case(desk: dc.Desk, loop: str) -> dc.Case:
    """A case that says something dangerous in every field."""
    talk = [{"role": "user", "content": EVIL, "name": EVIL}, {"role": "tool", "content": None, EVIL: {EVIL: [EVIL]}}]
    document = {
        EVIL: EVIL, "rows": [{EVIL: EVIL}], "deep": {"a": {"b": [EVIL, {"c": EVIL}]}}, "long": EVIL * 60,
        "image": {"$image": f"data:image/svg+xml;base64,{EVIL}", "alt": EVIL},
        "markdown": f"# {EVIL}\n\n**b** [x](javascript:alert(3)) ![i](http://evil.example/i.png)",
    }  # fmt: skip
    given: dict[str, Any] = {
        "input": talk if loop == "helpdesk" else document, "rationale": EVIL, "history": talk, "meta": {EVIL: EVIL},
        "confidence": 0.1, "segment": EVIL, "owner": "someone",
    }  # fmt: skip
    other = {"action": EVIL, "args": {EVIL: EVIL}, "rationale": EVIL}
    by_loop: dict[str, dict[str, Any]] = {
        "refunds": {"action": EVIL, "args": {EVIL: EVIL, "n": 1}, "alternatives": [other]},
        "summaries": {"candidates": [{"value": EVIL, "rationale": EVIL}, EVIL + "2", EVIL + "3"]},
    }
    given |= by_loop.get(loop, {"proposal": EVIL})
    settings = {"mode": "labels", "context": "minimal"} if loop == "tags" else {}
    return desk.loop(loop, **settings).propose(**given)


@pytest.mark.parametrize("loop", ["refunds", "tags", "summaries", "helpdesk"])
def test_what_a_case_says_is_text(web: TestClient, desk: dc.Desk, loop: str) -> None:
    """On every page that shows it, a script is text that can be read, and no address is fetched."""
    case = evil_case(desk, loop)
    pages = [web.get("/inbox"), web.get(f"/cases/{case.id}"), web.get("/cases"), web.get(take(web, case))]
    for page in pages:
        assert page.status_code == 200
        body = page.text
        assert "<script>alert" not in body
        assert "<img src=x" not in body
        assert not re.search(
            r'href="\s*javascript|src="(?!/static/|data:image/)|<(?:iframe|object|style|form action)', body
        )
    assert "&lt;script&gt;alert(1)" in pages[-1].text


def test_a_wrong_answer_shows_the_page_again(web: TestClient, desk: dc.Desk) -> None:
    """With the error at the top and what was typed still in its field, its panel open, escaped."""
    address = take(web, web_cases.refund(desk))
    page = decide(web, address, "edit", how="form", rationale=EVIL, **{"f:amount": "a lot"})
    assert page.status_code == 422
    assert "Amount: not JSON" in page.text or "Amount is a number" in page.text
    assert 'value="a lot"' in page.text
    assert 'class="panel open" id="edit"' in page.text
    assert "<script>alert" not in page.text
    assert decide(web, address, "reject").status_code == 422
    assert decide(web, address, "nonsense").status_code == 422


def outcome(desk: dc.Desk, case: dc.Case) -> Any:
    """Verdict and value of a decided case."""
    decision = desk.case(case.id).decision
    assert decision is not None
    return decision.verdict, decision.value


EDITS: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"f:amount": "99.5"}, {"amount": 99.5}),
    ({"f:amount": "99"}, {"amount": 99}),
    ({"f:account": "90071992547409931"}, {"account": 90071992547409931}),
    ({"f:to": '"voucher"', "f:notify": "false"}, {"to": "voucher", "notify": False}),
    ({"f:memo": "one\r\ntwo"}, {"memo": "one\ntwo"}),
    ({"f:lines": '[{"quantity": 9007199254740993}]'}, {"lines": [{"quantity": 9007199254740993}]}),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "changed"), EDITS)
def test_an_edit_keeps_every_type(
    web: TestClient, desk: dc.Desk, typed: dict[str, str], changed: dict[str, Any]
) -> None:
    """What is typed changes one argument; the others stay what they were, to the last digit."""
    case = web_cases.refund(desk)
    page = decide(web, take(web, case), "edit", how="form", rationale="because", **typed)
    assert page.status_code == 200
    assert outcome(desk, case) == ("edit", {"action": "refund", "args": {**web_cases.ARGS, **changed}})


def test_an_optional_argument_is_taken_out(web: TestClient, desk: dc.Desk) -> None:
    """An emptied number that is not required is gone; an emptied text is the empty text."""
    case = web_cases.refund(desk)
    decide(web, take(web, case), "edit", how="form", rationale="x", **{"f:account": "", "f:memo": ""})
    args = {k: v for k, v in web_cases.ARGS.items() if k != "account"} | {"memo": ""}
    assert outcome(desk, case) == ("edit", {"action": "refund", "args": args})


def test_an_emptied_argument_with_a_default_is_asked_for(web: TestClient, desk: dc.Desk) -> None:
    """Nobody approves the default unseen; as JSON, where it can be left out, it is recorded with the decision."""

    def refund(order: str, amount: float = 1000.0, memo: str | None = None) -> None: ...

    gated = desk.loop("defaults", context="minimal", undo=0).gate(
        refund, timeout=0, context=lambda *given, **named: {"input": "x"}
    )
    with pytest.raises(dc.Pending) as waiting:
        gated("B", 10.0)
    case = desk.case(waiting.value.case_id)
    address = take(web, case)
    sent = {"how": "form", "rationale": "x", "f:order": "B", "f:amount": "", "f:memo": ""}
    page = decide(web, address, "edit", **sent)
    assert page.status_code == 422
    assert "left out it would be 1000.0" in page.text
    assert desk.case(case.id).decision is None
    decide(web, address, "edit", how="json", rationale="x", json='{"order": "B"}')
    assert outcome(desk, case)[1]["args"] == {"order": "B", "amount": 1000.0, "memo": None}


def test_an_edit_as_json_and_an_alternative(web: TestClient, desk: dc.Desk) -> None:
    """JSON text edits everything; an alternative is an edit to another action."""
    case = web_cases.refund(desk)
    page = decide(web, take(web, case), "edit", how="json", rationale="x", json='{"order": "A", "amount": NaN}')
    assert page.status_code == 422
    args = '{"order": "A", "amount": 1, "to": "bank"}'
    decide(web, page.url.path.removesuffix("/answer"), "edit", how="json", rationale="x", json=args)
    assert outcome(desk, case)[1]["args"] == {"order": "A", "amount": 1, "to": "bank"}
    other = web_cases.refund(desk)
    decide(web, take(web, other), "edit", how="alternative", candidate="c2", rationale="x")
    assert outcome(desk, other)[1] == {"action": "resend", "args": {"order": "A-1207", "express": True}}


def test_every_verdict_of_every_mode(web: TestClient, desk: dc.Desk) -> None:
    """All by plain forms."""
    case = web_cases.refund(desk)
    decide(web, take(web, case), "approve")
    assert outcome(desk, case) == ("approve", None)
    case = web_cases.refund(desk)
    decide(web, take(web, case), "respond", text="Ask\r\nthem.")
    assert outcome(desk, case) == ("respond", {"text": "Ask\nthem."})
    case = web_cases.digit(desk)
    decide(web, take(web, case), "label", value="8")
    assert outcome(desk, case) == ("label", 8)
    case = web_cases.spam(desk)
    decide(web, take(web, case), "approve")
    assert outcome(desk, case) == ("label", "phishing")
    case = web_cases.question(desk)
    decide(web, take(web, case), "edit", how="text", text="I cancelled it.")
    assert outcome(desk, case) == ("edit", "I cancelled it.")


PREFERENCES: list[tuple[dict[str, str], Any]] = [
    ({"prefer": "c2"}, {"ranking": [["c2"], ["c1", "c3"]], "rejected": []}),
    ({"prefer": "tie"}, {"ranking": [["c1", "c2", "c3"]], "rejected": []}),
    ({"prefer": "none"}, {"ranking": [], "rejected": ["c1", "c2", "c3"]}),
    (
        {"prefer": "ranked", "rank:c1": "2", "rank:c2": "1", "rank:c3": "bad"},
        {"ranking": [["c2"], ["c1"]], "rejected": ["c3"]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "value"), PREFERENCES)
def test_preferences(web: TestClient, desk: dc.Desk, typed: dict[str, str], value: Any) -> None:
    """One best, a tie, all bad, a full ranking."""
    case = desk.loop("summaries").propose(input="x", candidates=["one", "two", "three"])
    decide(web, take(web, case), "prefer", **typed)
    said = outcome(desk, case)[1]
    assert {"ranking": [sorted(tie) for tie in said["ranking"]], "rejected": sorted(said["rejected"])} == value


def test_panes_hide_where_candidates_come_from(web: TestClient, desk: dc.Desk) -> None:
    """A preference is blind to its sources, on the page and in its twin."""
    case = web_cases.summary(desk)
    address = take(web, case)
    for text in (web.get(address).text, web.get(f"{address}.json").text, web.get(f"/cases/{case.id}.json").text):
        assert '"large"' not in text
        assert "large" not in re.sub(r"(?s)<head>.*?</head>", "", text).replace("enlarge", "")


def test_on_to_the_next_review(web: TestClient, desk: dc.Desk) -> None:
    """After a decision the next review of the same filter opens; what was decided stands on top, with undo."""
    first, second = web_cases.refund(desk), web_cases.refund(desk)
    web_cases.spam(desk)
    page = decide(web, take(web, first), "approve", loop="refunds")
    held = web.get(f"{page.url.path}.json").json()
    assert held["case_id"] == second.id
    assert "<strong>Approved</strong>" in page.text
    last = decide(web, page.url.path, "reject", rationale="no", loop="refunds")
    assert last.url.path == "/inbox"
    assert "<strong>Rejected</strong>" in last.text


def test_undo_takes_a_decision_back(web: TestClient, desk: dc.Desk) -> None:
    """While it is not effective; the review is held again."""
    case = web_cases.refund(desk)
    page = decide(web, take(web, case), "reject", rationale="oops")
    assert f"/cases/{case.id}/undo" in page.text
    back = web.post(f"/cases/{case.id}/undo", data={"csrf": token(web)})
    assert back.url.path.startswith("/claims/")
    assert desk.case(case.id).decision is None


def test_a_claim_that_is_lost_leads_to_the_case_which_says_how(web: TestClient, desk: dc.Desk) -> None:
    """Given back, out of time, answered, or no longer needed; one that was never one's own leads nowhere."""

    def lost(address: str) -> str:
        page = web.get(address)
        assert page.url.path.startswith("/cases/")
        return re.findall(r"(?s)<strong>([^<]*)</strong>", page.text)[0]

    case = web_cases.refund(desk)
    address = take(web, case)
    desk.release(address.rpartition("/")[2])
    assert lost(address) == "You gave this review back."
    assert decide(web, address, "approve").url.path == f"/cases/{case.id}"

    claim = desk.claim("ana", case=case, lease=0.2)
    assert claim is not None
    time.sleep(0.3)
    address = f"/claims/{claim.id}"
    assert lost(address) == "Your time for this review ran out."
    desk.sweep()
    assert lost(address) == "Your time for this review ran out."
    assert desk.case(case.id).decision is None

    address = take(web, case)
    desk.withdraw(case.id)
    assert lost(address) == "This review is no longer needed."

    other = web_cases.refund(desk)
    claim = desk.claim("ben", case=other)
    assert claim is not None
    page = web.get(f"/claims/{claim.id}")
    assert (page.status_code, "A-1207" in page.text) == (404, False)
    of_the_case = web.get(f"/cases/{other.id}", params={"lost": claim.id})
    assert "<strong>This review is somebody else's.</strong>" in html.unescape(of_the_case.text)
    claim.release()
    assert web.get(f"/claims/{claim.id}").status_code == 404
    address = take(web, other)
    decide(web, address, "reject", rationale="no")
    assert lost(address) == "You answered this review already."


def test_a_refusal_of_a_claim_says_how_it_was_lost(desk: dc.Desk) -> None:
    case = web_cases.refund(desk)
    claim = desk.claim("ana", case=case)
    assert claim is not None
    claim.release()
    with pytest.raises(dc.errors.ClaimError, match="was given back"):
        desk.answer(claim.id, "approve")
    claim = desk.claim("ana", case=case, lease=0.2)
    assert claim is not None
    time.sleep(0.3)
    with pytest.raises(dc.errors.ClaimError, match=r"the time of claim .* ran out"):
        desk.answer(claim.id, "approve")


def test_abstain_escalate_release(web: TestClient, desk: dc.Desk) -> None:
    """None settles anything."""
    case = web_cases.refund(desk)
    address = take(web, case)
    web.post(f"{address}/extend", data={"csrf": token(web)})
    gone = web.post(f"{address}/release", data={"csrf": token(web)})
    assert "Given back" in gone.text
    passed = decide(web, take(web, case), "escalate", rationale="too big")
    assert "Passed on" in passed.text
    assert desk.case(case.id).decision is None


def test_an_approval_is_taken_back_before_it_runs(web: TestClient, desk: dc.Desk) -> None:
    """The case page offers it while the effect is ready, and no longer than that."""
    web_cases.define(desk, undo=0)
    case = web_cases.refund(desk)
    decide(web, take(web, case), "approve")
    assert "Take it back before it runs" in web.get(f"/cases/{case.id}").text
    page = web.post(f"/cases/{case.id}/revoke", data={"csrf": token(web), "rationale": "wrong\u202e customer"})
    text = page.text.replace("<bdi>", "").replace("</bdi>", "")
    assert re.search("Approved[^<]*, on a page, signed in by password", text)
    assert "ana took the approval back, on a page, signed in by password" in text
    assert "Take it back before it runs" not in page.text
    after = desk.case(case.id)
    assert (after.outcome.verdict, after.outcome.rationale) == ("reject", "wrong\u202e customer")
    with pytest.raises(dc.errors.DualcontrolError):
        desk.loop("refunds").start_effect(case.id)
    late = web.post(f"/cases/{case.id}/revoke", data={"csrf": token(web)})
    assert late.status_code == 409


def test_what_failed_before_anything_ran_may_run_again(web: TestClient, desk: dc.Desk) -> None:
    web_cases.define(desk, undo=0)
    case = web_cases.refund(desk)
    decide(web, take(web, case), "approve")
    loop = desk.loop("refunds")
    loop.finish_effect(case.id, loop.start_effect(case.id), succeeded=False, error="no such argument", ran=False)
    assert "Let it run again" in web.get(f"/cases/{case.id}").text
    web.post(f"/cases/{case.id}/effect", data={"csrf": token(web), "happened": "no"})
    assert desk.case(case.id).effect.state == "ready"


def test_an_effect_nobody_knows_about(web: TestClient, desk: dc.Desk) -> None:
    """The case page asks whether it happened; the answer is recorded with the name."""
    web_cases.define(desk, undo=0)
    case = web_cases.refund(desk)
    decide(web, take(web, case), "approve")
    loop = desk.loop("refunds", effect_lease=0.001)
    loop.start_effect(case.id)
    while desk.case(case.id).effect.state != "unknown":
        desk.sweep()
    assert "It happened" in web.get(f"/cases/{case.id}").text
    page = web.post(f"/cases/{case.id}/effect", data={"csrf": token(web), "happened": "yes"})
    assert "ana looked: it happened" in page.text


def test_the_front_page_says_what_waits(web: TestClient, desk: dc.Desk) -> None:
    """Loops with what governs them, and answers not yet used."""
    desk.loop("spam", mode="labels", labels=["spam", "ham", "phishing"], threshold=0.97, context="minimal", undo=0)
    case = web_cases.spam(desk)
    decide(web, take(web, case), "approve")
    page = web.get("/").text
    for words in ("Autopilot from", "Human above", "medium risk", "1 answer", "Answers not yet used", "to humans"):
        assert words in page, words


def test_an_empty_console_says_what_to_do(tmp_path: Any) -> None:
    """No loop yet: how to make one, and how to look around first."""
    with dc.open(f"sqlite:///{tmp_path}/empty.db", durability="process") as desk:
        app = create_app(desk, token="a-token-of-the-tests")
        with TestClient(
            app, base_url="http://localhost", headers={"Authorization": "Bearer a-token-of-the-tests"}
        ) as client:
            assert "No loop is defined yet" in client.get("/").text
            assert "Nothing waits for you" in client.get("/inbox").text


TWINS = ["/", "/inbox", "/cases", "/keys"]


@pytest.mark.parametrize("path", TWINS)
def test_every_page_has_its_twin(web: TestClient, path: str) -> None:
    """The same by suffix and by Accept."""
    by_suffix = web.get(f"{path}.json" if path != "/" else "/.json")
    by_accept = web.get(path, headers={"Accept": "application/json"})
    assert by_suffix.json() == by_accept.json()
    assert by_suffix.headers["content-type"] == "application/json"


def test_the_twin_of_a_case_and_of_a_review(web: TestClient, desk: dc.Desk) -> None:
    """Integers of any size come out as they went in."""
    case = web_cases.refund(desk, args={**web_cases.ARGS, "account": 2**65 + 1})
    assert web.get(f"/cases/{case.id}.json").json()["candidates"][0]["value"]["account"] == 2**65 + 1
    twin = web.get(f"{take(web, case)}.json").json()
    assert twin["view"]["proposal"]["value"]["account"] == 2**65 + 1


def test_single_keys_are_switched_off(web: TestClient) -> None:
    """WCAG 2.1.4: for the session, and back again."""
    page = web.post("/you", data={"csrf": token(web), "shortcuts": "off", "to": "/keys"})
    assert 'data-shortcuts="off"' in page.text
    page = web.post("/you", data={"csrf": token(web), "shortcuts": "on", "to": "/keys"})
    assert 'data-shortcuts="on"' in page.text


def test_images_come_from_the_case_only(web: TestClient, desk: dc.Desk) -> None:
    """A picture's own bytes are shown; an address is never fetched."""
    page = web.get(take(web, web_cases.digit(desk))).text
    assert '<img class="v-image tiny" src="data:image/png;base64,' in page
    far = desk.loop("spam").propose(input={"$image": "https://evil.example/x.png", "alt": "far"}, proposal="spam")
    shown = web.get(f"/cases/{far.id}").text
    assert ">https://evil.example/x.png</div>" in shown
    assert not re.search(r'(?:src|href)="[^"]*evil', shown)


def test_an_escalation_is_told_to_who_takes_its_place(web: TestClient, desk: dc.Desk) -> None:
    """On the review page and in the history, and the first commitment of who passed nowhere."""
    case = web_cases.refund(desk)
    claim = desk.claim("ben", case=case)
    claim.escalate(rationale="Beyond my limit.", first={"verdict": "reject"})
    assert "Beyond my limit." in web.get(take(web, case)).text
    page = web.get(f"/cases/{case.id}")
    assert "Escalated to leads" in page.text
    assert "Beyond my limit." in page.text
    events = [e for entry in web.get(f"/cases/{case.id}.json").json()["entries"] for e in entry["events"]]
    (passed,) = [e for e in events if e["kind"] == "Passed"]
    assert passed["content"] == {
        f"answer/{claim.review.id}": {"value": {"to": "leads"}, "rationale": "Beyond my limit."}
    }


def test_an_alarm_stands_on_the_page_and_in_the_reply() -> None:
    """Nobody can take the only row: the page says so, with the sentence of the event."""
    with dc.open("sqlite:///:memory:", durability="process", groups={"solo": ["eve"]}) as desk:
        loop = desk.loop("pay", group="solo", context="minimal")
        case = loop.propose(action="pay", args={}, input="x", owner="eve")
        app = create_app(desk, token="a-token-of-the-tests", people=("ana",))
        with TestClient(app, base_url="http://127.0.0.1:8765") as client:
            client.get("/", params={"token": app.state.access.entry})
            page = client.get(f"/cases/{case.id}", headers={"Accept": "text/html"}).text
            twin = client.get(f"/cases/{case.id}.json").json()
            inbox = client.get("/api/v1/inbox", headers={"Authorization": "Bearer a-token-of-the-tests"}).json()
    assert "Too few people may review this." in page
    assert "has 0 eligible of the 1" in page
    assert [a["code"] for a in twin["alarms"]] == ["too_few_people"]
    assert [row["alarms"] for row in inbox["rows"]] == [["too_few_people"]]


def test_cases_are_told_apart_in_the_list(web: TestClient, desk: dc.Desk) -> None:
    """By the inbox's title and, of an action, what it acts on."""
    web_cases.refund(desk)
    web_cases.digit(desk)
    page = web.get("/cases").text
    for words in (">refund</a>", "order A-1207", ">a handwritten digit</a>"):
        assert words in page, words


def test_the_scores_of_a_label_are_a_list_with_its_tail_folded(web: TestClient, desk: dc.Desk) -> None:
    """One line each, likeliest first; what is below a hundredth is there, closed."""
    case = web_cases.digit(desk, scores={3: 0.9, 8: 0.095, 5: 0.004, 9: 0.001})
    page = web.get(f"/cases/{case.id}").text
    listed, _, tail = page.partition("2 more below 1 %")
    assert listed.index("score 0.90") < listed.index("score 0.10")
    assert "score 0.00" not in listed
    assert tail.count("score 0.00") == 2


def badge(page: str) -> int:
    """The number beside Inbox in the top bar."""
    found = re.search(r'data-live="open" aria-hidden="true">(\d+)<', page)
    assert found is not None
    return int(found[1])


def grouped(path: Any) -> dc.Desk:
    """A loop that is fully audited, and one that is for a group to which ana does not belong."""
    desk = dc.open(f"sqlite:///{path}/g.db", durability="process", groups={"law": ["eve"]})
    desk.loop("mail", mode="labels", labels=["a", "b"], threshold=0.5, audit=1.0, context="minimal")
    desk.loop("deeds", group="law", context="minimal")
    return desk


def test_the_badge_is_the_inbox(tmp_path: Any) -> None:
    """Audits count, what one holds counts, what only others may take does not; the front page says the same."""
    with grouped(tmp_path) as desk:
        desk.loop("mail").propose(input="one", proposal="a", confidence=0.9)
        desk.loop("mail").propose(input="two", proposal="a", confidence=0.1)
        desk.loop("deeds").propose(action="sign", args={}, input="x")
        app = create_app(desk, token="a-token-of-the-tests", people=("ana",))
        with TestClient(app, base_url="http://127.0.0.1:8765", headers={"Accept": "text/html"}) as client:
            client.get("/", params={"token": app.state.access.entry})
            desk.claim("ana", "mail")
            inbox, front = client.get("/inbox").text, client.get("/").text
            twin = client.get("/.json").json()
            live = client.get("/live", headers={"Accept": "application/json"}).json()
    assert inbox.count("data-item class=") == badge(inbox) == badge(front) == live["open"] == 2
    assert "1 with others" in front
    assert "(1 audit)" in front
    assert twin["waiting"]["mail"] == {"open": 2, "audits": 1, "overdue": 0, "more": False}
    assert twin["waiting"]["deeds"]["open"] == 0


def test_a_filter_of_the_inbox_lasts(web: TestClient, desk: dc.Desk) -> None:
    """From a line of the filtered inbox over the case to the next review, also while another loop's one is held."""
    web_cases.spam(desk)
    first = [web_cases.digit(desk), web_cases.digit(desk)]
    desk.claim("ana", "spam")
    page = web.get("/inbox", params={"loop": "digits"}).text
    assert "spam</span>" not in page
    assert f'href="/cases/{first[0].id}?loop=digits"' in page
    page = web.get(f"/cases/{first[0].id}?loop=digits").text
    assert '<input type="hidden" name="loop" value="digits">' in page
    taken = web.post(f"/cases/{first[0].id}/claim", data={"csrf": token(web), "loop": "digits"})
    assert taken.url.query == b"loop=digits"
    following = decide(web, taken.url.path, "label", value="3", loop="digits")
    assert web.get(f"{following.url.path}.json").json()["case_id"] == first[1].id
    back = web.post(f"{following.url.path}/release", data={"csrf": token(web), "loop": "digits"})
    assert "loop=digits" in str(back.url)


def test_escalation_is_offered_where_somebody_is_above(web: TestClient, desk: dc.Desk) -> None:
    """With its groups; elsewhere there is neither key nor form, and a request by hand is told why."""
    page = web.get(take(web, web_cases.refund(desk))).text
    assert 'data-panel="escalate"' in page
    assert '<option value="leads">leads (arbiter)</option>' in page
    address = take(web, web_cases.digit(desk))
    page = web.get(address).text
    assert 'data-panel="escalate"' not in page
    assert 'id="escalate"' not in page
    refused = decide(web, address, "escalate", rationale="x")
    assert refused.status_code == 422
    assert "nobody is above group" in refused.text


def test_who_is_at_the_top_is_offered_nobody(tmp_path: Any) -> None:
    """Neither their own group nor one in which nobody is left to take the review."""
    groups = {"desk": ["ana", "ben"], "leads": ["ana"]}
    with dc.open(f"sqlite:///{tmp_path}/g.db", durability="process", groups=groups) as desk:
        loop = desk.loop("pay", group="desk", quorum={"arbiter": "leads"}, context="minimal")
        offered = {}
        for person in groups["desk"]:
            case = loop.propose(action="pay", args={}, input=person)
            offered[person] = above(desk.claim(person, case=case), loop.control)
    assert offered == {"ana": [], "ben": [{"name": "leads", "text": "leads (arbiter)"}]}


def test_a_path_that_leads_outside_is_refused_with_the_words_of_its_schema(
    web: TestClient, desk: dc.Desk, tmp_path: Any
) -> None:
    """The page of a demo case says at once what fits, marks the field, and keeps what was typed; nothing is decided."""
    Agent(desk, copy_samples(tmp_path / "files")).tidy()
    rows = desk.store.queries.cases(loop="tidy", limit=200).rows
    case = desk.case(next(row.id for row in rows if row.action == "rename" and row.route == "human"))
    address = take(web, case)
    page = web.get(address).text
    assert "left</span>" in page
    assert "then it is rejected" in page
    assert 'class="score"' in page
    page = decide(web, address, "edit", how="form", **{"f:to": "../outside.txt"})
    assert page.status_code == 422
    assert "<strong>To does not fit.</strong>" in page.text
    assert 'aria-invalid="true" value="../outside.txt"' in page.text
    assert desk.case(case.id).decision is None
    decide(web, address, "edit", how="form", **{"f:to": "notes/inside.txt"})
    assert outcome(desk, case)[1]["args"]["to"] == "notes/inside.txt"


def test_what_happens_when_the_time_is_over(web: TestClient, desk: dc.Desk) -> None:
    """As declared for the loop; an audit ends nothing, since its case is settled."""
    desk.loop("quick", on_timeout="reject", respond_within="1h", threshold=0.5, audit=1.0, context="minimal")
    kinds = {"decide": 0.1, "audit": 0.9}
    for kind, said in (("decide", "then it is rejected"), ("audit", "then it keeps waiting")):
        case = desk.loop("quick").propose(action="pay", args={}, input=kind, confidence=kinds[kind])
        listed = web.get("/inbox", params={"loop": "quick"}).text
        assert said in listed[listed.index(case.id) :]
        page = web.get(take(web, case)).text
        assert said in page
        assert f"<dd>{said.removeprefix('then ')}</dd>" in page


def test_a_long_queue_is_counted_so_far(web: TestClient, desk: dc.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a count of thousands: the badge says that there are more."""
    monkeypatch.setattr("dualcontrol.web.pages.waiting.MOST", 2)
    for _ in range(3):
        web_cases.digit(desk)
    assert 'aria-hidden="true">2+</span>' in web.get("/").text
    assert web.get("/live", headers={"Accept": "application/json"}).json() == {"open": 2, "overdue": 0, "more": 1}


def test_a_page_of_many_labels_grows_with_them_and_no_faster(web: TestClient, desk: dc.Desk) -> None:
    """Every label is offered with the proposed one chosen, and its score is its own."""

    def work(count: int) -> int:
        names = [f"label {n}" for n in range(count)]
        loop = desk.loop(f"many {count}", mode="labels", labels=names, context="minimal")
        case = loop.propose(input="x", scores={name: (n + 1) / count / 2 for n, name in enumerate(names)})
        claim = desk.claim("ana", case=case)
        assert claim is not None
        page = web.get(f"/claims/{claim.id}").text
        assert page.count("<option ") == count
        assert f"selected>label {count - 1} (proposed)" in page
        choices = labels(case, loop.control)
        assert [choice["score"] for choice in choices[:2]] == [1 / count / 2, 2 / count / 2]
        return calls(lambda: shown(claim, loop.control, 0))

    assert work(400) < 2.3 * work(200)


def test_who_reviews_is_told_how_many_cases_ask_the_same(web: TestClient, desk: dc.Desk) -> None:
    given: dict[str, Any] = {"respond_within": "15m", "on_timeout": "reject", "capacity": {"reviewers": 1}}
    loop = desk.loop("pay", context="minimal", undo=0, **given)
    at_level(desk, loop, 1)
    given = {"action": "pay", "args": {"n": 1}, "input": "x", "confidence": 0.5}
    leader, follower, _ = (loop.propose(**given) for _ in range(3))
    page = web.get(take(web, leader))
    assert "2 more cases ask the same; your answer counts for all of them." in page.text
    waiting = web.get(f"/cases/{follower.id}")
    assert f'href="/cases/{leader.id}"' in waiting.text
    assert "the same question as case" in waiting.text
    decide(web, page.url.path, "approve")
    done = web.get(f"/cases/{follower.id}")
    assert "ana" in done.text
    assert "Outcome by a human: approved" in done.text
    assert "Another case asks the same" in web.get(f"/cases/{leader.id}").text
