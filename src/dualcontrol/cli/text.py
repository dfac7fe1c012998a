"""Text from outside as a terminal may show it: nothing in it can move the cursor, hide or reorder what is read."""

from __future__ import annotations

import json
import re
from typing import Any

# Control characters but newline and tab, and the marks that turn the direction of writing.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with what a terminal would obey, or hide, written as an escape."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text.replace("\r\n", "\n"))


def one_line(text: str, width: int = 0) -> str:
    """The text on one line, shortened where a width is given."""
    line = " ".join(visible(text).split())
    return line if not width or len(line) <= width else line[: width - 1] + "…"


def some(count: int, one: str) -> str:
    """So many of something: ``1 case``, ``2 cases``."""
    return f"{count} {one}{'' if count == 1 else 's'}"


def written(value: Any, indent: int | None = None) -> str:
    """A JSON value as people read it: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return visible(value)
    return visible(json.dumps(value, ensure_ascii=False, indent=indent, default=str))
