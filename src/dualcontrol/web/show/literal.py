"""Escaped text as HTML, exactly as it is: what a screen would hide is shown by name, and direction marks are closed in.

`finalize` stands behind every expression of a template, so that no text of a caller reaches a page unmarked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup, escape

from dualcontrol.characters import Stretch, burden, name, parts, visible

SENTENCE = 2_000  # bytes of HTML that a name or a sentence may take
NAMED = 80  # bytes that the name of a character takes
LINES = 20  # more line ends in a row push what comes after them out of sight
STRING = re.compile(r'"(?:[^"\\]|\\.)*\\?"?')  # an end that is missing is no reason to look again
_RUN = re.compile(rf"\n{{{LINES},}}")


def literal(text: str) -> Markup:
    """A text for the inside of an element."""
    return Markup("".join(_pieces(text)))


def field_text(text: str) -> Markup:
    """The whole text of a field: spaces at its ends are shown as well."""
    inner = text.strip(" ")
    if len(inner) == len(text):
        return literal(text)
    start = text.index(inner) if inner else len(text)
    return Markup("".join((_space(text[:start]), *_pieces(inner), _space(text[start + len(inner) :]))))


def inline(text: object) -> Markup:
    """A name or title within a sentence, whose direction does not reach the words around it; no longer than one."""
    if isinstance(text, Markup):
        return text
    name = str(text)
    if weight(name) <= SENTENCE:
        return Markup(_inline(name))
    while len(name) > 20 and len(_inline(name)) > SENTENCE:
        name = name[: len(name) // 2]
    return Markup(_inline(name + "…"))


def json_text(text: str) -> Markup:
    """JSON as laid out for people: the direction of one string does not reach what stands beside it."""
    if text.isascii():
        return literal(text)
    pieces: list[str] = []
    for line in text.split("\n"):
        at = 0
        for match in STRING.finditer(line) if not line.isascii() else ():
            pieces += [*_pieces(line[at : match.start()]), _inline(match[0])]
            at = match.end()
        pieces += [_inline(line[at:]), "\n"]
    return Markup("".join(pieces[:-1]))


def named(text: str, most: int = 120) -> Markup:
    """A text around what first hides in it, for beside an input that cannot show it; empty where nothing hides."""
    at = next((run.start() for run in _RUN.finditer(text)), len(text))
    before = 0
    for part in parts(text):
        if part.kind == "sign" or before >= at:
            at = min(at, before)
            break
        before += len(part.text)
    start = max(at - 60, 0)
    return Markup("") if at == len(text) else ("…" if start else "") + literal(text[start : start + most])


def weight(text: str) -> int:
    """At most how many bytes of HTML a text takes."""
    quotes = sum(text.count(c) for c in "&<>\"'")
    return len(text.encode()) + 5 * quotes + NAMED * burden(text)


def exact(text: object) -> Markup:
    """A text as the value of an input, which a form sends back as it is."""
    return escape(str(text))


def finalize(value: Any) -> Any:
    """What a template's expression gives: HTML as it is, text with what is hidden in it by name."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _inline(text: str) -> str:
    inner = "".join(_pieces(text))
    return inner if text.isascii() else f"<bdi>{inner}</bdi>"


def _pieces(text: str) -> Iterator[str]:
    at = 0
    for run in _RUN.finditer(text) if "\n" in text else ():
        yield from map(_piece, parts(text[at : run.start()]))
        yield _sign(f"{name(chr(10))} ×{len(run[0]):,}") + "\n"
        at = run.end()
    yield from map(_piece, parts(text[at:] if at else text))


def _piece(part: Stretch) -> str:
    if not part.kind:
        return escape(part.text)
    return _sign(part.named) if part.kind == "sign" else _space(part.text)


def _sign(name: str) -> str:
    return f'<b class="sign">{name}</b>'


def _space(text: str) -> str:
    return f'<span class="sp" title="{Stretch(text).named}">{text}</span>' if text else ""
