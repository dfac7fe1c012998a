"""The blocks of the page on any language run, in order, against a live server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from team import team

import dualcontrol as dc
from dualcontrol.web.server import background

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "any-language.md"


def blocks(language: str) -> list[str]:
    """The code blocks of the page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("bash"), reason="needs curl and bash")
def test_the_whole_trip(tmp_path: Path) -> None:
    """Propose, claim, answer, wait, act once, follow: with nothing but curl."""
    settings = tomllib.loads(blocks("toml")[0])["loop"]["refunds"]
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process") as desk:
        loop = desk.loop("refunds", **settings)
        team(desk, ("ana", "olga"))
        desk.people.register("refunds-bot", "root", owner="olga", loops=["refunds"])
        program = desk.tokens.issue("refunds-bot", "root", loops=["refunds"])[1]
        anas = desk.tokens.issue("ana", "root", scopes=("decide",), loops=["refunds"])[1]
        with background(desk, port=0) as serving:
            script = "set -euo pipefail\n" + "\n".join(blocks("sh"))
            known = {
                "DUALCONTROL_URL": serving.url.rstrip("/"), "DUALCONTROL_TOKEN": program, "ANAS_TOKEN": anas,
            }  # fmt: skip
            done = subprocess.run(
                ["bash", "-c", script], env={**os.environ, **known}, capture_output=True, text=True, timeout=50
            )
        assert done.returncode == 0, done.stdout + done.stderr
        case = desk.case(done.stdout.split()[1])
        assert case.outcome is not None
        assert case.outcome.value == {"action": "refund", "args": {"order": "A-17", "amount": 90.0}}
        assert case.outcome.effect == {"state": "succeeded", "result": {"transfer": "T-991"}}
        assert loop.name == case.loop
        assert (case.submitter, [answer.actor.person for answer in case.answered]) == ("refunds-bot", ["ana"])
