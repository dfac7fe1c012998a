"""An answer on a page is a deliberate act: time to see the case, a second act where the risk is high, and a way back.

Here without JavaScript and without a browser: what the server holds to by itself.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import web_cases
from fastapi import FastAPI
from starlette.testclient import TestClient
from team import People, team

import dualcontrol as dc
from dualcontrol.errors import SettingsError
from dualcontrol.web.app import create_app
from dualcontrol.web.server import background

MILLI, NOW = 1_000, 1_800_000_000_000_000


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(tmp_path: Path, clock: Clock) -> Iterator[dc.Desk]:
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process", clock=clock) as desk:
        web_cases.define(desk)
        yield desk


@pytest.fixture
def web(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1:8765", headers={"Accept": "text/html"}) as client:
        client.get("/", params={"token": app.state.access.entry})
        yield client


def hidden(page: str, form: str) -> dict[str, str]:
    """The fields that a form of a page would send, by what its action ends with or its hidden verdict."""
    for found in re.findall(r"(?s)<form[^>]*>.*?</form>", page):
        fields = {
            unescape(name): unescape(value)
            for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', found)
        }
        action = re.search(r'action="([^"]*)"', found)
        if fields.get("verdict") == form or (action and action[1].endswith(f"/{form}")):
            return fields
    raise AssertionError(f"no form {form}")


def opened(web: TestClient, desk: dc.Desk, case: dc.Case) -> tuple[str, str]:
    """The address and the page of a review that ana takes."""
    claim = desk.claim("ana", case=case)
    assert claim is not None
    return f"/claims/{claim.id}", web.get(f"/claims/{claim.id}").text


def verdicts(desk: dc.Desk, *cases: dc.Case) -> list[str | None]:
    """What was decided of each case."""
    return [(d := desk.case(case.id).decision) and d.verdict for case in cases]


# the dead time


@pytest.mark.parametrize(("after", "taken"), [(0, False), (180, False), (399, False), (400, True), (60_000, True)])
def test_a_verdict_counts_from_the_dead_time_on(
    web: TestClient, desk: dc.Desk, clock: Clock, after: int, taken: bool
) -> None:
    """Before, the page is shown again with a word on it, and nothing is written."""
    case = web_cases.refund(desk)
    address, page = opened(web, desk, case)
    before = len(desk.events(case.id))
    clock.now += after * MILLI
    reply = web.post(f"{address}/answer", data=hidden(page, "approve"))
    assert verdicts(desk, case) == ["approve" if taken else None]
    if not taken:
        assert (reply.status_code, len(desk.events(case.id))) == (422, before)
        assert f"that came {after} ms after the page was shown; 400 ms have to pass" in reply.text
        assert "Nothing was taken" in reply.text


def test_a_second_tap_does_not_answer_the_next_case(web: TestClient, desk: dc.Desk, clock: Clock) -> None:
    """Two taps 250 ms apart: the first decides, the second meets the next case and is not taken, a third is."""
    first, second = web_cases.refund(desk), web_cases.refund(desk)
    address, page = opened(web, desk, first)
    clock.now += 5_000 * MILLI
    following = web.post(f"{address}/answer", data=hidden(page, "approve"))
    clock.now += 250 * MILLI
    again = web.post(f"{following.url.path}/answer", data=hidden(following.text, "approve"))
    assert verdicts(desk, first, second) == ["approve", None]
    clock.now += 200 * MILLI
    still = web.post(f"{following.url.path}/answer", data=hidden(again.text, "approve"))
    assert verdicts(desk, first, second) == ["approve", None]  # a page that is shown again is a new page
    clock.now += 400 * MILLI
    web.post(f"{following.url.path}/answer", data=hidden(still.text, "approve"))
    assert verdicts(desk, first, second) == ["approve", "approve"]


def test_a_form_that_is_sent_twice_answers_once_and_goes_on(web: TestClient, desk: dc.Desk, clock: Clock) -> None:
    """The second goes where the first went: to the next case, which it does not answer."""
    first, second = web_cases.refund(desk), web_cases.refund(desk)
    address, page = opened(web, desk, first)
    clock.now += 5_000 * MILLI
    sent = hidden(page, "approve")
    pages = [web.post(f"{address}/answer", data=sent) for _ in range(3)]
    assert verdicts(desk, first, second) == ["approve", None]
    (following,) = {reply.url.path for reply in pages}
    assert web.get(f"{following}.json").json()["case_id"] == second.id
    assert web.post(f"{address}/answer", data={**sent, "verdict": "reject"}).url.path == following
    assert verdicts(desk, first) == ["approve"]


def test_a_form_that_is_sent_twice_at_once(web: TestClient, desk: dc.Desk, clock: Clock) -> None:
    first, second = web_cases.refund(desk), web_cases.refund(desk)
    address, page = opened(web, desk, first)
    clock.now += 5_000 * MILLI
    sent, codes = hidden(page, "approve"), []
    together = threading.Barrier(4)

    def post() -> None:
        together.wait(60)
        codes.append(web.post(f"{address}/answer", data=sent).status_code)

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (codes, verdicts(desk, first, second)) == ([200] * 4, ["approve", None])


FORGED = ["", "0", "1.x", "9" * 30, "{now}.0000000000000000000000000000000000000000", "\u0661.x", "-1.x"]


@pytest.mark.parametrize("stamp", [*FORGED, None, "of another claim", "of another session"])
def test_a_verdict_of_no_page_that_was_shown_is_not_taken(
    app: FastAPI, web: TestClient, desk: dc.Desk, clock: Clock, stamp: str | None
) -> None:
    """The stamp is of this server, this session and this claim, or there was no page."""
    case, other = web_cases.refund(desk), web_cases.refund(desk)
    address, page = opened(web, desk, case)
    fields = hidden(page, "approve")
    if stamp == "of another claim":
        _, elsewhere = opened(web, desk, other)
        fields["served"] = hidden(elsewhere, "approve")["served"]
    elif stamp == "of another session":
        access = app.state.access
        another = access.entered().secret
        fields["served"] = access.stamp(access.session(another), f"served/{address.split('/')[2]}", NOW)
    elif stamp is None:
        del fields["served"]
    else:
        fields["served"] = stamp.format(now=NOW)
    clock.now += 5_000 * MILLI
    reply = web.post(f"{address}/answer", data=fields)
    assert (reply.status_code, verdicts(desk, case)) == (422, [None])
    assert "does not say which page" in reply.text


def test_what_was_typed_is_kept_when_it_came_too_soon(web: TestClient, desk: dc.Desk) -> None:
    case = web_cases.question(desk)
    address, page = opened(web, desk, case)
    reply = web.post(f"{address}/answer", data={**hidden(page, "respond"), "text": "Half a sentence & more"})
    assert (reply.status_code, "Half a sentence &amp; more</textarea>" in reply.text) == (422, True)


def test_a_commitment_has_its_dead_time_too(web: TestClient, desk: dc.Desk, clock: Clock) -> None:
    """It cannot be changed later."""
    loop = desk.loop("pay", context="minimal", guarantee={"max_error": 0.05}, autopilot_actions=["pay"], audit=1.0)
    address, page = opened(web, desk, loop.propose(action="pay", args={"n": 1}, input="x"))
    sent = {**hidden(page, "commit"), "should": "not"}
    clock.now += 399 * MILLI
    assert web.post(f"{address}/commit", data=sent).status_code == 422
    assert web.get(f"{address}.json").json()["view"]["committed"] is None
    clock.now += 1 * MILLI
    shown = web.post(f"{address}/commit", data=sent)
    assert "You said first: it should not happen." in shown.text
    assert web.post(f"{address}/answer", data=hidden(shown.text, "reject")).status_code == 422


def test_a_stamp_outlives_a_restart(web: TestClient, desk: dc.Desk, clock: Clock) -> None:
    """Who reads while the server is started anew loses nothing."""
    case = web_cases.refund(desk)
    address, page = opened(web, desk, case)
    clock.now += 5_000 * MILLI
    again = create_app(desk, token="a-token-of-the-tests", people=("ana",))
    with TestClient(again, base_url="http://127.0.0.1:8765", cookies=web.cookies) as later:
        later.post(f"{address}/answer", data=hidden(page, "approve"))
    assert verdicts(desk, case) == ["approve"]


def test_a_label_loop_may_be_quicker(web: TestClient, desk: dc.Desk, clock: Clock) -> None:
    """Down to 150 ms; the page says so to its script and its stylesheet."""
    loop = desk.loop("quick", mode="labels", labels=["a", "b"], context="minimal", dead_time="150ms")
    for after, taken in ((149, False), (150, True)):
        case = loop.propose(input="x", proposal="a", confidence=0.1)
        address, page = opened(web, desk, case)
        assert 'data-dead-for="150"' in page
        assert 'class="reviewing dead-150"' in page
        clock.now += after * MILLI
        web.post(f"{address}/answer", data={**hidden(page, "label"), "value": '"b"'})
        assert verdicts(desk, case) == ["label" if taken else None]


@pytest.mark.parametrize(("mode", "least"), [("labels", "150ms"), ("approval", "400ms"), ("fallback", 0.4)])
def test_a_dead_time_has_a_least_and_a_longest(desk: dc.Desk, mode: str, least: Any) -> None:
    for wrong in (0.1 if mode == "labels" else "399ms", "11s", "1h"):
        with pytest.raises(SettingsError, match="a second tap must not answer the next page"):
            desk.loop("any", mode=mode, dead_time=wrong)
    for wrong in (0, "soon", True):
        with pytest.raises(SettingsError):
            desk.loop("any", mode=mode, dead_time=wrong)
    for right in (least, "10s"):
        assert desk.loop("any", mode=mode, dead_time=right).settings.dead_time == right
    assert desk.loop("other", mode=mode).settings.dead == 400 * MILLI


# the second act


def again(web: TestClient, clock: Clock, address: str, fields: dict[str, str]) -> Any:
    """A form, sent when its page has been looked at for a while."""
    clock.now += 1_000 * MILLI
    return web.post(f"{address}/answer", data=fields)


RISKS: list[tuple[Any, bool]] = [
    ("low", False), ("medium", False), ("high", True), ("critical", True), (0.2, False), (0.74, False), (0.75, True),
    (1.0, True), ("grave", True), (None, False),
]  # fmt: skip


@pytest.mark.parametrize(("risk", "asked"), RISKS)
def test_a_high_risk_takes_a_second_act(
    web: TestClient, desk: dc.Desk, clock: Clock, risk: Any, asked: bool
) -> None:  # fmt: skip
    """By level, by number, and for a level that nobody knows."""
    case = web_cases.refund(desk, risk=risk)
    address, page = opened(web, desk, case)
    reply = again(web, clock, address, hidden(page, "approve"))
    assert verdicts(desk, case) == [None if asked else "approve"]
    if asked:
        for words in ("Really approve?", "Nothing has been taken yet", "refund", "A-1207", "420", "Yes, approve"):
            assert words in reply.text, words
        again(web, clock, address, hidden(reply.text, "approve"))
        assert verdicts(desk, case) == ["approve"]


def test_a_double_click_is_no_second_act(web: TestClient, desk: dc.Desk, clock: Clock) -> None:
    """Neither on the first button, nor on the page that asks again before it could be read."""
    case = web_cases.refund(desk, risk="critical")
    address, page = opened(web, desk, case)
    for _ in range(3):
        reply = again(web, clock, address, hidden(page, "approve"))
        assert "Really approve?" in reply.text
    second = hidden(reply.text, "approve")
    clock.now += 250 * MILLI
    shown = web.post(f"{address}/answer", data=second)
    assert (shown.status_code, verdicts(desk, case)) == (422, [None])
    again(web, clock, address, second)
    assert verdicts(desk, case) == ["approve"]


def test_the_second_act_is_of_the_very_same_answer(web: TestClient, desk: dc.Desk, clock: Clock) -> None:
    """Another verdict, another value, another reason or another claim is asked again."""
    case, other = web_cases.refund(desk, risk="high"), web_cases.refund(desk, risk="high")
    address, page = opened(web, desk, case)
    edit = {**hidden(page, "edit"), "how": "form", "f:amount": "1", "rationale": "less"}
    second = hidden(again(web, clock, address, edit).text, "edit")
    assert {"f:amount", "rationale", "how"} <= set(second)
    for change in ({"f:amount": "9000"}, {"rationale": "more"}, {"verdict": "approve"}, {"verdict": "abstain"}):
        assert "Nothing has been taken yet" in again(web, clock, address, {**second, **change}).text
        assert verdicts(desk, case) == [None]
    elsewhere, page = opened(web, desk, other)
    stolen = {**hidden(page, "edit"), **{k: v for k, v in second.items() if k not in ("served", "shown")}}
    assert "Really send the edit?" in again(web, clock, elsewhere, stolen).text
    again(web, clock, address, second)
    assert verdicts(desk, case, other) == ["edit", None]
    assert desk.case(case.id).decision.value["args"]["amount"] == 1  # type: ignore[union-attr]


def test_an_edit_is_said_back_in_full(web: TestClient, desk: dc.Desk, clock: Clock) -> None:
    """What will run, what was changed and why; text with lines and marks is sent on as it was."""
    case = web_cases.refund(desk, risk="high")
    address, page = opened(web, desk, case)
    memo = 'two\nlines & "marks" <b>'
    edit = {**hidden(page, "edit"), "how": "form", "f:amount": "17.5", "f:memo": memo, "rationale": "too\nmuch"}
    shown = again(web, clock, address, edit).text
    for words in ("This runs, as it stands here", "17.5", "What you changed", "too\nmuch", "&lt;b&gt;", "for 30 s"):
        assert words in shown, words
    again(web, clock, address, hidden(shown, "edit"))
    decision = desk.case(case.id).decision
    assert decision is not None
    assert decision.value["args"] == {**web_cases.ARGS, "amount": 17.5, "memo": memo}


def test_an_edit_to_what_a_rule_calls_high_takes_it_too(web: TestClient, desk: dc.Desk, clock: Clock) -> None:
    """The risk of what would run counts, not only that of what was proposed."""
    rule = {"name": "large", "when": "args.n > 500.0", "route": "human", "risk": "high"}
    case = desk.loop("pay", context="minimal", rules=[rule]).propose(action="pay", args={"n": 5.0}, input="x")
    address, page = opened(web, desk, case)
    reply = again(web, clock, address, {**hidden(page, "edit"), "how": "json", "json": '{"n": 90000.0}'})
    assert ("Really send the edit?" in reply.text, verdicts(desk, case)) == (True, [None])
    again(web, clock, address, {**hidden(page, "edit"), "how": "json", "json": '{"n": 6.0}'})
    assert verdicts(desk, case) == ["edit"]


MODES: list[tuple[str, dict[str, Any], str, dict[str, str], str]] = [
    ("labels", {"proposal": "a"}, "label", {"value": '"b"'}, "Really give this label?"),
    ("labels", {"proposal": "a"}, "approve", {}, "Really approve?"),
    ("preference", {"candidates": ["one", "two"]}, "prefer", {"prefer": "tie"}, "1 and 2 equally good"),
    ("preference", {"candidates": ["one", "two"]}, "prefer", {"prefer": "none"}, "1 and 2 bad"),
    ("preference", {"candidates": ["one", "two"]}, "prefer", {"prefer": "c1"}, ", then "),
    ("fallback", {"proposal": "hm"}, "respond", {"text": "No."}, "Really send this answer?"),
    ("fallback", {"proposal": "hm"}, "edit", {"how": "text", "text": "Hm."}, "Really send the edit?"),
    ("approval", {"action": "pay", "args": {}}, "respond", {"text": "No."}, "the action does not run"),
    ("approval", {"action": "pay", "args": {}}, "abstain", {}, "somebody else is asked"),
    ("approval", {"action": "pay", "args": {}, "alternatives": [{"action": "wait", "args": {"n": 1}}]}, "edit",
     {"how": "alternative", "candidate": "c2"}, "wait"),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "given", "verdict", "fields", "words"), MODES)
def test_every_verdict_that_is_one_act_takes_two_where_the_risk_is_high(
    web: TestClient, desk: dc.Desk, clock: Clock, mode: str, given: Any, verdict: str, fields: Any, words: str
) -> None:
    settings = {"labels": ["a", "b"]} if mode == "labels" else {}
    case = desk.loop("any", mode=mode, context="minimal", **settings).propose(input="x", risk="high", **given)
    address, page = opened(web, desk, case)
    shown = again(web, clock, address, {**hidden(page, verdict), **fields})
    assert (shown.status_code, words in shown.text, verdicts(desk, case)) == (200, True, [None])
    again(web, clock, address, hidden(shown.text, verdict))
    assert desk.case(case.id).reviews[0].state in ("answered", "passed")


def test_a_mistake_is_told_before_anything_is_asked_again(web: TestClient, desk: dc.Desk, clock: Clock) -> None:
    case = web_cases.refund(desk, risk="high")
    address, page = opened(web, desk, case)
    reply = again(web, clock, address, {**hidden(page, "edit"), "how": "form", "f:amount": "a lot", "rationale": "x"})
    assert (reply.status_code, "Really" in reply.text, 'value="a lot"' in reply.text) == (422, False, True)


def test_a_rejection_is_two_acts_already(web: TestClient, desk: dc.Desk, clock: Clock) -> None:
    """It is opened and then sent, and lets nothing happen."""
    case = web_cases.refund(desk, risk="critical")
    address, page = opened(web, desk, case)
    again(web, clock, address, {**hidden(page, "reject"), "rationale": "no"})
    assert verdicts(desk, case) == ["reject"]


def test_a_blind_review_does_not_tell_its_risk_by_asking_again(web: TestClient, desk: dc.Desk, clock: Clock) -> None:
    loop = desk.loop("mail", mode="labels", labels=["a", "b"], context="minimal", guarantee={"max_error": 0.05})
    case = loop.propose(input="x", proposal="a", risk="critical", confidence=0.5)
    first = desk.claim("ben", case=case)
    assert first is not None
    first.label("b")
    address, page = opened(web, desk, case)
    again(web, clock, address, {**hidden(page, "label"), "value": '"b"'})
    assert [review.state for review in desk.case(case.id).reviews] == ["answered", "answered"]


# the way back


def test_an_answer_on_a_page_can_be_taken_back_for_ten_seconds(web: TestClient, desk: dc.Desk, clock: Clock) -> None:
    """Undo stands on the next page as long as it works; then the outcome is there."""
    case = web_cases.spam(desk)
    address, page = opened(web, desk, case)
    done = again(web, clock, address, {**hidden(page, "label"), "value": '"ham"'})
    assert (f"/cases/{case.id}/undo" in done.text, ">10 s<" in done.text) == (True, True)
    clock.now += 9_999 * MILLI
    assert f"/cases/{case.id}/undo" in web.get(f"/inbox?done={case.id}").text
    back = web.post(f"/cases/{case.id}/undo", data={"csrf": hidden(done.text, "undo")["csrf"]})
    assert (back.url.path.startswith("/claims/"), verdicts(desk, case)) == (True, [None])
    twice = web.post(f"/cases/{case.id}/undo", data={"csrf": hidden(done.text, "undo")["csrf"]})
    assert (twice.status_code, twice.url.path) == (200, back.url.path)
    clock.now += 399 * MILLI
    early = web.post(f"{back.url.path}/answer", data={**hidden(back.text, "label"), "value": '"ham"'})
    assert (early.status_code, verdicts(desk, case)) == (422, [None])
    again(web, clock, back.url.path, {**hidden(back.text, "label"), "value": '"ham"'})
    clock.now += 10_000 * MILLI
    assert "/undo" not in web.get(f"/inbox?done={case.id}").text
    late = web.post(f"/cases/{case.id}/undo", data={"csrf": hidden(done.text, "undo")["csrf"]})
    assert (late.status_code, "effective already" in late.text) == (409, True)


def test_one_of_a_quorum_can_take_their_answer_back(web: TestClient, desk: dc.Desk, clock: Clock) -> None:
    """Also while the others have not answered yet."""
    case = desk.loop("two", context="minimal", quorum={"answers": 2}).propose(action="x", args={}, input="y")
    address, page = opened(web, desk, case)
    done = again(web, clock, address, hidden(page, "approve"))
    assert f"/cases/{case.id}/undo" in done.text
    web.post(f"/cases/{case.id}/undo", data={"csrf": hidden(done.text, "undo")["csrf"]})
    assert desk.case(case.id).answered == ()
    (held,) = [review for review in desk.case(case.id).reviews if review.state == "claimed"]
    assert held.person == "ana"


def test_answers_of_programs_count_at_once(desk: dc.Desk) -> None:
    team(desk, ("ben",))
    case = web_cases.spam(desk)
    with People(create_app(desk), desk, base_url="http://127.0.0.1:8765") as api:
        claim = api.post("/api/v1/claims", json={"person": "ben"}).json()
        answered = api.post(f"/api/v1/claims/{claim['id']}/answer", json={"verdict": "label", "value": "ham"}).json()
    assert answered["outcome"]["value"] == "ham"
    assert desk.case(case.id).outcome is not None


def test_a_program_that_waits_goes_on_the_moment_the_answer_counts(tmp_path: Path) -> None:
    """Not with the next sweep, which comes each second: the server knows when."""
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process") as desk:
        loop = desk.loop("pay", context="minimal", undo="1200ms")
        late: list[float] = []
        with background(desk, port=0, people=("ana",)) as serving:
            browser = TestClient(serving.app, base_url=serving.url, headers={"Accept": "text/html"})
            browser.cookies.set(serving.access.cookie, serving.access.entered().secret)
            for n in range(5):
                case = loop.propose(action="pay", args={"n": n}, input="x")
                claim = desk.claim("ana", case=case)
                assert claim is not None
                address = f"/claims/{claim.id}"
                browser.post(f"{address}/answer", data={**web_cases.seen(browser, address), "verdict": "approve"})
                settled = desk.case(case.id).settled
                assert settled is not None
                assert loop.wait(case, timeout=20).verdict == "approve"
                late.append(time.time() - settled.effective_at / 1_000_000)
        assert sorted(late)[2] < 0.25, late
