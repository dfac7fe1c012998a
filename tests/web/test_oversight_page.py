"""What is measured of people, seen: right after a test case, on its page, and on the page of all figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import probe_cases
import pytest
from starlette.testclient import TestClient
from team import People, session, team

import dualcontrol as dc
from dualcontrol.testing import FakeClock, seeded_ids
from dualcontrol.vigilance import sources
from dualcontrol.vigilance.standing import oversight
from dualcontrol.web.app import create_app
from dualcontrol.web.pages.oversight import ALARMS, parts

BASE, TOKEN = "http://127.0.0.1:8765", "a-token-of-the-tests"
PAGE, API = "/loops/mail/oversight", "/api/v1/loops/mail/oversight"
LABELS = ["a", "b"]


class Place(NamedTuple):
    """A desk with accounts, its clock, its API, and a browser for each of its people."""

    desk: dc.Desk
    clock: FakeClock
    api: People
    browsers: dict[str, TestClient]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """ana, ben and cleo review, lee leads, otto audits."""
    clock = FakeClock()
    with dc.open(f"sqlite:///{tmp_path}/dc.db", clock=clock, new_id=seeded_ids(5), durability="process") as desk:
        team(desk, names=("ana", "ben", "cleo", "lee", "otto"), roles=())
        for name in ("ana", "ben", "cleo"):
            desk.people.grant(name, "reviewer", "root")
        desk.people.grant("lee", "lead", "root")
        desk.people.grant("otto", "auditor", "root")
        app = create_app(desk, token=TOKEN)
        with People(app, desk, base_url=BASE, headers={"Authorization": f"Bearer {TOKEN}"}) as api:
            browsers = {}
            for name in ("ana", "ben", "lee", "otto"):
                browser = TestClient(app, base_url=BASE, headers={"Accept": "text/html"})
                browser.cookies.set(app.state.access.cookie, session(desk, name), domain="127.0.0.1", path="/")
                browsers[name] = browser
            yield Place(desk, clock, api, browsers)


def as_(place: Place, name: str, path: str = API) -> Any:
    """What somebody gets by a token of their own that reads."""
    token = place.desk.tokens.issue(name, "root", scopes=("read",))[1]
    return place.api.get(path, headers={"Authorization": f"Bearer {token}"})


def words(page: str) -> str:
    """A page as its text alone."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


# Told right after the answer, and not before


def test_the_page_after_the_answer_says_what_it_was_and_what_shows_it(place: Place) -> None:
    probe = probe_cases.work(place.desk, "approval", wrong=True, clock=place.clock)
    ana = place.browsers["ana"]
    csrf = re.search(r'name="csrf" value="(\w+)"', ana.get("/inbox").text)
    assert csrf is not None
    page = ana.post(f"/cases/{probe.id}/claim", data={"csrf": csrf[1]})
    assert page.url.path.startswith("/claims/")
    for telling in ("test case was", "That was a", probe_cases.CUE, "The proposal was wrong"):
        assert telling not in page.text
    fields = dict(re.findall(r'name="(csrf|served|shown)" value="([^"]+)"', page.text))
    place.clock.tick(20)
    after = ana.post(f"{page.url.path}/answer", data={**fields, "verdict": "approve"})
    assert after.status_code == 200
    told = words(after.text)
    assert "That was a test case. The proposal was wrong; you let it pass." in told
    assert f"What shows it: {probe_cases.CUE}." in told
    assert "/undo" not in after.text  # it was told, so that it cannot be taken back
    later = words(ana.get(f"/cases/{probe.id}").text)
    assert f"What shows it: {probe_cases.CUE}." in later
    assert "A test case: the proposal was wrong, and it came through" in later
    assert "What the reviewer was told" in place.browsers["lee"].get(f"/cases/{probe.id}").text
    assert place.browsers["ben"].get(f"/cases/{probe.id}").status_code == 404
    with pytest.raises(dc.errors.SettledError):
        place.desk.retract(probe.id, "ana")


