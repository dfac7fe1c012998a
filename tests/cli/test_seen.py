"""What a terminal shows of a case: every character by itself or by its name, in the caller's order, in short time."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dualcontrol as dc

# What a terminal obeys, or hides, or lets turn what is read; escape sequences in both their forms.
ODD = "a\x1b]0;title\x07\x1b[2J\x9b31m\u202efdp.exe\u200b\x7f\r\ue000"
HIDDEN = [chr(n) for n in (*range(9), *range(11, 32), *range(0x7F, 0xA0), 0x202E, 0x200B, 0xE000)]
ORDER = {"zeta": 1, "alpha": {"y": 1, "x": 2}, "mid": [{"b": 1, "a": 2}]}
COMMANDS: list[tuple[str, ...]] = [
    ("inbox",), ("show", "CASE", "--events"), ("show", "CASE", "--json", "--events"), ("export", "--open", "-"),
    ("reject", "CASE", "--rationale", ODD), ("show", "CASE"), ("show", "no such \u202e\x1b[2J"),
]  # fmt: skip


@pytest.fixture
def odd_case(folder: Path) -> str:
    """A case with something dangerous in every field."""
    with dc.open() as desk:
        loop = desk.loop("odd", context="minimal", group="support")
        case = loop.propose(
            action="send \u202e\u200b", args={ODD: ODD, "deep": [{ODD: [ODD]}]}, input={ODD: ODD}, rationale=ODD,
            history=[ODD], meta={ODD: ODD}, segment="s\u202e", key=ODD,
            alternatives=[{"action": "x\u200b", "args": {ODD: 1}}],
        )  # fmt: skip
        return case.id


def in_terminal(*arguments: str) -> str:
    """What a command writes to a terminal, as it is."""
    master, slave = pty.openpty()
    env = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "dualcontrol", *arguments]
    with subprocess.Popen(command, stdout=slave, stderr=slave, stdin=subprocess.DEVNULL, env=env):
        os.close(slave)
        shown = b""
        while chunk := _read(master):
            shown += chunk
    os.close(master)
    return shown.decode()


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65_536)
    except OSError:  # the other side is closed
        return b""


def test_no_escape_sequence_reaches_a_terminal(odd_case: str) -> None:
    """Tables, values, documents, files on stdout and errors: hidden characters are named, or escapes of JSON."""
    for command in COMMANDS:
        shown = in_terminal(*(odd_case if word == "CASE" else word for word in command))
        bare = shown.replace("\r\n", "\n")
        assert [ascii(c) for c in HIDDEN if c in bare and c not in "\r\n"] == [], (command, ascii(bare))
        assert "Traceback" not in shown
    assert "[U+202E RIGHT-TO-LEFT OVERRIDE]" in in_terminal("show", odd_case)


def test_a_document_is_the_same_json(run: Callable[..., Any], odd_case: str) -> None:
    """Escapes change no value."""
    shown = run("show", odd_case, "--json").json
    assert shown["input"] == {ODD: ODD}
    assert shown["candidates"][0]["value"] == {ODD: ODD, "deep": [{ODD: [ODD]}]}


def test_the_order_is_the_callers(run: Callable[..., Any], refund: Callable[..., str]) -> None:
    """From the command line to the database and back, for people and for programs."""
    given = ("--action", "refund", "--args", json.dumps(ORDER), "--input", json.dumps(ORDER))
    case = run("propose", "refunds", *given, "--json").json["case_id"]
    shown = run("show", case, "--json").json
    assert json.dumps(shown["candidates"][0]["value"]) == json.dumps(shown["input"]) == json.dumps(ORDER)
    text = run("show", case).out
    assert text.index('"zeta"') < text.index('"alpha"') < text.index('"y"') < text.index('"mid"')


@pytest.mark.parametrize("value", ["x" * 1_000_000, [[1]] * 150_000, "\u200b\u200c" * 150_000])
def test_a_large_case_is_shown_in_short_time(run: Callable[..., Any], folder: Path, value: Any) -> None:
    """The beginning, and where the rest is; nested ever so deep it is no longer than that."""
    deep = value
    for _ in range(180):
        deep = [deep]
    with dc.open() as desk:
        case = desk.loop("odd", context="minimal", group="support").propose(action="x", args={"v": value}, input=deep)
    began = time.process_time()
    shown = run("show", case.id)
    assert time.process_time() - began < 10
    assert len(shown.out) < 1_000_000
    assert shown.out.count("characters; --json shows all)") == 2
    assert run("show", case.id, "--json").json["input"] == deep
