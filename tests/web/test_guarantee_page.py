"""The guarantee's page in every state: its words, its charts and tables, its twin, and what if."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import guarantee_cases
import pytest
from guarantee_cases import World
from starlette.testclient import TestClient

import dualcontrol as dc
from dualcontrol.events import AutopilotClosed

EVIL = "<script>alert(1)<\\script>\"'&"
PAGE, API = "/loops/mail/guarantee", "/api/v1/loops/mail/guarantee"
CHARTS = 5


def world(desk: dc.Desk, name: str = "mail", **changes: Any) -> World:
    """A loop under a quick guarantee."""
    return World(desk, guarantee_cases.define(desk, name, **changes))


def charts(page: str) -> list[ElementTree.Element]:
    """The charts of a page, each as XML."""
    return [ElementTree.fromstring(found) for found in re.findall(r'(?s)<svg class="chart".*?</svg>', page)]


def test_without_a_guarantee_it_says_how_to_have_one(web: TestClient) -> None:
    """No figures, no charts, no what-if."""
    page = web.get("/loops/spam/guarantee").text
    for words in ("This loop has no guarantee", "max_error = 0.05", "runs on autopilot from 0.97 on"):
        assert words in page
    assert charts(page) == []
    assert "What if" not in page


def test_before_the_first_decision(web: TestClient, desk: dc.Desk) -> None:
    """Nothing is certified, why, and what it takes."""
    guarantee_cases.define(desk)
    page = web.get(PAGE).text
    for words in ("Nothing is certified: everything goes to humans", "no decision was counted yet", "more answers"):
        assert words in page
    assert "Nothing is counted yet" in page
    assert charts(page) == []


@pytest.mark.parametrize(("decisions", "state"), [(8, "pilot"), (30, "collecting")])
def test_while_answers_are_collected(
    web: TestClient, api: TestClient, desk: dc.Desk, decisions: int, state: str
) -> None:
    """The state has its word, and the figures are those of the standing."""
    world(desk).decisions(decisions)
    page, told = web.get(PAGE).text, api.get(API).json()["segments"][0]
    assert told["state"] == state
    assert state in page
    assert "Nothing is certified" in page
    assert f"about {told['labels_needed']} more" in page
    assert len(charts(page)) == CHARTS


def test_what_is_certified(web: TestClient, api: TestClient, desk: dc.Desk) -> None:
    """The promise in words, its bound and coverage, charts with a title each, and the log with its reasons."""
    world(desk).decisions(300, wrong=0.01)
    page, told = web.get(PAGE).text, api.get(API).json()
    shown = told["segments"][0]
    assert shown["state"] == "certified"
    assert "At most 20 % of what autopilot does is wrong, with 90 % confidence." in page
    assert f"confidence of {shown['threshold']:.4g} or more" in page
    parts = ("When it lapses", "What is not promised", "What counts as wrong", "Threshold moved to", "People’s time")
    for words in parts:
        assert words in page
    for chart in charts(page):
        title, described = chart[0], chart[1]
        assert (title.text, described.text) != ("", "")
        assert chart.attrib["aria-labelledby"].split() == [title.attrib["id"], described.attrib["id"]]
    assert len(charts(page)) == CHARTS
    assert page.count("as a table") == CHARTS
    assert told["points"][-1]["threshold"] == shown["threshold"]


def test_after_an_alarm(web: TestClient, api: TestClient, desk: dc.Desk) -> None:
    """Closed, by what, since when; the threshold of before is history."""
    made = world(desk)
    made.decisions(300, wrong=0.01)
    made.decisions(300, wrong=0.9)
    page, told = web.get(PAGE).text, api.get(API).json()
    assert told["segments"][0]["state"] == "closed"
    assert page.count("The monitor found that more than 20 % of what autopilot does is wrong by now") >= 2
    assert "Autopilot is closed: everything goes to humans." in page
    assert "then autopilot opens by itself" in page
    assert "autopilot closed" in page
    assert 'class="chart-moment bad"' in page
    assert max(point["suspicion"] for point in told["points"]) == 1.0
    assert told["points"][-1]["threshold"] is None
    assert [move["what"] for move in told["moves"]][-3:] == ["autopilot closed", "alarm", "epoch began"]


def test_segments_have_a_page_each(web: TestClient, api: TestClient, desk: dc.Desk) -> None:
    """Side by side as links, with a sparkline; a name that is none is not found."""
    made = world(desk, segments=("eu", "us"))
    made.decisions(300, wrong=0.0, segment="eu")
    page = web.get(PAGE).text
    assert "segment &#39;eu&#39; of loop &#39;mail&#39;" in page
    assert page.count('class="spark"') == 1
    assert "Nothing is certified" in web.get(PAGE, params={"segment": "us"}).text
    assert api.get(API).json()["segment"] == "eu"
    assert api.get(API, params={"segment": "us"}).json()["points"] == []
    assert web.get(PAGE, params={"segment": "asia"}).status_code == 404
    front = web.get("/").text
    assert "certified for eu" in front
    assert 'href="/loops/mail/guarantee"' in front


def test_names_are_text(web: TestClient, desk: dc.Desk) -> None:
    """Of loops and of segments, on the page and in its addresses."""
    made = world(desk, EVIL, segments=(EVIL, "other"))
    made.decisions(60, segment=EVIL)
    page = web.get(f"/loops/{quote(EVIL, safe='')}/guarantee")
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text
    link = re.search(r'href="(\?segment=[^"]+)"', page.text)
    assert link is not None
    assert web.get(page.url.path + link[1]).status_code == 200
    assert len(charts(page.text)) == CHARTS


def test_the_twin_is_the_api(web: TestClient, api: TestClient, desk: dc.Desk) -> None:
    """The same figures by suffix, by Accept and at the API, with a what-if and without."""
    world(desk).decisions(120)
    for asked in ({}, {"max_error": "0.3", "confidence": "0.8", "minute_price": "0.5", "error_loss": "20"}):
        told = api.get(API, params=asked).json()
        assert web.get(f"{PAGE}.json", params=asked).json() == told
        assert web.get(PAGE, params=asked, headers={"Accept": "application/json"}).json() == told
    assert told["what_if"]["asked"]["max_error"] == 0.3
    assert told["promise"]["headline"] in web.get(PAGE).text


def test_what_if(web: TestClient, api: TestClient, desk: dc.Desk) -> None:
    """A wider bound opens more, a narrower one less; prices give costs and a cheapest threshold."""
    world(desk).decisions(300)
    asked = {"max_error": "30 %", "confidence": "0.9", "minute_price": "1", "minutes": "2", "error_loss": "10"}
    page = web.get(PAGE, params=asked).text
    for words in ("would be certified", "Cost of 1,000", "It promises nothing"):
        assert words in page
    wide, narrow = (_what_if(api, bound) for bound in (0.3, 0.01))
    assert wide["certified"]["load"] < 0.5
    assert narrow["certified"] is None
    assert "certify nothing" in web.get(PAGE, params={"max_error": "0.01"}).text
    assert wide["humans"] is None
    same = _what_if(api, 0.2, confidence=0.9)
    today = api.get(API).json()["segments"][0]["threshold"]
    assert (same["certified"] or {}).get("threshold") == today, "the promise in force gives the threshold in force"


def _what_if(api: TestClient, bound: float, **more: Any) -> dict[str, Any]:
    told: dict[str, Any] = api.get(API, params={"max_error": bound, **more}).json()["what_if"]
    return told


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"max_error": "a lot"}, "A share above 0 and below 1"),
        ({"max_error": "7"}, "A share above 0 and below 1"),
        ({"max_error": "0.1", "minute_price": "2"}, "A cost takes both prices"),
        ({"max_error": "nan"}, "A share above 0 and below 1"),
        ({"max_error": "0.1", "minutes": "-3"}, "A number"),
    ],
)
def test_a_mistake_in_the_form_stands_at_its_field(web: TestClient, desk: dc.Desk, typed: Any, said: str) -> None:
    """What was typed stays there."""
    world(desk).decisions(30)
    page = web.get(PAGE, params=typed)
    assert page.status_code == 200
    assert said in page.text
    assert 'aria-invalid="true"' in page.text
    assert f'value="{typed["max_error"]}"' in page.text


def test_who_may_look(stranger: TestClient, web: TestClient, api: TestClient, desk: dc.Desk) -> None:
    """As with every other page: a token; a loop that is not there is not found."""
    guarantee_cases.define(desk)
    for path in (PAGE, f"{PAGE}.json", API):
        assert stranger.get(path).status_code == 401
    assert web.get("/loops/nope/guarantee").status_code == 404
    assert api.get("/api/v1/loops/nope/guarantee").status_code == 404


def test_nothing_inline(web: TestClient, desk: dc.Desk) -> None:
    """The charts keep to the strict policy for content."""
    world(desk).decisions(60)
    page = web.get(PAGE, params={"max_error": "0.2"}).text
    assert not re.search(r"<style|style=|<script(?! type=\"module\" src=)| on[a-z]+=\"", page)


def test_looking_writes_nothing(web: TestClient, desk: dc.Desk) -> None:
    """A page that is read again and again adds nothing to the ledger."""
    made = world(desk)
    made.decisions(40)
    before = len(list(desk.store.queries.entries(made.loop.stream, values=False)))
    web.get(PAGE, params={"max_error": "0.2"})
    assert len(list(desk.store.queries.entries(made.loop.stream, values=False))) == before


def test_what_comes_later_is_on_the_page(web: TestClient, api: TestClient, desk: dc.Desk) -> None:
    """The course is kept between requests and goes on where it stopped, as if it were read at once."""
    made = world(desk)
    for _ in range(4):
        made.decisions(25)
        web.get(PAGE)
    bit_by_bit = api.get(API).json()
    web.app.state.courses._histories.clear()  # type: ignore[attr-defined]
    assert api.get(API).json() == bit_by_bit


@pytest.mark.parametrize(
    ("cause", "when"), [("model_file", "when this is mended"), ("person", "when somebody opens it again")]
)
def test_closed_for_another_reason(web: TestClient, api: TestClient, desk: dc.Desk, cause: str, when: str) -> None:
    """What was certified still stands, and the page says so; the front page says why it is closed."""
    made = world(desk)
    made.decisions(300, wrong=0.01)
    control = made.loop.control
    why = {"cause": cause, "reason": "the monitor found the file of the model missing"}
    closed = AutopilotClosed(version=control.version + 1, at=0, segment="", **why)
    with desk.store.transaction() as tx:
        desk.steps.moved(tx, control, [closed], expected=control)
    page = web.get(PAGE).text
    assert "The monitor found the file of the model missing" in page
    assert f"What was certified still stands; autopilot opens {when}" in page
    assert api.get(API).json()["points"][-1]["threshold"] is None


def test_it_says_which_answers_counted(web: TestClient, desk: dc.Desk) -> None:
    """Those given without the proposal; and of the others that they did not."""
    here = world(desk, blind=True)
    here.decisions(160, wrong=0.0)
    shown = here.loop.guarantee()[0]
    page = web.get(PAGE).text
    assert f"{shown.labels_used} blind answers were counted" in page
    assert "Nobody had seen the proposal before they gave them" in page
    (twin,) = web.get(f"{PAGE}.json").json()["segments"]
    assert (twin["blind"], twin["shown"]) == (True, shown.shown)


def test_of_two_orders_it_says_which_acts_and_what_each_covers(web: TestClient, api: TestClient, desk: dc.Desk) -> None:
    """Before there is a second one the page says what is kept for it."""
    playing = world(desk, score="both", learn_from=60)
    playing.decisions(40)
    assert "Half of the chance of being wrong is kept for a second order" in web.get(PAGE).text
    playing.decisions(360)
    page, told = web.get(PAGE).text, api.get(API).json()
    [segment] = told["segments"]
    orders = {one["order"]: one for one in segment["orders"]}
    assert set(orders) == {"confidence", "risk"}
    assert [one["acts"] for one in orders.values()].count(True) == 1
    acting = next(one for one in orders.values() if one["acts"])
    assert (acting["threshold"], acting["through"] > 0.0) == (segment["threshold"], True)
    assert "Which order acts" in page
    assert told["promise"]["orders"].startswith("Two orders count the same answers")
    assert orders["risk"]["scorer"] in told["promise"]["orders"]


def test_the_error_of_each_class_stands_on_the_page(web: TestClient, api: TestClient, desk: dc.Desk) -> None:
    """A row for each, its interval drawn and in words, and a warning where one is far above the bound."""
    loop = guarantee_cases.define(desk, max_error=0.3, launch=100_000, breakdown=["meta.country"])
    for n in range(320):
        label = "spam" if n % 4 == 0 else "ham"
        case = loop.propose(proposal=label, input=f"mail {n}", confidence=0.9, meta={"country": EVIL})
        if case.reviews:
            desk.claim("ana", case=case).label("ham" if n > 100 and label == "spam" else label)
        if n % 40 == 0:
            loop.certify()
    loop.certify()
    page, told = web.get(PAGE).text, api.get(API).json()
    (classes, countries) = told["breakdowns"]
    assert (classes["by"], [part["name"] for part in classes["parts"]]) == ("class", ["spam", "ham"])
    worst = classes["parts"][0]
    assert worst["exceeds"]
    for words in (
        "Error of autopilot by class",
        "Class &#39;spam&#39; is wrong in",
        "per = &#34;class&#34;",
        ">above</span>",
    ):
        assert words in page, words
    drawn = [ElementTree.fromstring(found) for found in re.findall(r'(?s)<svg class="spark whisker".*?</svg>', page)]
    assert len(drawn) == 3
    assert "30 % is promised for all together" in drawn[0].get("aria-label", "")
    assert "<script>alert" not in page
    assert countries["by"] == "meta.country"
    assert web.get(f"{PAGE}.json").json()["breakdowns"] == told["breakdowns"]
