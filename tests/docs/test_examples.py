"""Every Python example of the docs and the README runs; the blocks of one page share a namespace, in order.

A comment ``# -> text`` says what a block prints, one line each.  A block after ``<!-- not run: reason -->`` is only
compiled.  A TOML block that begins with the line ``# dualcontrol.toml`` is the settings file of what follows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "howto").glob("*.md")])
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+?) -->\n+)?^```(?P<language>\w+)[^\n]*\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
PRINTED = re.compile(r"# -> (.*)$", re.MULTILINE)


class Block(NamedTuple):
    """One fenced block of a page."""

    language: str
    body: str
    line: int
    reason: str | None


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("body")) + 1
        yield Block(found["language"], found["body"], line, found["reason"])


def examples(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language in ("python", "py")]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and no settings from the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("DUALCONTROL_")]:
        monkeypatch.delenv(name)
    return tmp_path


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


FRAMEWORKS = ("langchain.md", "langgraph.md")  # installed by `make test-slow` alone
RUN = [
    pytest.param(page, marks=[pytest.mark.slow] if page.name in FRAMEWORKS else []) for page in PAGES if examples(page)
]


@pytest.mark.parametrize("page", RUN, ids=names)
def test_every_python_example_runs(page: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "toml" and block.body.startswith("# dualcontrol.toml\n"):
            (elsewhere / "dualcontrol.toml").write_text(block.body, encoding="utf-8")
        if block.language in ("python", "py") and block.reason is None:
            code = compile("\n" * (block.line - 1) + block.body, str(page), "exec")
            exec(code, shared)
            printed = capsys.readouterr().out.splitlines()
            expected = PRINTED.findall(block.body)
            assert not expected or printed == expected, f"{page.name}:{block.line}"


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_what_is_not_run_is_code_and_says_why(page: Path) -> None:
    for block in examples(page):
        compile(block.body, str(page), "exec")
        assert block.reason is None or block.reason.strip()
