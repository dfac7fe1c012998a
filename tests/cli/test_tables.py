"""Files as people have them: the same rows however a spreadsheet, a database or a program wrote them."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dualcontrol as dc

LABELS = '["spam", "ham", "=1+1", "größe", 1, 2.5, 100000, true, false, "07", "-1"]'
LOOP = f"""
[loop.kinds]
mode = "labels"
context = ["proposal"]
group = "support"
labels = {LABELS}
"""


def text_of(rows: list[list[Any]], sep: str = ",", end: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=sep, lineterminator=end, quoting=quoting).writerows(rows)
    return out.getvalue()


def spaced(rows: list[list[Any]]) -> str:
    return "".join(
        ", ".join(text_of([[cell]], quoting=csv.QUOTE_ALL).strip("\n") for cell in row) + "\n" for row in rows
    )


DOCUMENT = "é\0\n" * 70_000
WAYS: dict[str, Callable[[list[list[Any]]], bytes]] = {
    "plain": lambda rows: text_of(rows).encode(),
    "semicolons": lambda rows: text_of(rows, ";").encode(),
    "tabs": lambda rows: text_of(rows, "\t").encode(),
    "bars": lambda rows: text_of(rows, "|").encode(),
    "colons": lambda rows: text_of(rows, ":").encode(),
    "carets": lambda rows: text_of(rows, "^", "\r\n").encode("utf-16"),
    "unit signs": lambda rows: text_of(rows, "\x1f").encode(),
    "a space behind each comma": lambda rows: spaced(rows).encode(),
    "an old end of file": lambda rows: text_of(rows, end="\r\n").encode() + b"\x1a\r\n\0\0",
    "said": lambda rows: b"sep=;\r\n" + text_of(rows, ";", "\r\n").encode(),
    "said, marked": lambda rows: ("\ufeffsep=;\r\n" + text_of(rows, ";", "\r\n")).encode(),
    "quoted": lambda rows: text_of(rows, ";", "\r\n", csv.QUOTE_ALL).encode(),
    "dos": lambda rows: text_of(rows, end="\r\n").encode(),
    "old mac": lambda rows: text_of(rows, end="\r").encode(),
    "no end": lambda rows: text_of(rows).rstrip("\n").encode(),
    "marked": lambda rows: text_of(rows).encode("utf-8-sig"),
    "utf-16": lambda rows: text_of(rows, "\t", "\r\n").encode("utf-16"),
    "utf-16 big": lambda rows: b"\xfe\xff" + text_of(rows, ";").encode("utf-16-be"),
    "utf-16 bare": lambda rows: text_of(rows).encode("utf-16-le"),
    "utf-16 bare, big": lambda rows: text_of(rows).encode("utf-16-be"),
    "utf-32": lambda rows: text_of(rows).encode("utf-32"),
    "latin-1": lambda rows: text_of(rows, ";").encode("latin-1"),
    "windows": lambda rows: text_of([[*rows[0], "note"], *([*row, "€ – “x”"] for row in rows[1:])]).encode("cp1252"),
    "gzip": lambda rows: gzip.compress(text_of(rows).encode()),
    "gzip in parts": lambda rows: b"".join(gzip.compress(line.encode()) for line in text_of(rows).splitlines(True)),
    "gzip, utf-16": lambda rows: gzip.compress(text_of(rows, ";").encode("utf-16")),
    "bzip2": lambda rows: bz2.compress(text_of(rows).encode()),
    "xz": lambda rows: lzma.compress(text_of(rows).encode()),
    "empty columns": lambda rows: text_of([[*row, "", ""] for row in rows]).encode(),
    "empty columns below": lambda rows: text_of([rows[0], *([*row, "", " "] for row in rows[1:])]).encode(),
    "empty column before": lambda rows: text_of([["", *row] for row in rows], ";").encode(),
    "empty rows": lambda rows: text_of([*rows, [""] * len(rows[0]), [" "] * len(rows[0])], ";").encode(),
    "blank lines": lambda rows: b"\r\n" + text_of(rows, end="\r\n\r\n").encode() + b"\r\n \r\n",
    "spaces": lambda rows: text_of([[f" {cell} " for cell in row] for row in rows]).encode(),
    "unrelated": lambda rows: text_of(
        [["", *rows[0], "doc", "when"], *(["", *row, DOCUMENT, "2024-01-01"] for row in rows[1:4]),
         *(["", *row, "", "[]"] for row in rows[4:])], ";",
    ).encode(),
    "one name twice": lambda rows: text_of([[*rows[0], "x", "x"], *([*row, 1, 2] for row in rows[1:])]).encode(),
}  # fmt: skip


@pytest.fixture
def labelled(run, folder) -> Callable[..., list[list[str]]]:
    """Open reviews of a labels loop, as a table with an answer in each row."""
    with (folder / "dualcontrol.toml").open("a", encoding="utf-8") as file:
        file.write(LOOP)

    def rows(answers: list[str], proposals: list[Any] | None = None, loop: str = "kinds") -> list[list[str]]:
        with dc.open() as desk:
            for place in range(len(answers)):
                proposed = proposals[place] if proposals else "spam"
                desk.loop(loop).propose(proposal=proposed, input=f"mail {place}", confidence=0.5, risk="high")
        assert run("export", "--open", "open.csv", "--loop", loop, "--force").code == 0
        with open("open.csv", encoding="utf-8", newline="") as file:
            table = list(csv.reader(file))
        value = table[0].index("value")
        for row, answer in zip(table[1:], answers, strict=True):
            row[value] = answer
        return table

    return rows


def said(run, table: list[list[str]]) -> list[Any]:
    """What was decided of the cases of a table."""
    place = table[0].index("case_id")
    with dc.open() as desk:
        return [outcome.value if (outcome := desk.case(row[place]).outcome) else None for row in table[1:]]


@pytest.mark.parametrize("way", WAYS)
def test_answers_are_read_however_they_were_written(run, folder, labelled, way):
    table = labelled(["ham", "größe", "1"])
    (folder / "x.csv").write_bytes(WAYS[way](table))
    told = run("import", "x.csv", "--json")
    assert (told.code, told.json["applied"], told.json["refused"]) == (0, 3, 0), told.out
    assert said(run, table) == ["ham", "größe", 1]
    assert told.json["rows"] == 3 + told.json["empty"] == 3 + 2 * (way == "empty rows")
    assert run("import", "x.csv", "--json").json["skipped"] == 3


@pytest.mark.parametrize("way", ["utf-16", "latin-1", "gzip", "semicolons", "windows"])
def test_how_a_file_was_read_is_said_where_it_is_not_plain(run, folder, labelled, way):
    (folder / "x.csv").write_bytes(WAYS[way](labelled(["ham"])))
    words = {
        "utf-16": "UTF-16, separated by tabs",
        "latin-1": "Latin-1 (Windows-1252), since it is not UTF-8, separated by semicolons",
        "gzip": "unpacked from gzip",
        "semicolons": "separated by semicolons",
        "windows": "Latin-1 (Windows-1252)",
    }
    assert f"x.csv was read as CSV, {words[way]}" in run("import", "x.csv", "--dry-run").err
    assert "was read" not in run("import", "open.csv", "--dry-run").err


SPREADSHEETS = [
    ("1.0", 1), ("1,0", 1), ("1,", 1), ("1E+00", 1), (" 1 ", 1), ("+1", 1), ("2,5", 2.5), ("2.50", 2.5),
    ("25E-1", 2.5), ("1E5", 100000), ("1,0E+05", 100000), ("100000,00", 100000), ("TRUE", True), ("True", True),
    ("WAHR", True), ("vrai", True), ("FALSE", False), ("FALSCH", False), ("Faux", False),
    ("ИСТИНА", True), ("Sant", True), ("HAMIS", False), ("SPAM", "spam"),
    (" spam ", "spam"), ("7", "07"), ("7,0", "07"), ("=1+1", "=1+1"), ("'=1+1", "=1+1"), ("'-1", "-1"), ("-1", "-1"),
    ("-1.0", "-1"), ("GRÖSSE", "größe"), ('"spam"', "spam"),
]  # fmt: skip


def test_labels_are_read_as_spreadsheets_write_them(run, folder, labelled):
    table = labelled([text for text, _ in SPREADSHEETS])
    (folder / "x.csv").write_text(text_of(table, ";"), encoding="utf-8")
    told = run("import", "x.csv", "--json").json
    assert told["applied"] == len(SPREADSHEETS), [line for line in told["lines"] if line["why"]]
    found = said(run, table)
    assert [(value, type(value)) for value in found] == [(label, type(label)) for _, label in SPREADSHEETS]


@pytest.mark.parametrize(
    "text", ["2", "1.5", "1,000", "100.000", "yes", "1 000", "0x1", "1_0", "truee", "NaN", "spam ham", "1;0"]
)
def test_what_is_no_label_is_refused_however_it_is_written(run, folder, labelled, text):
    table = labelled([text, "ham"])
    (folder / "x.csv").write_text(text_of(table), encoding="utf-8")
    told = run("import", "x.csv", "--json").json
    assert [(line["line"], line["became"], line["code"]) for line in told["lines"]] == [
        (2, "refused", "DC-LABEL"), (3, "applied", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "proposed", "cells"),
    [
        (None, [1, True, "x", 1.5, "=2"], [("1.0", 1), ("TRUE", True), ("x", "x"), ("1,5", 1.5), ("'=2", "=2")]),
        (None, [True, 7], [("FALSCH", False), ("8.0", 8.0)]),
        ({"type": "string"}, ["1", "a", "b"], [("2", "2"), ("TRUE", "TRUE"), ("'+3", "+3")]),
        ({"type": "boolean"}, [True, True], [("FALSE", False), ("wahr", True)]),
        ({"type": "number"}, [1, 2], [("1,5", 1.5), ("1E3", 1000.0)]),
    ],
)
def test_without_a_set_of_labels_schema_and_proposal_tell_the_type(run, folder, labelled, schema, proposed, cells):
    given = "" if schema is None else f"schema = {{ type = {schema['type']!r} }}".replace("'", '"')
    with (folder / "dualcontrol.toml").open("a", encoding="utf-8") as file:
        file.write(f'[loop.free]\nmode = "labels"\ncontext = ["proposal"]\ngroup = "support"\n{given}\n')
    table = labelled([text for text, _ in cells], proposed, loop="free")
    (folder / "x.csv").write_text(text_of(table, ";"), encoding="utf-8")
    told = run("import", "x.csv", "--json").json
    assert told["applied"] == len(cells), told["lines"]
    assert [(value, type(value)) for value in said(run, table)] == [(value, type(value)) for _, value in cells]


FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\t=1",
    "\r=1",
    "'=1",
    "''=1",
    "'plain",
    "\uff1d1",
    "-",
    "=cmd|' /C calc'!A0",
    "a\rb",
]


def test_a_formula_comes_back_from_a_table_as_it_was(run, folder, labelled):
    """The cell that a reviewer copies out of the proposal's column is the label that was proposed."""
    with (folder / "dualcontrol.toml").open("a", encoding="utf-8") as file:
        file.write(
            '[loop.free]\nmode = "labels"\ncontext = ["proposal"]\ngroup = "support"\nschema = { type = "string" }\n'
        )
    table = labelled([""] * len(FORMULAS), FORMULAS, loop="free")
    proposal, value = table[0].index("proposal"), table[0].index("value")
    shown = {row[proposal] for row in table[1:]}
    assert not [cell for cell in shown if cell[:1] in "=+-@\t\r\uff1d"]
    for row in table[1:]:
        row[value] = row[proposal]
    (folder / "x.csv").write_text(text_of(table), encoding="utf-8", newline="")
    told = run("import", "x.csv", "--json").json
    assert told["applied"] == len(FORMULAS), told["lines"]
    seen = [label.replace("\r", "[U+000D CARRIAGE RETURN]") for label in FORMULAS]  # what hides is shown by its name
    assert said(run, table) == seen


