"""What is printed in a terminal of 80 columns, and in one of 120."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

STYLE = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture
def terminal() -> Callable[..., list[str]]:
    """Call the command line in a terminal of a width; gives the lines it shows."""

    def call(width: int, *arguments: str) -> list[str]:
        master, slave = pty.openpty()
        env = {**os.environ, "COLUMNS": str(width), "NO_COLOR": "1", "TERM": "xterm"}
        command = [sys.executable, "-m", "dualcontrol", *arguments]
        with subprocess.Popen(command, stdout=slave, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=env):
            os.close(slave)
            shown = b""
            while chunk := _read(master):
                shown += chunk
        os.close(master)
        return [line.rstrip() for line in STYLE.sub("", shown.decode()).split("\r\n")]

    return call


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65_536)
    except OSError:  # the other side is closed
        return b""


@pytest.mark.parametrize("width", [80, 120])
def test_the_inbox_is_readable(terminal, run, refund, mail, folder, width):
    text = (folder / "dualcontrol.toml").read_text(encoding="utf-8")
    (folder / "dualcontrol.toml").write_text(text.replace('risk_ceiling = "medium"', 'respond_within = "11d"'))
    case, other = refund("--risk", "low"), mail()
    lines = terminal(width, "inbox")
    assert max(map(len, lines)) <= width
    (row,) = [line for line in lines if case in line]
    assert row.split("  ")[0] in ("in 10 d 23 h", "in 11 d")
    assert {"refund", "order", "low"} <= set(row.split())
    assert any(other in line for line in lines)
    assert len(lines) < 9
    assert any("left out here: loop, confidence, kind" in line for line in lines) is (width == 80)
    assert ("0.6" in row and "decide" in row and "refunds" in row) is (width == 120)


@pytest.mark.parametrize("width", [80, 120])
def test_a_case_is_readable(terminal, run, refund, width):
    case = refund()
    assert run("approve", case).code == 0
    lines = terminal(width, "show", case, "--events")
    assert max(map(len, lines)) <= width
    row = next(line for line in lines if " answered " in line and "ana" in line)
    assert "ago" in row or "now" in row
    assert any("Answered" in line and line.startswith("3") for line in lines)
    assert len(lines) < (80 if width == 80 else 60)


def test_when_an_answer_was_given_is_no_due_time(terminal, run, refund):
    case = refund()
    run("approve", case)
    lines = terminal(120, "show", case)
    head = next(line for line in lines if line.startswith("review"))
    row = lines[lines.index(head) + 2]
    assert head.split() == ["review", "kind", "group", "state", "person", "due", "done"]
    assert row[head.index("due") : head.index("done")].strip() == ""
    assert row[head.index("done") :].strip()


@pytest.mark.parametrize("command", [("doctor",), ("config", "show"), ("policy", "check")])
def test_other_tables_fit(terminal, refund, command):
    refund()
    lines = terminal(80, *command)
    assert max(map(len, lines)) <= 80
    assert len(lines) < (75 if command != ("config", "show") else 200)
