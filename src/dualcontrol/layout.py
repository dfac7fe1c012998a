"""Text for people: JSON laid out over lines, untrusted text on a terminal or a page, lengths of time.

Of JSON, what is short stands on one line and the rest is indented; the text is never much longer than the JSON
itself, where indenting by depth alone makes 90 MB of one MiB that is nested 190 levels deep.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from dualcontrol.case import JSON
from dualcontrol.characters import visible as named

WIDE = 88  # a list or an object that fits into so many characters stays on one line
STEPS = 12  # levels beyond these are not indented further
INDENTS = ["  " * level for level in range(STEPS + 1)]
FEW = 20
EVERYTHING = 1 << 62
CONTAINERS = (dict, list, tuple)
KINDS = frozenset(CONTAINERS)
_ENCODER = msgspec.json.Encoder(enc_hook=str)


class Laid(NamedTuple):
    """A value as text; `whole` is false where it was cut off at its end."""

    text: str
    whole: bool


def laid(value: JSON, most: int = EVERYTHING) -> Laid:
    """A value as indented JSON, readable in its own script, of at most so many characters."""
    page = _Page(most)
    try:
        page.put(value, 0, "")
        whole = True
    except _Full:
        whole = False
    text = "\n".join(page.lines)
    return Laid(text[:most], whole and len(text) <= most)


class _Full(Exception):
    """There is no room for more."""


class _Page:
    """The lines of a value as they are written; `put` and `_spread` give a value back where it fits on one line."""

    def __init__(self, most: int) -> None:
        self.lines: list[str] = []
        self.most, self.size = most, 0

    def put(self, value: JSON, level: int, lead: str) -> str | None:
        """Write a value behind its name; gives it back on one line when it is short enough to stand in another."""
        if isinstance(value, CONTAINERS) and value:
            items = value.values() if isinstance(value, dict) else value
            flat = len(value) <= FEW and KINDS.isdisjoint(map(type, items))
            text = _encode(value) if flat else ""
            if not 0 < len(text) <= WIDE:
                return self._spread(value, level, lead)
        else:
            text = _scalar(value, self.most)
        self._line(level, lead + text)
        return text if len(text) <= WIDE else None

    def _spread(self, value: JSON, level: int, lead: str) -> str | None:
        """Write a list or an object over lines, and on one after all where everything in it is short."""
        named = isinstance(value, dict)
        start, size = len(self.lines), self.size
        self._line(level, lead + ("{" if named else "["))
        short: list[str] | None = []
        row, width, left = "", 0, len(value)
        for key in value:
            left -= 1
            comma = "," if left else ""
            name, item = (f"{_scalar(str(key), self.most)}: ", value[key]) if named else ("", key)
            if named or (isinstance(item, CONTAINERS) and item):
                row = self._flushed(row, level)
                text = self.put(item, level + 1, name)
                self.lines[-1] += comma
            else:  # the short items of a list share lines
                text = str(item) if type(item) is int else _scalar(item, self.most)
                if row and len(row) + len(text) > WIDE:
                    row = self._flushed(row, level)
                row += f" {text}{comma}" if row else f"{text}{comma}"
            if short is not None:
                width += len(name) + len(text or "") + 2
                short = None if text is None or width > WIDE else [*short, name + text]
        self._flushed(row, level)
        if short is None:
            self._line(level, "}" if named else "]")
            return None
        del self.lines[start:]
        self.size = size
        line = ", ".join(short).join("{}" if named else "[]")
        self._line(level, lead + line)
        return line

    def _flushed(self, row: str, level: int) -> str:
        if row:
            self._line(level + 1, row)
        return ""

    def _line(self, level: int, text: str) -> None:
        line = INDENTS[level if level < STEPS else STEPS] + text
        self.lines.append(line)
        self.size += len(line) + 1
        if self.size > self.most + WIDE:
            raise _Full


def _encode(value: JSON) -> str:
    return msgspec.json.format(_ENCODER.encode(value), indent=0).decode()


def _scalar(value: JSON, most: int) -> str:
    if isinstance(value, str):
        return _encode(value[: most + 1])
    return str(value) if type(value) is int else _encode(value)


# Untrusted text for a terminal or a page: nothing in it moves the cursor, hides or reorders what is read.


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
    return visible(value if isinstance(value, str) else json_line(value, default=str))


def json_line(value: Any, *, sort_keys: bool = False, default: Callable[[Any], Any] | None = None) -> str:
    """A value as JSON on one line, readable in its own script; with `default` for what is not JSON."""
    return json.dumps(value, ensure_ascii=False, sort_keys=sort_keys, default=default)


# Lengths of time in words.


UNITS = (("d", "day", 86_400), ("h", "hour", 3_600), ("min", "minute", 60), ("s", "second", 1))


def span(seconds: int, most: int = 2) -> str:
    """A length of time in its largest units: ``2 h 5 min``; a unit of which there is none ends it."""
    parts: list[str] = []
    for name, _, size in UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}")
        elif parts:
            break
    return " ".join(parts[:most]) or "0 s"


def before(then: int, at: int) -> str:
    """How long a moment (microseconds) lies before another: ``3 min before``, ``just before``."""
    seconds = max(0, at - then) // 1_000_000
    return f"{span(seconds)} before" if seconds else "just before"


def lasted(seconds: int) -> str:
    """A length of time in the largest unit of which there are two, spelled out: ``40 seconds``, ``3 hours``."""
    word, size = next(((word, size) for _, word, size in UNITS if seconds >= 2 * size), ("second", 1))
    return some(max(0, seconds // size), word)