BROKEN = {
    "a quote that opens": lambda line: line.replace(",", ',"', 1),
    "a quote that opens at the end": lambda line: line.rstrip("\n") + '"x\n',
    "a quote that closes early": lambda line: '"a"b' + line,
    "too many cells": lambda line: line.rstrip("\n") + ",x,y\n",
    "another case": lambda line: "x" + line,
    "no case": lambda line: ",," + line.split(",", 2)[2],
    "half a line": lambda line: line[:50] + "\n",
    "zeros": lambda line: line.replace("-", "\0", 1),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("place", [1, 4, 6])
def test_one_broken_row_stops_no_other(run, folder, labelled, name, place):
    table = labelled(["ham"] * 6)
    lines = text_of(table).splitlines(keepends=True)
    lines[place] = BROKEN[name](lines[place])
    (folder / "x.csv").write_text("".join(lines), encoding="utf-8")
    told = run("import", "x.csv", "--json")
    became = {line["line"]: line["became"] for line in told.json["lines"]}
    assert became == {number: "refused" if number == place + 1 else "applied" for number in range(2, 8)}
    assert (told.code, told.json["rows"], told.json["applied"], told.json["refused"]) == (1, 6, 5, 1)
    shown = run("import", "x.csv")
    assert "6 rows: 0 applied, 5 skipped (answered so already), 0 without an answer, 1 refused" in shown.out


def test_a_quote_that_swallows_whole_rows_is_noticed(run, folder, labelled):
    """Opened in one row and closed in another it is CSV all the same, with the rows between inside one cell."""
    table = labelled(["ham"] * 6)
    kept = [table[0].index(name) for name in ("review_id", "case_id", "value", "rationale")]
    lines = text_of([[row[place] for place in kept] for row in table]).splitlines(keepends=True)
    lines[2] = lines[2].rstrip("\n") + '"it\n'
    lines[5] = lines[5].rstrip("\n") + 'so"\n'
    (folder / "x.csv").write_text("".join(lines), encoding="utf-8")
    told = run("import", "x.csv", "--json").json
    assert {line["line"] for line in told["lines"] if line["became"] == "refused"} == {3}
    assert (told["rows"], told["applied"]) == (6, 5)
    assert "goes on over the rows behind it" in next(line["why"] for line in told["lines"] if line["why"])


def test_a_cell_may_be_large_and_hold_lines_like_rows(run, folder, labelled):
    table = labelled(["ham"] * 3)
    rationale = table[0].index("rationale")
    table[1][rationale] = "because " * 17_500
    table[2][rationale] = 'two\nlines, with a "quote"\r\nand,' + "," * len(table[0])
    (folder / "x.csv").write_text(text_of(table), encoding="utf-8", newline="")
    told = run("import", "x.csv", "--json").json
    assert (told["applied"], told["refused"]) == (3, 0), told["lines"]
    with dc.open() as desk:
        kept = [desk.case(row[table[0].index("case_id")]).answers[0].rationale for row in table[1:]]
    assert kept == [table[1][rationale], table[2][rationale], None]


def test_bytes_that_are_no_utf8_stop_their_own_row_only(run, folder, labelled):
    table = labelled(["größe"] * 5)
    lines = text_of(table).encode().splitlines(keepends=True)
    lines[3] = lines[3].replace("größe".encode(), "größe".encode("latin-1"))
    (folder / "x.csv").write_bytes(b"".join(lines))
    told = run("import", "x.csv", "--json").json
    assert {line["line"]: line["became"] for line in told["lines"] if line["became"] != "applied"} == {4: "refused"}
    assert "bytes that are not UTF-8" in told["lines"][2]["why"]


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4, 0.6, 0.8, 0.99])
@pytest.mark.parametrize("sep", [",", ";"])
def test_a_row_that_is_cut_off_before_its_answer_is_refused(run, folder, labelled, share, sep):
    """It is not one that nobody has answered yet: what stood behind the cut may have been an answer."""
    table = labelled(["ham", "ham", "", "ham"])
    lines = text_of(table, sep).splitlines(keepends=True)
    before = lines[2].index(table[2][table[0].index("shown")]) + 64
    lines[2] = lines[2][: int(share * before)] + "\n"
    lines[3] = lines[3].rstrip(f"\n{sep}") + "\n"  # as spreadsheets leave empty cells out at the end
    (folder / "x.csv").write_text("".join(lines), encoding="utf-8")
    told = run("import", "x.csv", "--json").json
    assert [line["became"] for line in told["lines"]] == ["applied", "refused", "unanswered", "applied"]


