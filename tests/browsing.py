"""What tests of the console in a real browser share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dualcontrol as dc

if TYPE_CHECKING:
    from playwright.sync_api import Page

DESKTOP = {"width": 1280, "height": 860}


def ready(page: Page) -> None:
    """Wait until the page takes answers."""
    page.wait_for_selector("body:not([data-dead])", state="attached")


def hold(desk: dc.Desk, case: dc.Case) -> str:
    """The path of a review that ana holds."""
    claim = desk.claim("ana", case=case)
    assert claim is not None
    return f"claims/{claim.id}"


def outcome(desk: dc.Desk, case: dc.Case) -> Any:
    """Verdict and value of a decided case."""
    decision = desk.case(case.id).decision
    return decision and (decision.verdict, decision.value)
