"""Exports: formats that trainers read, each line with its provenance, each file whole."""

from __future__ import annotations

import csv
import json

import pytest

from dualcontrol.errors import SettingsError


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def replies(desk):
    loop = desk.loop("replies", mode="fallback", context="minimal")
    loop.propose(input={"question": "When?"}, proposal={"text": "At noon"})
    desk.claim("ana", loop).edit({"text": "At one"})
    loop.propose(input={"question": "Where?"})
    desk.claim("ana", loop).respond("Here")
    return loop


@pytest.fixture
def pairs(desk):
    loop = desk.loop("pairs", mode="preference", context=["input"])
    loop.propose(input="Sum up.", candidates=["long", "short", "bad"])
    desk.claim("ana", loop).prefer({"ranking": [["c2"], ["c1"]], "rejected": ["c3"]})
    return loop


def test_labels_as_json_lines_and_as_csv(loop, answer, tmp_path):
    answer(3)
    assert loop.export(tmp_path / "out.jsonl", format="labels") == 3
    assert loop.export(tmp_path / "out.csv", format="labels") == 3
    table = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    for line, row in zip(lines(tmp_path / "out.jsonl"), table, strict=True):
        assert (line["label"], line["who"], line["inclusion"]) == (row["label"], ["ana"], 1.0)
        assert json.loads(row["input"]) == line["input"]


def test_a_ranking_becomes_each_pair_it_holds(pairs, tmp_path):
    assert pairs.export(tmp_path / "out.jsonl", format="trl-preference") == 3
    found = [(line["prompt"], line["chosen"], line["rejected"]) for line in lines(tmp_path / "out.jsonl")]
    assert found == [("Sum up.", "short", "long"), ("Sum up.", "short", "bad"), ("Sum up.", "long", "bad")]


def test_an_edit_is_preferred_to_what_it_corrected(replies, tmp_path):
    replies.export(tmp_path / "out.jsonl", format="trl-preference")
    [line] = lines(tmp_path / "out.jsonl")
    assert (line["prompt"], line["chosen"], line["rejected"]) == ("When?", "At one", "At noon")


@pytest.mark.parametrize("format", ["sft", "prompt-completion"])
def test_what_humans_wrote_becomes_completions(replies, tmp_path, format):
    replies.export(tmp_path / "out.jsonl", format=format)
    assert [(line["prompt"], line["completion"]) for line in lines(tmp_path / "out.jsonl")] == [
        ("When?", "At one"), ("Where?", "Here"),
    ]  # fmt: skip


@pytest.mark.parametrize("format", ["labels", "sft", "trl-preference", "jsonl"])
def test_every_line_carries_its_provenance(replies, pairs, loop, answer, tmp_path, format):
    answer(1)
    for each in (replies, pairs, loop):
        each.export(tmp_path / "out.jsonl", format=format)
        for line in lines(tmp_path / "out.jsonl"):
            assert line["who"] == ["ana"]
            assert line["inclusion"] == 1.0
            assert all(line[name] for name in ("case_id", "at", "shown", "weight"))


def test_an_unknown_format_is_refused_and_leaves_the_file_alone(loop, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(SettingsError, match="known are jsonl, labels"):
        loop.export(tmp_path / "out", format="parquet")
    assert (tmp_path / "out").read_text() == "mine"
    assert list(tmp_path.glob(".out*")) == []


def test_collected_answers_are_never_a_label(desk, tmp_path):
    soft = desk.loop(
        "soft", mode="labels", labels=["a", "b"], context=["proposal"], quorum={"answers": 2, "settle": "collect"}
    )
    soft.propose(proposal="a")
    for person, said in (("ana", "a"), ("bo", "b")):
        desk.claim(person, soft).label(said)
    assert soft.export(tmp_path / "out.jsonl", format="labels") == 1
    [line] = lines(tmp_path / "out.jsonl")
    assert (line["label"], line["input"]) == (None, None)
    assert sorted((said["value"], said["answers"]) for said in line["distribution"]) == [("a", 1), ("b", 1)]
    soft.export(tmp_path / "out.csv", format="labels")
    [row] = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    assert (row["label"], json.loads(row["distribution"])) == ("", line["distribution"])


def test_each_collected_ranking_gives_its_pairs(desk, tmp_path):
    loop = desk.loop("both", mode="preference", context="minimal", quorum={"answers": 2})
    loop.propose(input="Sum up.", candidates=["long", "short"])
    for person, best, worst in (("ana", "c1", "c2"), ("bo", "c2", "c1")):
        desk.claim(person, loop).prefer({"ranking": [[best], [worst]], "rejected": []})
    assert loop.export(tmp_path / "out.jsonl", format="trl-preference") == 2
    assert {line["chosen"] for line in lines(tmp_path / "out.jsonl")} == {"long", "short"}


def test_without_an_input_there_is_no_prompt(desk, tmp_path):
    loop = desk.loop("bare", mode="fallback", context=["proposal"])
    loop.propose(proposal={"text": "At noon"})
    desk.claim("ana", loop).edit({"text": "At one"})
    assert len(loop.examples()) == 1
    for format in ("sft", "trl-preference"):
        assert loop.export(tmp_path / "out.jsonl", format=format) == 0
    assert loop.export(tmp_path / "out.jsonl") == 1
