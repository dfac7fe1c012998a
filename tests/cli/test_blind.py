"""A blind review on the command line: shown, listed, exported and answered without the proposal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
