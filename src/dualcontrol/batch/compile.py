"""Compiler of batch routing: the order of precedence as array operations on codes, of which the highest counts.

A code is a place in the order and, in its two lowest bits, a route.
A tape of array operations raises codes from the top of the order to the bottom; rules that columns cannot do are left
for the rows where nothing above them has spoken; what closes autopilot afterwards is laid over the result.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from dualcontrol.batch.columns import CHUNK, Array, Column, Columns, bound
from dualcontrol.case import RISK_LEVELS
from dualcontrol.control import RISK, Control
from dualcontrol.names import identity
from dualcontrol.route import precedence
from dualcontrol.route.cel import (
    Compare,
    Expression,
    Has,
    Literal,
    Logical,
    Member,
    Not,
    Path,
    UnsupportedError,
    literal,
)
from dualcontrol.route.precedence import rule_on
from dualcontrol.route.rules import VARIABLES, Findings, RuleSet

BLOCK, HUMAN, AUTOPILOT = 0, 1, 2
ROUTES = ("block", "human", "autopilot")
_STEPS = 11


class Plan:
    """The order of one loop written onto a tape for the columns of one batch.

    Without `careful` it holds for chunks in which no compared number is NaN and every risk is known; `ordered` are the
    columns of numbers in which a NaN would make it wrong.
    """

    def __init__(self, columns: Columns, control: Control, ruleset: RuleSet, *, careful: bool) -> None:
        self.columns, self.control, self.ruleset, self.careful = columns, control, ruleset, careful
        autopilots = sum(rule.route == "autopilot" for rule in ruleset.rules)
        self.names = [""] * (_STEPS + len(ruleset.blocking) + len(ruleset.rules) + 2 * autopilots)
        self.code_type = np.uint8 if len(self.names) <= 64 else np.uint16
        self.tape = Tape(self.code_type)
        self.masker = Masker(columns, self.tape, careful=careful)
        self._left = len(self.names)
        self._singly_below = 0  # the highest code of a rule that columns cannot do
        self._closures: list[tuple[int, int]] = []
        self._write()
        signals = [columns.get("signal.confidence"), columns.risk]
        checked = [id(signal.data) for signal in signals if signal is not None]
        self.ordered = [array for array in self.masker.ordered if id(array) not in checked]

    def run(self, start: int, stop: int, code: Array) -> int:
        """Fill in the codes of one chunk of rows; returns how many of them were routed one by one."""
        self.tape.run(start, stop, code)
        singly = np.flatnonzero(code < self._singly_below).tolist() if self._singly_below else []
        for row in singly:
            subject = self.columns.row(start + row, self.control.settings.mode != "preference")
            ruling = rule_on(subject, self.control, Findings(self.ruleset, subject))
            code[row] = self.names.index(ruling.by) << 2 | ROUTES.index(ruling.to)
        for mask, closure in self._closures:
            where = self.tape.mask(mask)
            if where is not False:
                np.copyto(code, code.dtype.type(closure | HUMAN), where=((code & 3) == AUTOPILOT) & where)
        return len(singly)

    def _write(self) -> None:
        settings, control, ruleset = self.control.settings, self.control, self.ruleset
        self._listed("block_actions", settings.block_actions, BLOCK)
        failures = []
        for place in ruleset.blocking:
            blocks = self._place(f"rule:{ruleset.rules[place].name}")
            masks = self._masks(place, blocks)
            self.tape.pick(masks.yes, blocks | BLOCK)
            failures.append(masks.error)
        for place, error in zip(ruleset.blocking, failures, strict=True):  # all matches stand above all failures
            self.tape.pick(error, self._place(f"rule:{ruleset.rules[place].name}") | HUMAN)
        self.tape.pick(TRUE if settings.mode == "preference" else FALSE, self._place("no_proposal") | HUMAN)
        approval = self.masker.masks(Path("signal.requires_approval")).yes if self.columns.asks_approval else FALSE
        self.tape.pick(approval, self._place("requires_approval") | HUMAN)
        self._listed("human_actions", settings.human_actions, HUMAN)
        self._routing()
        self._listed("autopilot_actions", settings.autopilot_actions, AUTOPILOT)
        self._confidence()
        closed = self._by_segment(
            control.closed, lambda segment: FALSE if control.closed_for(segment) is None else TRUE
        )
        suggests = TRUE if settings.start == "suggest" else FALSE
        self._closures += [(closed, self._place("closed")), (suggests, self._place("start"))]

    def _place(self, name: str) -> int:
        """The next place below all others, as the code that blocks."""
        self._left -= 1
        self.names[self._left] = name
        return self._left << 2

    def _listed(self, name: str, actions: Iterable[str], route: int) -> None:
        """The actions of a list, however the column spells them."""
        code, column = self._place(name) | route, self.columns.get("action")
        texts: dict[str, None] = {}
        for action in filter(None, actions):
            texts |= dict.fromkeys([identity(action), *(column.spellings(action) if column is not None else ())])
        for text in texts:
            self.tape.pick(self.masker.equal("action", text), code)

    def _masks(self, place: int, code: int) -> Masks:
        """The masks of a rule; one that columns cannot do is noted, and speaks nowhere yet."""
        if place in self.ruleset.broken:
            return Masks(FALSE, TRUE)
        tree = self.ruleset.trees[place]
        try:
            if tree is not None:
                return self.masker.masks(tree)
        except UnsupportedError:
            pass
        self._singly_below = max(self._singly_below, code)
        return Masks(FALSE, FALSE)

    def _routing(self) -> None:
        """The rules that route, and the risk; an autopilot rule speaks only where the risk, also its own, lets it."""
        unknown, above = self._risk()
        ceiling = self.control.settings.risk_ceiling
        for place in self.ruleset.routing:
            mark, rule = self.tape.mark(), self.ruleset.rules[place]
            if rule.route != "autopilot":
                code = self._place(f"rule:{rule.name}")
                masks = self._masks(place, code | HUMAN)
                self.tape.pick(self.tape.either(masks.yes, masks.error), code | HUMAN)
                self.tape.release(mark)
                continue
            error, risky, code = self._place("error"), self._place("risk_ceiling"), self._place(f"rule:{rule.name}")
            masks = self._masks(place, error)
            high = TRUE if precedence.above(rule.risk, ceiling) else above
            self.tape.pick(self.tape.both(masks.yes, unknown), error | HUMAN)
            self.tape.pick(self.tape.both(masks.yes, high), risky | HUMAN)
            self.tape.pick(masks.yes, code | AUTOPILOT)
            self.tape.pick(masks.error, code | HUMAN)
            self.tape.release(mark)
        self.tape.pick(unknown, self._place("error") | HUMAN)
        self.tape.pick(above, self._place("risk_ceiling") | HUMAN)

    def _risk(self) -> tuple[int, int]:
        """Where the risk given is unknown, and where it is above the ceiling."""
        risk = self.columns.risk
        if risk is None:
            return FALSE, FALSE
        limit = precedence.number(self.control.settings.risk_ceiling)
        there = self.tape.neither(self.masker.absent("signal.risk"))
        if risk.kind == "text":
            known, above = (
                self.masker.masks(Member(Path("signal.risk"), tuple(literal(name) for name in names))).yes
                for names in (RISK_LEVELS, [name for name, number in RISK_LEVELS.items() if number > limit])
            )
            return self.tape.both(there, self.tape.neither(known)), above
        above = self.tape.both(there, self.masker.number(risk, ">", limit))
        if not self.careful:
            return FALSE, above
        known = self.tape.both(self.masker.number(risk, ">=", 0.0), self.masker.number(risk, "<=", 1.0))
        return self.tape.both(there, self.tape.neither(known)), above

    def _confidence(self) -> None:
        """A batch has no learned scores: where they are asked for, nothing reaches the threshold."""
        control, masker = self.control, self.masker
        if control.learned:
            self.tape.pick(TRUE, self._place("no_signal") | HUMAN)
            return
        confidence, nothing = self.columns.get("signal.confidence"), self._place("no_signal") | HUMAN
        self.tape.pick(masker.absent("signal.confidence"), nothing)
        learned = self._by_segment(control.orders, lambda segment: TRUE if control.acting(segment) == RISK else FALSE)
        self.tape.pick(learned, nothing)

        def reached(segment: str | None) -> int:
            threshold = None if control.acting(segment) == RISK else control.threshold_for(segment)
            return FALSE if confidence is None or threshold is None else masker.number(confidence, ">=", threshold)

        code = self._place("threshold")
        self.tape.pick(TRUE, code | HUMAN)
        self.tape.pick(self._by_segment(control.thresholds, reached), code | AUTOPILOT)

    def _by_segment(self, named: Iterable[str], mask_of: Callable[[str | None], int]) -> int:
        """A mask that each of the named segments has for itself, and all other rows together."""
        mask = mask_of(None)
        for segment in named if self.columns.get("signal.segment") is not None else ():
            if segment:
                inside = self.masker.equal("signal.segment", segment)
                outside = self.tape.both(self.tape.neither(inside), mask)
                mask = self.tape.either(self.tape.both(inside, mask_of(segment)), outside)
        return mask


# A flat list of array operations that is run chunk by chunk on preallocated masks.


TRUE, FALSE = -1, -2


class Tape:
    """Operations on cells: constants, chunks of columns, and masks; TRUE and FALSE stand for whole masks."""

    def __init__(self, code_type: Any) -> None:
        self._cells: list[Any] = [np.array(True)]
        self._base = 0
        self._sources: dict[int, tuple[int, Array]] = {}
        self._registers: list[tuple[int, Array]] = []
        self._free: list[int] = []
        self._in_use: list[int] = []
        self._pinned: set[int] = set()
        self._steps: list[tuple[Any, int, int, int]] = []
        self._scratch = np.empty(CHUNK, code_type)

    def run(self, start: int, stop: int, code: Array) -> None:
        """Run on the rows of one chunk: masks are filled, picks raise `code` from the base."""
        cells, rows = self._cells, stop - start
        for cell, array in self._sources.values():
            cells[cell] = array[start:stop]
        for cell, array in self._registers:
            cells[cell] = array[:rows]
        scratch = self._scratch[:rows]
        code.fill(self._base)
        for ufunc, first, second, out in self._steps:
            if ufunc is not None:
                ufunc(cells[first], cells[second], cells[out])
            else:
                np.multiply(cells[first].view(np.uint8), cells[second], scratch)
                np.maximum(code, scratch, out=code)

    def cell(self, value: Any) -> int:
        """The cell of a constant."""
        self._cells.append(value if value is None else np.asarray(value))
        return len(self._cells) - 1

    def mask(self, cell: int) -> Array | bool:
        """A mask after a run, as True or False where it is the same for all rows."""
        whole: dict[int, Array | bool] = {TRUE: True, FALSE: False}
        return whole[cell] if cell in whole else self._cells[cell]

    def source(self, array: Array) -> int:
        """The cell of a column."""
        if id(array) not in self._sources:
            self._sources[id(array)] = self.cell(None), array
        return self._sources[id(array)][0]

    def apply(self, ufunc: Any, first: int, second: int) -> int:
        """A mask computed from two cells."""
        if not self._free:
            self._free.append(self.cell(None))
            self._registers.append((self._free[0], np.empty(CHUNK, np.bool_)))
        out = self._free.pop()
        self._in_use.append(out)
        self._steps.append((ufunc, first, second, out))
        return out

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
            self._base = max(self._base, code)
        elif mask != FALSE:
            self._steps.append((None, mask, self.cell(self._scratch.dtype.type(code)), 0))

    def pin(self, mask: int) -> int:
        """Keep a mask: its memory is not used again for others."""
        self._pinned.add(mask)
        return mask

    def mark(self) -> int:
        """A place to `release` to."""
        return len(self._in_use)

    def release(self, mark: int) -> None:
        """Give back the masks computed since the mark, but for those that were pinned."""
        self._free += [cell for cell in self._in_use[mark:] if cell not in self._pinned]
        del self._in_use[mark:]


# Expressions over columns as masks, with the error rules of CEL.
#
# Each expression is two masks: where it is true and where it cannot be evaluated.
# False absorbs an error in ``&&``, true absorbs it in ``||``.


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
    """Writes expressions over the columns of one batch onto a tape; texts and gaps are looked for once.

    With `careful`, NaN is looked for in orderings; `ordered` are the columns where it matters.
    """

    def __init__(self, columns: Columns, tape: Tape, *, careful: bool) -> None:
        self.columns, self.tape, self.careful = columns, tape, careful
        self.ordered: list[Array] = []
        self._gone: dict[str, int] = {}
        self._texts: dict[tuple[int, str, str], int] = {}

    def masks(self, tree: Expression) -> Masks:
        """The masks of an expression; raises UnsupportedError where columns cannot do it."""
        tape = self.tape
        if isinstance(tree, Logical):
            a, b = self.masks(tree.left), self.masks(tree.right)
            if tree.op == "||":
                yes = tape.either(a.yes, b.yes)
                return Masks(yes, tape.both(tape.either(a.error, b.error), tape.neither(yes)))
            one_fails = tape.either(tape.both(a.error, b.yes), tape.both(b.error, a.yes))
            return Masks(tape.both(a.yes, b.yes), tape.either(one_fails, tape.both(a.error, b.error)))
        if isinstance(tree, Not):
            part = self.masks(tree.part)
            return Masks(tape.neither(tape.either(part.yes, part.error)), part.error)
        return self._compare(tree) if isinstance(tree, Compare) else self._leaf(tree)

    def equal(self, path: str, text: str) -> int:
        """Where a column of text is there and is this text."""
        column = self.columns.get(path)
        if column is None:
            return FALSE
        return self.tape.both(self._text(column, "==", text), self.tape.neither(self.absent(path)))

    def absent(self, path: str) -> int:
        """Where a path is not there; without an action there are no args."""
        if path not in self._gone:
            column = self.columns.get(path)
            gone = TRUE if column is None else FALSE
            if column is not None and column.absent is not None:
                gone = self.tape.source(column.absent)
            if path.startswith("args."):
                gone = self.tape.either(gone, self.equal("action", ""))
            self._gone[path] = self.tape.pin(gone)
        return self._gone[path]

    def number(self, column: Column, op: str, value: Any) -> int:
        """Where a numeric column compares with a number."""
        bounded = bound(op, column.data.dtype, value)
        if isinstance(bounded, bool):
            return TRUE if bounded else FALSE
        return self._against(column.data, *bounded)

    def _against(self, data: Array, op: str, constant: Any) -> int:
        return self.tape.apply(UFUNCS[op], self.tape.source(data), self.tape.cell(constant))

    def _leaf(self, tree: Path | Literal | Member | Has) -> Masks:
        if isinstance(tree, Literal):
            return Masks(TRUE if tree.value is True else FALSE, FALSE if tree.kind == "bool" else TRUE)
        path = tree if isinstance(tree, Path) else tree.path
        column = self._flat(path, mixed=isinstance(tree, Has))
        gone = self.absent(path.name)
        if isinstance(tree, Has):
            return Masks(self.tape.neither(gone))
        if column is None:
            return Masks(FALSE, TRUE)
        if isinstance(tree, Member):
            yes = FALSE
            for item in tree.items:
                yes = self.tape.either(yes, self.masks(Compare("==", path, item)).yes)
            return Masks(yes, gone)
        if column.kind != "flag":
            return Masks(FALSE, TRUE)
        return Masks(self.tape.both(self.tape.source(column.data), self.tape.neither(gone)), gone)

    def _flat(self, path: Path, *, mixed: bool) -> Column | None:
        """The column of a path; None where no row has it.  Where values are compared it may not hold mixed ones."""
        root, _, field = path.name.partition(".")
        column = self.columns.get(path.name)
        bare = not field and (column is None or column.absent is not None)
        if root not in VARIABLES or bare or not self.columns.is_flat(path.name):
            raise UnsupportedError("not a flat path")
        if column is not None and column.kind == "other" and not mixed:
            raise UnsupportedError("a column of mixed values")
        return column

    def _compare(self, tree: Compare) -> Masks:
        """A column compared with a literal or another column; types that differ are unequal and have no order."""
        tape, ordering = self.tape, tree.op in _ORDER
        left = self._flat(tree.left, mixed=isinstance(tree.right, Path))
        gone, nan = self.absent(tree.left.name), FALSE
        if isinstance(tree.right, Path):
            right = self._flat(tree.right, mixed=True)
            if left is None or right is None:
                return Masks(FALSE, TRUE)
            if left.kind != "number" or right.kind != "number":
                raise UnsupportedError("two columns that are not numbers")
            yes = tape.apply(UFUNCS[tree.op], tape.source(left.data), tape.source(right.data))
            gone = tape.either(gone, self.absent(tree.right.name))
            nan = tape.either(self._nan(left.data), self._nan(right.data)) if ordering else FALSE
        elif left is None:
            return Masks(FALSE, TRUE)
        elif left.kind == "number" and tree.right.kind in ("int", "float"):
            yes = self.number(left, tree.op, tree.right.value)
            nan = self._nan(left.data) if ordering else FALSE
        elif left.kind == "text" and isinstance(tree.right.value, str):
            yes = self._text(left, tree.op, tree.right.value)
        elif left.kind == "flag" and isinstance(tree.right.value, bool):
            yes = self._against(left.data, tree.op, np.bool_(tree.right.value))
        elif ordering:
            return Masks(FALSE, TRUE)
        else:
            yes = TRUE if tree.op == "!=" else FALSE
        return Masks(tape.both(yes, tape.neither(gone)), tape.either(gone, nan))

    def _nan(self, data: Array) -> int:
        """Where a number is NaN, which has no order; no comparison holds there."""
        if data.dtype.kind != "f":
            return FALSE
        if not any(data is known for known in self.ordered):
            self.ordered.append(data)
        cell = self.tape.source(data)
        return self.tape.apply(np.not_equal, cell, cell) if self.careful else FALSE

    def _text(self, column: Column, op: str, text: str) -> int:
        """Where a column of text, held as codes, as words or plain, compares with a text."""
        if op == "!=":
            return self.tape.neither(self._text(column, "==", text))
        mask = self._texts.get(key := (id(column.data), op, text))
        if mask is not None:
            return mask
        data = column.data
        if column.labels is not None and op == "==":
            code = column.code_of.get(text)
            mask = FALSE if code is None else self._against(data, op, data.dtype.type(code))
        elif column.labels is not None:
            mask = FALSE
            for label in column.labels:
                if _ORDER[op](label, text):
                    mask = self.tape.either(mask, self._text(column, "==", label))
        elif op != "==" or data.dtype.kind == "T":
            kind = np.dtypes.StringDType() if data.dtype.kind == "T" else None
            mask = self._against(data, op, np.array(text, dtype=kind))
        else:
            mask = TRUE
            for word, wanted in zip(column.words, column.spelled(text), strict=True):
                mask = self.tape.both(mask, FALSE if wanted is None else self._against(word, op, wanted))
        self._texts[key] = self.tape.pin(mask)
        return mask