@pytest.mark.parametrize(
    ("wrong", "label", "words_of"),
    [
        (True, "right", "The proposal was wrong; you noticed."), (True, "proposed", "wrong; you let it pass."),
        (False, "proposed", "The proposal was right; you let it through."),
        (False, "other", "The proposal was right; you turned it down."),
    ],
)  # fmt: skip
def test_the_reply_of_the_api_and_python_say_the_same(place: Place, wrong: bool, label: str, words_of: str) -> None:
    probe = probe_cases.work(place.desk, "labels shown", wrong=wrong, clock=place.clock)
    assert probe.debriefing is None
    claim = place.api.post("/api/v1/claims", json={"person": "ana", "case": probe.id}).json()
    proposed = probe.proposed_value()
    value = {"right": "a", "proposed": proposed, "other": next(v for v in probe_cases.LABELS if v != proposed)}[label]
    before = place.api.get(f"/api/v1/cases/{probe.id}", headers={"Authorization": f"Bearer {place.api.token('ana')}"})
    assert (before.json()["kind"], before.json()["scored"], before.json()["debriefing"]) == ("live", None, None)
    told = place.api.post(f"/api/v1/claims/{claim['id']}/answer", json={"verdict": "label", "value": value}).json()
    assert (told["kind"], told["scored"]["wrong"], told["scored"]["rejected"]) == ("probe", wrong, value != proposed)
    assert words_of in told["debriefing"]
    assert place.desk.case(probe.id).debriefing == told["debriefing"]
    live = place.desk.loop("mail").propose(**probe_cases.content("labels shown", 998))
    assert place.api.get(f"/api/v1/cases/{live.id}").json()["debriefing"] is None


def test_one_that_is_passed_on_says_nothing_of_anybody(place: Place) -> None:
    probe = probe_cases.work(place.desk, "labels shown")
    claim = place.desk.claim("ana", case=probe.id)
    assert claim is not None
    after = claim.abstain()
    assert after.debriefing == "That was a test case. Nobody answered it, so it says nothing of anybody."
    assert [r.state for r in after.reviews] == ["passed", "cancelled"]
    assert place.desk.loop("mail").oversight().people == ()


# What the figures say, and to whom


def answered(desk: dc.Desk, loop: dc.Loop, person: str, *, wrong: bool, rejects: bool) -> None:
    """A probe that somebody answered: one that was written by eva is opened for them alone."""
    template = loop.add_probe(
        wrong=wrong, by="eva", proposal="b", right="a" if wrong else None, cue="it says so", confidence=0.6,
        input=f"{person} {len(list(desk.store.queries.probes(loop.control.loop_id, 0)))}",
    )  # fmt: skip
    source = sources.made_of(template, loop.control, wrong, 0.0)
    assert source is not None
    probe = desk.steps.propose(sources.proposal(source, loop.control, person), own=True).case
    claim = desk.claim(person, case=probe.id)
    assert claim is not None
    claim.label("a" if rejects else "b")


def measured(place: Place) -> dc.Loop:
    """ana notices 4 of 5 and turns 1 of 2 down, ben lets 4 of 4 pass; half of it with more context."""
    loop = place.desk.loop("mail", mode="labels", labels=LABELS, context="minimal", probes={"share": 0.1})
    for noticed in (True, True, False):
        answered(place.desk, loop, "ana", wrong=True, rejects=noticed)
    loop = place.desk.loop("mail", mode="labels", labels=LABELS, context=["input"], probes={"share": 0.1})
    for noticed in (True, True):
        answered(place.desk, loop, "ana", wrong=True, rejects=noticed)
    for rejects in (True, False):
        answered(place.desk, loop, "ana", wrong=False, rejects=rejects)
    for _ in range(4):
        place.clock.tick(60)
        answered(place.desk, loop, "ben", wrong=True, rejects=False)
    return loop