@pytest.mark.parametrize("name", ["case_id", "review_id", "value", "verdict", "rationale", "shown"])
def test_a_field_that_is_named_twice_is_refused(run, folder, labelled, name):
    table = labelled(["ham"])
    (folder / "x.csv").write_text(text_of([[*row, row[table[0].index(name)]] for row in table]), encoding="utf-8")
    told = run("import", "x.csv")
    assert (told.code, f"the header names '{name}' twice" in told.err) == (2, True)


@pytest.mark.parametrize("said", ["LABEL", " label ", "Approve"])
def test_a_verdict_may_be_capital(run, folder, labelled, said):
    table = labelled(["spam"])
    table[1][table[0].index("verdict")] = said
    table[1][table[0].index("value")] = "" if said == "Approve" else "ham"
    (folder / "x.csv").write_text(text_of(table), encoding="utf-8")
    assert run("import", "x.csv", "--json").json["applied"] == 1


def test_a_quote_that_never_ends_stops_no_row_of_several_lines(run, folder, labelled):
    """The quote stands behind a quoted cell, and the row behind it holds a line end in its middle."""
    table = labelled(["ham", "spam", "ham", "spam"])
    place, case = table[0].index("input"), table[0].index("case_id")
    for row, value in zip(table[1:], ("\n ,; ", "", "\r", "a\r\nb"), strict=True):
        row[place] = value
    lines = list(io.StringIO(text_of(table, end="\r\n"), newline=""))
    (broken,) = (at for at, line in enumerate(lines) if line.startswith(table[2][0]))
    for place in [at for at in range(len(lines[broken]) - 2) if lines[broken][at - 1 : at + 1] == '",']:
        text = [*lines[:broken], f'{lines[broken][:place]}"{lines[broken][place:]}', *lines[broken + 1 :]]
        (folder / "x.csv").write_bytes("".join(text).encode())
        report = run("import", "x.csv", "--dry-run", "--json").json["lines"]
        assert {line["case_id"] for line in report if line["became"] == "applied"} >= {
            table[n][case] for n in (1, 3, 4)
        }
        assert (broken + 1, "refused") in [(line["line"], line["became"]) for line in report]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_breaks_a_row_every_other_is_applied(run, folder, labelled, data):
    known = folder / "known.json"
    if not known.exists():
        known.write_text(json.dumps(labelled(["ham", "größe", "1", "spam", "TRUE"])))
    table = json.loads(known.read_text())
    place = table[0].index("input")
    for row in table[1:]:
        row[place] = data.draw(st.text(st.sampled_from(' ab,;"\n\r\t'), max_size=12))
    lines = list(io.StringIO(text_of(table, end="\r\n"), newline=""))
    starts = [at for at, line in enumerate(lines) if any(line.startswith(row[0]) for row in table)]
    broken = data.draw(st.integers(1, 5))
    line = lines[starts[broken]]
    at = data.draw(st.integers(0, len(line) - 2))
    lines[starts[broken]] = line[:at] + data.draw(st.sampled_from(['"', '""', '"""', "\0", ",", "\ud800"])) + line[at:]
    (folder / "x.csv").write_bytes("".join(lines).encode(errors="surrogatepass"))
    told = run("import", "x.csv", "--dry-run", "--json").json
    case = table[0].index("case_id")
    others = {row[case] for number, row in enumerate(table) if number not in (0, broken)}
    assert others <= {line["case_id"] for line in told["lines"] if line["became"] == "applied"}
    assert any(line["line"] == starts[broken] + 1 for line in told["lines"])


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"case_id": ' + "[" * 100_000, '{"case_id": 1e999999}', "\0", '{"a": NaN}', "null", "7"]
)
def test_a_broken_line_of_json_stops_no_other(run, folder, refund, text):
    refund(), refund()
    assert run("export", "--open", "open.jsonl").code == 0
    first, second = ({**json.loads(line), "verdict": "approve"} for line in Path("open.jsonl").read_text().splitlines())
    (folder / "x.jsonl").write_text(
        f"{json.dumps(first)}\r\n{text}\r\n\r\n{json.dumps(second)}", encoding="utf-8", newline=""
    )
    told = run("import", "x.jsonl", "--json").json
    assert [(line["line"], line["became"]) for line in told["lines"]] == [
        (1, "applied"),
        (2, "refused"),
        (4, "applied"),
    ]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("x.csv", b"PK\x03\x04rest", "save the sheet as CSV"),
        ("x.xls", b"\xd0\xcf\x11\xe0rest", "save the sheet as CSV"),
        ("x.csv.zst", b"\x28\xb5\x2f\xfdrest", "packed with zstd"),
        ("x.feather", b"ARROW1\0\0rest", "Arrow or Feather file; save it as Parquet or CSV"),
        ("x.db", b"SQLite format 3\0rest", "is a database"),
        ("x.csv.gz", gzip.compress(b"score,truth\n" * 50, mtime=0)[:-9], "gzip that is cut off or damaged"),
        ("x.csv", "score,truth\n".encode("utf-16")[:-1], "damaged at byte"),
        ("x.parquet", b"score,truth\n", "cannot be read as Parquet"),
        ("x.csv", b"", "holds no rows"),
        ("x.csv", b'"score,truth\n0.9,1\n', "the header is not CSV: a quote is opened and never closed"),
    ],
)
def test_a_file_that_is_something_else_is_said_to_be_so(run, folder, name, data, says):
    (folder / name).write_bytes(data)
    for command in (("replay", name), ("import", name)):
        told = run(*command)
        assert told.code == 2
        assert says in told.err or (command[0] == "import" and "has no column case_id" in told.err), told.err


