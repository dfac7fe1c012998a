"""Text from outside as a terminal may show it: nothing in it can move the cursor, hide or reorder what is read."""

from __future__ import annotations

import json
from typing import Any

from dualcontrol.characters import visible as named
from dualcontrol.layout import laid

LONGEST = 20_000  # characters of one value; a terminal takes seconds to wrap more, and nobody scrolls that far


def visible(text: str) -> str:
    """The text with what a terminal would obey, or hide, by its name."""
    return named(text.replace("\r\n", "\n"))


def one_line(text: str, width: int = 0) -> str:
    """The text on one line, shortened where a width is given."""
    if width and len(text) > 8 * width:
        text = text.lstrip(" \t\r\n")[: 8 * width]
    line = " ".join(visible(text).split())
    return line if not width or len(line) <= width else line[: width - 1] + "…"


def some(count: int, one: str) -> str:
    """So many of something: ``1 case``, ``2 cases``."""
    return f"{count} {one}{'' if count == 1 else 's'}"


def written(value: Any) -> str:
    """A JSON value as people read it: text as it is, anything else as JSON on one line."""
    if isinstance(value, str):
        return visible(value)
    return visible(json.dumps(value, ensure_ascii=False, default=str))


def spread(value: Any) -> str:
    """A JSON value over as many lines as it needs; what is too long for a terminal says so at its end."""
    text, whole = (value[:LONGEST], len(value) <= LONGEST) if isinstance(value, str) else laid(value, LONGEST)
    shown = visible(text)
    while len(shown) > 2 * LONGEST:  # the names of what hides in it take more room than it has
        text, whole = text[: len(text) // 2], False
        shown = visible(text)
    return shown if whole else f"{shown}…\n(the first {len(text):,} characters; --json shows all)"
