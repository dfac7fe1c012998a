"""Help, completion, the reference page, and what an import of the command line costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dualcontrol import __version__
from dualcontrol.cli.app import PLACES, loaded

HEAVY = ("sqlalchemy", "pydantic", "fastapi", "numpy", "sklearn", "starlette", "uvicorn", "alembic", "jsonschema")
ROOT = Path(__file__).resolve().parents[2]


def every_command() -> list[tuple[str, ...]]:
    """The words of every command."""
    paths: list[tuple[str, ...]] = []
    for name in PLACES:
        inner = getattr(loaded(name), "commands", None)
        paths += [(name,)] if inner is None else [(name, sub) for sub in inner]
    return paths


def python(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, **(env or {})},
    )  # fmt: skip


def test_the_list_names_every_command(run):
    result = run("--help")
    assert result.code == 0
    for name in PLACES:
        assert f" {name} " in result.out


@pytest.mark.parametrize("path", every_command(), ids=" ".join)
def test_every_command_has_help_and_takes_the_options_of_all(run, path):
    result = run(*path, "--help")
    assert result.code == 0
    for option in ("--json", "--database", "--settings"):
        assert option in result.out


@pytest.mark.parametrize("name", PLACES)
def test_the_line_in_the_list_is_how_the_help_begins(name):
    begins = PLACES[name].help.rstrip(" …").rstrip(".")
    assert (loaded(name).help or "").startswith(begins)


@pytest.mark.parametrize("path", every_command(), ids=" ".join)
def test_every_command_is_documented(path):
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"### dualcontrol {' '.join(path)}\n" in page


def test_the_reference_page_is_fresh():
    done = python(str(ROOT / "scripts" / "check_docs.py"))
    assert done.returncode == 0, done.stderr


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from dualcontrol.cli import main; main(['--help']); "
        f"found = [m for m in {HEAVY!r} if m in sys.modules]; sys.exit(repr(found) if found else 0)"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_help_takes_less_than_half_a_second_of_computing():
    code = (
        "import resource, sys; from dualcontrol.cli import main; main(['--help']); "
        "used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime + used.ru_stime, file=sys.stderr)"
    )
    assert min(float(python("-c", code).stderr) for _ in range(3)) < 0.5


def test_python_m_runs_the_same():
    done = python("-m", "dualcontrol", "--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"dualcontrol {__version__}")


def test_a_word_that_is_no_command_is_a_usage_error(run):
    result = run("aprove")
    assert result.code == 2
    assert "approve" in result.err
    assert "--help" in result.err


def test_an_unknown_option_is_a_usage_error_also_as_json(run):
    result = run("inbox", "--frob", "--json")
    assert result.code == 2
    assert result.json["error"]["code"] == "DC-USAGE"
    assert result.json["error"]["exit_code"] == 2


def test_completion_knows_commands_and_options():
    given = {"_DUALCONTROL_COMPLETE": "complete_bash", "COMP_WORDS": "dualcontrol a", "COMP_CWORD": "1"}
    code = "import sys; from dualcontrol.cli import main; sys.exit(main([]))"
    assert set(python("-c", code, env=given).stdout.split()) == {"approve", "answer", "autopilot"}
    more = given | {"COMP_WORDS": "dualcontrol inbox --pe", "COMP_CWORD": "2"}
    assert "--person" in python("-c", code, env=more).stdout


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {}])
def test_no_colour_reaches_a_pipe(setting):
    assert "\x1b" not in python("-m", "dualcontrol", "inbox", env=setting).stderr


def test_a_closed_pipe_is_no_traceback():
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-m', 'dualcontrol', 'openapi'], "
        "stdout=subprocess.PIPE, stderr=subprocess.PIPE); p.stdout.read(10); p.stdout.close(); "
        "print(p.stderr.read().decode()); p.wait()"
    )
    assert "Traceback" not in python("-c", code).stdout
