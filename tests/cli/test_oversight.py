"""``oversight`` and ``probes``: what people catch, and test cases that somebody writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import probe_cases
import pytest

import dualcontrol as dc
from dualcontrol.errors import ProposalError
from dualcontrol.testing import FakeClock

URL = ("--database", "sqlite:///here.db")
RIGHT = {"proposal": "ham", "input": "see you at noon", "confidence": 0.6, "wrong": False}
WRONG = {
    "proposal": "ham", "input": "win a prize", "confidence": 0.6, "wrong": True, "right": "spam",
    "cue": "nobody gives prizes away.",
}  # fmt: skip


@pytest.fixture
def clock() -> FakeClock:
    """A clock that a minute is let pass on after each case, after which answers are counted again."""
    return FakeClock()


@pytest.fixture
def desk(folder: Path, clock: FakeClock) -> Iterator[dc.Desk]:
    """A desk on the database that the commands look at; half of the answers of its loop "spam" draw a probe."""
    settings = folder / "dualcontrol.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + "\n[loop.spam.probes]\nshare = 0.5\n", encoding="utf-8")
    with dc.open("sqlite:///here.db", durability="process", clock=clock) as desk:
        yield desk


def lines(folder: Path, *rows: Any) -> str:
    """A file of JSON lines; a text is a line as it is."""
    path = folder / "probes.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


def test_lines_become_test_cases_once_and_mistakes_are_named(run, desk, folder):
    file = lines(folder, WRONG, "", RIGHT, {**WRONG, "right": "ham"}, {**RIGHT, "wrnog": True}, "no json", {"wrong": 1})
    told = run("probes", "add", "spam", file, "--person", "cleo", "--json", *URL)
    assert told.code == 1
    assert (told.json["added"], told.json["known"], told.json["refused"]) == (2, 0, 4)
    became = [(line["line"], line["became"]) for line in told.json["lines"]]
    assert became == [(1, "added"), (3, "added"), (4, "refused"), (5, "refused"), (6, "refused"), (7, "refused")]
    assert "is wrong, and right by the value" in told.json["lines"][2]["why"]
    assert "wrnog" in told.json["lines"][3]["why"]
    again = run("probes", "add", "spam", lines(folder, WRONG, RIGHT), "--person", "cleo", *URL)
    assert again.code == 0
    assert "0 added to spam, 2 known already, 0 refused; written by cleo" in again.out
    case = desk.case(told.json["lines"][0]["case_id"])
    assert (case.kind, case.state, case.reviews, case.concluded) == ("probe", "closed", (), None)
    key = case.content.get("answer_key")
    assert (key["wrong"], key["right"], key["author"], key["how"]) == (True, "spam", "cleo", "authored")
    assert run("inbox", "--json", *URL).json == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wrong": "yes"}, "true or false"), ({"proposal": None}, "nothing"), ({"right": "eggs"}, "eggs"),
        ({"cue": 4}, "a cue is a text"), ({"wrong": False, "right": "spam"}, "right, and wrong by the value"),
    ],
)  # fmt: skip
def test_a_probe_that_cannot_be_is_refused(desk, change, words):
    fields = {name: value for name, value in {**WRONG, **change}.items() if value is not None}
    with pytest.raises(ProposalError, match=words):
        desk.loop("spam").add_probe(by="cleo", **fields)
    assert list(desk.store.queries.probes(desk.loop("spam").control.loop_id, 0)) == []


def test_it_is_asked_of_others_and_never_of_who_wrote_it(desk, clock):
    """ben and cleo answer alike; every probe is a copy of the one that cleo wrote, and cleo gets none."""
    loop = desk.loop("spam")
    template = loop.add_probe(by="Cleo", **WRONG)
    asked = []
    for number in range(60):
        clock.tick(61)
        loop.propose(proposal="ham", input=f"mail {number}", confidence=0.6)
        for name in ("ben", "cleo"):
            while (claim := desk.claim(name, "spam")) is not None:
                after = claim.label("ham")
                if after.kind == "probe":
                    asked.append((name, after.parent, after.scored.how, after.scored.missed))
                    assert after.debriefing.endswith("you let it pass. What shows it: nobody gives prizes away.")
    assert asked == [("ben", template.id, "authored", True)]


def test_oversight_says_it_in_figures_words_and_json(run, desk, clock):
    loop = desk.loop("spam")
    before = run("oversight", "spam", *URL)
    assert before.code == 0
    assert "Nobody knows yet what the human step catches" in before.out
    for number in range(6):
        loop.add_probe(by="cleo", **{**WRONG, "input": f"win prize {number}"})
    for number in range(120):
        clock.tick(61)
        loop.propose(proposal="ham", input=f"mail {number}", confidence=0.6)
        while (claim := desk.claim("ben", "spam")) is not None:
            claim.label("ham")
    told = run("oversight", "spam", "--json", *URL)
    ben = told.json["people"][0]
    assert (told.code, ben["name"], ben["caught"]["share"]) == (0, "ben", 0.0)
    assert ben["caught"]["of"] >= 3
    assert told.json["flags"][0]["person"] == "ben"
    said = run("oversight", "spam", *URL).out
    for words in ("The human step catches at least", "the team", "ben", "wrong after review", "flagged", "minimal"):
        assert words in said, words
    own = run("oversight", "spam", "--person", "ben", *URL)
    assert "You noticed 0 of" in own.out
    assert "the team" not in own.out
    assert run("oversight", "spam", "--person", "ana", "--json", *URL).json["people"] == []
    assert run("oversight", "nothing", *URL).code == 3


def test_an_answer_on_the_command_line_is_told(run, folder, clock):
    """What it was, in words and in JSON; and the case shows it later."""
    with dc.open("sqlite:///other.db", durability="process", clock=clock) as other:
        for say in ("words", "json"):
            probe = probe_cases.work(other, "labels shown", wrong=True, clock=clock)
            proposed = probe.proposed_value()
            flags = ("--json",) if say == "json" else ()
            told = run(
                "answer", probe.id, "label", "--value", proposed, "--person", "ana", *flags,
                "--database", "sqlite:///other.db",
            )  # fmt: skip
            assert told.code == 0, told
            if say == "json":
                assert (told.json["kind"], told.json["scored"]["rejected"]) == ("probe", False)
                assert "you let it pass" in told.json["debriefing"]
            else:
                assert "That was a test case." in told.out
                assert "you let it pass" in " ".join(told.out.split())
            shown = run("show", probe.id, "--person", "ana", "--database", "sqlite:///other.db")
            assert "That was a test case." in shown.out


def test_a_reviewer_is_suspended_and_readmitted_by_a_lead(run, desk):
    loop = desk.loop("spam")
    told = run("suspend", "spam", "ben", "--because", "does not look", "--person", "lee", "--json", *URL)
    assert (told.code, json.loads(told.out)) == (0, {"loop": "spam", "reviewer": "ben", "suspended": True})
    assert loop.control.step_of("ben") == 5
    assert "ben  suspension  now    does not look" in run("oversight", "spam", *URL).out
    own = run("readmit", "spam", "ben", "--because", "I am fine", "--person", "ben", *URL)
    assert (own.code, "nothing about themselves" in own.err) == (1, True)
    told = run("readmit", "spam", "ben", "--because", "trained", "--person", "lee", *URL)
    assert (told.code, "takes cases  yes" in told.out) == (0, True)
    assert loop.control.step_of("ben") == 0


def test_a_suspension_says_why_and_whom(run, desk):
    assert run("suspend", "spam", "ben", "--because", " ", *URL).code == 1
    assert run("suspend", "spam", "", "--because", "why", *URL).code == 1
    assert run("suspend", "spam", "ben", *URL).code == 2
    assert not desk.loop("spam").control.rungs
