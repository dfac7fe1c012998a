"""How text from outside, moments and progress look; and colour only where a person watches."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from dualcontrol.cli.screen import ago, due, stamp
from dualcontrol.layout import one_line, span, visible, written
from dualcontrol.learn.export import harmless
from dualcontrol.spelling import label, meant

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred", "[U+001B ESCAPE][31mred"),
        ("a\rb", "a[U+000D CARRIAGE RETURN]b"),
        ("a\r\nb", "a\nb"),
        ("\u202eabc\u2066", "[U+202E RIGHT-TO-LEFT OVERRIDE]abc[U+2066 LEFT-TO-RIGHT ISOLATE]"),
        ("\x9b2J", "[U+009B CONTROL SEQUENCE INTRODUCER]2J"),
        ("\ud800", "[U+D800 LONE SURROGATE]"),
        ("日本語 ✓", "日本語 ✓"),
    ],
)
def test_nothing_acts_on_the_terminal(given, shown):
    assert visible(given) == shown


def test_lines_are_shortened_with_a_mark():
    assert one_line("a  b\nc", 4) == "a b…"
    assert one_line("a b", 4) == "a b"
    assert written({"a": "ü"}) == '{"a": "ü"}'


def test_moments_are_told_from_now():
    now = 1_767_225_600 * SECOND
    assert ago(now - 90 * SECOND, now) == "1 min 30 s ago"
    assert ago(now + 7200 * SECOND, now) == "in 2 h"
    assert ago(now, now) == "now"
    assert due(now - 3 * SECOND, now) == "late by 3 s"
    assert due(None, now) == "no limit"
    assert span(3 * 86_400 + 60) == "3 d"
    assert stamp(now) == "2026-01-01 00:00:00Z"


def test_a_label_is_matched_exactly_before_anything_else():
    labels = ("1", 1, "Yes", "yes", True, {"a": 1})
    assert label("1", labels) == "1"
    assert label("yes", labels) == "yes"
    assert label("YES", labels) == "YES"
    assert label("true", labels) is True
    assert label('{"a": 1}', labels) == {"a": 1}
    assert meant("edit", '{"a": 1.0}', None) == {"a": 1.0}


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_no_cell_is_a_formula(cell):
    assert harmless(cell) == f"'{cell}"
    assert harmless("plain = text") == "plain = text"


def watched(*command: str, **env: str) -> str:
    """What a command prints when its streams are a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dualcontrol", *command], stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", **env},
    )  # fmt: skip
    os.close(theirs)
    text = b""
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not read:
            break
        text += read
    process.wait()
    os.close(ours)
    return text.decode()


def test_a_person_sees_colour_unless_they_say_no(refund):
    refund()
    assert "\x1b[" in watched("inbox")
    assert "\x1b[31m" not in watched("inbox", NO_COLOR="1")
    assert "\x1b[1;31merror" in watched("show", "nope")
    assert "\x1b[1;31m" not in watched("show", "nope", NO_COLOR="1")


def test_progress_is_for_a_person_only(refund):
    refund()
    assert "examining" in watched("doctor")
    assert "examining" not in watched("doctor", "--json")
