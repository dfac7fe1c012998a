"""Hands that are too quick, in a real browser: double taps, double clicks, held keys, letters where text is meant."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest
import web_cases
from browsing import hold, outcome, ready

import dualcontrol as dc
from dualcontrol.web.server import Serving

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
APPROVE = "form[data-verdict] button[data-key=a]"


def decided(desk: dc.Desk, *cases: dc.Case) -> list[str | None]:
    """The verdicts of cases, None where there is none."""
    return [outcome(desk, case) and outcome(desk, case)[0] for case in cases]


def middle(of: Locator) -> tuple[float, float]:
    """Where a mouse clicks an element."""
    box = of.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def three(desk: dc.Desk) -> list[dc.Case]:
    """Cases that come one after the other."""
    return [web_cases.refund(desk) for _ in range(3)]


@pytest.mark.parametrize("pause", [60, 180, 250])
def test_a_double_tap_answers_once(enter: Any, desk: dc.Desk, pause: int) -> None:
    """The second tap meets a page that nobody has seen; once it was there for a while, a key counts again."""
    first, second, third = three(desk)
    page = enter(hold(desk, first))
    page.keyboard.press("a")
    page.wait_for_timeout(pause)
    page.keyboard.press("a")
    page.wait_for_selector(".flash")
    page.wait_for_timeout(600)
    assert decided(desk, first, second, third) == ["approve", None, None]
    ready(page)
    page.keyboard.press("a")
    page.wait_for_selector(f".flash a[href='/cases/{second.id}']")
    assert decided(desk, first, second, third) == ["approve", "approve", None]


def test_whoever_hammers_a_key_answers_nothing_unseen(enter: Any, desk: dc.Desk) -> None:
    """Each tap that came too early begins the time anew; a machine that stalled between two taps is tried again."""
    for _ in range(5):
        cases = three(desk)
        page = enter(hold(desk, cases[0]))
        longest, last = 0.0, time.monotonic()
        for _ in range(12):
            page.keyboard.press("a")
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
            page.wait_for_timeout(170)
        if longest < 0.35:
            break
        for case in cases:
            with contextlib.suppress(dc.errors.SettledError):
                desk.withdraw(case.id)
    assert decided(desk, *cases) == ["approve", None, None]


@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "forms"])
def test_two_clicks_answer_once(enter: Any, desk: dc.Desk, javascript: bool) -> None:
    """250 ms apart at the same place, where the next page has the same button."""
    cases = three(desk)
    page = enter(hold(desk, cases[0]), java_script_enabled=javascript)
    page.wait_for_timeout(600)
    at = middle(page.locator(APPROVE))
    page.mouse.click(*at)
    page.wait_for_timeout(250)
    page.mouse.click(*at)
    page.wait_for_selector(f".flash a[href='/cases/{cases[0].id}']")
    page.wait_for_timeout(600)
    assert decided(desk, *cases) == ["approve", None, None]
    page.mouse.click(*at)
    page.wait_for_selector(f".flash a[href='/cases/{cases[1].id}']")
    assert decided(desk, *cases) == ["approve", "approve", None]


def test_a_key_counts_from_painting_on(enter: Any, desk: dc.Desk) -> None:
    """On a page that was opened just now as well; the time is that of the loop."""
    case = web_cases.refund(desk)
    page = enter(hold(desk, case), soon=True)
    page.keyboard.press("a")
    assert page.locator("body[data-dead]").count() == 1
    ready(page)
    assert decided(desk, case) == [None]
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert page.evaluate("performance.now()") - painted >= 400
    page.keyboard.press("a")
    page.wait_for_selector(".flash")
    assert decided(desk, case) == ["approve"]


@pytest.mark.parametrize("flagged", [True, False], ids=["repeating", "unflagged"])
@pytest.mark.parametrize("key", ["a", "Enter"])
def test_a_key_that_is_held_answers_once(enter: Any, desk: dc.Desk, key: str, flagged: bool) -> None:
    """For two seconds, over the page that follows, also where the system does not say that it repeats."""
    cases = three(desk)
    page = enter(hold(desk, cases[0]))
    if key == "Enter":
        page.locator(APPROVE).focus()
    keys = page.context.new_cdp_session(page)
    code = {"a": "KeyA", "Enter": "Enter"}[key]
    text = {"a": "a", "Enter": "\r"}[key]
    down = {"type": "keyDown", "key": key, "code": code, "text": text, "windowsVirtualKeyCode": ord(text.upper())}
    for n in range(50):
        keys.send("Input.dispatchKeyEvent", {**down, "autoRepeat": bool(n) and flagged})
        page.wait_for_timeout(40)
    keys.send("Input.dispatchKeyEvent", {**down, "type": "keyUp", "text": ""})
    page.wait_for_timeout(300)
    assert decided(desk, *cases) == ["approve", None, None]


def test_the_time_begins_anew_when_the_page_comes_back(enter: Any, desk: dc.Desk) -> None:
    """From the browser's store of pages, in a tab that was hidden, and after what changed on the page itself."""
    case = web_cases.refund(desk)
    page = enter(hold(desk, case))
    events = [
        "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))",
        "document.dispatchEvent(new Event('visibilitychange'))",
        "(() => { const form = document.querySelector('form[data-verdict]'); const copy = form.cloneNode(true);"
        " form.replaceWith(copy); })()",
    ]
    for event in events:
        ready(page)
        page.evaluate(event)
        page.wait_for_selector("body[data-dead]", state="attached")
        page.keyboard.press("a")
        page.wait_for_timeout(100)
        assert decided(desk, case) == [None], event
    ready(page)
    page.keyboard.press("a")
    page.wait_for_selector(".flash")
    assert decided(desk, case) == ["approve"]


