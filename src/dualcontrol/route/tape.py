"""A flat list of array operations that is run chunk by chunk on preallocated masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from dualcontrol.route.columns import CHUNK, Array

TRUE, FALSE = -1, -2


class Tape:
    """Operations on cells: constants, chunks of columns, and masks; TRUE and FALSE stand for whole masks."""

    def __init__(self, code_type: Any) -> None:
        self.base = 0
        self._cells: list[Any] = [np.array(True)]
        self._rows = 0
        self._sources: list[tuple[int, Array]] = []
        self._registers: list[tuple[int, Array]] = []
        self._known: dict[int, int] = {}
        self._free: list[int] = []
        self._taken: list[int] = []
        self._pinned: set[int] = set()
        self._steps: list[tuple[Any, int, Any, int]] = []
        self._scratch = np.empty(CHUNK, code_type)
        self._code_type = code_type

    def run(self, start: int, stop: int, code: Array) -> None:
        """Run on the rows of one chunk: masks are filled, picks raise `code` from the base."""
        cells, rows = self._cells, stop - start
        for cell, array in self._sources:
            cells[cell] = array[start:stop]
            cells[cell + 1] = cells[cell].view(np.uint8) if array.dtype == np.bool_ else None
        if rows != self._rows:
            self._resize(rows)
        scratch = self._scratch[:rows]
        code.fill(self.base)
        for ufunc, first, second, out in self._steps:
            if ufunc is not None:
                ufunc(cells[first], cells[second], cells[out])
            else:
                np.multiply(cells[first + 1], cells[second], scratch)
                np.maximum(code, scratch, out=code)

    def _resize(self, rows: int) -> None:
        self._rows = rows
        for cell, array in self._registers:
            self._cells[cell] = array[:rows]
            self._cells[cell + 1] = array[:rows].view(np.uint8)

    def mask(self, cell: int) -> Array | bool:
        """A mask after a run, as True or False where it is the same for all rows."""
        if cell in (TRUE, FALSE):
            return cell == TRUE
        found: Array = self._cells[cell]
        return found

    def source(self, array: Array) -> int:
        """The cell of a column."""
        cell = self._known.get(id(array))
        if cell is None:
            cell = self._known[id(array)] = self._pair()
            self._sources.append((cell, array))
        return cell

    def constant(self, value: Any) -> int:
        """The cell of a constant."""
        self._cells.append(np.asarray(value))
        return len(self._cells) - 1

    def _pair(self) -> int:
        """Two cells: an array, and its bytes where it is a mask."""
        self._cells += [None, None]
        return len(self._cells) - 2

    def apply(self, ufunc: Any, first: int, second: int) -> int:
        """A mask computed from two cells."""
        out = self._free.pop() if self._free else self._new()
        self._taken.append(out)
        self._steps.append((ufunc, first, second, out))
        return out

    def _new(self) -> int:
        cell = self._pair()
        self._registers.append((cell, np.empty(CHUNK, np.bool_)))
        return cell

    def both(self, first: int, second: int) -> int:
        """Where both masks hold."""
        if FALSE in (first, second):
            return FALSE
        if TRUE in (first, second):
            return second if first == TRUE else first
        return self.apply(np.bitwise_and, first, second)

    def either(self, first: int, second: int) -> int:
        """Where one of the masks holds."""
        if TRUE in (first, second):
            return TRUE
        if FALSE in (first, second):
            return second if first == FALSE else first
        return self.apply(np.bitwise_or, first, second)

    def neither(self, mask: int) -> int:
        """Where the mask does not hold."""
        if mask in (TRUE, FALSE):
            return FALSE if mask == TRUE else TRUE
        return self.apply(np.bitwise_xor, mask, 0)

    def pick(self, mask: int, code: int) -> None:
        """Raise the code of the rows in a mask to at least this one."""
        if mask == TRUE:
            self.base = max(self.base, code)
        elif mask != FALSE:
            self._steps.append((None, mask, self.constant(self._code_type(code)), 0))

    def pin(self, *masks: int) -> None:
        """Keep masks: their memory is not used again for others."""
        self._pinned.update(masks)

    def mark(self) -> int:
        """A place to `release` to."""
        return len(self._taken)

    def release(self, mark: int) -> None:
        """Give back the masks computed since the mark, but for those that were pinned."""
        self._free += [cell for cell in self._taken[mark:] if cell not in self._pinned]
        del self._taken[mark:]
