"""What commands print: tables and text on stdout, notes and progress on stderr, or one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from dualcontrol.characters import escaped
from dualcontrol.cli.listing import Listing
from dualcontrol.cli.text import visible

PIPED = 200
LEVELS = 24
STYLES = {
    "autopilot": "green", "human": "yellow", "block": "red", "approve": "green", "reject": "red", "open": "yellow",
    "decided": "cyan", "closed": "green", "high": "red", "critical": "bold red", "medium": "yellow", "late": "bold red",
    "ok": "green", "problem": "bold red", "warning": "yellow", "applied": "green", "skipped": "cyan", "refused": "red",
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


class Steps:
    """How far a long piece of work has come; says nothing unless a person watches."""

    def __init__(self, progress: Progress, what: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    def on(self, count: int = 1) -> None:
        """So much more is done."""
        self._progress.advance(self._task, count)


@contextmanager
def progress(what: str, total: int | None, *, quiet: bool) -> Iterator[Steps]:
    """A progress bar on stderr; none when `quiet` or when stderr is no terminal."""
    text = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = console(sys.stderr)
    with Progress(*columns, console=screen, transient=True, disable=quiet or not screen.is_terminal) as bar:
        yield Steps(bar, visible(what), total)