def test_going_back_answers_nothing(enter: Any, desk: dc.Desk) -> None:
    """The page before is of a case that was answered."""
    cases = three(desk)
    page = enter(hold(desk, cases[0]))
    page.keyboard.press("a")
    page.wait_for_selector(".flash")
    page.go_back()
    page.keyboard.press("a")
    page.wait_for_timeout(700)
    page.keyboard.press("a")
    page.wait_for_timeout(300)
    assert decided(desk, *cases) == ["approve", None, None]


def test_after_an_undo_the_page_is_dead_too(enter: Any, desk: dc.Desk) -> None:
    case = web_cases.refund(desk)
    page = enter(hold(desk, case))
    page.keyboard.press("a")
    page.wait_for_selector(".flash")
    page.keyboard.press("u")
    page.wait_for_url("**/claims/**")
    page.wait_for_selector(APPROVE)
    page.keyboard.press("a")
    page.wait_for_timeout(200)
    assert decided(desk, case) == [None]


def test_a_label_loop_takes_keys_sooner(enter: Any, desk: dc.Desk) -> None:
    """As it declares: 150 ms, and the digits of the next case are its own."""
    labels = list(range(10))
    loop = desk.loop("quick", mode="labels", labels=labels, context="minimal", dead_time="150ms")
    first, second = (loop.propose(input="x", proposal=3, confidence=0.1) for _ in range(2))
    page = enter(hold(desk, first))
    page.keyboard.press("8")
    page.wait_for_selector(".flash")
    ready(page)
    assert page.get_attribute("[data-dead-for]", "data-dead-for") == "150"
    page.keyboard.press("7")
    page.wait_for_selector(f".flash a[href='/cases/{second.id}']")
    assert (outcome(desk, first), outcome(desk, second)) == (("label", 8), ("label", 7))


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_without_a_script_the_stylesheet_holds(enter: Any, desk: dc.Desk, motion: str) -> None:
    """From the first frame on, also for those who want no motion."""
    page = enter(hold(desk, web_cases.refund(desk)), java_script_enabled=False, reduced_motion=motion)
    style = f"getComputedStyle(document.querySelector('{APPROVE}'))"
    assert page.evaluate(f"[{style}.animationName, {style}.animationDuration]") == ["dead", "0.4s"]
    page.reload()
    seen = [page.evaluate(f"{style}.pointerEvents")]
    page.wait_for_timeout(600)
    seen.append(page.evaluate(f"{style}.pointerEvents"))
    assert seen == ["none", "auto"]


# the second act