# replay

TRUTHS = [
    ["id", "score", "truth", "who"],
    *([n, (n % 50) / 50, int(n % 7 > 0), "größe" if n % 2 else "b"] for n in range(200)),
]


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("door", ["csv", "odd", "-"])
def test_scores_are_read_however_they_were_written(run, folder, monkeypatch, way, door):
    data = WAYS[way](TRUTHS)
    name = "-" if door == "-" else f"x.{door}"
    (folder / "x.odd").write_bytes(data)
    (folder / "x.csv").write_bytes(data)
    piped(monkeypatch, data)
    told = run("replay", name, "--threshold", "0.5", "--group", "who", "--json")
    assert told.code == 0, told.err
    assert (told.json["n"], told.json["at"]["autopilot"], told.json["at"]["wrong"]) == (200, 100, 16)
    assert set(told.json["groups"]) == {"größe", "b"}


def test_scores_may_have_decimal_commas(run, folder):
    rows = [TRUTHS[0], *([a, str(b).replace(".", ","), c, d] for a, b, c, d in TRUTHS[1:])]
    for sep in (";", "\t", ","):
        (folder / "x.csv").write_text(text_of(rows, sep), encoding="utf-8")
        told = run("replay", "x.csv", "--threshold", "0.5")
        assert told.code == 0
        assert "decimal commas" in told.err
        assert "16 of 100" in told.out


