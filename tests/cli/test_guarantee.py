"""What ``dualcontrol guarantee`` says of a loop: the promise and its evidence, or why there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import guarantee_cases
import pytest
from guarantee_cases import World

import dualcontrol as dc
from dualcontrol.testing import FakeClock

KEYS = {
    "loop", "segment", "epoch", "max_error", "confidence", "threshold", "certified_coverage", "labels_used",
    "labels_needed", "error_upper", "state", "reason",
}  # fmt: skip
URL = ("--database", "sqlite:///here.db")


@pytest.fixture
def desk(folder: Any) -> Iterator[dc.Desk]:
    """A desk on the database that the commands look at."""
    with dc.open("sqlite:///here.db", durability="process") as desk:
        yield desk


def certified(desk: dc.Desk, **changes: Any) -> World:
    """A loop whose autopilot is open."""
    world = World(desk, guarantee_cases.define(desk, **changes))
    world.decisions(300, wrong=0.01)
    return world


def test_what_is_certified_is_said_in_figures_and_words(run, desk):
    certified(desk)
    told = run("guarantee", "mail", "--json", *URL)
    assert told.code == 0
    assert told.json.keys() >= KEYS
    assert (told.json["state"], told.json["max_error"], told.json["confidence"]) == ("certified", 0.2, 0.9)
    parts = json.loads(json.dumps([of.to_dict() for of in desk.loop("mail").breakdown()]))
    assert told.json == desk.loop("mail").guarantee()[0].to_dict() | {"breakdowns": parts}
    said = run("guarantee", "mail", *URL)
    assert said.code == 0
    for words in ("mail: certified", "At most 20 % of what autopilot does is wrong, with 90 % confidence", "lapses"):
        assert words in said.out
    assert f"{told.json['threshold']:.4g}" in said.out


def test_nothing_certified_says_why_and_what_it_takes(run, desk):
    world = World(desk, guarantee_cases.define(desk))
    told = run("guarantee", "mail", "--json", *URL)
    assert (told.code, told.json["state"], told.json["threshold"]) == (1, "waiting", None)
    world.decisions(8)
    assert run("guarantee", "mail", "--json", *URL).json["state"] == "pilot"
    world.decisions(20)
    told = run("guarantee", "mail", "--json", *URL)
    assert (told.code, told.json["state"], told.json["labels_used"]) == (1, "collecting", 8)
    said = run("guarantee", "mail", *URL)
    assert "Nothing is certified" in said.out
    assert f"about {told.json['labels_needed']}" in said.out


def test_what_is_due_is_counted_first(run, desk):
    """Answers come in; nothing else is called between them and the command."""
    loop = guarantee_cases.define(desk)
    for n in range(25):
        case = loop.propose(proposal="ham", input=f"mail {n}", confidence=0.5 + n / 100)
        desk.steps.run(_answer(desk, case))
    assert run("guarantee", "mail", "--json", *URL).json["labels_used"] == 5


def _answer(desk: dc.Desk, case: dc.Case) -> Any:
    claim = desk.claim("ana", case=case)
    actor = dc.case.Actor(person="ana", via="python", authenticated="none")
    return dc.commands.GiveAnswer(case_id="", claim_id=claim.id, verdict="label", value="ham", actor=actor)


def test_segments_stand_side_by_side(run, desk):
    world = World(desk, guarantee_cases.define(desk, segments=("eu", "us")))
    world.decisions(300, wrong=0.0, segment="eu")
    both = run("guarantee", "mail", "--json", *URL)
    assert both.code == 0
    assert both.json["loop"] == "mail"
    assert [(of["segment"], of["state"]) for of in both.json["segments"]] == [("eu", "certified"), ("us", "waiting")]
    alone = run("guarantee", "mail", "--segment", "eu", "--json", *URL).json
    assert alone == both.json["segments"][0] | {"breakdowns": both.json["breakdowns"]}
    assert [of["by"] for of in both.json["breakdowns"]] == ["class", "segment"]
    assert run("guarantee", "mail", "--segment", "us", *URL).code == 1
    unknown = run("guarantee", "mail", "--segment", "asia", *URL)
    assert (unknown.code, "eu, us" in unknown.err) == (3, True)


def test_the_worst_class_stands_first_with_a_warning(run, desk, monkeypatch):
    """One class is wrong in half of what autopilot does, which the bound for all of them hides."""
    loop = guarantee_cases.define(desk, labels=("ham", "spam"), max_error=0.3, launch=100_000)
    for n in range(240):
        label, wrong = ("spam", n > 120 and n % 8 < 4) if n % 4 == 0 else ("ham", False)
        case = loop.propose(proposal=label, input=f"mail {n}", confidence=0.9)
        if case.reviews:
            desk.claim("ana", case=case).label("ham" if wrong else label)
        if n % 20 == 0:
            loop.certify()
    for _ in range(8):
        for n in range(40):
            case = loop.propose(proposal="spam", input=f"more {n}", confidence=0.9)
            if case.reviews:
                desk.claim("ana", case=case).label("ham" if n % 2 else "spam")
            for k in range(3):
                case = loop.propose(proposal="ham", input=f"more {n} {k}", confidence=0.9)
                if case.reviews:
                    desk.claim("ana", case=case).label("ham")
        loop.certify()
        if run("guarantee", "mail", "--json", *URL).json["breakdowns"][0]["parts"][0]["exceeds"]:
            break
    worst = run("guarantee", "mail", "--json", *URL).json["breakdowns"][0]["parts"][0]
    assert (worst["name"], worst["exceeds"]) == ("spam", True)
    monkeypatch.setenv("COLUMNS", "100")
    said = run("guarantee", "mail", *URL).out
    flat = " ".join(said.split())
    assert "class 'spam' is wrong in" in flat
    assert "where at most 30 % is promised for all together" in flat
    assert "All intervals hold at once and at every look with 90 % confidence" in flat
    assert said.index("spam") < said.index("│")
    assert max(len(line) for line in said.splitlines() if "│" in line) <= 100


def test_an_alarm_and_everything_before_it_stand_in_the_history(run, desk):
    certified(desk).decisions(300, wrong=0.9)
    told = run("guarantee", "mail", "--json", "--history", *URL)
    assert (told.code, told.json["state"], told.json["epoch"]) == (1, "closed", 1)
    what = [move["what"] for move in told.json["history"]]
    assert what[:3] == ["settings changed", "epoch began", "threshold moved"]
    assert what[-3:] == ["autopilot closed", "alarm", "epoch began"]
    moved = [move for move in told.json["history"] if move["what"] == "threshold moved"]
    assert all(move["reason"] and move["threshold"] is not None and move["by"] for move in moved)
    said = run("guarantee", "mail", "--history", *URL)
    assert "the monitor found that more than 20 % of what autopilot does is wrong" in said.out
    assert said.out.count("threshold moved") < len(moved), "steps of one moment are one line"


def test_a_loop_without_a_guarantee_and_one_that_is_not_there(run, desk):
    desk.loop("plain", mode="labels", context="minimal", threshold=0.9)
    told = run("guarantee", "plain", "--json", *URL)
    assert (told.code, told.json["state"], told.json["max_error"]) == (1, "off", None)
    assert "no guarantee" in run("guarantee", "plain", *URL).out
    assert run("guarantee", "nope", *URL).code == 3


def test_names_cannot_act_on_the_terminal(run, desk):
    World(desk, guarantee_cases.define(desk, segments=("a\u202eb",))).decisions(3, segment="a\u202eb")
    said = run("guarantee", "mail", "--history", *URL)
    assert said.code == 1
    assert "\u202e" not in said.out


def test_peoples_time_is_said_until_it_opened_and_in_the_history(run, folder):
    clock = FakeClock()
    with dc.open("sqlite:///here.db", durability="process", clock=clock) as desk:
        loop = guarantee_cases.define(desk)
        while not loop.control.thresholds:
            claim = desk.claim("ana", case=loop.propose(proposal="ham", input="x", confidence=0.5))
            clock.tick(240.0)
            claim.label("ham")
        hours, minutes = divmod(round(loop.guarantee()[0].seconds / 60), 60)
    told = run("guarantee", "mail", "--json", "--history", *URL).json
    assert hours >= 2
    assert told["seconds"] % 60 == 0
    assert next(move["seconds"] for move in told["history"] if move["what"] == "threshold moved") == told["seconds"]
    said = " ".join(run("guarantee", "mail", "--history", *URL).out.split())
    assert f"people's time {hours} h {minutes} min until it opened" in said
    assert f"it took people {hours} h {minutes} min" in said