def test_a_high_risk_by_keys(enter: Any, desk: dc.Desk) -> None:
    """a, then y on the page that says it back; Escape goes back to the case, and nothing else counts."""
    case = web_cases.refund(desk, risk="critical")
    page = enter(hold(desk, case))
    page.keyboard.press("a")
    page.wait_for_selector("h1:text('Really approve?')")
    for _ in range(3):
        page.wait_for_timeout(450)
        page.keyboard.press("a")
    page.keyboard.press("Enter")
    page.keyboard.press("Control+Enter")
    page.wait_for_timeout(200)
    assert decided(desk, case) == [None]
    page.keyboard.press("Escape")
    page.wait_for_selector(APPROVE)
    ready(page)
    page.keyboard.press("a")
    page.wait_for_selector("h1:text('Really approve?')")
    page.keyboard.press("y")
    page.wait_for_timeout(150)
    assert decided(desk, case) == [None]
    ready(page)
    page.keyboard.press("y")
    page.wait_for_selector(".flash")
    assert decided(desk, case) == ["approve"]


@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "forms"])
def test_a_double_click_on_a_high_risk(enter: Any, desk: dc.Desk, javascript: bool) -> None:
    """Neither at the same place nor on the second button; one click on it later is the second act."""
    case = web_cases.refund(desk, risk="high")
    page = enter(hold(desk, case), java_script_enabled=javascript)
    page.wait_for_timeout(600)
    at = middle(page.locator(APPROVE))
    page.mouse.click(*at)
    page.wait_for_timeout(200)
    page.mouse.click(*at)
    yes = page.get_by_role("button", name="Yes, approve")
    yes.wait_for()
    page.mouse.click(*middle(yes))
    page.wait_for_timeout(200)
    assert decided(desk, case) == [None]
    page.wait_for_timeout(700)
    if not page.url.endswith("/answer"):
        page.locator(APPROVE).click()
        page.wait_for_timeout(700)
    page.mouse.click(*middle(page.get_by_role("button", name="Yes, approve")))
    page.wait_for_selector(".flash")
    assert decided(desk, case) == ["approve"]


def test_the_second_act_by_tab_and_enter(enter: Any, desk: dc.Desk) -> None:
    """Without single keys: both buttons are reached, and nothing has the focus at first."""
    case = web_cases.refund(desk, risk="high")
    page = enter(hold(desk, case))
    page.locator(APPROVE).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:text('Really approve?')")
    assert page.evaluate("document.activeElement === document.body")
    ready(page)
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText.trim()"))
        if reached[-1].startswith("Yes, approve"):
            break
    assert any(text.startswith("Back to the case") for text in reached)
    page.keyboard.press("Enter")
    page.wait_for_selector(".flash")
    assert decided(desk, case) == ["approve"]


# letters where text is meant


def body(page: Page) -> None:
    """Take the focus out of every field, as a click beside them does."""
    page.evaluate("document.activeElement.blur()")
    page.locator("h1").click()


def test_in_a_fallback_loop_letters_are_text(enter: Any, desk: dc.Desk) -> None:
    """Typed beside the field: every letter arrives in it, none abstains, edits, escalates or goes elsewhere."""
    case = web_cases.question(desk)
    page = enter(hold(desk, case))
    body(page)
    page.keyboard.type("Yes, but next week: going, 1 = 0")
    assert page.input_value("#text") == "Yes, but next week: going, 1 = 0"
    assert page.locator(".panel.open").count() == 0
    assert desk.case(case.id).reviews[0].state == "claimed"
    assert page.locator("[data-key]:visible").count() == 0
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".flash")
    assert outcome(desk, case) == ("respond", {"text": "Yes, but next week: going, 1 = 0"})


def test_in_a_fallback_loop_with_a_form_no_letter_passes(enter: Any, desk: dc.Desk) -> None:
    """Where the reply has fields of its own, behind a button."""
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    case = desk.loop("forms", mode="fallback", context="minimal", schema=schema).propose(input="hello")
    page = enter(hold(desk, case))
    page.keyboard.type("Yes, but")
    page.wait_for_timeout(300)
    assert desk.case(case.id).reviews[0].state == "claimed"
    page.get_by_role("button", name="Reply", exact=True).click()
    body(page)
    page.keyboard.type("but a bit")
    assert page.input_value("[name='f:text']") == "but a bit"
    assert desk.case(case.id).reviews[0].state == "claimed"


