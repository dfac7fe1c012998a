"""Expressions over columns as masks, with the error rules of CEL.

Each expression is two masks: where it is true and where it cannot be evaluated.
False absorbs an error in ``&&``, true absorbs it in ``||``.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from dualcontrol.route.bounds import bound
from dualcontrol.route.columns import Array, Column, Columns
from dualcontrol.route.rules import VARIABLES
from dualcontrol.route.subset import (
    Compare,
    Expression,
    Has,
    Join,
    Literal,
    Member,
    Not,
    Path,
    UnsupportedError,
    literal,
)
from dualcontrol.route.tape import FALSE, TRUE, Tape

UFUNCS: dict[str, Any] = {
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal, "!=": np.not_equal,
}  # fmt: skip
_ORDER: dict[str, Callable[[str, str], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class Masks(NamedTuple):
    """Where an expression is true and where it fails."""

    yes: int
    error: int = FALSE


class Masker:
    """Writes expressions over the columns of one batch onto a tape.

    With `careful`, NaN is looked for in orderings; `uses` counts the leaves, so that what several rules ask is
    computed once and what one rule asks gives its memory back.
    """

    def __init__(self, columns: Columns, tape: Tape, uses: Counter[Expression], *, careful: bool) -> None:
        self.columns = columns
        self.tape = tape
        self.careful = careful
        self.ordered: list[Array] = []
        self._uses = uses
        self._memo: dict[Expression, Masks] = {}

    def masks(self, tree: Expression) -> Masks:
        """The masks of an expression; raises UnsupportedError where columns cannot do it."""
        if isinstance(tree, Join):
            return self._join(tree.op, self.masks(tree.left), self.masks(tree.right))
        if isinstance(tree, Not):
            part = self.masks(tree.part)
            return Masks(self.tape.neither(self.tape.either(part.yes, part.error)), part.error)
        found = self._memo.get(tree)
        if found is None:
            found = self._leaf(tree)
            if self._uses[tree] > 1:
                self._memo[tree] = found
                self.tape.pin(found.yes, found.error)
        return found

    def equal(self, path: str, text: str) -> int:
        """Where a column of text is there and is this text."""
        return self.masks(Compare("==", Path(path), literal(text))).yes

    def _join(self, op: str, a: Masks, b: Masks) -> Masks:
        tape = self.tape
        if op == "||":
            yes = tape.either(a.yes, b.yes)
            return Masks(yes, tape.both(tape.either(a.error, b.error), tape.neither(yes)))
        yes = tape.both(a.yes, b.yes)
        if a.error == FALSE or b.error == FALSE:
            return Masks(yes, tape.either(tape.both(a.error, b.yes), tape.both(b.error, a.yes)))
        open_a, open_b = tape.either(a.yes, a.error), tape.either(b.yes, b.error)
        return Masks(yes, tape.both(tape.both(open_a, open_b), tape.either(a.error, b.error)))

    def _leaf(self, tree: Expression) -> Masks:
        if isinstance(tree, Literal):
            return Masks(TRUE if tree.value is True else FALSE, FALSE if tree.kind == "bool" else TRUE)
        if isinstance(tree, Path):
            return self._truth(tree)
        if isinstance(tree, Has):
            self._flat(tree.path)
            return Masks(self.tape.neither(self.absent(tree.path.name)))
        if isinstance(tree, Member):
            return self._member(tree)
        if isinstance(tree, Compare):
            return self._pair(tree) if isinstance(tree.right, Path) else self._compare(tree, tree.right)
        raise UnsupportedError("not a leaf")

    def _flat(self, path: Path) -> Column | None:
        """The column of a path; None where no row has it."""
        root, _, field = path.name.partition(".")
        found = self.columns.get(path.name)
        whole = found is None and not field
        half = found is not None and not field and found.absent is not None
        if root not in VARIABLES or whole or half or not self.columns.is_flat(path.name):
            raise UnsupportedError("not a flat path")
        return found

    def absent(self, path: str) -> int:
        """Where a path is not there; without an action there are no args."""
        found = self.columns.get(path)
        if found is None:
            return TRUE
        gone = FALSE if found.absent is None else self.tape.source(found.absent)
        return self.tape.either(gone, self.equal("action", "")) if path.startswith("args.") else gone

    def _truth(self, path: Path) -> Masks:
        found = self._flat(path)
        if found is None or found.kind != "flag":
            return self._failing(found)
        return self._present(path, self.tape.source(found.data))

    def _failing(self, found: Column | None) -> Masks:
        if found is not None and found.kind == "other":
            raise UnsupportedError("a column of mixed values")
        return Masks(FALSE, TRUE)

    def _present(self, path: Path, yes: int) -> Masks:
        gone = self.absent(path.name)
        return Masks(self.tape.both(yes, self.tape.neither(gone)), gone)

    # comparisons

    def _compare(self, tree: Compare, right: Literal) -> Masks:
        found = self._flat(tree.left)
        if found is None or found.kind == "other":
            return self._failing(found)
        value, ordering = right.value, tree.op in _ORDER
        if found.kind == "number" and right.kind in ("int", "float"):
            return self._with_nan(tree.left, found, self.number(found, tree.op, value), ordering)
        if found.kind == "text" and isinstance(value, str):
            return self._present(tree.left, self._text(found, tree.op, value))
        if found.kind == "flag" and isinstance(value, bool):
            cell = self.tape.constant(np.bool_(value))
            return self._present(tree.left, self.tape.apply(UFUNCS[tree.op], self.tape.source(found.data), cell))
        return Masks(FALSE, TRUE) if ordering else self._present(tree.left, TRUE if tree.op == "!=" else FALSE)

    def number(self, found: Column, op: str, value: Any) -> int:
        """Where a numeric column compares with a number."""
        bounded = bound(op, found.data.dtype, value)
        if isinstance(bounded, bool):
            return TRUE if bounded else FALSE
        cell = self.tape.constant(bounded[1])
        return self.tape.apply(UFUNCS[bounded[0]], self.tape.source(found.data), cell)

    def _with_nan(self, path: Path, found: Column, yes: int, ordering: bool) -> Masks:
        masks = self._present(path, yes)
        if not ordering or found.data.dtype.kind != "f":
            return masks
        error = self.tape.either(masks.error, self._nan(found))
        return Masks(self.tape.both(masks.yes, self.tape.neither(error)), error)

    def _nan(self, found: Column) -> int:
        if not any(found.data is known for known in self.ordered):
            self.ordered.append(found.data)
        if not self.careful:
            return FALSE
        cell = self.tape.source(found.data)
        return self.tape.apply(np.not_equal, cell, cell)

    def _pair(self, tree: Compare) -> Masks:
        if not isinstance(tree.right, Path):
            raise UnsupportedError("not a pair of paths")
        left, right = self._flat(tree.left), self._flat(tree.right)
        if left is None or right is None:
            return Masks(FALSE, TRUE)
        if left.kind != "number" or right.kind != "number":
            raise UnsupportedError("two columns that are not numbers")
        yes = self.tape.apply(UFUNCS[tree.op], self.tape.source(left.data), self.tape.source(right.data))
        first = self._with_nan(tree.left, left, yes, tree.op in _ORDER)
        second = self._with_nan(tree.right, right, yes, tree.op in _ORDER)
        return Masks(self.tape.both(first.yes, second.yes), self.tape.either(first.error, second.error))

    def _member(self, tree: Member) -> Masks:
        found = self._flat(tree.path)
        if found is None or found.kind == "other":
            return self._failing(found)
        yes = FALSE
        for item in tree.items:
            yes = self.tape.either(yes, self.masks(Compare("==", tree.path, item)).yes)
        return Masks(yes, self.absent(tree.path.name))

    # text

    def _equal_text(self, found: Column, text: str) -> int:
        if found.labels is not None:
            code = found.code_of.get(text)
            if code is None:
                return FALSE
            cell = self.tape.constant(found.data.dtype.type(code))
            return self.tape.apply(np.equal, self.tape.source(found.data), cell)
        if found.data.dtype.kind == "T":
            return self.tape.apply(np.equal, self.tape.source(found.data), self._scalar(found, text))
        same = TRUE
        for word, wanted in zip(found.words, found.spelled(text), strict=True):
            if wanted is None:
                return FALSE
            cell = self.tape.constant(wanted)
            same = self.tape.both(same, self.tape.apply(np.equal, self.tape.source(word), cell))
        return same

    def _scalar(self, found: Column, text: str) -> int:
        return self.tape.constant(
            np.array(text, dtype=np.dtypes.StringDType() if found.data.dtype.kind == "T" else None)
        )

    def _text(self, found: Column, op: str, text: str) -> int:
        if op in ("==", "!="):
            same = self._equal_text(found, text)
            return same if op == "==" else self.tape.neither(same)
        if found.labels is None:
            return self.tape.apply(UFUNCS[op], self.tape.source(found.data), self._scalar(found, text))
        yes = FALSE
        for label in found.labels:
            if _ORDER[op](label, text):
                yes = self.tape.either(yes, self._equal_text(found, label))
        return yes


def leaves(tree: Expression) -> Iterator[Expression]:
    """The leaves of an expression, membership also as the comparisons it stands for."""
    if isinstance(tree, Join):
        yield from leaves(tree.left)
        yield from leaves(tree.right)
    elif isinstance(tree, Not):
        yield from leaves(tree.part)
    else:
        yield tree
        if isinstance(tree, Member):
            yield from (Compare("==", tree.path, item) for item in tree.items)