QUOTES = {
    "at the beginning": '"so" he said',
    "within": 'a 5" disk',
    "at the end": 'x"',
    "opened and never closed": '"so he said',
    "behind a backslash": r'"a \" b"',
    "doubled once": '""so"',
}


@pytest.mark.parametrize("name", QUOTES)
@pytest.mark.parametrize("sep", [",", ";", "\t"])
def test_a_broken_quote_in_a_column_that_nobody_asked_about_does_no_harm(run, folder, name, sep):
    lines = [sep.join(map(str, [*row, "note" if not at else "fine"])) for at, row in enumerate(TRUTHS)]
    for at in (1, 7, 8, 200):
        lines[at] = sep.join(map(str, [*TRUTHS[at], QUOTES[name]]))
    (folder / "x.csv").write_text("\n".join(lines), encoding="utf-8")
    told = run("replay", "x.csv", "--threshold", "0.5", "--json")
    assert (told.code, told.json.get("n")) == (0, 200), told.json
    assert (told.json["at"]["autopilot"], told.json["at"]["wrong"]) == (100, 16)


def test_a_broken_quote_in_a_score_is_named(run, folder):
    (folder / "x.csv").write_text('score,truth\n0.9,1\n"0.8,1\n0.7,1\n', encoding="utf-8")
    told = run("replay", "x.csv")
    assert told.code == 2
    assert "x.csv:3: not CSV: a quote is opened and never closed" in told.err