def test_who_audits_sees_all_of_it_and_a_reviewer_their_own(place: Place) -> None:
    measured(place)
    for name in ("lee", "otto"):
        all_of_it = as_(place, name).json()
        assert all_of_it["whole"] is True
        assert [p["name"] for p in all_of_it["people"]] == ["ana", "ben"]
        assert (all_of_it["team"]["caught"]["of"], all_of_it["team"]["caught"]["share"]) == (9, pytest.approx(4 / 9))
        assert {flag["person"] for flag in all_of_it["flags"]} == {"ben"}
    own = as_(place, "ana").json()
    assert (own["whole"], own["certificate"], own["team"], own["levels"], own["flags"]) == (False, None, None, [], [])
    assert [p["name"] for p in own["people"]] == ["ana"]
    assert own["statement"].startswith("you noticed 4 of 5 wrong proposals")
    assert "ben" not in place.browsers["ana"].get(PAGE).text.replace("/ben", "")
    assert "You were flagged" in place.browsers["ben"].get(PAGE).text
    assert place.api.get(API, headers={"Authorization": "Bearer nothing"}).status_code == 401


def test_the_figures_are_counts_with_limits_by_person_and_by_context(place: Place) -> None:
    measured(place)
    of = place.desk.loop("mail").oversight()
    ana, ben = of.people
    assert (ana.caught.share, ana.caught.of, ana.false_alarms.share, ana.false_alarms.of) == (0.8, 5, 0.5, 2)
    assert (ben.caught.share, ben.caught.of, ben.false_alarms.share) == (0.0, 4, None)
    assert ana.caught.low < 0.8 < ana.caught.high
    assert ben.d_prime is None  # never asked about a right one
    assert ana.d_prime is not None
    assert (ana.comparable, ana.diagnosis) == (False, "too few probes")
    assert {level.name: (level.caught.share, level.caught.of) for level in of.levels} == {
        "minimal": (pytest.approx(2 / 3), 3), "input": (pytest.approx(2 / 6), 6),
    }  # fmt: skip
    assert of.certificate is not None
    assert of.certificate.probes == 9
    assert of.certificate.caught_at_least < 4 / 9
    assert of.statement.startswith("the human step catches at least ")


def test_the_page_says_all_of_it_in_words(place: Place) -> None:
    measured(place)
    page = place.browsers["lee"].get(PAGE)
    text = words(page.text)
    for said in (
        "The human step catches at least", "confidence 95 %", "Wrong after review, directly", "not known yet",
        "80 %", "5 wrong proposals", "2 right proposals", "criterion", "Too few test cases to say",
        "ben missed 3 of the last 3 wrong proposals: 64 times as likely of somebody who misses 40 %",
        "measured with cases whose right answer is known, by a sequential test (Wald 1945)",
        "In the order of names", "Below 100 test cases figures do not tell people apart: ana, ben have fewer",
        "What follows, and for whom", "ben · ", "Flagged by the rubber-stamp test", "Over a shift, and over weeks",
        "At most 10 % of all answers", "Right after your answer", "You see your own figures", "Nobody is ranked",
    ):  # fmt: skip
        assert said in text, said
    names = re.findall(r'(?s)<th scope="row">\s*([\w ]+)', page.text)
    assert names[:5] == ["The team", "ana", "ben", "input", "minimal"]
    assert names[5] == "hour 1"
    twin = place.browsers["lee"].get(f"{PAGE}.json").json()
    assert [(step["person"], step["name"]) for step in twin["steps"]] == [("ben", "notice")]
    assert [(span["of"], span["caught"], span["wrong"]) for span in twin["drift"]["hours"]] == [("hour 1", 4, 9)]
    assert twin["statement"] == place.desk.loop("mail").oversight().statement


