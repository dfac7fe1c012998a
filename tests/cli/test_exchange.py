"""Offline batch: open reviews to a file, answers back, each line under the same checks as everywhere."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dualcontrol as dc


def rows(path: str = "open.jsonl") -> list[dict]:
    """The rows of a file."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def save(found: list[dict], path: str = "open.jsonl") -> str:
    """Write rows as JSON lines."""
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return path


def filled(run, verdict: str = "approve", value: object = None) -> list[dict]:
    """What is open, with the same answer in each row."""
    assert run("export", "--open", "open.jsonl", "--force").code == 0
    return [{**row, "verdict": verdict, "value": value} for row in rows()]


def test_a_row_shows_what_the_reviewer_may_see_and_leaves_the_answer_open(run, refund):
    case = refund()
    result = run("export", "--open", "open.jsonl")
    assert result.code == 0
    (row,) = rows()
    assert (row["case_id"], row["person"]) == (case, "ana")
    assert row["view"]["input"] == {"mail": "please"}
    assert (row["verdict"], row["value"], row["rationale"]) == (None, None, None)
    assert "approve" in row["verdicts"]


def test_answers_are_applied_once_and_skipped_when_repeated(run, refund):
    cases = [refund(), refund(), refund()]
    answers = filled(run)
    answers[1] |= {"verdict": "edit", "value": {"order": "A-17", "amount": 1.5}}
    answers[2] |= {"verdict": "reject", "rationale": "no", "reasons": ["fraud"]}
    result = run("import", save(answers), "--json")
    assert (result.code, result.json["applied"], result.json["refused"]) == (0, 3, 0)
    assert run("show", cases[1], "--json").json["outcome"]["value"]["args"]["amount"] == 1.5
    again = run("import", "open.jsonl", "--json")
    assert (again.code, again.json["applied"], again.json["skipped"]) == (0, 0, 3)
    assert run("show", cases[0], "--json").json["answers"][0]["actor"]["via"] == "import"


def test_a_dry_run_makes_every_check_and_writes_nothing(run, refund):
    case = refund()
    answers = filled(run)
    result = run("import", save([*answers, {**answers[0], "verdict": "label", "value": 1}]), "--dry-run", "--json")
    assert (result.code, result.json["applied"], result.json["refused"]) == (1, 1, 1)
    assert run("show", case, "--json").json["seq"] == 1