@pytest.mark.parametrize("truth", ["truth", "--proposal"])
def test_rows_that_a_quote_has_swallowed_are_not_left_out_in_silence(run, folder, truth):
    """Opened in one row and closed in another it is CSV all the same, with the rows between inside one cell."""
    named = ("--proposal", "id") if truth == "--proposal" else ()
    lines = [",".join(map(str, row)) for row in TRUTHS]
    lines[3] = '2,0.04,1,"b'
    lines[6] += '"'
    (folder / "x.csv").write_text("\n".join(lines), encoding="utf-8")
    told = run("replay", "x.csv", *named)
    assert told.code == 2
    assert "x.csv:4: not CSV: a quoted cell goes on over the rows behind it" in told.err


@pytest.mark.parametrize(("key", "code"), [("note", 0), ("score", 2), ("truth", 2)])
def test_a_key_of_json_may_stand_twice_where_nobody_looks(run, folder, key, code):
    (folder / "x.jsonl").write_text(f'{{"score": 0.9, "truth": 1, "note": 1, "{key}": 0}}\n' * 3, encoding="utf-8")
    told = run("replay", "x.jsonl")
    assert (told.code, f"the key '{key}' stands twice" in told.err) == (code, code == 2)


def test_a_score_that_is_none_is_quoted_in_a_line(run, folder):
    (folder / "x.json").write_text(json.dumps({"score": [0.5] * 10_000, "truth": [1] * 10_000}), encoding="utf-8")
    told = run("replay", "x.json")
    assert (told.code, len(told.err) < 400) == (2, True)
    assert "not a number from 0 to 1" in told.err


