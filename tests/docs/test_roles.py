"""The page of roles is the matrix that `people.may` goes by, and names every address with what its handler asks."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import dualcontrol as dc
from dualcontrol import people
from dualcontrol.web.app import create_app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "roles.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script that writes the page."""
    spec = importlib.util.spec_from_file_location("write_roles", ROOT / "scripts" / "write_roles.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_script_writes(script):
    assert script.page() == PAGE


@pytest.mark.parametrize("verb", people.PERMITTED)
def test_a_change_of_any_cell_makes_the_page_stale(script, monkeypatch, verb):
    for role in people.ROLES:
        before = people.PERMITTED[verb]
        other = tuple(r for r in before if r != role) if role in before else (*before, role)
        monkeypatch.setitem(people.PERMITTED, verb, other)
        assert script.page() != PAGE
        monkeypatch.setitem(people.PERMITTED, verb, before)


def test_every_verb_has_its_row_and_every_role_its_column():
    (head,) = re.findall(r"^\| verb \| what it is \| (.+) \|$", PAGE, re.MULTILINE)
    assert head.split(" | ") == list(people.ROLES)
    matrix = PAGE.partition("## What each role may do")[2].partition("##")[0]
    assert re.findall(r"^\| (\w+) \| [^|]+ \| [yes| ]+\|$", matrix, re.MULTILINE) == list(people.PERMITTED)


def test_every_address_that_is_described_or_served_is_on_the_page():
    listed = set(re.findall(r"^\| ([A-Z]+) \| `(.+?)` \| \w+ \|$", PAGE, re.MULTILINE))
    with dc.open("sqlite:///:memory:", durability="process") as desk:
        described = create_app(desk).openapi()["paths"]
    assert {(method.upper(), path) for path, methods in described.items() for method in methods} <= listed
    assert not re.findall(r"^\| [A-Z]+ \| `.+` \| nobody \|$", PAGE, re.MULTILINE)