def test_before_there_is_anything_it_says_so_and_how_to_begin(place: Place) -> None:
    place.desk.loop("mail", mode="labels", labels=LABELS)
    place.desk.loop("refunds", mode="approval")
    empty = words(place.browsers["lee"].get(PAGE).text)
    assert "Nobody knows yet what the human step catches" in empty
    assert "dualcontrol probes add mail FILE" in empty
    off = words(place.browsers["lee"].get("/loops/refunds/oversight").text)
    assert "This loop asks no test cases" in off
    assert "[[loop.refunds.probes.corruptions]]" in off
    assert "Never, as this loop is set up now." in off
    assert as_(place, "lee", "/api/v1/loops/nothing/oversight").status_code == 404


def test_those_who_are_measured_are_told_where_they_work(place: Place) -> None:
    """In the inbox and on the account page, with the way to what is measured; and from the guarantee."""
    place.desk.loop("mail", mode="labels", labels=LABELS)
    for path in ("/inbox", "/account"):
        page = place.browsers["ana"].get(path).text
        assert "known ones, to measure how much people notice" in page
        assert "/loops/mail/oversight#measured" in page
    assert 'id="measured"' in place.browsers["ana"].get(PAGE).text
    assert PAGE in place.browsers["ana"].get("/loops/mail/guarantee").text
    place.desk.loop("mail", mode="labels", labels=LABELS, probes={"share": 0})
    assert "known ones" not in place.browsers["ana"].get("/inbox").text


def test_what_is_left_after_review_is_said_twice_and_an_alarm_where_the_two_exclude_each_other(place: Place) -> None:
    """A tenth of what reaches people is wrong by blind labels, a fifth of what they decided by blind audits."""
    loop = measured(place)
    figures = place.desk.prober.figures(loop.control)
    for number in range(2000):
        figures.certificate.label(wrong=number % 10 == 0)
        figures.certificate.audit(passed_wrong=number % 5 == 0)
    of = oversight(loop.control, figures).certificate
    assert of is not None
    assert of.disagreement == "more gets through"
    assert "Believe the direct figure" in ALARMS[of.disagreement][1]
    said = dict(parts(of))
    assert said["Wrong after review, directly"] == "at most 23 % of decisions, about 20 %"
    assert said["Wrong after review, by test cases"].startswith("at most 1")
    assert "at most 12 % of the proposals that reach people is wrong" in said["Wrong after review, by test cases"]


def test_of_actions_it_says_that_people_had_committed_and_saw_them_then(place: Place) -> None:
    probe = probe_cases.work(place.desk, "approval", wrong=True, clock=place.clock)
    claim = place.desk.claim("ana", case=probe.id)
    assert claim is not None
    claim.approve()
    page = words(place.browsers["lee"].get(PAGE).text)
    assert "Let pass, of wrong ones after they had committed" in page
    assert "not in view" not in page


# Whom the leads suspend, and readmit


def mail(place: Place, **settings: Any) -> dc.Loop:
    return place.desk.loop("mail", mode="labels", labels=LABELS, context="minimal", **settings)


def send(place: Place, name: str, act: str, **body: str) -> Any:
    """What the API answers somebody who suspends or readmits, by a token of their own that decides."""
    token = place.desk.tokens.issue(name, "root", scopes=("decide",))[1]
    return place.api.post(f"/api/v1/loops/mail/{act}", json=body, headers={"Authorization": f"Bearer {token}"})


def submit(place: Place, name: str, act: str, **fields: str) -> Any:
    """What the page answers to the form of somebody."""
    browser = place.browsers[name]
    page = browser.get(f"/loops/mail/{act}").text
    csrf = re.search(r'name="csrf" value="(\w+)"', page)
    return browser.post(f"/loops/mail/{act}", data={"csrf": csrf[1] if csrf else "none", **fields})