@pytest.mark.parametrize("kind", ["jsonl", "array", "gzip", "utf-16", "stdin"])
def test_json_comes_in_lines_or_as_one_array(run, folder, monkeypatch, kind):
    rows = [dict(zip(TRUTHS[0], row, strict=True)) for row in TRUTHS[1:]]
    rows[3]["odd"] = [float("nan"), {"deep": [[[]]]}, 10**400]
    rows[4]["more"] = "x" * 200_000
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    data = {
        "jsonl": lines.encode(), "array": json.dumps(rows, indent=1).encode(), "gzip": gzip.compress(lines.encode()),
        "utf-16": lines.encode("utf-16"), "stdin": lines.encode(),
    }[kind]  # fmt: skip
    (folder / "x.json").write_bytes(data)
    piped(monkeypatch, data)
    told = run("replay", "-" if kind == "stdin" else "x.json", "--threshold", "0.5", "--json")
    assert (told.code, told.json["n"], told.json["at"]["wrong"]) == (0, 200, 16), told.err


def test_only_the_named_columns_of_parquet_are_looked_at(run, folder, monkeypatch):
    """Whatever the others hold: times that Python has no value for, documents, lists of lists."""
    count = len(TRUTHS) - 1
    columns = {
        "score": [row[1] for row in TRUTHS[1:]], "truth": [row[2] for row in TRUTHS[1:]],
        "when": pa.array([1_704_110_400_123_456_789 + n for n in range(count)], pa.timestamp("ns")),
        "zone": pa.array([2**62] * count, pa.timestamp("us", "Europe/Berlin")),
        "span": pa.array([7] * count, pa.duration("ns")),
        "doc": ["x" * 200_000] * 3 + [""] * (count - 3), "nested": [[[1], []], [], None, [[2]]] * (count // 4),
        "blob": [b"\xff"] * count, "maps": pa.array([[("a", 1)]] * count, pa.map_(pa.string(), pa.int64())),
        "day": pa.array([2**31 - 1] * count, pa.date32()), "a.b": [1] * count, "score.x": ["?"] * count,
    }  # fmt: skip
    pyarrow.parquet.write_table(pa.table(columns), folder / "x.parquet")
    told = run("replay", "x.parquet", "--threshold", "0.5", "--json")
    assert (told.code, told.json["n"], told.json["at"]["wrong"]) == (0, count, 16), told.err
    grouped = run("replay", "x.parquet", "--group", "day", "--json")
    assert (grouped.code, len(grouped.json["groups"])) == (0, 1), grouped.err
    piped(monkeypatch, gzip.compress((folder / "x.parquet").read_bytes()))
    assert run("replay", "-", "--threshold", "0.5", "--json").json["n"] == count


def compared(folder: Path, pairs: list[tuple[Any, Any]], kind: str = "jsonl") -> tuple[str, ...]:
    rows = [{"score": 0.9, "proposal": a, "truth": b} for a, b in pairs]
    if kind == "csv":
        table = [list(rows[0]), *([row["score"], row["proposal"], row["truth"]] for row in rows)]
        (folder / "x.csv").write_text(text_of(table, ";"), encoding="utf-8")
    else:
        (folder / f"x.{kind}").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return ("replay", f"x.{kind}", "--threshold", "0.5", "--proposal", "proposal")


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ([("Spam", "spam"), ("Ham", "ham")], "line 1 proposes 'Spam' where the truth is 'spam'; they differ in spell"),
        ([(1, "1"), (0, "0")], "line 1 proposes 1 where the truth is '1'; the one is a number, the other a text"),
        ([(True, "true")], "the one is a truth value, the other a text"),
        ([("x ", "x")], "they differ in spelling"),
        ([("a", "b"), ("c", "d")], "proposes 'a' where the truth is 'b'; are these two columns of the same thing?"),
        ([(["a"], "a")], "the one is a list, the other a text"),
    ],
)  # fmt: skip
def test_no_truth_equal_to_any_proposal_is_said_with_an_example(run, folder, pairs, says):
    told = run(*compared(folder, pairs))
    assert told.code == 2
    assert "no truth is equal to any proposal: " in told.err
    assert says in told.err


