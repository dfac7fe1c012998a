"""The demo's own loops and data in a real browser: label, prefer, approve and edit, with JavaScript and without."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import dualcontrol as dc
from dualcontrol.demo import start
from dualcontrol.demo.runner import open_desk
from dualcontrol.web.server import Serving, background

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
LOOPS = ("digits", "tidy", "pairs", "fallback")
PERSON = "ana"


class Demo(NamedTuple):
    """A running demo."""

    desk: dc.Desk
    serving: Serving
    folder: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The four loops feeding a console on a port of its own."""
    folder = tmp_path_factory.mktemp("demo")
    with (
        open_desk(f"sqlite:///{folder}/demo.db") as desk,
        background(desk, port=0, people=(PERSON,), trains=False) as serving,
    ):
        feeders = start(desk, folder / "files", 0)
        try:
            wait_until(lambda: all(waiting(desk, loop) for loop in LOOPS), 60)
            yield Demo(desk, serving, folder / "files")
        finally:
            feeders.stop()


@pytest.fixture(params=[True, False], ids=["javascript", "forms"])
def page(request: pytest.FixtureRequest, browser: Browser, demo: Demo) -> Iterator[Page]:
    """A page that is let in, with JavaScript or without."""
    access = demo.serving.access
    context = browser.new_context(java_script_enabled=request.param, viewport={"width": 1280, "height": 860})
    context.add_cookies([{"name": access.cookie, "value": access.entered().secret, "url": demo.serving.url}])
    page = context.new_page()
    yield page
    page.goto("about:blank")  # now and then Chromium does not close a context whose page is on its way to another
    context.close()


def wait_until(true: Any, seconds: float) -> None:
    """Wait for something that the demo's own threads do."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def waiting(desk: dc.Desk, loop: str) -> list[Any]:
    """What a loop's queue holds, audits aside: they settle without a decision."""
    control = desk.control(loop)
    rows = desk.store.queries.inbox([(control.loop_id, g) for g in control.pools()]).rows if control else ()
    return [row for row in rows if row.review.state == "open" and row.review.kind == "decide"]


def claimed(demo: Demo, page: Page, loop: str, action: str | None = None) -> dc.Case:
    """The page of a review of this loop, held by ana, once one waits."""
    wait_until(lambda: any(action in (None, row.action) for row in waiting(demo.desk, loop)), 30)
    row = next(row for row in waiting(demo.desk, loop) if action in (None, row.action))
    page.goto(f"{demo.serving.url}cases/{row.review.case_id}")
    page.get_by_role("button", name="Review it").first.click()
    page.wait_for_url("**/claims/**")
    return demo.desk.case(row.review.case_id)


def decided(demo: Demo, case: dc.Case) -> dc.Decision:
    """The decision, once the page's answer has arrived."""
    wait_until(lambda: demo.desk.case(case.id).decision is not None, 10)
    decision = demo.desk.case(case.id).decision
    assert decision is not None
    return decision


def test_a_scan_is_labelled(demo: Demo, page: Page) -> None:
    """The reviewer sees the scan and chooses a digit."""
    case = claimed(demo, page, "digits")
    assert page.locator("img[src^='data:image/png']").first.is_visible()
    page.locator("button.label[value='8']").click()
    assert decided(demo, case).value == 8


def test_a_summary_is_preferred(demo: Demo, page: Page) -> None:
    """The side chosen is the candidate that this reviewer saw there."""
    case = claimed(demo, page, "pairs")
    page.get_by_role("button", name="1 is better").click()
    seen = demo.desk.case(decided(demo, case) and case.id).answers[0].presented
    assert decided(demo, case).value["ranking"][0] == [seen[0]]


def test_a_deletion_is_approved_and_a_rename_is_edited(demo: Demo, page: Page) -> None:
    """What was decided happens in the folder, with the edited arguments."""
    deletion = claimed(demo, page, "tidy", "delete")
    page.get_by_role("button", name="Approve").first.click()
    page.get_by_role("button", name="Yes, approve").click()
    page.wait_for_url(f"**done={deletion.id}**")
    assert decided(demo, deletion).verdict == "approve"
    rename = claimed(demo, page, "tidy", "rename")
    target = f"kept/by-hand-{rename.id[-6:]}.txt"
    page.get_by_role("button", name="Edit").first.click()
    page.fill("[name='f:to']", target)
    page.fill("#why-edit", "a better place")
    page.get_by_role("button", name="Send edited").click()
    assert decided(demo, rename).verdict == "edit"
    wait_until(lambda: demo.desk.case(rename.id).effect.state in ("succeeded", "failed"), 60)
    assert demo.desk.case(rename.id).effect.state == "succeeded"
    assert (demo.folder / target).exists()


def test_an_answer_is_written(demo: Demo, page: Page) -> None:
    """Where retrieval is unsure the human writes the answer; markup in it is text."""
    case = claimed(demo, page, "fallback")
    page.fill("#text", "<script>alert(1)</script> see the guide")
    page.get_by_role("button", name="Send reply").last.click()
    assert "<script>" in str(decided(demo, case).value)
    page.goto(f"{demo.serving.url}cases/{case.id}")
    assert "<script>alert(1)</script> see the guide" in page.inner_text("main")
