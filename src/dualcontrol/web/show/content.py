"""Content by what it is: text, images, tables, transcripts, fields, JSON; markdown where the loop says so.

A page has a fixed amount of room.  Whatever a case holds, what does not fit is folded, and then left to the page that
shows one value whole; nothing is left out without saying so.  A page never fetches what a case names: an image is
shown from its own bytes, or not at all.
"""

from __future__ import annotations

import re
import struct
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlencode

import msgspec
from markupsafe import Markup

from dualcontrol.case import JSON
from dualcontrol.layout import laid
from dualcontrol.web.show.literal import LINES, SENTENCE, field_text, json_text, literal, weight
from dualcontrol.web.show.markdown import rendered
from dualcontrol.web.show.words import brief

VERSION = 2  # counted up when the same content is shown in another way: what people were shown is part of the record

IMAGE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,([A-Za-z0-9+/=\s]+)", re.ASCII)
BREAK = re.compile(rf"\n{{{LINES},}}|\n")  # a run of them is shown as one
LONG_TEXT, LONG_LINES = 1200, 24  # a longer text is folded
LONGEST = 20_000  # characters of one text on a page
START, START_LINES = 240, 6  # what is seen of a folded one
DEEPEST = 4  # levels; what lies deeper is JSON
FIRST, MOST = 20, 100  # rows, items and messages: open, and folded as well
FIELDS, MOST_FIELDS = 40, 160
CHIPS = 200
NUMBERS = 32
PROBE = 500
INLINE = 8_000  # characters of an image in the page itself; a larger one has an address
ADDRESS = 600  # characters of a place in the address of a page
NAME = 200  # of a name; the JSON has it whole
NODE = 160  # bytes of HTML around one value
ROLES = {"user", "assistant", "system", "tool", "human", "ai", "agent", "developer", "customer", "function", "bot"}
SIDES = dict.fromkeys(("user", "human", "customer"), "theirs") | dict.fromkeys(("system", "developer", "tool"), "aside")

Place = tuple[str | int, ...]


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of content and how to show it; `more` is how many items are not shown, `whole` where all of it is."""

    kind: str
    text: str = ""
    html: Markup = Markup("")
    rendered: Markup = Markup("")
    start: Markup = Markup("")
    length: int = 0
    shown: int = 0
    whole: str = ""
    alt: str = ""
    tiny: bool = False
    columns: tuple[str, ...] = ()
    numeric: tuple[bool, ...] = ()
    rows: tuple[tuple[Block, ...], ...] = ()
    fields: tuple[tuple[str, Block], ...] = ()
    turns: tuple[Turn, ...] = ()
    first: int = FIRST
    more: int = 0

    @property
    def cut(self) -> bool:
        """Whether a text goes on where the page ends it."""
        return self.shown < self.length


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a transcript; `rest` is what it holds besides."""

    role: str
    name: str
    side: str
    block: Block
    rest: Block | None = None


class Room:
    """How much more a page may hold: bytes of HTML, pieces of content, and markdown to be read."""

    def __init__(self, size: int = 380_000, pieces: int = 2_400, markdown: int = 16_000) -> None:
        self.size, self.pieces, self.markdown = size, pieces, markdown

    def part(self, share: float = 0.34) -> Room:
        """A part of it for one section, so that the first leaves something to the next."""
        return Room(int(self.size * share) + 4_000, int(self.pieces * share) + 20, self.markdown)

    @property
    def over(self) -> bool:
        """Whether nothing more fits."""
        return self.pieces <= 0 or self.size <= 0


