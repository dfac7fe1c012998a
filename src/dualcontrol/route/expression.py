"""The words of a CEL expression, and what can be said about them without evaluating anything."""

from __future__ import annotations

import re
from typing import NamedTuple

MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"})
_WORD = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<string>[rRbB]{0,2}(?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"
                                |'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
      | (?P<number>0[xX][0-9a-fA-F]+[uU]?|\d*\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+[uU]?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>&&|\|\||[<>=!]=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)


class Word(NamedTuple):
    """One word of an expression: its kind (string, number, name or sign), its text and where it stands."""

    kind: str
    text: str
    at: int


def words(source: str) -> list[Word]:
    """The words of an expression without spaces and comments; raises ValueError at a character CEL lacks."""
    found, at = [], 0
    while at < len(source):
        match = _WORD.match(source, at)
        if match is None:
            raise ValueError(f"unexpected character at {at + 1}")
        if match.lastgroup != "space":
            found.append(Word(match.lastgroup or "", match.group(), at))
        at = match.end()
    return found


class Macro(NamedTuple):
    """One use of a comprehension macro: its name, the variable it binds, and how deep it is nested."""

    name: str
    binds: str
    depth: int


def macros(source: str) -> list[Macro]:
    """Every comprehension macro in an expression; depth 1 or more means that it runs inside another."""
    found: list[Macro] = []
    inside: list[bool] = []
    listed = words(source)
    for place, word in enumerate(listed):
        if word.text in ("(", "[", "{") and word.kind == "sign":
            opens = word.text == "(" and _is_macro(listed, place - 1)
            if opens:
                found.append(Macro(listed[place - 1].text, _bound(listed, place + 1), sum(inside)))
            inside.append(opens)
        elif word.text in (")", "]", "}") and word.kind == "sign" and inside:
            inside.pop()
    return found


def _is_macro(listed: list[Word], place: int) -> bool:
    return place >= 1 and listed[place].text in MACROS and listed[place - 1].text == "."


def _bound(listed: list[Word], place: int) -> str:
    return listed[place].text if place < len(listed) and listed[place].kind == "name" else ""
