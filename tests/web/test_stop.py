"""The emergency stop by page and by API: a form that asks why, a banner on every page, and who is recorded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import web_cases
from starlette.testclient import TestClient

import dualcontrol as dc

if TYPE_CHECKING:
    from playwright.sync_api import Page


def posted(web: TestClient, path: str, **fields: str) -> Any:
    page = web.get(path).text
    csrf = re.search(r'name="csrf" value="([^"]+)"', page)
    assert csrf is not None
    return web.post(path, data={"csrf": csrf[1], **fields})


def test_one_loop_by_the_api(desk: dc.Desk, api: TestClient) -> None:
    desk.loop("refunds", undo=0)
    reply = api.post("/api/v1/loops/refunds/stop", json={"because": "wrong amounts"})
    assert reply.status_code == 200, reply.text
    stopped = reply.json()["control"]["stopped"]
    assert (stopped["by"], stopped["because"]) == ("ana", "wrong amounts")
    case = desk.loop("refunds").propose(
        action="refund", args={}, input="x", rationale="y", alternatives=[], confidence=0.99, effect="ready"
    )
    assert case.route.to == "human"
    desk.claim("ben", case=case).approve(rationale="fine")
    refused = api.post(f"/api/v1/cases/{case.id}/effect/start", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "DC-STOPPED")
    assert (refused.json()["by"], refused.json()["because"]) == ("ana", "wrong amounts")
    assert api.post("/api/v1/loops/refunds/resume", json={"because": "mended"}).json()["control"].get("stopped") is None
    again = api.post("/api/v1/loops/refunds/resume", json={"because": "mended"})
    assert (again.status_code, again.json()["code"]) == (409, "DC-NOT-STOPPED")
    assert api.post(f"/api/v1/cases/{case.id}/effect/start", json={}).status_code == 200


def test_all_loops_by_the_api(desk: dc.Desk, api: TestClient) -> None:
    reply = api.post("/api/v1/stop", json={"because": "the bank is down"})
    assert len(reply.json()["loops"]) == 5
    assert all(loop["control"]["stopped"]["everywhere"] for loop in reply.json()["loops"])
    assert all(control.stopped is not None for control in desk.loops())
    assert api.post("/api/v1/resume", json={"because": "it is back"}).status_code == 200
    assert all(control.stopped is None for control in desk.loops())
    assert api.post("/api/v1/resume", json={"because": "it is back"}).status_code == 409


@pytest.mark.parametrize(
    "body", [{}, {"because": ""}, {"because": "x", "by": "eve"}, {"because": 3}, {"because": "x" * 201}]
)
def test_the_body_is_a_reason_and_names_nobody(desk: dc.Desk, api: TestClient, body: dict[str, Any]) -> None:
    for path in ("/api/v1/stop", "/api/v1/resume", "/api/v1/loops/refunds/stop", "/api/v1/loops/refunds/resume"):
        assert api.post(path, json=body).status_code == 422
    assert api.post("/api/v1/loops/nobody/stop", json={"because": "x"}).status_code == 404
    assert all(control.stopped is None for control in desk.loops())


def test_nobody_stops_anything_without_a_token(desk: dc.Desk, stranger: TestClient) -> None:
    for path in ("/api/v1/stop", "/api/v1/loops/refunds/stop", "/stop", "/loops/refunds/stop"):
        assert stranger.post(path, json={"because": "x"}).status_code == 401
    assert all(control.stopped is None for control in desk.loops())


def test_a_form_of_another_session_stops_nothing(desk: dc.Desk, web: TestClient) -> None:
    assert web.post("/stop", data={"because": "x", "csrf": "forged"}).status_code == 403
    assert web.get("/stop").status_code == 200
    assert all(control.stopped is None for control in desk.loops())


def test_a_loop_by_page_without_javascript(desk: dc.Desk, web: TestClient) -> None:
    case = web_cases.refund(desk)
    assert 'href="/loops/refunds/stop"' in web.get("/").text
    front = posted(web, "/loops/refunds/stop", because="wrong <b>amounts</b>").text
    assert "refunds is stopped." in front
    for path in ("/", "/inbox", "/cases", f"/cases/{case.id}", "/keys", "/loops/refunds/guarantee", "/nowhere"):
        page = web.get(path).text
        assert "refunds is stopped." in page, path
        assert "wrong &lt;b&gt;amounts&lt;/b&gt;" in page, path
        assert 'href="/loops/refunds/resume"' in page, path
    assert desk.control("refunds").stopped.by == "ana"
    assert "It is stopped already, by ana" in web.get("/loops/refunds/stop").text
    assert "is stopped" not in posted(web, "/loops/refunds/resume", because="mended").text
    assert desk.control("refunds").stopped is None


def test_all_loops_by_page(desk: dc.Desk, web: TestClient) -> None:
    assert 'href="/stop"' in web.get("/").text
    front = posted(web, "/stop", because="the bank is down").text
    assert "Every loop is stopped." in front
    assert front.count("Nothing runs; what was approved stays ready.") == 1
    assert 'href="/stop"' not in front
    assert web.get("/stop", headers={"Accept": "application/json"}).json()["stopped"]["by"] == "ana"
    desk.resume("lee", "fine", loop="spam")
    assert "Opened again since: spam" in web.get("/").text
    assert "is stopped" not in posted(web, "/resume", because="it is back").text
    assert all(control.stopped is None for control in desk.loops())
    assert "not stopped together" in web.get("/resume").text


def test_a_reason_that_does_not_fit_is_asked_for_again(desk: dc.Desk, web: TestClient) -> None:
    for because in ("", "  ", "x" * 201):
        page = posted(web, "/loops/refunds/stop", because=because)
        assert page.status_code == 422
        assert "aria-invalid" in page.text
        assert f'value="{because.strip()}"' in page.text
    assert desk.control("refunds").stopped is None
    assert web.get("/loops/nobody/stop").status_code == 404


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_stop_fits_a_phone(desk: dc.Desk, enter: Any, scheme: str) -> None:
    """Every part within the width, the button as red as it says, and back by the banner alone."""
    web_cases.refund(desk)
    page: Page = enter("", viewport={"width": 375, "height": 780}, color_scheme=scheme)
    page.click("text=Stop everything")
    page.fill("#because", "a long reason " * 14)
    page.click("button:has-text('Stop every loop')")
    page.wait_for_selector(".stops")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.click(".stops >> text=Resume …")
    page.fill("#because", "it is back")
    page.click("button:has-text('Resume every loop')")
    page.wait_for_selector(".loops")
    assert page.locator(".stops").count() == 0
    assert all(control.stopped is None for control in desk.loops())
