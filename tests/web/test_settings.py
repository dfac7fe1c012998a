"""Settings over HTTP and on their page: in force, the file's, and what people lay over it, in their own name."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

import dualcontrol as dc
from dualcontrol.events import SettingOverridden

API, PAGE = "/api/v1/loops/spam/settings", "/loops/spam/settings"


def token(web: TestClient) -> str:
    """What a form of this session carries."""
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', web.get("/keys").text)
    assert found is not None
    return found[1]


def laid(desk: dc.Desk) -> list[SettingOverridden]:
    """Every override of the loop that was recorded."""
    entries = desk.store.queries.entries(desk.loop("spam").stream)
    return [event for entry in entries for event in entry.events if isinstance(event, SettingOverridden)]


# the API


def test_a_setting_is_overridden_in_the_name_of_who_asks(api: TestClient, desk: dc.Desk) -> None:
    reply = api.put(f"{API}/threshold", json={"value": 0.5, "instead_of": 0.97})
    assert reply.status_code == 200
    body = api.get(API).json()
    assert body == reply.json()
    assert (body["effective"]["threshold"], body["base"]["threshold"]) == (0.5, 0.97)
    assert body["overrides"]["threshold"]["by"] == "ana"
    assert api.put(f"{API}/threshold", json={"value": 0.5}).json()["version"] == body["version"]
    assert [(event.key, event.value, event.by) for event in laid(desk)] == [("threshold", "0.5", "ana")]
    dropped = api.delete(f"{API}/threshold").json()
    assert (dropped["effective"], dropped["overrides"]) == (body["base"], {})
    assert api.delete(f"{API}/threshold").status_code == 404


REFUSED: list[tuple[str, Any, int, str]] = [
    ("treshold", {"value": 1}, 422, "DC-SETTINGS"),
    ("threshold", {"value": 97}, 422, "DC-SETTINGS"),
    ("threshold", {"value": 0.5, "instead_of": 0.6}, 409, "DC-CONFLICT"),
    ("threshold", {"value": 0.97}, 422, "DC-REQUEST"),
    ("threshold", {"value": 0.5, "person": "lee"}, 422, "DC-REQUEST"),
    ("threshold", {"value": 0.5, "approved_by": "lee"}, 422, "DC-REQUEST"),
    ("threshold", {}, 422, "DC-REQUEST"),
    ("quorum", {"value": {"answers": 0}}, 422, "DC-SETTINGS"),
]


@pytest.mark.parametrize(("key", "body", "status", "code"), REFUSED)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    api: TestClient, desk: dc.Desk, key: str, body: Any, status: int, code: str
) -> None:
    """Nobody lays a value in another's name either, or says that somebody approved it."""
    reply = api.put(f"{API}/{key}", json=body)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert laid(desk) == []


def test_a_loop_that_is_not_there_has_no_settings(api: TestClient) -> None:
    for method in ("GET", "PUT", "DELETE"):
        address = "/api/v1/loops/nope/settings" + ("" if method == "GET" else "/threshold")
        body = {"json": {"value": 1}} if method == "PUT" else {}
        assert api.request(method, address, **body).status_code == 404


# the page


def test_the_page_shows_each_value_beside_the_files(web: TestClient, desk: dc.Desk) -> None:
    assert web.get(PAGE).text.count("the same") == web.get(PAGE).text.count("Change<span")
    desk.loop("spam").override("threshold", 0.5, "Lee", approved_by="Mo")
    page = web.get(PAGE).text
    row = re.search(r'<tr class="is-laid">.*?</tr>', page, re.DOTALL)
    assert row is not None
    for words in ("threshold", "0.5", "0.97", "Lee", "approved by Mo", "Drop"):
        assert words in row[0]
    assert "1 override" in web.get("/").text
    assert web.get(f"{PAGE}.json").json()["overrides"]["threshold"]["approved_by"] == "Mo"


def test_a_form_lays_a_value_and_another_drops_it(web: TestClient, desk: dc.Desk) -> None:
    form = web.get(f"{PAGE}?key=threshold").text
    seen = re.search(r'name="seen" value="([^"]+)"', form)
    assert seen is not None
    sent = {"csrf": token(web), "key": "threshold", "seen": seen[1], "value": " 0.5 "}
    assert web.post(PAGE, data=sent).status_code == 200
    assert [(event.value, event.by) for event in laid(desk)] == [("0.5", "ana")]
    desk.loop("spam").override("threshold", 0.6, "lee")
    late = web.post(PAGE, data=sent)  # what the form was made for is in force no more
    assert late.status_code == 409
    assert "by now by lee" in late.text
    assert desk.governing("spam").settings.threshold == 0.6
    assert web.post(PAGE, data={"csrf": sent["csrf"], "key": "threshold", "act": "drop"}).status_code == 200
    assert desk.governing("spam").overrides == {}


@pytest.mark.parametrize(
    ("value", "words"), [("97", "did you mean 0.97"), ("", "Say what"), ("{", "not JSON"), ("<b>", "&lt;b&gt;")]
)
def test_what_does_not_fit_stays_in_the_form(web: TestClient, desk: dc.Desk, value: str, words: str) -> None:
    page = web.post(PAGE, data={"csrf": token(web), "key": "threshold", "seen": "0.97", "value": value})
    assert page.status_code == 422
    assert words in page.text
    assert "Change threshold" in page.text
    assert laid(desk) == []


def test_a_form_of_no_session_changes_nothing(web: TestClient, desk: dc.Desk) -> None:
    assert web.post(PAGE, data={"key": "threshold", "seen": "0.97", "value": "0.5"}).status_code == 403
    assert web.get(f"{PAGE}?key=treshold").status_code == 404
    assert laid(desk) == []


def test_a_text_that_reads_as_json_is_typed_as_json(web: TestClient, desk: dc.Desk) -> None:
    desk.loop("spam").override("group", "12", "ana")
    assert "&#34;12&#34;</textarea>" in web.get(f"{PAGE}?key=group").text
    assert ">minimal</textarea>" in web.get(f"{PAGE}?key=context").text


# by two


def test_in_a_loop_of_two_a_second_person_approves(api: TestClient, web: TestClient, desk: dc.Desk) -> None:
    loop = desk.loop("spam")
    loop.override("changes", "two", "lee")
    reply = api.put(f"{API}/threshold", json={"value": 0.5})
    assert reply.status_code == 202
    case_id = reply.json()["case_id"]
    assert reply.json()["effective"]["threshold"] == 0.97
    sent = {"csrf": token(web), "key": "threshold", "seen": "0.97", "value": "0.5"}
    page = web.post(PAGE, data=sent)
    assert f"/cases/{case_id}" in page.text  # asked already: the same case
    assert "Nothing is changed yet" in page.text
    assert web.post(f"/cases/{case_id}/claim", data={"csrf": sent["csrf"]}).status_code == 403  # ana's own
    claim = desk.claim("ben", case=case_id)
    assert claim is not None
    claim.approve()
    body = api.get(API).json()
    assert body["effective"]["threshold"] == 0.5
    assert body["overrides"]["threshold"]["approved_by"] == "ben"
    assert api.delete(f"{API}/threshold").status_code == 202
    loop.stop_autopilot("lee", "odd")
    opening = api.post("/api/v1/loops/spam/autopilot/open", json={"person": "lee"})
    assert (opening.status_code, opening.json()["loop"]) == (202, "changes")