class Look:
    """How one page shows the values of a case.

    `source` is the page's own address, below which whole values and images lie; `markdown` are the fields that the
    loop declares to be markdown.
    """

    def __init__(self, source: str = "", markdown: Iterable[str] = ()) -> None:
        self.source = source
        self.markdown = frozenset(markdown)
        self.room = Room()

    def __call__(self, value: JSON, at: Place, field: str = "") -> Block:
        """How to show the value at a place of the page's JSON; `field` is its name in the setting ``markdown``."""
        return self._within(lambda section: section.block(value, at, field, 0))

    def json(self, value: JSON, at: Place, most: int = 12_000) -> Block:
        """The value as JSON."""
        return self._within(lambda section: section.as_json(value, at, most))

    def address(self, at: Place, page: str = "whole") -> str:
        """Where the value at a place, or what holds it, is shown whole, or its image lies."""
        while sum(len(str(name)) for name in at) > ADDRESS:
            at = at[:-1]
        return f"{self.source}/{page}?{urlencode({'at': pointer(at)})}" if self.source else ""

    def _within(self, show: Callable[[_Section], Block]) -> Block:
        part = self.room.part()
        size, pieces = part.size, part.pieces
        block = show(_Section(self, part))
        self.room.size -= size - part.size
        self.room.pieces -= pieces - part.pieces
        self.room.markdown = part.markdown
        return block


