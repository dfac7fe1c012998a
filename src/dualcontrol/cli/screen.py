"""Output of commands: tables and text on stdout, notes and progress on stderr, or one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TextIO

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from dualcontrol.characters import escaped
from dualcontrol.layout import laid, span, visible
from dualcontrol.verdicts import VERDICTS

PIPED = 200
SECOND = 1_000_000
LEVELS = 24
TONES = {"good": "green", "bad": "red"}
STYLES: dict[str, str] = {
    "autopilot": "green", "human": "yellow", "block": "red", "open": "yellow",
    "decided": "cyan", "closed": "green", "high": "red", "critical": "bold red", "medium": "yellow", "late": "bold red",
    "ok": "green", "problem": "bold red", "warning": "yellow", "applied": "green", "skipped": "cyan", "refused": "red",
    **{verdict: TONES[spec.tone] for verdict, spec in VERDICTS.items() if spec.tone in TONES},
}  # fmt: skip


def console(file: TextIO) -> Console:
    """A console on a stream; wide where nobody watches, so that a pipe gets whole lines."""
    return Console(file=file, width=None if file.isatty() else PIPED, highlight=False, emoji=False)


def show(*parts: RenderableType | str) -> None:
    """Print to stdout; plain text is text, never markup."""
    out = console(sys.stdout)
    for part in parts:
        out.print(Text(visible(part)) if isinstance(part, str) else part)


def note(text: str) -> None:
    """Print a remark to stderr."""
    console(sys.stderr).print(Text(visible(text), style="dim"))


def document(value: Any) -> None:
    """Print one JSON document to stdout; what a terminal would obey or hide is an escape in it."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    indent = None if _is_deep(value, LEVELS) else 2  # indenting alone would make 90 MB of one
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, default=str)
    sys.stdout.write(escaped(text) + "\n")
    sys.stdout.flush()


def _is_deep(value: Any, levels: int) -> bool:
    """Whether a value is nested deeper than so many levels."""
    if not isinstance(value, dict | list | tuple):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deep(item, levels - 1) for item in inside)


def report(as_json: bool, value: Any, *parts: RenderableType | str) -> None:
    """Print the JSON document where one is asked for, else the parts for people."""
    if as_json:
        document(value)
    else:
        show(*parts)


def styled(text: str, style: str | None = None) -> Text:
    """Text in the colour of its word; the word says it without the colour."""
    return Text(visible(text), style=style or STYLES.get(text.partition(" ")[0], ""))


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, whole: Sequence[str] = (),
    spare: Sequence[str] = (), cut: Sequence[str] = (),
) -> Listing:  # fmt: skip
    """A table; the columns in `whole` are never broken over lines, those in `cut` are shortened to fit on one.

    Those in `spare` go first in a narrow terminal.
    """
    cells = [[styled(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    return Listing(columns, cells, whole, spare, cut)


def facts(rows: Sequence[tuple[str, str | Text]]) -> Table:
    """Names and what they are, in two columns."""
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, styled(value) if isinstance(value, str) else value)
    return grid


@contextmanager
def progress(what: str, total: int | None, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """A progress bar on stderr, and the call that moves it on by one; nothing is drawn when `quiet` or unwatched."""
    text = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = console(sys.stderr)
    with Progress(*columns, console=screen, transient=True, disable=quiet or not screen.is_terminal) as bar:
        yield partial(bar.advance, bar.add_task(visible(what), total=total))


# A table that stays readable in a narrow terminal: columns of little use go first, the others keep a width.


FLOOR = 10  # narrower than this, words are broken
GAP = 2


class Listing:
    """Rows under a head, laid out for the terminal's width.

    `whole` columns are never broken, `cut` ones end in an ellipsis, others are folded; `spare` ones go first, in this
    order, where room lacks.
    """

    def __init__(
        self, columns: Sequence[str], rows: Sequence[Sequence[Text]], whole: Sequence[str], spare: Sequence[str],
        cut: Sequence[str],
    ) -> None:  # fmt: skip
        self._columns, self._rows = tuple(columns), rows
        self._whole, self._cut = frozenset(whole), frozenset(cut)
        cells = [[name, *(line for row in rows for line in row[i].plain.split("\n"))] for i, name in enumerate(columns)]
        self._widest = [max(map(cell_len, column)) for column in cells]
        self._least = [wide if columns[i] in whole else min(wide, FLOOR) for i, wide in enumerate(self._widest)]
        self._empty = [i for i in range(len(self._columns)) if not any(row[i].plain for row in rows)]
        self._spare = [*self._empty, *map(self._columns.index, spare)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        widths = self._widths(options.max_width)
        grid = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, header_style="bold")
        for i, width in widths.items():
            name = self._columns[i]
            one_line = name in self._cut or name in self._whole
            overflow: Literal["ellipsis", "fold"] = "ellipsis" if name in self._cut else "fold"
            grid.add_column(name, width=width, no_wrap=one_line, overflow=overflow)
        for row in self._rows:
            grid.add_row(*(row[i] for i in widths))
        yield Text()
        yield grid
        gone = [name for i, name in enumerate(self._columns) if i not in widths and i not in self._empty]
        if gone:
            yield Text(f"left out here: {', '.join(gone)}; a wider terminal or --json shows them", style="dim")
        yield Text()

    def _widths(self, room: int) -> dict[int, int]:
        """The width of each column for which there is room; what is left over goes to those that want more, evenly.

        An empty column is of the least use.
        """
        widths = dict(enumerate(self._least))
        for i in self._spare:
            if sum(widths.values()) + GAP * (len(widths) - 1) <= room:
                break
            if i in widths and len(widths) > 1:
                del widths[i]
        left = room - sum(widths.values()) - GAP * (len(widths) - 1)
        wanting = sorted((i for i in widths if widths[i] < self._widest[i]), key=lambda i: self._widest[i])
        for place, i in enumerate(wanting):
            more = max(0, min(self._widest[i] - widths[i], left // (len(wanting) - place)))
            widths[i], left = widths[i] + more, left - more
        return widths


LONGEST = 20_000  # characters of one value; a terminal takes seconds to wrap more, and nobody scrolls that far


def spread(value: Any) -> str:
    """A JSON value over as many lines as it needs; what is too long for a terminal says so at its end."""
    text, whole = (value[:LONGEST], len(value) <= LONGEST) if isinstance(value, str) else laid(value, LONGEST)
    shown = visible(text)
    while len(shown) > 2 * LONGEST:  # the names of what hides in it take more room than it has
        text, whole = text[: len(text) // 2], False
        shown = visible(text)
    return shown if whole else f"{shown}…\n(the first {len(text):,} characters; --json shows all)"


# Moments as people say them.


def ago(at: int | None, now: int) -> str:
    """A moment as seen from now: ``5 min ago``, ``in 2 h``."""
    if at is None:
        return ""
    if abs(now - at) < SECOND:
        return "now"
    length = span(round(abs(now - at) / SECOND))
    return f"{length} ago" if at < now else f"in {length}"


def due(at: int | None, now: int) -> str:
    """When an answer is due: ``in 5 min``, or ``late by 2 h``."""
    if at is None:
        return "no limit"
    length = span(round(abs(now - at) / SECOND))
    return f"late by {length}" if at < now else f"in {length}"


def stamp(at: int | None) -> str:
    """A moment in ISO 8601, UTC, to the second."""
    if at is None:
        return ""
    return datetime.fromtimestamp(at // SECOND, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
