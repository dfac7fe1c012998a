"""Takes the pictures of the docs: the demo's console, with its real loops and data, in a headless Chromium.

make screenshots
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

from dualcontrol.demo import start
from dualcontrol.demo.runner import open_desk
from dualcontrol.desk import Desk
from dualcontrol.web.server import Serving, background

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "images"
SIZE: ViewportSize = {"width": 1280, "height": 860}
WAITING = 4  # reviews in each loop before the first picture
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
        claim = desk.claim(serving.app.state.access.person, case=telling(desk, loop))
        assert claim is not None
        page.goto(f"{serving.url}claims/{claim.id}")
        page.screenshot(path=PICTURES / f"{loop}.png")


def telling(desk: Desk, loop: str) -> str:
    """The case of a loop with most to show: one to decide, with alternatives where there is one."""
    control = next(c for c in desk.loops() if c.loop == loop)
    rows = desk.store.queries.inbox([(control.loop_id, group) for group in control.settings.pools()]).rows
    open_ones = [desk.case(row.review.case_id) for row in rows if row.review.kind == "decide"]
    return max(open_ones, key=lambda case: (len(case.candidates) > 1, case.confidence or 0.0)).id


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
        with background(desk, port=0, person="ana") as serving, sync_playwright() as driver:
            options = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = driver.chromium.launch(executable_path=chromium(), args=options)
            take(browser.new_page(viewport=SIZE, device_scale_factor=1), serving, desk)
            browser.close()
    finally:
        feeders.stop()
        desk.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"pictures in {PICTURES.relative_to(ROOT)}: {', '.join(sorted(p.name for p in PICTURES.glob('*.png')))}")


if __name__ == "__main__":
    main()