class _Section:
    """Blocks of one section, each counted against its room."""

    def __init__(self, look: Look, room: Room) -> None:
        self.look, self.room = look, room

    def block(self, value: JSON, at: Place, field: str, depth: int) -> Block:
        self.room.pieces -= 1
        self.room.size -= NODE
        if value is None:
            return Block(kind="none")
        if isinstance(value, bool):
            return Block(kind="bool", text="true" if value else "false")
        if isinstance(value, int | float):
            number = laid(value).text
            self.room.size -= len(number)
            return Block(kind="number", text=number)
        if isinstance(value, str):
            return self._text(value, at, field)
        if not value:
            return Block(kind="json", html=Markup("{}" if isinstance(value, dict) else "[]"))
        if self.room.over:
            return Block(kind="left", whole=self.look.address(at))
        if depth >= DEEPEST:
            return self.as_json(value, at, 2_000)
        return self._object(value, at, field, depth) if isinstance(value, dict) else self._list(value, at, field, depth)

    def as_json(self, value: JSON, at: Place, most: int) -> Block:
        """A value as JSON text, as far as there is room."""
        text, whole = laid(value, max(min(most, self.room.size // 2), 80))
        html, shown = self._fitted(text, json_text)
        cut = not whole or shown < len(text)
        return Block(kind="json", html=html, length=int(cut), whole=self.look.address(at))

    def _text(self, text: str, at: Place, field: str) -> Block:
        if not text:
            return Block(kind="empty")
        image = self._image(text, at, "image in the case") if text.startswith("data:image/") else None
        if image is not None:
            return image
        roomy = self.room.size > 0
        most = LONGEST if roomy else START
        head = text[: LONG_TEXT + 1]
        breaks = [run.start() for run in BREAK.finditer(head)]
        start = Markup("")  # of a text that is folded
        if roomy and (len(head) > LONG_TEXT or len(breaks) > LONG_LINES):
            start = literal(head[: min([START, *breaks[START_LINES - 1 : START_LINES]])])
        self.room.size -= len(start)
        html, shown = self._fitted(text[:most], field_text if len(text) <= most else literal)
        markdown = Markup("")  # rendered, where the loop says that the field is markdown and there is room for it
        if field in self.look.markdown and len(text) <= self.room.markdown:
            whole = rendered(text)
            size = len(whole.encode()) if whole is not None else 0
            same = whole is not None and whole.strip() == f"<p>{literal(text)}</p>"  # there is nothing to render
            if whole is not None and not same and size <= self.room.size:
                self.room.markdown -= len(text)
                self.room.size -= size
                markdown = whole
        return Block(
            kind="text", html=html, rendered=markdown, length=len(text), shown=shown, start=start,
            whole=self.look.address(at),
        )  # fmt: skip

    def _fitted(self, text: str, write: Callable[[str], Markup]) -> tuple[Markup, int]:
        """As much of a text as fits, and how much that is; never nothing."""
        room = max(self.room.size, 600)
        if weight(text) > room:  # tried on a part first: to name every character of a long text takes a while
            probes = (text[:PROBE], text[-PROBE:])
            dearest = max(len(write(probe).encode()) / len(probe) for probe in probes)
            text = text[: max(20, int(room / dearest))]
        while True:
            html = write(text)
            size = len(html.encode())
            if size <= room or len(text) <= 20:
                self.room.size -= size
                return html, len(text)
            text = text[: max(20, min(len(text) * room // size, len(text) * 3 // 4))]

    def _image(self, text: str, at: Place, alt: str) -> Block | None:
        image = image_bytes(text[:INLINE]) if len(text) <= INLINE else IMAGE.fullmatch(text)
        if image is None:
            return None
        inside = len(text) <= INLINE and len(text) < self.room.size
        self.room.size -= len(text) if inside else 200
        self._names(alt)
        source = "".join(text.split()) if inside else self.look.address(at, "image")
        return Block(kind="image", text=source, alt=alt, tiny=is_tiny(text), whole=self.look.address(at))

    def _object(self, value: dict[str, JSON], at: Place, field: str, depth: int) -> Block:
        image = value.get("$image")
        if isinstance(image, str) and set(value) <= {"$image", "alt"}:
            alt = brief(value.get("alt") or "image in the case", NAME)
            picture = self._image(image, (*at, "$image"), alt)
            if picture is not None:
                return picture
        pictured = any(isinstance(item, dict) and "$image" in item for item in islice(value.values(), MOST_FIELDS))
        fields: list[tuple[str, Block]] = []
        for name, item in islice(value.items(), MOST_FIELDS):
            if fields and self.room.over:
                break
            self._names(name)
            inner = (*at, name)
            if _is_raw(item, 1 if pictured else NUMBERS):
                self.room.pieces -= 1
                self.room.size -= NODE
                text = self.as_json(item, inner, 2_000)
                many = f"{len(item):,} {'rows of ' if isinstance(item[0], list) else ''}numbers"
                shown = Block(kind="raw", text=many, html=text.html, length=text.length, whole=text.whole)
            else:
                shown = self.block(item, inner, f"{field}.{name}", depth + 1)
            fields.append((_short(name), shown))
        return Block(
            kind="fields", fields=tuple(fields), more=len(value) - len(fields), first=FIELDS if depth == 0 else 12,
            whole=self.look.address(at),
        )  # fmt: skip

    def _names(self, *names: str) -> None:
        """Count the names of fields, columns and speakers."""
        self.room.size -= sum(min(weight(name[:NAME]), SENTENCE) for name in names)

    def _list(self, value: Sequence[JSON], at: Place, field: str, depth: int) -> Block:
        head = list(islice(value, MOST))
        if is_chat(head):
            return self._chat(value, at, field, depth)
        if all(isinstance(row, dict) and row and len(row) <= 12 for row in head):
            columns = tuple(dict.fromkeys(str(name) for row in head for name in row))  # in the caller's order
            flat = not any(isinstance(cell, dict | list) for row in head for cell in row.values())
            if flat and len(columns) <= 12:
                return self._table(value, columns, at, field, depth)
        plain = all(
            isinstance(item, str | int | float | bool) and len(str(item)) < 120 for item in islice(value, CHIPS)
        )
        items: list[tuple[str, Block]] = []
        for place, item in enumerate(islice(value, CHIPS if plain else MOST)):
            if items and self.room.over:
                break
            items.append((str(place + 1), self.block(item, (*at, place), field, depth + 1)))
        return Block(
            kind="items" if plain else "list", fields=tuple(items), more=len(value) - len(items),
            first=CHIPS if plain else FIRST, whole=self.look.address(at),
        )  # fmt: skip

    def _table(self, value: Sequence[JSON], columns: tuple[str, ...], at: Place, field: str, depth: int) -> Block:
        rows: list[tuple[Block, ...]] = []
        self._names(*columns, *columns)  # the folded rows have a head of their own
        for place, row in enumerate(islice(value, MOST)):
            if rows and self.room.over:
                break
            rows.append(tuple(
                self.block(row[c], (*at, place, c), f"{field}.{c}", depth + 1) if c in row else Block(kind="missing")
                for c in columns
            ))  # fmt: skip
        numeric = tuple(all(row[i].kind in ("number", "missing", "none") for row in rows) for i in range(len(columns)))
        return Block(
            kind="table", columns=tuple(map(_short, columns)), numeric=numeric, rows=tuple(rows),
            more=len(value) - len(rows), whole=self.look.address(at),
        )  # fmt: skip

    def _chat(self, value: Sequence[JSON], at: Place, field: str, depth: int) -> Block:
        """The last messages of a talk; those before them are folded."""
        before = max(len(value) - MOST, 0)
        turns: list[Turn] = []
        for place in range(len(value) - 1, before - 1, -1):
            if turns and self.room.over:
                break
            turn, here = value[place], (*at, place)
            if not isinstance(turn, dict):
                turns.append(Turn(role="", name="", side="aside", block=self.block(turn, here, field, depth + 1)))
                continue
            role = str(turn.get("role", ""))
            name: str | None = turn["name"] if isinstance(turn.get("name"), str) else None
            self._names(role, name or "")
            apart = ("role", "content") if name is None else ("role", "content", "name")
            rest = {k: v for k, v in turn.items() if k not in apart and v is not None}
            shown = self.block(content_of(turn), (*here, "content"), f"{field}.content", depth + 1)
            turns.append(Turn(
                role=role, name=role if name is None else f"{_short(name)} ({role})",
                side=SIDES.get(role.casefold(), "ours"), block=shown,
                rest=self.block(rest, here, field, depth + 2) if rest else None,
            ))  # fmt: skip
        return Block(kind="chat", turns=tuple(turns[::-1]), more=len(value) - len(turns), whole=self.look.address(at))


def pointer(at: Place) -> str:
    """A place as a JSON Pointer (RFC 6901)."""
    return "".join(f"/{str(name).replace('~', '~0').replace('/', '~1')}" for name in at)


def _short(name: str) -> str:
    return name if len(name) <= NAME else f"{name[:NAME]}…"


def _is_raw(value: JSON, most: int) -> bool:
    """Whether a value is a heap of numbers that tells a human nothing: beside a picture, any list of them."""
    if not isinstance(value, list) or not value:
        return False
    flat = [cell for row in value[:MOST] for cell in (row[:MOST] if isinstance(row, list) else [row])]
    numbers = all(isinstance(n, int | float) and not isinstance(n, bool) for n in flat)
    return numbers and max(len(flat), len(value)) > most


def image_bytes(address: str) -> tuple[str, bytes] | None:
    """Type and bytes of an image in an address of its own; None when there is none."""
    match = IMAGE.fullmatch(address)
    if match is None:
        return None
    try:
        return f"image/{match[1]}", b64decode("".join(match[2].split()), validate=True)
    except Base64Error:
        return None


def is_tiny(address: str) -> bool:
    """Whether a PNG is so small that its pixels are shown as squares."""
    if not address.startswith("data:image/png;base64,"):
        return False
    try:
        head = b64decode(address.partition(",")[2][:44])[:24]
    except Base64Error:
        return False
    return len(head) == 24 and max(struct.unpack(">II", head[16:24])) <= 64


def is_chat(value: Sequence[JSON]) -> bool:
    """Whether a list is the messages of a talk."""
    return bool(value) and all(
        isinstance(turn, dict)
        and str(turn.get("role", ""))[:20].casefold() in ROLES
        and ("content" in turn or len(turn) > 1)
        for turn in value
    )


def content_of(turn: dict[str, Any]) -> JSON:
    """What a message says: the text of a list that holds one text part, other content as it is."""
    content = turn.get("content")
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        (part,) = content
        if set(part) <= {"type", "text"} and isinstance(part.get("text"), str):
            return part["text"]
    return content