def test_proposals_that_are_all_wrong_are_no_mistake_of_the_file(run, folder):
    told = run(*compared(folder, [("a", "b"), ("b", "a")]))
    assert told.code == 0
    assert "no proposal is right: line 1 proposes 'a' where the truth is 'b'" in told.err
    assert "error 100.00%" in told.out


def test_what_differs_in_spelling_only_is_counted_and_said(run, folder):
    told = run(*compared(folder, [("a", "a"), ("a", "A"), ("b", "b"), ("1", 1)]), "--json")
    assert (told.code, told.json["at"]["wrong"]) == (0, 2)
    assert told.json["remarks"] == [
        "2 rows count as wrong where proposal and truth are alike: line 2 has 'a' and 'A'; they differ in spelling: "
        "write both alike"
    ]


def test_in_csv_a_number_is_what_it_says(run, folder):
    alike = [("1", "1.0"), ("1,5", "1.50"), ("TRUE", "true"), (" a ", "a"), ("1E2", "100"), ("-0", "0")]
    told = run(*compared(folder, alike, "csv"), "--json")
    assert (told.code, told.json["at"]["wrong"]) == (0, 0)
    told = run(*compared(folder, [*alike, ("01", "1"), ("a", "b")], "csv"), "--json")
    assert told.json["at"]["wrong"] == 2
