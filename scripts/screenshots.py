"""Takes the pictures of the docs: the demo's console, with its real loops and data, in a headless Chromium.

make screenshots
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

import dualcontrol as dc
from dualcontrol.demo import start
from dualcontrol.demo.runner import open_desk
from dualcontrol.desk import Desk
from dualcontrol.web.server import Serving, background

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "images"
SIZE: ViewportSize = {"width": 1280, "height": 860}
WAITING = 4  # reviews in each loop before the first picture
GUARANTEED: ViewportSize = {"width": 1280, "height": 1240}
DECISIONS = 6_000  # until the bounds say something
LOOPS = {"digits": "label", "tidy": "approve", "pairs": "prefer", "fallback": "respond"}


def chromium() -> str:
    """The browser that `make browser` found."""
    noted = ROOT / ".venv" / "chromium-path"
    path = os.environ.get("DUALCONTROL_CHROMIUM") or (noted.read_text().strip() if noted.exists() else "")
    if not path:
        raise SystemExit("no Chromium: `make browser` finds or installs one")
    return path


def until_filled(desk: Desk, patience: float = 60.0) -> None:
    """Wait until every demo loop has reviews to show."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        counts = {c.loop: desk.store.queries.counts(c.loop_id)["open"] for c in desk.loops()}
        if len(counts) >= len(LOOPS) and all(counts.values()) and sum(counts.values()) >= WAITING * 2:
            return
        time.sleep(0.2)
    raise SystemExit("the demo's loops did not fill")


def labelled(desk: Desk, count: int = 25) -> None:
    """A few answers first, so that the front page has something to tell."""
    for _ in range(count):
        claim = desk.claim("ana", "digits")
        if claim is None:
            time.sleep(0.3)
            continue
        claim.label(claim.view["candidates"][0]["value"])


def take(page: Page, serving: Serving, desk: Desk) -> None:
    """Front page, inbox, and one review of each loop."""
    page.goto(serving.entry_url)
    page.screenshot(path=PICTURES / "front.png")
    page.goto(f"{serving.url}inbox")
    page.screenshot(path=PICTURES / "inbox.png")
    for loop in LOOPS:
        claim = desk.claim(serving.access.people[0], case=telling(desk, loop))
        assert claim is not None
        page.goto(f"{serving.url}claims/{claim.id}")
        page.wait_for_selector("body:not([data-dead])", state="attached")
        page.screenshot(path=PICTURES / f"{loop}.png")


def telling(desk: Desk, loop: str) -> str:
    """The case of a loop with most to show: one to decide, with alternatives where there is one."""
    control = next(c for c in desk.loops() if c.loop == loop)
    rows = desk.store.queries.inbox([(control.loop_id, group) for group in control.pools()]).rows
    open_ones = [desk.case(row.review.case_id) for row in rows if row.review.kind == "decide"]
    return max(open_ones, key=lambda case: (len(case.candidates) > 1, case.confidence or 0.0)).id


def decided(desk: Desk, loop: dc.Loop, count: int, noise: random.Random, wrong: float | None = None) -> None:
    """So many proposals to a loop in labels mode, each answered by somebody who knows, where somebody is asked."""
    for n in range(count):
        score = round(1.0 - 0.5 * noise.random() ** 1.7, 4)
        right = noise.random() > (0.9 * (1 - score) ** 1.6 if wrong is None else wrong)
        case = loop.propose(proposal="private", input=f"invoice {n}", confidence=score)
        if case.route is not None and (case.route.to == "human" or case.route.audited):
            claim = desk.claim("ana", case=case)
            assert claim is not None
            claim.label("private" if right else "business")
    loop.certify()


def guarantees(page: Page) -> None:
    """A loop whose autopilot is certified, and one after an alarm: simulated decisions, the page as it is."""
    desk, noise = dc.open("sqlite:///:memory:", durability="process", secret="s" * 32), random.Random(7)
    promise = {"max_error": 0.05, "adjudicate": False, "blind": False, "miss_rate": 0.0, "launch": 0}
    loops = [
        desk.loop(name, mode="labels", labels=["private", "business"], context="minimal", audit=0.2, guarantee=promise)
        for name in ("invoices", "receipts")
    ]
    for loop in loops:
        decided(desk, loop, DECISIONS, noise)
    decided(desk, loops[1], DECISIONS // 6, noise, wrong=0.4)
    with background(desk, port=0, people=("ana",)) as serving:
        page.goto(serving.entry_url)
        page.set_viewport_size(GUARANTEED)
        for loop, picture in zip(loops, ("guarantee.png", "guarantee-alarm.png"), strict=True):
            page.goto(f"{serving.url}loops/{loop.name}/guarantee")
            page.screenshot(path=PICTURES / picture)
        page.close()
    desk.close()


def main() -> None:
    """Run the demo in a folder of its own and take the pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp())
    desk = open_desk(f"sqlite:///{folder}/demo.db")
    feeders = start(desk, folder / "files", 0)
    try:
        until_filled(desk)
        labelled(desk)
        until_filled(desk)
        with background(desk, port=0, people=("ana",)) as serving, sync_playwright() as driver:
            options = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = driver.chromium.launch(executable_path=chromium(), args=options)
            take(browser.new_page(viewport=SIZE, device_scale_factor=1), serving, desk)
            guarantees(browser.new_page(viewport=SIZE, device_scale_factor=1))
            browser.close()
    finally:
        feeders.stop()
        desk.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"pictures in {PICTURES.relative_to(ROOT)}: {', '.join(sorted(p.name for p in PICTURES.glob('*.png')))}")


if __name__ == "__main__":
    main()