@pytest.mark.parametrize(("opener", "field"), [("t", "#text"), ("e", "[name='f:amount']"), ("r", "#why-reject")])
def test_in_an_open_form_letters_are_text(enter: Any, desk: dc.Desk, opener: str, field: str) -> None:
    """Also when the focus has gone elsewhere; closed, the keys are keys again."""
    case = web_cases.refund(desk)
    page = enter(hold(desk, case))
    page.keyboard.press(opener)
    page.wait_for_selector(".panel.open")
    before = page.input_value(".panel.open :is(textarea, input:not([type=hidden])) >> nth=0")
    body(page)
    page.keyboard.type("abr")
    page.wait_for_timeout(200)
    assert desk.case(case.id).reviews[0].state == "claimed"
    assert page.input_value(".panel.open :is(textarea, input:not([type=hidden])) >> nth=0") == f"{before}abr"
    page.keyboard.press("Escape")
    body(page)
    ready(page)
    page.keyboard.press("a")
    page.wait_for_selector(".flash")
    assert decided(desk, case) == ["approve"]


def test_a_commitment_is_not_made_by_a_letter(enter: Any, desk: dc.Desk) -> None:
    """It cannot be changed, and its page begins with a text field."""
    loop = desk.loop("pay", context="minimal", guarantee={"max_error": 0.05}, autopilot_actions=["pay"], audit=1.0)
    case = loop.propose(action="pay", args={"n": 1}, input="x")
    page = enter(hold(desk, case))
    body(page)
    page.keyboard.type("a refund but")
    page.wait_for_timeout(200)
    assert page.input_value("#whom") == "a refund but"
    assert desk.case(case.id).reviews[0].committed is None
    page.get_by_role("button", name="It should happen").click()
    page.wait_for_selector("text=You said first")
    assert desk.case(case.id).reviews[0].committed == "ana"


def test_a_label_that_is_written_is_text(enter: Any, desk: dc.Desk) -> None:
    """A loop without a set of labels, where the label is typed."""
    rule = {"name": "all", "when": "true", "route": "autopilot"}
    given: dict[str, Any] = {"guarantee": {"max_error": 0.05}, "rules": [rule], "audit": 1.0}
    case = desk.loop("free", mode="labels", context="minimal", **given).propose(input="x", proposal="spam")
    page = enter(hold(desk, case))
    page.fill("#value", "")
    body(page)
    page.keyboard.type('"abstain"')
    page.wait_for_timeout(200)
    assert page.input_value("#value") == '"abstain"'
    assert desk.case(case.id).reviews[0].state == "claimed"


def test_a_label_that_is_picked_from_many_is_no_key(enter: Any, desk: dc.Desk) -> None:
    """Whoever types the beginning of a label approves and abstains from nothing."""
    labels = [f"label {n}" for n in range(40)]
    case = desk.loop("many", mode="labels", labels=labels, context="minimal").propose(input="x", proposal="label 3")
    page = enter(hold(desk, case))
    body(page)
    page.keyboard.type("ab")
    page.wait_for_timeout(200)
    assert desk.case(case.id).reviews[0].state == "claimed"


# the way back


@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "forms"])
def test_undo_is_there_for_ten_seconds(enter: Any, desk: dc.Desk, console: Serving, javascript: bool) -> None:
    """On the page that follows, with script and without, also where the clock of this machine is an hour off."""
    case = web_cases.spam(desk)
    page = enter(hold(desk, case), java_script_enabled=javascript)
    page.context.add_init_script("const now = Date.now; Date.now = () => now() + 3600000")
    page.reload()
    page.wait_for_timeout(600)
    page.locator("button.label").first.click()
    page.wait_for_selector(".flash")
    page.wait_for_timeout(1_200)
    undo = page.get_by_role("button", name="Undo")
    assert undo.is_visible()
    assert int(undo.inner_text().split()[1]) <= 10
    undo.click()
    page.wait_for_url("**/claims/**")
    assert (outcome(desk, case), desk.case(case.id).reviews[0].state) == (None, "claimed")
