"""Every kind of event is documented with all its fields."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dualcontrol.events import EVENTS

DOCS = Path(__file__).parents[2] / "docs"
SECTIONS = dict(
    re.findall(
        r"^### (\w+)\n(.*?)(?=^##|\Z)", (DOCS / "events.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
)


def test_the_reference_names_every_kind_and_no_other() -> None:
    assert list(SECTIONS) == list(EVENTS)


@pytest.mark.parametrize("kind", EVENTS)
def test_every_field_of_an_event_is_explained(kind: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", SECTIONS[kind], re.MULTILINE)
    assert [name for name, _ in rows] == list(EVENTS[kind].__struct_fields__)
    assert all(meaning.strip() for _, meaning in rows)


def test_the_glossary_names_every_kind() -> None:
    glossary = (DOCS / "glossary.md").read_text(encoding="utf-8")
    for kind in EVENTS:
        assert f"[{kind}](events.md#{kind.lower()})" in glossary
