"""Every error has a page that says what to do, and every page belongs to an error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeAlias

import pytest

from dualcontrol import errors

PAGES = Path(__file__).parents[2] / "docs" / "errors"
HEADINGS = ["What happened", "Why", "What to do", "Example"]
Kind: TypeAlias = type[errors.DualcontrolError] | type[errors.Paused]
CLASSES: list[Kind] = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.DualcontrolError | errors.Paused)
]


def page(kind: Kind) -> str:
    return (PAGES / f"{kind.code}.md").read_text(encoding="utf-8")


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in CLASSES]
    assert len(set(codes)) == len(codes)


def test_every_class_has_a_page_and_every_page_a_class() -> None:
    pages = {path.stem for path in PAGES.glob("*.md")} - {"README"}
    assert pages == {kind.code for kind in CLASSES} | {"DC-USAGE"}  # the command line's own, which no class raises


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.code)
def test_every_class_says_what_to_do(kind: Kind) -> None:
    assert kind.hint.strip()
    assert kind.__doc__ is not None
    assert kind.code.startswith("DC-")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.code)
def test_a_page_has_every_part_and_none_is_empty(kind: Kind) -> None:
    parts = re.split(r"^## (.+)$", page(kind), flags=re.MULTILINE)
    assert parts[1::2] == HEADINGS
    assert all(text.strip() for text in parts[2::2])


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.code)
def test_a_page_states_class_exit_code_and_status(kind: Kind) -> None:
    text = page(kind)
    assert text.startswith(f"# {kind.code}\n")
    assert f"`dualcontrol.errors.{kind.__name__}`" in text
    assert f"exit code {kind.exit_code};" in text
    status = getattr(kind, "status", None)
    assert (f"HTTP status {status}." if status else "no HTTP status") in text


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.code)
def test_a_page_shows_a_message_as_it_is_printed(kind: Kind) -> None:
    shown = page(kind).partition("```text\n")[2].partition("\n```")[0]
    message, code, hint = shown.partition(f" [{kind.code}] ")
    assert message
    assert code
    assert hint


def test_the_index_is_the_tree() -> None:
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    for kind in CLASSES:
        depth = len([c for c in kind.__mro__ if hasattr(c, "code")]) - 1
        assert f"\n{'  ' * depth}- [{kind.code}]({kind.code}.md) `{kind.__name__}`: " in index
