"""What commands print: tables and text on stdout, notes and progress on stderr, or one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from dualcontrol.characters import escaped
from dualcontrol.layout import laid, visible
from dualcontrol.verdicts import VERDICTS

PIPED = 200
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
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, styled(value) if isinstance(value, str) else value)
    return made


class ProgressSteps:
    """How far a long piece of work has come; says nothing unless a person watches."""

    def __init__(self, progress: Progress, what: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    def on(self, count: int = 1) -> None:
        """So much more is done."""
        self._progress.advance(self._task, count)


@contextmanager
def progress(what: str, total: int | None, *, quiet: bool) -> Iterator[ProgressSteps]:
    """A progress bar on stderr; none when `quiet` or when stderr is no terminal."""
    text = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = console(sys.stderr)
    with Progress(*columns, console=screen, transient=True, disable=quiet or not screen.is_terminal) as bar:
        yield ProgressSteps(bar, visible(what), total)


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
        self._whole, self._spare, self._cut = frozenset(whole), tuple(spare), frozenset(cut)
        self._widest = [max([cell_len(name), *(_width(row[i]) for row in rows)]) for i, name in enumerate(columns)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        kept = self._kept(options.max_width)
        widths = self._widths(kept, options.max_width)
        made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, header_style="bold")
        for i in kept:
            cut = self._columns[i] in self._cut
            one_line = cut or self._columns[i] in self._whole
            overflow: Literal["ellipsis", "fold"] = "ellipsis" if cut else "fold"
            made.add_column(self._columns[i], width=widths[i], no_wrap=one_line, overflow=overflow)
        for row in self._rows:
            made.add_row(*(row[i] for i in kept))
        yield Text()
        yield made
        gone = [
            name for i, name in enumerate(self._columns) if i not in kept and any(row[i].plain for row in self._rows)
        ]
        if gone:
            yield Text(f"left out here: {', '.join(gone)}; a wider terminal or --json shows them", style="dim")
        yield Text()

    def _kept(self, width: int) -> list[int]:
        """The columns for which there is room; an empty one is of the least use."""
        kept = list(range(len(self._columns)))
        empty = [i for i in kept if not any(row[i].plain for row in self._rows)]
        for i in (*empty, *(self._columns.index(name) for name in self._spare)):
            if sum(self._least(k) for k in kept) + GAP * (len(kept) - 1) <= width:
                break
            if i in kept and len(kept) > 1:
                kept.remove(i)
        return kept

    def _least(self, i: int) -> int:
        return self._widest[i] if self._columns[i] in self._whole else min(self._widest[i], FLOOR)

    def _widths(self, kept: Sequence[int], width: int) -> dict[int, int]:
        """What is left over goes to the columns that want more, evenly."""
        widths = {i: self._least(i) for i in kept}
        left = width - sum(widths.values()) - GAP * (len(kept) - 1)
        wanting = sorted((i for i in kept if widths[i] < self._widest[i]), key=lambda i: self._widest[i])
        for place, i in enumerate(wanting):
            more = max(0, min(self._widest[i] - widths[i], left // (len(wanting) - place)))
            widths[i], left = widths[i] + more, left - more
        return widths


def _width(cell: Text) -> int:
    return max((cell_len(line) for line in cell.plain.split("\n")), default=0)


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


UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def span(microseconds: int) -> str:
    """A length of time in its two largest units: ``2 h 5 min``."""
    seconds = round(abs(microseconds) / 1_000_000)
    said: list[str] = []
    for name, size in UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            said.append(f"{count} {name}")
        elif said:
            break
    return " ".join(said[:2]) or "0 s"


def ago(at: int | None, now: int) -> str:
    """A moment as seen from now: ``5 min ago``, ``in 2 h``."""
    if at is None:
        return ""
    if abs(now - at) < 1_000_000:
        return "now"
    return f"{span(now - at)} ago" if at < now else f"in {span(at - now)}"


def due(at: int | None, now: int) -> str:
    """When an answer is due: ``in 5 min``, or ``late by 2 h``."""
    if at is None:
        return "no limit"
    return f"late by {span(now - at)}" if at < now else f"in {span(at - now)}"


def stamp(at: int | None) -> str:
    """A moment in ISO 8601, UTC, to the second."""
    if at is None:
        return ""
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
