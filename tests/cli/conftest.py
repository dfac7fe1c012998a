"""A folder with settings and a database of its own, and the command line called in it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dualcontrol.cli import main

SETTINGS = """\
[database]
durability = "process"

[groups]
support = ["ana", "ben", "cleo"]
leads = ["lee"]

[loop.refunds]
mode = "approval"
threshold = 0.9
risk_ceiling = "medium"
human_actions = ["delete_account"]
block_actions = ["drop_table"]
context = "minimal"
group = "support"
quorum = { arbiter = "leads" }

[[loop.refunds.rule]]
name = "large amounts"
when = 'has(args.amount) && args.amount > 500.0'
route = "human"
risk = "high"

[loop.spam]
mode = "labels"
threshold = 0.9
context = "minimal"
labels = ["spam", "ham", 1, "2"]
group = "support"

[loop.pairs]
mode = "preference"
context = "minimal"
group = "support"

[loop.both]
mode = "approval"
context = "minimal"
group = "support"
quorum = { answers = 2 }
"""


class Result(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document on stdout."""
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which ana is the system's user."""
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith("DUALCONTROL_") and not n.startswith("DUALCONTROL_TEST")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOGNAME", "ana")
    (tmp_path / "dualcontrol.toml").write_text(SETTINGS, encoding="utf-8")
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command line; gives exit code, stdout and stderr."""

    def call(*arguments: str) -> Result:
        capsys.readouterr()
        code = main(list(arguments))
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def refund(run: Run) -> Callable[..., str]:
    """Propose a refund that a human has to decide; gives the case's id."""

    def propose(*more: str, loop: str = "refunds") -> str:
        given = ("--action", "refund", "--args", '{"order": "A-17", "amount": 42.0}', "--input", '{"mail": "please"}')
        result = run("propose", loop, *given, "--confidence", "0.6", "--json", *more)
        assert result.code == 0, result
        return str(result.json["case_id"])

    return propose


@pytest.fixture
def mail(run: Run) -> Callable[..., str]:
    """Propose a label that a human has to confirm; gives the case's id."""

    def propose(text: str = "win a prize", label: str = "spam") -> str:
        given = ("--proposal", json.dumps(label), "--input", json.dumps(text), "--confidence", "0.5", "--json")
        return str(run("propose", "spam", *given).json["case_id"])

    return propose
