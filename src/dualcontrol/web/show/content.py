"""Content by what it is: text, markdown, images, tables, transcripts, fields, JSON; anything else as plain text.

A page never fetches what a case names: an image is shown from its own bytes, or not at all.
"""

from __future__ import annotations

import json
import re
import struct
from base64 import b64decode
from collections.abc import Sequence

import msgspec
from markupsafe import Markup

from dualcontrol.case import JSON
from dualcontrol.web.show.markdown import looks_like_markdown, to_html

IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+", re.ASCII)
LONG_TEXT = 1200
LONG_LINES = 24
DEEPEST = 6
MOST = 400
NUMBERS = 32
MOMENTS = {"at", "when", "time", "date", "day", "timestamp", "ts", "year", "month"}
ROLES = {"user", "assistant", "system", "tool", "human", "ai", "agent", "developer", "customer", "function", "bot"}


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of content and how to show it."""

    kind: str
    text: str = ""
    html: Markup = Markup("")
    long: bool = False
    alt: str = ""
    tiny: bool = False
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Block, ...], ...] = ()
    fields: tuple[tuple[str, Block], ...] = ()
    turns: tuple[Turn, ...] = ()
    more: int = 0


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a transcript."""

    role: str
    name: str
    side: str
    block: Block
    rest: Block | None = None


def block(value: JSON, depth: int = 0) -> Block:
    """How to show a value."""
    if value is None:
        return Block(kind="none")
    if isinstance(value, bool):
        return Block(kind="bool", text="true" if value else "false")
    if isinstance(value, int | float):
        return Block(kind="number", text=json.dumps(value))
    if isinstance(value, str):
        return _text(value)
    if depth >= DEEPEST:
        return Block(kind="json", text=pretty(value))
    return _object(value, depth) if isinstance(value, dict) else _list(list(value), depth)


def pretty(value: JSON) -> str:
    """A value as indented JSON, readable in its own script."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _text(text: str) -> Block:
    if IMAGE.fullmatch(text):
        return _image(text, "image in the case")
    long = len(text) > LONG_TEXT or text.count("\n") > LONG_LINES
    if looks_like_markdown(text):
        return Block(kind="markdown", html=to_html(text), text=text, long=long)
    return Block(kind="text", text=text, long=long) if text.strip() else Block(kind="empty", text=text)


def _object(value: dict[str, JSON], depth: int) -> Block:
    image = value.get("$image")
    if isinstance(image, str) and set(value) <= {"$image", "alt"}:
        alt = str(value.get("alt") or "image in the case")
        if IMAGE.fullmatch(image):
            return _image(image, alt)
        return Block(kind="text", text=f"{alt} (not shown: only images inside the case are)")
    marked = value.get("$markdown")
    if isinstance(marked, str) and len(value) == 1:
        return Block(kind="markdown", html=to_html(marked), text=marked, long=len(marked) > LONG_TEXT)
    if not value:
        return Block(kind="json", text="{}")
    shown = sorted(value.items(), key=lambda item: weight(item[1]))[:MOST]
    pictured = any(isinstance(item, dict) and "$image" in item for _, item in shown)
    fields = tuple(
        (str(n), _raw(v) if _is_raw(v, 1 if pictured else NUMBERS) else block(v, depth + 1)) for n, v in shown
    )
    return Block(kind="fields", fields=fields, more=len(value) - len(shown), long=depth > 1)


def _is_raw(value: JSON, most: int) -> bool:
    """Whether a value is a heap of numbers that tells a human nothing: beside a picture, any list of them."""
    return isinstance(value, list) and (count := _numbers(value)) is not None and count > most


def _numbers(value: list[JSON]) -> int | None:
    """How many numbers there are in a list, or in its rows; None when it holds anything else."""
    flat = [cell for row in value for cell in (row if isinstance(row, list) else [row])]
    return len(flat) if all(isinstance(n, int | float) and not isinstance(n, bool) for n in flat) else None


def _raw(value: list[JSON]) -> Block:
    return Block(kind="raw", text=json.dumps(value), more=_numbers(value) or 0)


def _image(address: str, alt: str) -> Block:
    return Block(kind="image", text=address, alt=alt, tiny=is_tiny(address))


def is_tiny(address: str) -> bool:
    """Whether a PNG is so small that its pixels are shown as squares."""
    head = b64decode(address.partition(",")[2][:44])[:24] if address.startswith("data:image/png") else b""
    return len(head) == 24 and max(struct.unpack(">II", head[16:24])) <= 64


def weight(value: JSON) -> int:
    """Facts first, then what takes room: stored objects have lost the order they were written in."""
    if isinstance(value, dict | list):
        return 2 if value else 1
    return 1 if isinstance(value, str) and len(value) > 60 else 0


def _list(value: list[JSON], depth: int) -> Block:
    if not value:
        return Block(kind="json", text="[]")
    if is_chat(value):
        return Block(kind="chat", turns=tuple(_turn(t, depth) for t in value[:MOST]), more=len(value) - MOST)
    columns = _columns(value)
    if columns:
        cells = tuple(tuple(block(row.get(c), depth + 1) for c in columns) for row in value[:MOST])
        return Block(kind="table", columns=columns, rows=cells, more=len(value) - MOST)
    items = tuple((str(i + 1), block(item, depth + 1)) for i, item in enumerate(value[:MOST]))
    plain = all(isinstance(item, str | int | float | bool) for item in value) and all(
        len(str(item)) < 120 for item in value
    )
    return Block(kind="items" if plain else "list", fields=items, more=len(value) - MOST, long=depth > 1)


def _columns(value: Sequence[JSON]) -> tuple[str, ...]:
    """The columns of a list of flat objects; none when it is not a table."""
    if not all(isinstance(row, dict) and row and len(row) <= 12 for row in value):
        return ()
    if any(isinstance(cell, dict | list) for row in value for cell in row.values()):
        return ()
    names = dict.fromkeys(str(name) for row in value for name in row)
    numeric = {n for n in names if all(isinstance(row.get(n), int | float | None) for row in value)}
    return tuple(sorted(names, key=lambda n: _place(n, n in numeric))) if len(names) <= 12 else ()


def _place(name: str, numeric: bool) -> int:
    """When it was comes first, figures last: stored objects have lost the order they were written in."""
    return 0 if name.casefold() in MOMENTS else 2 if numeric else 1


def is_chat(value: Sequence[JSON]) -> bool:
    """Whether a list is the messages of a talk."""
    return all(
        isinstance(turn, dict)
        and str(turn.get("role", "")).casefold() in ROLES
        and ("content" in turn or len(turn) > 1)
        for turn in value
    )


def _turn(turn: dict[str, JSON], depth: int) -> Turn:
    role = str(turn["role"])
    rest = {k: v for k, v in turn.items() if k not in ("role", "content", "name") and v not in (None, [], "")}
    sides = dict.fromkeys(("user", "human", "customer"), "theirs") | dict.fromkeys(
        ("system", "developer", "tool"), "aside"
    )
    return Turn(
        role=role, name=str(turn.get("name") or role.capitalize()), side=sides.get(role.casefold(), "ours"),
        block=block(content_of(turn), depth + 1), rest=block(rest, depth + 2) if rest else None,
    )  # fmt: skip


def content_of(turn: dict[str, JSON]) -> JSON:
    """What a message says: the text of a list of text parts, other content as it is."""
    content = turn.get("content")
    if isinstance(content, list) and content and all(isinstance(p, dict) and "text" in p for p in content):
        return "\n\n".join(str(p["text"]) for p in content)
    return content
