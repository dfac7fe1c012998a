"""The blocks of the page on any language run, in order, against a live server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from team import team

import dualcontrol as dc
from dualcontrol.web.server import background

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "any-language.md"


def blocks(language: str) -> list[str]:
    """The code blocks of the page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@contextmanager
def served(tmp_path: Path) -> Iterator[tuple[dc.Desk, dict[str, str]]]:
    """A desk as the page sets it up, behind a server, and the variables that lead there."""
    settings = tomllib.loads(blocks("toml")[0])["loop"]["refunds"]
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process") as desk:
        desk.loop("refunds", **settings)
        team(desk, ("ana", "olga"))
        desk.people.register("refunds-bot", "root", owner="olga", loops=["refunds"])
        program = desk.tokens.issue("refunds-bot", "root", loops=["refunds"])[1]
        anas = desk.tokens.issue("ana", "root", scopes=("decide",), loops=["refunds"])[1]
        with background(desk, port=0) as serving:
            url = serving.url.rstrip("/")
            yield desk, {**os.environ, "DUALCONTROL_URL": url, "DUALCONTROL_TOKEN": program, "ANAS_TOKEN": anas}


@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("bash"), reason="needs curl and bash")
def test_the_whole_trip(tmp_path: Path) -> None:
    """Propose, claim, answer, wait, act once, follow: with nothing but curl."""
    with served(tmp_path) as (desk, known):
        script = "set -euo pipefail\n" + "\n".join(blocks("sh"))
        done = subprocess.run(["bash", "-c", script], env=known, capture_output=True, text=True, timeout=50)
        assert done.returncode == 0, done.stdout + done.stderr
        case = desk.case(done.stdout.split()[1])
        assert case.outcome is not None
        assert case.outcome.value == {"action": "refund", "args": {"order": "A-17", "amount": 90.0}}
        assert case.outcome.effect == {"state": "succeeded", "result": {"transfer": "T-991"}}
        assert case.loop == "refunds"
        assert (case.submitter, [answer.actor.person for answer in case.answered]) == ("refunds-bot", ["ana"])


def test_the_programs_in_python(tmp_path: Path) -> None:
    """The gate pauses, Ana edits, and the program that is started again runs what she decided, once."""
    refunds, ana = blocks("python")
    with served(tmp_path) as (desk, known):

        def start(program: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-c", program]
            return subprocess.run(command, env=known, cwd=tmp_path, capture_output=True, text=True, timeout=50)

        ends = [start(program) for program in (refunds, ana, refunds, refunds)]
        assert [end.returncode for end in ends] == [5, 0, 0, 0], ends
        assert [end.stdout for end in ends[2:]] == ["refunded 30.00 for A-18\n"] * 2
        (row,) = desk.store.queries.cases().rows
        assert (desk.case(row.id).effect.fence, desk.case(row.id).effect.state) == (1, "succeeded")