def test_a_lead_suspends_and_readmits_over_http(place: Place) -> None:
    loop = mail(place)
    reply = send(place, "lee", "suspend", reviewer="ana", because="does not look")
    assert reply.status_code == 200, reply.text
    assert reply.json()["control"]["rungs"]["ana"]["step"] == 5
    assert loop.control.step_of("ana") == 5
    entry = place.desk.store.queries.entries(loop.stream)[-1]
    assert (entry.events[-1].by, entry.events[-1].because) == ("lee", "does not look")
    again = send(place, "lee", "suspend", reviewer="Ana", because="twice")
    assert again.status_code == 200
    assert place.desk.store.queries.entries(loop.stream)[-1].seq == entry.seq
    assert send(place, "lee", "readmit", reviewer="ana", because="trained").status_code == 200
    assert loop.control.step_of("ana") == 0


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("ana", {"reviewer": "ben", "because": "why"}, 403, "DC-ROLE"),
        ("lee", {"reviewer": "lee", "because": "why"}, 403, "DC-ELIGIBILITY"),
        ("lee", {"reviewer": "ben", "because": " "}, 422, "DC-REQUEST"),
        ("lee", {"reviewer": "", "because": "why"}, 422, "DC-REQUEST"),
        ("lee", {"reviewer": "ben"}, 422, "DC-REQUEST"),
        ("lee", {"reviewer": "ben", "because": "why", "person": "otto"}, 403, "DC-ROLE"),
    ],
)
def test_who_may_not_suspend_is_told_why(place: Place, name: str, body: dict[str, str], status: int, code: str) -> None:
    loop = mail(place)
    for act in ("suspend", "readmit"):
        refused = send(place, name, act, **body)
        assert refused.status_code == status, refused.text
        assert refused.json()["code"] == code
    assert not loop.control.rungs


def test_where_changes_take_two_a_second_lead_is_asked(place: Place) -> None:
    loop = mail(place, changes="two")
    reply = send(place, "lee", "suspend", reviewer="ana", because="does not look")
    assert reply.status_code == 202, reply.text
    assert reply.json()["loop"] == "changes"
    assert loop.control.step_of("ana") == 0
    page = submit(place, "lee", "suspend", reviewer="ben", because="nor he")
    assert "a second person has to approve it" in page.text
    assert page.url.path == PAGE


def test_a_lead_suspends_and_readmits_on_the_page(place: Place) -> None:
    loop = measured(place)
    page = place.browsers["lee"].get(PAGE).text
    assert 'href="/loops/mail/suspend?reviewer=ana"' in page
    assert "/suspend" not in place.browsers["otto"].get(PAGE).text
    assert place.browsers["ana"].get("/loops/mail/suspend").status_code == 403
    asked = place.browsers["lee"].get("/loops/mail/suspend?reviewer=<b>ana</b>").text
    assert "&lt;b&gt;ana&lt;/b&gt;" in asked
    assert "<b>ana" not in asked
    empty = submit(place, "lee", "suspend", reviewer="ana", because="  ")
    assert (empty.status_code, 'value="ana"' in empty.text, "why to suspend" in empty.text) == (422, True, True)
    after = submit(place, "lee", "suspend", reviewer="ana", because="does\nnot look")
    assert after.url.path == PAGE
    assert "does not look, by lee" in words(after.text).replace("Does", "does")
    assert 'href="/loops/mail/readmit?reviewer=ana"' in after.text
    assert "/suspend?reviewer=ana" not in after.text
    assert "/readmit" not in place.browsers["otto"].get(PAGE).text
    submit(place, "lee", "readmit", reviewer="ana", because="trained")
    assert loop.control.step_of("ana") == 0
    own = submit(place, "lee", "suspend", reviewer="lee", because="why not")
    assert (own.status_code, "nothing about themselves" in own.text) == (403, True)
    forged = place.browsers["lee"].post("/loops/mail/suspend", data={"reviewer": "ana", "because": "x", "csrf": "no"})
    assert forged.status_code == 403
