"""A blind review on the command line: shown, listed, exported and answered without the proposal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from team import team

import dualcontrol as dc

BLIND = """
[loop.mail]
mode = "labels"
context = "minimal"
labels = ["spam", "ham"]
group = "support"
audit = 1.0
guarantee = { max_error = 0.05 }

[[loop.mail.rule]]
name = "all"
when = "true"
route = "autopilot"
"""


@pytest.fixture
def audited(folder: Path, run: Callable[..., Any]) -> str:
    """A mail that autopilot called spam, and that an audit asks about; the case's id."""
    settings = folder / "dualcontrol.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + BLIND, encoding="utf-8")
    given = ("--proposal", '"spam"', "--input", '"a mail"', "--confidence", "0.987", "--rationale", "MARKER", "--json")
    return str(run("propose", "mail", *given).json["case_id"])


def test_show_and_inbox_tell_nothing(run, audited):
    for what in (
        ("show", audited, "--events"),
        ("show", audited, "--json", "--events"),
        ("inbox",),
        ("inbox", "--json"),
    ):
        result = run(*what)
        assert result.code == 0
        assert not [word for word in ("MARKER", "0.987", "spam") if word in result.out], what
    assert "hidden" in run("show", audited).err
    assert "MARKER" in run("show", audited, "--person", "lee").out


NOTED = """
[loop.noted]
context = "minimal"
group = "support"
meta = ["ticket"]
guarantee = { max_error = 0.05 }
audit = 1.0
autopilot_actions = ["refund"]
"""


@pytest.fixture
def noted(folder: Path, run: Callable[..., Any], tmp_path: Path) -> str:
    """A refund that autopilot made, with notes of the program, and that an audit asks about; the case's id."""
    settings = folder / "dualcontrol.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + NOTED, encoding="utf-8")
    with dc.open(settings=settings) as desk:
        meta = {"ticket": "T-1", "truth": "MARKER"}
        args = {"MARKER": 0.987}
        return desk.loop("noted").propose(action="refund", args=args, input="x", meta=meta, key="MARKER").id


def test_a_mistake_in_an_edit_names_nothing_of_a_hidden_proposal(run, noted):
    refused = run("edit", noted, "--set", "amount=1")
    assert (refused.code, "this review shows none" in " ".join(refused.err.split())) == (2, True)
    assert "MARKER" not in refused.err
    run("commit", noted, "happen")
    assert "it has: MARKER" in " ".join(run("edit", noted, "--set", "amount=1").err.split())


def test_a_blind_case_shows_neither_route_nor_effect_nor_notes(run, noted):
    shown = run("show", noted, "--json").json
    told = {name: shown.get(name) for name in ("key", "run", "meta", "outcome", "decision", "audits", "state", "seq")}
    assert told == {"key": None, "run": None, "meta": {}, "outcome": None, "decision": None, "audits": None,
                    "state": "open", "seq": 0}  # fmt: skip
    assert (shown["route"]["inclusion"], shown["route"]["by"], shown["effect"]["state"]) == (1.0, "", "none")
    assert "MARKER" not in run("show", noted, "--events").out


def test_who_is_not_asked_sees_what_the_loop_names_of_the_notes(run, noted):
    shown = run("show", noted, "--json", "--person", "lee").json
    assert shown["meta"] == shown["content"]["meta"] == {"ticket": "T-1"}


def test_approval_is_refused_and_a_label_is_taken(run, audited):
    refused = run("approve", audited)
    assert (refused.code, "this review is blind: give the label" in refused.err) == (1, True)
    assert run("answer", audited, "label", "--value", "spam").code == 0
    assert "MARKER" in run("show", audited).out


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_a_file_of_open_reviews_is_blind_and_can_be_taken_in(run, audited, folder: Path, name: str):
    assert run("export", "--open", name, "--loop", "mail").code == 0
    text = (folder / name).read_text(encoding="utf-8")
    assert "MARKER" not in text
    assert "0.987" not in text
    if name.endswith(".jsonl"):
        row = json.loads(text)
        assert (row["verdicts"], row["view"]["blind"]) == (["label", "abstain", "escalate"], True)
        (folder / name).write_text(json.dumps({**row, "value": "ham"}), encoding="utf-8")
    else:
        head, line = text.splitlines()
        (folder / name).write_text(f"{head}\n{line.rpartition(',,')[0]},ham,\n", encoding="utf-8")
    assert run("import", name).code == 0
    assert run("show", audited, "--json").json["audits"][0]["wrong"] == 1


