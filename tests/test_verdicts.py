"""A verdict that stands in the table is known to every door: nothing else has to be searched for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

import dualcontrol as dc
from dualcontrol.learn.examples import KINDS
from dualcontrol.review import values
from dualcontrol.spelling import meant
from dualcontrol.verdicts import BY_MODE, PASSING, VERDICTS, Mode, Verdict
from dualcontrol.web.api.bodies import Answering
from dualcontrol.web.pages import forms
from dualcontrol.web.show import words

ROOT = Path(__file__).parents[1]
WEB = ROOT / "src" / "dualcontrol" / "web"

every_verdict = pytest.mark.parametrize("verdict", get_args(Verdict))


def modes_of(verdict: str) -> list[str]:
    return [mode for mode, legal in BY_MODE.items() if verdict in (*legal, *PASSING)]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_the_table_has_a_row_for_each_verdict_and_a_place_for_each_row() -> None:
    assert tuple(VERDICTS) == get_args(Verdict)
    assert tuple(BY_MODE) == get_args(Mode)
    assert {*PASSING, *(v for legal in BY_MODE.values() for v in legal)} == {*VERDICTS}


def test_in_no_mode_does_a_key_give_two_verdicts() -> None:
    for legal in BY_MODE.values():
        keys = [VERDICTS[v].key for v in (*legal, *PASSING) if VERDICTS[v].key]
        assert len(set(keys)) == len(keys)


@every_verdict
def test_it_is_checked_and_taken_from_python_and_over_http(verdict: str) -> None:
    assert verdict in values._CHECKS
    assert callable(getattr(dc.Claim, verdict))
    assert verdict in Answering.model_json_schema()["properties"]["verdict"]["enum"]


@every_verdict
def test_it_has_a_form_on_the_page_of_each_mode_and_the_form_is_read(verdict: str) -> None:
    templates = {path.stem: path.read_text(encoding="utf-8") for path in (WEB / "templates" / "review").glob("*.html")}
    for mode in modes_of(verdict):
        form = templates["parts" if verdict in PASSING else f"{mode}_form"]
        assert f'open_form(claim, "{verdict}"' in form, mode
        if verdict in PASSING:
            assert "passing_buttons(claim" in templates[f"{mode}_form"]
    assert (verdict in forms._READ) is (VERDICTS[verdict].value is not None)


@every_verdict
def test_it_is_marked_on_pages_and_its_key_is_in_the_list_of_keys(verdict: str) -> None:
    icons = (WEB / "static" / "icons.svg").read_text(encoding="utf-8")
    assert f'id="{VERDICTS[verdict].icon}"' in icons
    assert words.VERDICTS[verdict] == VERDICTS[verdict].word
    keys = (WEB / "templates" / "parts" / "keys_list.html").read_text(encoding="utf-8")
    assert (f"words.SPECS.{verdict}.key" in keys) is bool(VERDICTS[verdict].key)


@every_verdict
def test_it_leaves_an_example_unless_it_passes(verdict: str) -> None:
    assert (verdict in KINDS) is (verdict not in PASSING)
    assert VERDICTS[verdict].wrong is None or verdict in KINDS


@every_verdict
def test_a_text_of_the_command_line_stands_for_its_value(verdict: str) -> None:
    plain = VERDICTS[verdict].value in ("response", "ranking", "group")
    assert meant(verdict, "7", None) == ("7" if plain else 7)


@every_verdict
def test_the_documents_name_it(verdict: str) -> None:
    row = re.search(rf"^\| {verdict} \| ([a-z, ]+) \|", page("glossary.md"), re.MULTILINE)
    assert row is not None
    assert row[1] == ("everywhere" if verdict in PASSING else ", ".join(modes_of(verdict)))
    assert f"`VERDICT`: {', '.join(VERDICTS)}.\n" in page("cli.md")
    assert ", ".join(f"`{v}`" for v in VERDICTS) in page("howto/any-language.md")
