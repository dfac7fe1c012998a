"""The console in a real browser: keys, forms, live counts; with JavaScript and without."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import guarantee_cases
import pytest
import web_cases
from browsing import DESKTOP, hold, outcome, ready

import dualcontrol as dc
from dualcontrol.web.server import background

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
PHONE = {"width": 390, "height": 844}


def test_the_first_browser_makes_the_admin_and_others_sign_in(browser: Browser, tmp_path: Path) -> None:
    """The printed address works once and leaves the address line; who reviews as well gets a second account."""
    secret = "four words or so"
    with (
        dc.open(f"sqlite:///{tmp_path}/fresh.db", durability="process") as desk,
        background(desk, port=0) as serving,
    ):
        web_cases.define(desk)
        first, second = browser.new_context().new_page(), browser.new_context().new_page()
        first.goto(serving.entry_url)
        assert first.url == f"{serving.url}set-up"
        second.goto(serving.entry_url)
        assert "used already" in second.inner_text("main")
        first.get_by_label("Admin").fill("root")
        first.get_by_label("Password").fill(secret)
        first.get_by_label("Your account for reviewing").fill("Zoë")
        first.get_by_role("button", name="Set up").click()
        first.wait_for_url(serving.url)
        assert first.inner_text(".you-name") == "Zoë"
        assert first.get_by_role("heading", name="Loops").is_visible()
        second.goto(f"{serving.url}inbox")
        for password in ("a wrong guess", secret):
            second.get_by_label("Name").fill("Zoë")
            second.get_by_label("Password").fill(password)
            second.get_by_role("button", name="Sign in").click()
            assert "is wrong" in second.inner_text("main") or password == secret
        second.wait_for_url(f"{serving.url}inbox")
        assert second.inner_text(".you-name") == "Zoë"


def test_keys_all_the_way(enter: Any, desk: dc.Desk) -> None:
    """From the front page to a decision and the next review without a mouse."""
    web_cases.refund(desk)
    other = web_cases.refund(desk)
    page = enter()
    page.keyboard.press("g")
    page.keyboard.press("i")
    page.wait_for_url("**/inbox")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/cases/{other.id}")
    page.keyboard.press("n")
    page.wait_for_url("**/claims/**")
    ready(page)
    page.keyboard.press("a")
    page.wait_for_selector(".flash")
    assert outcome(desk, other) == ("approve", None)
    assert page.url.split("/")[3] == "claims"


def test_edit_by_keys(enter: Any, desk: dc.Desk) -> None:
    """e opens the form, single keys rest inside it, Ctrl+Enter sends it."""
    case = web_cases.refund(desk)
    page = enter(hold(desk, case))
    page.keyboard.press("e")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("17.5")
    page.fill("#why-edit", "arbitrary: a b r x keys rest here")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".flash")
    verdict, value = outcome(desk, case)
    assert (verdict, value["args"]) == ("edit", {**web_cases.ARGS, "amount": 17.5})


def test_reject_shows_the_mistake_where_it_was_made(enter: Any, desk: dc.Desk) -> None:
    """A reason is required: the panel is open again and focused."""
    case = web_cases.refund(desk)
    page = enter(hold(desk, case))
    page.keyboard.press("r")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".notice.bad")
    assert "requires a rationale" in page.inner_text(".notice.bad")
    page.keyboard.type("No proof.")
    ready(page)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".flash")
    assert outcome(desk, case) == ("reject", None)


def test_undo(enter: Any, desk: dc.Desk) -> None:
    """u takes it back while there is time."""
    case = web_cases.refund(desk)
    page = enter(hold(desk, case))
    page.keyboard.press("a")
    page.wait_for_selector(".flash")
    page.keyboard.press("u")
    page.wait_for_url("**/claims/**")
    assert outcome(desk, case) is None


def test_a_digit_is_its_label(enter: Any, desk: dc.Desk) -> None:
    """Digit labels take the digit typed, and the next case is there."""
    first, second = web_cases.digit(desk), web_cases.digit(desk)
    page = enter(hold(desk, first))
    page.keyboard.press("8")
    page.wait_for_selector(".flash")
    ready(page)
    page.keyboard.press("0")
    page.wait_for_url("**/inbox**")
    assert (outcome(desk, first), outcome(desk, second)) == (("label", 8), ("label", 0))


def test_named_labels_have_numbers(enter: Any, desk: dc.Desk) -> None:
    """1 to 9 pick in the order shown."""
    case = web_cases.spam(desk)
    page = enter(hold(desk, case))
    page.keyboard.press("2")
    page.wait_for_selector(".flash")
    assert outcome(desk, case) == ("label", "ham")


@pytest.mark.parametrize(("key", "best"), [("ArrowLeft", 0), ("2", 1), ("=", None)])
def test_preference_keys(enter: Any, desk: dc.Desk, key: str, best: int | None) -> None:
    """Sides are keys; the order is this reviewer's own."""
    case = web_cases.summary(desk)
    path = hold(desk, case)
    shown = desk.case(case.id).reviews[0].presented
    page = enter(path)
    page.keyboard.press(key)
    page.wait_for_selector(".flash")
    ranking = outcome(desk, case)[1]["ranking"]
    assert ranking[0] == ([shown[best]] if best is not None else list(shown))


