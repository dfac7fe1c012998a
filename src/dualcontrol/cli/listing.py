"""A table that stays readable in a narrow terminal: columns of little use go first, the others keep a width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

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