def test_a_bad_line_is_named_and_the_others_are_applied(run, refund):
    for _ in range(3):
        refund()
    answers = filled(run)
    answers[1]["verdict"] = "aprove"
    text = Path(save(answers)).read_text(encoding="utf-8")
    Path("open.jsonl").write_text(text + "{half a line\n[1]\n", encoding="utf-8")
    result = run("import", "open.jsonl", "--json")
    assert (result.code, result.json["applied"], result.json["refused"]) == (1, 2, 3)
    refused = {line["line"]: line["code"] for line in result.json["lines"] if line["became"] == "refused"}
    assert refused == {2: "DC-VERDICT", 4: "DC-IMPORT", 5: "DC-IMPORT"}
    shown = run("import", "open.jsonl")
    assert shown.code == 1
    assert "aprove" in shown.out
    assert "2 skipped" in shown.out


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"case_id": "nope"}, "DC-CASE"),
        ({"case_id": None}, "DC-IMPORT"),
        ({"review_id": "nope"}, "DC-IMPORT"),
        ({"review_id": 7}, "DC-IMPORT"),
        ({"verdict": ["approve"]}, "DC-IMPORT"),
        ({"confidence": "high"}, "DC-IMPORT"),
        ({"reasons": "fraud"}, "DC-IMPORT"),
        ({"verdict": "edit", "value": {"order": 17, "amount": 1.0}}, "DC-ANSWER-VALUE"),
        ({"verdict": "edit", "value": {"action": "drop_table", "args": {}}}, "DC-BLOCKED"),
        ({"shown": "0" * 64}, "DC-CONFLICT"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("mode", ["--dry-run", "--json"])
def test_every_check_holds_in_a_file_too(run, refund, change, code, mode):
    case = refund()
    (answer,) = filled(run)
    result = run("import", save([answer | change]), mode, "--json")
    assert result.code == 1
    assert result.json["lines"][0]["code"] == code
    assert run("show", case, "--json").json["seq"] == 1


def test_a_stranger_and_a_second_answer_are_refused(run, refund):
    refund()
    answers = filled(run)
    assert run("import", save(answers), "--person", "mallory", "--json").json["lines"][0]["code"] == "DC-ELIGIBILITY"
    assert run("import", "open.jsonl", "--person", "ben").code == 0
    assert run("import", "open.jsonl", "--json").json["lines"][0]["code"] == "DC-SETTLED"
    changed = save([answers[0] | {"verdict": "reject"}])
    assert run("import", changed, "--person", "ben", "--json").json["lines"][0]["code"] == "DC-SETTLED"


def test_rows_without_an_answer_stay_open(run, refund):
    refund()
    run("export", "--open", "open.jsonl")
    result = run("import", "open.jsonl", "--json")
    assert (result.code, result.json["unanswered"]) == (0, 1)
    assert len(run("inbox", "--json").json) == 1


def test_what_others_said_is_not_in_the_file_while_a_quorum_is_open(run, refund):
    case = refund(loop="both")
    assert run("approve", case, "--rationale", "secret reason").code == 0
    run("export", "--open", "open.jsonl", "--person", "ben")
    assert "secret reason" not in Path("open.jsonl").read_text(encoding="utf-8")
    (row,) = rows()
    assert run("import", save([row | {"verdict": "approve"}]), "--person", "ben").code == 0
    assert run("show", case, "--json").json["outcome"]["reviewers"] == ["ana", "ben"]


def test_a_preference_is_shown_in_the_order_that_is_recorded(run):
    for number in range(4):
        given = json.dumps([f"{name}{number}" for name in "abcde"])
        run("propose", "pairs", "--candidates", given, "--input", '"q"')
    answers = filled(run, "prefer", "c2")
    told = run("import", save(answers), "--person", "ben", "--dry-run", "--json").json
    assert "DC-CONFLICT" in {line["code"] for line in told["lines"]}
    assert run("import", save(answers), "--json").json["applied"] == 4
    for row in answers:
        (given,) = run("show", row["case_id"], "--json").json["answers"]
        assert given["presented"] == [c["id"] for c in row["view"]["candidates"]]


def test_labels_travel_as_csv_and_back(run, mail, folder):
    mail("=1+1", "spam")
    mail('a "quoted", text\nof two lines', "ham")
    assert run("export", "--open", "labels.csv", "--loop", "spam").code == 0
    with open("labels.csv", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert table[0]["input"] == "'=1+1"
    assert table[1]["input"] == 'a "quoted", text\nof two lines'
    table[0]["value"], table[1]["value"] = "HAM", "1"
    with open("labels.csv", "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    result = run("import", "labels.csv", "--json")
    assert (result.code, result.json["applied"]) == (0, 2), result.out
    values = [run("show", row["case_id"], "--json").json["outcome"]["value"] for row in table]
    assert values == ["ham", 1]
    assert run("import", "labels.csv", "--json").json["skipped"] == 2


def test_csv_holds_labels_only(run, refund):
    refund()
    assert run("export", "--open", "open.csv").code == 2


def test_an_existing_file_is_kept_without_force(run, refund, folder):
    refund()
    (folder / "open.jsonl").write_text("mine", encoding="utf-8")
    assert run("export", "--open", "open.jsonl").code == 2
    assert (folder / "open.jsonl").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("given", [["--open"], ["--open", "a", "b"], ["refunds"], ["refunds", "a", "b"]])
def test_export_says_which_words_it_takes(run, refund, given):
    refund()
    assert run("export", *given).code == 2


def test_examples_are_exported_in_each_shape(run, refund, mail):
    run("edit", refund(), "--set", "amount=1.0")
    run("answer", mail(), "label", "--value", "ham")
    assert run("export", "refunds", "pairs.jsonl", "--format", "trl-preference", "--json").json["rows"] == 1
    assert run("export", "spam", "labels.jsonl", "--format", "labels", "--json").json["rows"] == 1
    assert run("export", "spam", "labels.csv", "--format", "labels").code == 0
    assert json.loads(run("export", "spam", "-", "--format", "labels").out)["label"] == "ham"
    assert run("export", "nope", "x.jsonl").code == 3


def test_a_killed_import_leaves_nothing_half_done(run, refund, folder):
    """Whole lines are applied or not at all: no claim is left, and the rest is applied the next time."""
    for _ in range(30):
        refund()
    save(filled(run))
    code = (
        "import os, sys\n"
        "from dualcontrol.cli import main\n"
        "from dualcontrol.store.sql import tx\n"
        "real, count = tx.SqlTx.save, 0\n"
        "def save(self, *a, **k):\n"
        "    global count\n"
        "    count += 1\n"
        "    if count == 26:\n"
        "        os._exit(9)\n"
        "    return real(self, *a, **k)\n"
        "tx.SqlTx.save = save\n"
        "main(['import', 'open.jsonl'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == 9
    waiting = run("inbox", "--limit", "100", "--json").json
    assert {row["review"]["state"] for row in waiting} == {"open"}
    assert len(waiting) == 30 - 12
    result = run("import", "open.jsonl", "--json")
    assert (result.json["skipped"], result.json["applied"], result.json["refused"]) == (12, 18, 0)
    assert run("doctor").code == 0


@pytest.mark.parametrize(("feedback", "left"), [('"export"', 0), ('{ trainer = "sklearn" }', 1), ('"off"', 1)])
def test_an_export_marks_what_it_took_where_that_is_the_feedback(run, mail, folder, feedback, left):
    text = (folder / "dualcontrol.toml").read_text(encoding="utf-8")
    text = text.replace('labels = ["spam", "ham", 1, "2"]', f'labels = ["spam", "ham"]\nfeedback = {feedback}')
    (folder / "dualcontrol.toml").write_text(text, encoding="utf-8")
    run("answer", mail(), "label", "--value", "ham")
    mail()
    run("export", "--open", "open.jsonl")
    assert run("export", "spam", "open.jsonl").code == 2
    with dc.open() as desk:
        assert desk.store.queries.unfed() == {"spam": 1}
    assert run("export", "spam", "-").code == 0
    with dc.open() as desk:
        assert desk.store.queries.unfed().get("spam", 0) == left


def test_a_format_that_does_not_fit_the_mode_is_said(run, refund):
    run("approve", refund())
    result = run("export", "refunds", "labels.jsonl", "--format", "labels")
    assert "--format labels fits none of the decisions (1) of a loop in approval mode" in result.err
    assert "decided nothing" in run("export", "spam", "none.jsonl").err


def test_a_dry_run_sees_what_the_lines_before_would_have_done(run, refund):
    refund(), refund()
    answers = filled(run)
    twice = save([*answers, answers[0], {**answers[1], "verdict": "reject"}])
    said = run("import", twice, "--dry-run", "--json")
    done = run("import", twice, "--json")
    assert [line["became"] for line in said.json["lines"]] == ["applied", "applied", "skipped", "refused"]
    assert [(x["became"], x["code"]) for x in said.json["lines"]] == [
        (x["became"], x["code"]) for x in done.json["lines"]
    ]
    assert said.code == done.code == 1


def test_a_table_of_other_columns_is_refused(run, mail, folder):
    mail()
    (folder / "other.csv").write_text("id,label\n1,spam\n", encoding="utf-8")
    result = run("import", "other.csv")
    assert result.code == 2
    assert "other.csv has no column case_id; its columns are: id, label" in result.err
    assert run("import", save([{"id": 1}]), "--json").json["refused"] == 1


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_ending_of_an_export_says_what_is_written(run, mail, ending):
    run("answer", mail(), "label", "--value", "ham")
    assert run("export", "spam", f"out.{ending}", "--json").json == {
        "out": f"out.{ending}",
        "rows": 1,
        "left_out": 0,
        "as_text": [],
    }
    data = Path(f"out.{ending}").read_bytes()
    assert data.startswith({"csv": b"id,case_id,", "jsonl": b'{"id": 1', "parquet": b"PAR1"}[ending])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("spam", "x.txt"), "known are .csv, .jsonl, .ndjson, .parquet, .pq"),
        (("spam", "x"), "known are .csv"),
        (("spam", "x.csv", "--format", "jsonl"), "the format jsonl does not go into 'x.csv', whose ending says csv"),
        (("spam", "x.jsonl", "--format", "parquet"), "whose ending says jsonl"),
        (("spam", "-", "--format", "parquet"), "Parquet is no text"),
        (("--open", "x.txt"), "known are .csv"),
        (("--open", "x.parquet"), "open reviews are written as .csv (labels) or .jsonl"),
    ],
)
def test_a_name_that_does_not_say_what_to_write_is_refused(run, mail, folder, given, says):
    run("answer", mail(), "label", "--value", "ham")
    result = run("export", *given)
    assert (result.code, says in result.err) == (2, True), result.err
    assert not list(folder.glob("x*"))


def test_pairs_that_are_left_out_are_told(run):
    given = json.dumps(["same", "same", "other"])
    run("propose", "pairs", "--candidates", given, "--input", '"q"')
    assert run("import", save(filled(run, "prefer", ["c1", "c2", "c3"]))).code == 0
    told = run("export", "pairs", "out.jsonl", "--format", "trl-preference")
    assert "1 pair left out: chosen and rejected are the same text" in told.err
    assert run("export", "pairs", "out.jsonl", "--format", "trl-preference", "--force", "--json").json["left_out"] == 1


def test_an_export_in_csv_goes_to_a_pipe(run, mail):
    run("answer", mail("=1+1"), "label", "--value", "ham")
    (row,) = csv.DictReader(run("export", "spam", "-", "--format", "csv").out.splitlines())
    assert (row["input"], row["value"]) == ("'=1+1", "ham")