def test_a_reply(enter: Any, desk: dc.Desk) -> None:
    """What is typed goes into the reply box, Ctrl+Enter sends."""
    case = web_cases.question(desk)
    page = enter(hold(desk, case))
    page.keyboard.type("I cancelled the second charge.")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".flash")
    assert outcome(desk, case) == ("respond", {"text": "I cancelled the second charge."})


def test_keys_that_must_not_act(enter: Any, desk: dc.Desk) -> None:
    """With a modifier, in an open form, under the sheet, or switched off, no key decides."""
    case = web_cases.refund(desk)
    page = enter(hold(desk, case))
    page.keyboard.press("Alt+a")
    page.keyboard.press("?")
    assert page.locator("#keys-sheet").is_visible()
    page.keyboard.press("a")
    page.locator("#keys-sheet").get_by_role("button", name="Turn single keys off").click()
    page.wait_for_load_state()
    ready(page)
    page.keyboard.press("a")
    page.wait_for_timeout(200)
    assert outcome(desk, case) is None


def test_without_javascript(enter: Any, desk: dc.Desk) -> None:
    """Claim, edit, approve, label and prefer by forms and links alone, a high risk twice."""
    refund, other, digit, summary = (
        web_cases.refund(desk, risk="high"), web_cases.refund(desk), web_cases.digit(desk), web_cases.summary(desk),
    )  # fmt: skip
    page = enter("inbox", java_script_enabled=False)
    page.get_by_role("button", name="Next review").click()
    page.get_by_role("button", name="Edit").click()
    page.fill("[name='f:amount']", "1")
    page.fill("#why-edit", "less")
    page.get_by_role("button", name="Send edited").click()
    page.get_by_role("button", name="Yes, send the edit").click()
    assert outcome(desk, refund)[1]["args"]["amount"] == 1
    page.get_by_role("button", name="Approve").click()
    assert outcome(desk, other) == ("approve", None)
    page.get_by_role("button", name="8", exact=False).first.click()
    assert outcome(desk, digit)[0] == "label"
    page.get_by_role("button", name="1 is better").click()
    assert outcome(desk, summary)[0] == "prefer"
    assert "Nothing waits for you" in page.inner_text("main")


def test_the_count_is_live(enter: Any, desk: dc.Desk) -> None:
    """A new case shows in the top bar; the list says so and stays as it is."""
    page = enter("inbox")
    page.wait_for_timeout(500)
    web_cases.spam(desk)
    page.wait_for_selector("[data-live=open]:text-is('1')", timeout=10_000)
    assert page.locator("[data-fresh]").is_visible()
    assert page.locator("[data-item]").count() == 0


NAMELESS = """() => [...document.querySelectorAll('a, button, input:not([type=hidden]), select, textarea, summary')]
  .filter(e => e.checkVisibility() && !(e.innerText || '').trim() && !e.getAttribute('aria-label') && !e.labels?.length
    && !e.querySelector('.sr')).map(e => e.outerHTML.slice(0, 120))"""
SMALL = """() => [...document.querySelectorAll('button, input:not([type=hidden]), select, textarea, .button, nav a')]
  .filter(e => e.checkVisibility()).map(e => [e.outerHTML.slice(0, 120), e.getBoundingClientRect()])
  .filter(([, r]) => r.height < 24 || r.width < 24).map(([html]) => html)"""
WIDE = "() => document.documentElement.scrollWidth > innerWidth"


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_can_be_used(enter: Any, desk: dc.Desk, size: dict[str, int], tmp_path: Path) -> None:
    """Names for everything that acts, targets of 24 pixels, one main heading, nothing wider than the screen."""
    cases = web_cases.fill(desk)
    guarantee_cases.define(desk, "empty")
    guarantee_cases.World(desk, guarantee_cases.define(desk)).decisions(120)
    guarantees = [f"loops/{name}/guarantee" for name in ("spam", "empty", "mail", "mail")]
    guarantees[-1] += "?max_error=0.2&minute_price=1&error_loss=9"
    paths = [
        "",
        "inbox",
        "cases",
        "keys",
        *guarantees,
        f"cases/{cases['spam'].id}",
        "loops/refunds/settings",
        "loops/spam/settings?key=threshold",
        *(hold(desk, c) for c in cases.values()),
    ]
    page = enter(viewport=size)
    for n, path in enumerate(paths):
        page.goto(page.url.split("/", 3)[0] + "//" + page.url.split("/")[2] + "/" + path)
        page.screenshot(path=str(tmp_path / f"{n}.png"))
        assert page.evaluate(NAMELESS) == [], path
        assert page.evaluate(SMALL) == [], path
        assert not page.evaluate(WIDE), path
        assert page.locator("h1").count() == 1, path
        assert page.locator("html[lang]").count() == 1