@pytest.fixture
def paid(folder: Path, run: Callable[..., Any]) -> str:
    """A payment that autopilot made and an audit asks about; the case's id."""
    settings = folder / "dualcontrol.toml"
    promise = 'guarantee = { max_error = 0.05 }\naudit = 1.0\nautopilot_actions = ["pay"]\ngroup = "support"\n'
    more = f'\n[loop.pay]\ncontext = "minimal"\n{promise}'
    settings.write_text(settings.read_text(encoding="utf-8") + more, encoding="utf-8")
    given = ("--action", "pay", "--args", '{"to": "MARKER"}', "--input", '"a bill"', "--rationale", "MARKER", "--json")
    return str(run("propose", "pay", *given).json["case_id"])


def test_an_action_is_committed_to_seen_and_answered(run, paid):
    for early in (("approve", paid), ("edit", paid, "--set", "to=1"), ("edit", paid, '{"to": "x"}')):
        refused = run(*early)
        assert refused.code in (1, 2)
        assert "MARKER" not in refused.err
    assert "DC-COMMIT" in run("approve", paid).err
    assert "MARKER" not in run("show", paid).out
    shown = run("commit", paid, "happen", "--to", "Jana")
    assert (shown.code, "MARKER" in shown.out, "happen, to Jana (ana)" in shown.out) == (0, True, True)
    assert run("commit", paid, "not").code == 1
    assert run("approve", paid).code == 0
    (answer,) = run("show", paid, "--json").json["answers"]
    assert answer["first"] == {"verdict": "approve", "value": "Jana"}


def test_a_claim_can_be_committed_by_its_id(run, paid):
    first = run("commit", paid, "not", "--json", "--person", "ben").json
    assert (first["person"], first["committed"]) == ("ben", {"should": "not", "to": None})
    again = run("commit", first["claim_id"], "not", "--json").json
    assert again["view"] == first["view"]
    assert run("commit", paid, "perhaps").code == 2


def test_whose_role_was_taken_in_mid_review_sees_nothing_more(run, paid, folder: Path):
    with dc.open(settings=folder / "dualcontrol.toml") as desk:
        team(desk, ("ana",), ("reviewer",))
        claim = desk.claim("ana", case=paid)
        desk.people.revoke("ana", "reviewer", "root")
    refused = run("commit", claim.id, "happen", "--json")
    assert refused.json["error"]["code"] == "DC-ROLE"
    assert "MARKER" not in refused.out + refused.err


def test_a_file_cannot_answer_what_has_to_be_committed_to_first(run, paid, folder: Path):
    assert run("export", "--open", "out.jsonl", "--loop", "pay").code == 0
    text = (folder / "out.jsonl").read_text(encoding="utf-8")
    assert "MARKER" not in text
    assert json.loads(text)["verdicts"] == ["abstain", "escalate"]
    (folder / "out.jsonl").write_text(json.dumps({**json.loads(text), "verdict": "reject"}), encoding="utf-8")
    taken = run("import", "out.jsonl")
    assert (taken.code, "DC-COMMIT" in taken.out + taken.err) == (1, True)


COMPARED = """
[loop.chat]
mode = "fallback"
context = "minimal"
group = "support"
guarantee = { max_error = 0.05 }
"""


def test_two_texts_are_compared_at_the_command_line(folder: Path, run: Callable[..., Any]):
    settings = folder / "dualcontrol.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + COMPARED, encoding="utf-8")
    given = ("--proposal", '"by the machine"', "--input", '"hello"', "--confidence", "0.987", "--json")
    case = str(run("propose", "chat", *given).json["case_id"])
    assert run("answer", case, "respond", "--value", "by a person", "--person", "ben").code == 0
    shown = run("show", case, "--person", "cleo")
    assert ("by the machine" in shown.out, "by a person" in shown.out, "0.987" in shown.out) == (True, True, False)
    assert "label --value a" in " ".join(shown.err.split())
    twin = run("show", case, "--person", "cleo", "--json").json
    texts = {text["value"]: text["id"] for text in twin["texts"]}
    assert (sorted(texts.values()), twin["answers"], twin["outcome"]) == (["a", "b"], [], None)
    assert "texts" not in run("show", case, "--person", "ben", "--json").json
    open_rows = folder / "open.jsonl"
    assert run("export", "--open", str(open_rows), "--person", "cleo").code == 0
    rows = map(json.loads, open_rows.read_text(encoding="utf-8").splitlines())
    (row,) = [row for row in rows if row["case_id"] == case]
    assert (row["verdicts"], row["view"]["texts"]) == (["label", "abstain", "escalate"], twin["texts"])
    row |= {"verdict": "label", "value": texts["by a person"]}
    open_rows.write_text(json.dumps(row) + "\n", encoding="utf-8")
    applied = run("import", str(open_rows), "--person", "cleo")
    assert applied.code == 0, applied.err
    done = run("show", case, "--person", "ben").out
    assert "proposal: not acceptable, answer: acceptable" in " ".join(done.split())
    assert "label: the proposal was wrong" in done
    assert run("import", str(open_rows), "--person", "cleo", "--json").json["skipped"] == 1
