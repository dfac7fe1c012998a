"""The commands of the page from a CSV to a threshold run, in order, and print what the page says they print."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "csv-to-threshold.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_the_commands_run_and_print_what_the_page_says(tmp_path: Path) -> None:
    found = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    (made,) = [body for language, body in found if language == "python" and "scored.csv" in body]
    exec(compile(made.replace('"scored.csv"', repr(str(tmp_path / "scored.csv"))), str(PAGE), "exec"), {})
    said = ""
    for language, body in found:
        if language == "sh":
            said = shell(body, tmp_path)
        elif language == "text" and not body.startswith("dualcontrol "):
            for line in body.splitlines():
                assert line in said, f"{line!r} is not among what the command before prints:\n{said}"


def shell(script: str, folder: Path) -> str:
    """What a block prints, on lines that no terminal breaks; `dualcontrol` is this package's."""
    name = f'dualcontrol() {{ "{sys.executable}" -m dualcontrol "$@"; }}\n'
    env = {name: value for name, value in os.environ.items() if not name.startswith("DUALCONTROL_")}
    done = subprocess.run(
        ["bash", "-c", f"set -eu\n{name}{script}"], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_json_that_the_page_describes_is_all_there_is_to_read(tmp_path: Path) -> None:
    (tmp_path / "scored.csv").write_text("score,truth\n" + "0.9,1\n" * 200, encoding="utf-8")
    told = json.loads(shell("dualcontrol replay scored.csv --max-error 0.05 --json", tmp_path))
    for row in re.findall(r"^\| (`.+`) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        for field in re.findall(r"`(\w+)`", row):
            assert field in told