def test_the_skip_link_comes_first(enter: Any) -> None:
    """Tab, Enter: past the navigation."""
    page = enter("inbox")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip-link"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_guarantee_goes_on_by_itself(enter: Any, desk: dc.Desk) -> None:
    """What is counted later comes without a reload; an open table stays open; its key is Enter."""
    world = guarantee_cases.World(desk, guarantee_cases.define(desk))
    world.decisions(40)
    page = enter("loops/mail/guarantee")
    page.get_by_text("Coverage as a table").focus()
    page.keyboard.press("Enter")
    assert page.locator("details[open]").count() == 1
    page.evaluate("document.activeElement.blur()")
    before = page.locator("[data-refresh]").get_attribute("data-seq")
    world.decisions(40)
    page.wait_for_function(
        "(seq) => document.querySelector('[data-refresh]').dataset.seq !== seq", arg=before, timeout=25_000
    )
    assert page.locator("details[open]").count() == 1


def deep(levels: int) -> Any:
    """An object of so many levels, with a sentence at each."""
    value: Any = {"end": "the innermost sentence of them all"}
    for level in range(levels):
        value = {"note": f"a sentence at level {level}", "more": value}
    return value


NARROWEST = """() => Math.min(...[...document.querySelectorAll(".content .v-text, .content .v-json")]
  .filter((el) => el.checkVisibility() && el.textContent.length > 20).map((el) => el.getBoundingClientRect().width))"""


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP])
def test_deep_and_long_content_stays_readable(enter: Any, desk: dc.Desk, viewport: Any) -> None:
    """Nine levels leave room for words, five hundred rows are a few screens, nothing is wider than the screen."""
    rows = [{"sku": f"KB-{n}", "name": "a keyboard with a long name", "price": n * 1.5} for n in range(500)]
    case = desk.loop("shell", context="minimal").propose(
        action="update", args={"rows": rows, "deep": deep(9)}, input=[deep(9)] * 3, history=["a step"] * 900
    )
    page = enter(hold(desk, case), viewport=viewport)
    assert page.evaluate(NARROWEST) > 150
    assert page.evaluate("document.documentElement.scrollHeight") < 9_000
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    page.get_by_role("link", name="see all").first.click()
    page.wait_for_url("**/whole?at=*")
    assert '"sku": "KB-499"' in page.inner_text("main")


def test_the_switch_between_text_and_markdown_needs_no_script(enter: Any, desk: dc.Desk) -> None:
    """What is not asked for is hidden; arguments begin as text."""
    loop = desk.loop("notes", context="minimal", markdown=["input", "proposal.body"])
    case = loop.propose(action="post", args={"body": "# Title\n\ntext"}, input="some **bold** words")
    page = enter(hold(desk, case), java_script_enabled=False)
    given, args = page.locator("#input"), page.locator(".proposal")
    assert given.get_by_text("some bold words").is_visible()
    given.get_by_text("Show as text").click()
    assert not given.get_by_text("some bold words").is_visible()
    assert given.get_by_text("some **bold** words").first.is_visible()
    given.get_by_text("Show rendered").click()
    assert given.get_by_text("some bold words").is_visible()
    assert args.get_by_text("# Title").first.is_visible()
    assert not args.get_by_role("heading", name="Title").is_visible()
    args.get_by_text("Show rendered").click()
    assert args.get_by_role("heading", name="Title").is_visible()


def test_what_turns_the_direction_turns_nothing(enter: Any, desk: dc.Desk) -> None:
    """An exe is read as an exe, and a name from right to left stays where it is."""
    case = desk.loop("shell", context="minimal").propose(
        action="send", args={"file": "invoice\u202efdp.exe", "שם": "12"}, input="x", owner="דוד"
    )
    page = enter(hold(desk, case))
    sign = page.locator(".proposal .v-text .sign").first.bounding_box()
    ends = page.evaluate("""() => {
      const text = document.querySelector(".proposal .v-text:has(.sign)").lastChild, range = document.createRange();
      return [...text.data].map((_, i) => { range.setStart(text, i); range.setEnd(text, i + 1);
        return range.getBoundingClientRect().x; });
    }""")
    assert ends == sorted(ends)
    assert ends[0] >= sign["x"] + sign["width"] - 1
    assert page.title().startswith("send")
