"""Exports: formats that trainers read, each line with its provenance, each file whole."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pandas
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
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
    (tmp_path / "out.jsonl").write_text("mine")
    for format, says in (("trl", "known are csv, jsonl, labels"), ("parquet", "whose ending says jsonl")):
        with pytest.raises(SettingsError, match=says):
            loop.export(tmp_path / "out.jsonl", format=format)
    assert (tmp_path / "out.jsonl").read_text() == "mine"
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


ENDINGS = ["jsonl", "JSONL", "ndjson", "csv", "CSV", "parquet", "pq"]


def read(path) -> list[dict]:
    """A file of any kind as plain rows; cells of CSV as their texts."""
    kind = path.suffix.lower()
    if kind in (".parquet", ".pq"):
        return pyarrow.parquet.read_table(path).to_pylist()
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline=""))) if kind == ".csv" else lines(path)


@pytest.mark.parametrize("format", [None, "labels", "sft", "trl-preference"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_ending_says_what_kind_of_file_is_written(replies, pairs, loop, answer, tmp_path, ending, format):
    answer(2)
    said = {None: (loop, 2), "labels": (loop, 2), "sft": (replies, 2), "trl-preference": (pairs, 3)}
    source, count = said[format]
    path = tmp_path / f"out.{ending}"
    assert source.export(path, format=format) == count
    found = read(path)
    assert len(found) == count
    assert all(row["case_id"] for row in found)
    if format is None:
        assert {row["verdict"] for row in found} == {"label"}
        assert {float(row["inclusion"]) for row in found} == {1.0}


@pytest.mark.parametrize(("kind", "ending"), [("jsonl", "jsonl"), ("csv", "csv"), ("parquet", "pq")])
def test_a_kind_of_file_may_be_named_too_and_has_to_fit_the_name(loop, answer, tmp_path, kind, ending):
    answer(1)
    assert loop.export(tmp_path / f"out.{ending}", format=kind) == 1
    for other in {"jsonl", "csv", "parquet"} - {kind}:
        with pytest.raises(SettingsError, match=f"the format {other} does not go into"):
            loop.export(tmp_path / f"out.{ending}", format=other)


@pytest.mark.parametrize(
    "name", ["out", "out.txt", "out.json", "out.xlsx", "out.csv.gz", ".csv", "csv", "out.", "out.parquet~"]
)
@pytest.mark.parametrize("format", [None, "labels", "csv"])
def test_an_unknown_ending_is_refused_and_the_known_ones_are_named(loop, answer, tmp_path, name, format):
    answer(1)
    with pytest.raises(SettingsError, match=r"known are \.csv, \.jsonl, \.ndjson, \.parquet, \.pq"):
        loop.export(tmp_path / name, format=format)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("dc.db")] == []


def test_pairs_with_the_same_text_on_both_sides_are_left_out_and_counted(desk, tmp_path):
    loop = desk.loop("alike", mode="preference", context=["input"])
    for candidates in (["a", "a", "b"], [{"text": "a"}, "a", "a"], ["a", "b", "c"]):
        loop.propose(input="Sum up.", candidates=candidates)
        desk.claim("ana", loop).prefer({"ranking": [["c1"], ["c2"]], "rejected": ["c3"]})
    count = loop.export(tmp_path / "out.jsonl", format="trl-preference")
    assert (count, count.left_out) == (5, 4)
    assert all(line["chosen"] != line["rejected"] for line in lines(tmp_path / "out.jsonl"))
    edits = desk.loop("edits", mode="fallback", context="minimal", schema={"type": ["object", "string"]})
    edits.propose(input="When?", proposal={"text": "noon"})
    desk.claim("ana", edits).edit("noon")
    count = edits.export(tmp_path / "out.parquet", format="trl-preference")
    assert (count, count.left_out, read(tmp_path / "out.parquet")) == (0, 1, [])
    assert edits.export(tmp_path / "out.jsonl").left_out == 0


PAD = "x" * 100_000


@pytest.fixture
def late(desk):
    """More than 10 MB of decisions, in which every column changes at the very end."""
    free = desk.loop("free", mode="labels", context=["proposal"], threshold=0.5, audit=1.0)
    for n in range(115):
        free.propose(input={"text": PAD, "n": n, "when": "2024-01-01"}, proposal=1, confidence=0.4)
        desk.claim("ana", free).label(1)
    for n in range(3):
        given = {"text": "x", "n": n + 0.5, "when": "soon", "more": {"tags": ["a"]}}
        free.propose(
            input=given, proposal="other", confidence=0.9, rationale="so", scores={"other": 0.5, "1": 0.5},
            source={"model": "m", "version": n}, meta={"row": n},
        )  # fmt: skip
        desk.claim("ana", free).label("other", rationale="because")
    return free


def as_datasets_does(path) -> Iterator[pa.Table]:
    """Ten megabytes at a time, each cast to the types of the first, as the datasets library reads JSON lines."""
    data, schema = path.read_bytes(), None
    while data:
        end = data.find(b"\n", 10 << 20) + 1 or len(data)
        part, data = data[:end], data[end:]
        table = pyarrow.json.read_json(io.BytesIO(part), pyarrow.json.ReadOptions(block_size=10 << 20))
        schema = schema or table.schema
        missing = [field for field in schema if field.name not in table.column_names]
        for field in missing:
            table = table.append_column(field, pa.nulls(len(table), field.type))
        yield table.select(schema.names).cast(schema)


@pytest.mark.parametrize("format", [None, "labels"])
def test_a_column_is_of_one_type_from_the_first_line_to_the_last(late, tmp_path, format):
    count = late.export(tmp_path / "out.jsonl", format=format)
    assert (tmp_path / "out.jsonl").stat().st_size > 11 << 20
    assert (count, count.as_text) == (118, ("label", "proposal") if format else ("value", "proposal", "candidates"))
    tables = list(as_datasets_does(tmp_path / "out.jsonl"))
    assert (sum(map(len, tables)), len(tables)) == (118, 2)
    whole = pyarrow.json.read_json(tmp_path / "out.jsonl", pyarrow.json.ReadOptions(block_size=1 << 20))
    label = "label" if format else "value"
    assert sorted(whole.column(label).to_pylist()) == ['"other"'] * 3 + ["1"] * 115
    assert [line["input"]["n"] for line in lines(tmp_path / "out.jsonl") if line["input"]["text"] == PAD] == list(
        range(115)
    )
    frame = pandas.read_json(tmp_path / "out.jsonl", lines=True, dtype=False)
    assert {type(value) for value in frame[label]} == {str}


def test_a_large_parquet_file_is_of_one_type_too(late, tmp_path):
    late.export(tmp_path / "out.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert (len(table), str(table.schema.field("rationale").type)) == (118, "string")
    rows = table.to_pylist()
    assert [json.loads(row["value"]) for row in rows] == [1] * 115 + ["other"] * 3
    assert [row["input"]["n"] for row in rows[-3:]] == [0.5, 1.5, 2.5]
    assert rows[-1]["meta"] == {"row": 2}
    assert len(pandas.read_parquet(tmp_path / "out.parquet")) == 118


def test_a_large_table_of_csv_is_of_one_type_too(late, tmp_path):
    assert late.export(tmp_path / "out.csv", format="labels") == 118
    table = pyarrow.csv.read_csv(tmp_path / "out.csv", parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True))
    assert len(table) == 118
    assert sorted(table.column("label").to_pylist()) == ["1"] * 115 + ["other"] * 3
    assert table.column("proposal").to_pylist().count("other") == 3
    frame = pandas.read_csv(tmp_path / "out.csv", low_memory=False)
    assert (len(frame), set(frame["label"])) == (118, {"1", "other"})


def test_a_short_file_keeps_the_order_of_decisions(loop, answer, tmp_path):
    answer(5)
    answer(1, rationale="so", meta={"a": 1})
    for kind in ("jsonl", "csv", "parquet"):
        loop.export(tmp_path / f"out.{kind}")
        ids = [int(row["id"]) for row in read(tmp_path / f"out.{kind}")]
        assert ids == sorted(ids)


@pytest.mark.parametrize("odd", [
    [{"a": 1}, {"a": "x"}], [{"a": [1]}, {"a": [{"b": 1}]}], ["x", {"a": 1}], [1, True],
    [{"a": 2**70}, {"a": 1}], [{str(n): n for n in range(300)}, {}], [[1, "x"], []],
])  # fmt: skip
def test_values_without_a_common_type_are_json_text_in_every_line(desk, tmp_path, odd: list[Any]):
    loop = desk.loop("odd", mode="labels", context=["proposal"])
    for given in odd:
        loop.propose(input=given, proposal="a")
        desk.claim("ana", loop).label("a")
    for kind in ("jsonl", "parquet"):
        count = loop.export(tmp_path / f"out.{kind}")
        assert count.as_text == ("input",)
        assert [json.loads(row["input"]) for row in read(tmp_path / f"out.{kind}")] == odd


@pytest.mark.parametrize("nothing", [{}, {"a": {}}, {"a": [{}]}])
def test_an_object_of_nothing_stays_one_where_the_file_can_hold_it(desk, tmp_path, nothing):
    loop = desk.loop("odd", mode="labels", context=["proposal"])
    for _ in range(2):
        loop.propose(input=nothing, proposal="a")
        desk.claim("ana", loop).label("a")
    assert loop.export(tmp_path / "out.jsonl").as_text == ()
    assert [line["input"] for line in lines(tmp_path / "out.jsonl")] == [nothing] * 2
    loop.export(tmp_path / "out.parquet")
    assert [row["input"] for row in read(tmp_path / "out.parquet")] == [json.dumps(nothing)] * 2


def test_a_source_that_is_missing_is_left_out_where_others_have_one(desk, tmp_path):
    """Arrow reads a file in blocks, and now and then cannot join one in which a column of objects is null."""
    loop = desk.loop("odd", mode="labels", context=["proposal"])
    for source in (None, {"model": "m"}):
        loop.propose(proposal="a", source=source)
        desk.claim("ana", loop).label("a")
    assert loop.export(tmp_path / "out.jsonl", format="labels").as_text == ()
    first, second = lines(tmp_path / "out.jsonl")
    assert ("source" in first, second["source"], first["input"]) == (False, {"model": "m"}, None)
    loop.export(tmp_path / "out.parquet")
    assert [row["source"] for row in read(tmp_path / "out.parquet")] == [None, {"model": "m"}]


FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "'=1",
    "''=1",
    "'plain",
    "a\rb",
    "a\r\nb",
    "\uff1d1",
    "-",
    "a=1",
]


def test_no_text_in_a_table_is_a_formula(desk, tmp_path):
    loop = desk.loop("cells", mode="labels", context=["proposal"])
    for label in FORMULAS:
        loop.propose(input=label, proposal=label)
        desk.claim("ana", loop).label(label)
    loop.propose(input=-1.5, proposal=-2)
    desk.claim("ana", loop).label(-2)
    loop.export(tmp_path / "out.csv", format="labels")
    table = read(tmp_path / "out.csv")
    cells = [row[name] for row in table[:-1] for name in ("input", "label", "proposal")]
    assert not [cell for cell in cells if cell[:1] in "=+-@\t\r\n\uff1d"]
    assert cells.count("'plain") == 3
    assert (table[-1]["input"], table[-1]["label"]) == ("-1.5", "-2"), "a number is none"
    loop.export(tmp_path / "out.jsonl", format="labels")
    assert [line["label"] for line in lines(tmp_path / "out.jsonl")] == [
        *(json.dumps(f, ensure_ascii=False) for f in FORMULAS),
        "-2",
    ]
