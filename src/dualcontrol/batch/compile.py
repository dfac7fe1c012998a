"""The order of routing as numbers: whatever can be said has a code, and the highest code is heard.

A code is a place in the order and, in its two lowest bits, a route.
The tape raises codes from the top of the order to the bottom; rules that columns cannot do are left for the
rows where nothing above them has spoken; what closes autopilot afterwards is laid over the result.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from dualcontrol.batch.columns import CHUNK, Array, Column, Columns, bound
from dualcontrol.case import RISK_LEVELS
from dualcontrol.control import Control, Rule
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
    parse,
)
from dualcontrol.route.rules import VARIABLES, RuleSet

BLOCK, HUMAN, AUTOPILOT = 0, 1, 2
ROUTES = ("block", "human", "autopilot")
_STEPS = 11


class RoutingOrder:
    """Places from the top down, each with the name of who speaks there."""

    def __init__(self, places: int) -> None:
        self.code_type = np.uint8 if places <= 64 else np.uint16
        self.names = [""] * places
        self._left = places

    def place(self, name: str) -> int:
        """The next place below all others, as the code that blocks."""
        self._left -= 1
        self.names[self._left] = name
        return self._left << 2

    def code(self, name: str, route: int) -> int:
        """The code of a name that has a place already."""
        return self.names.index(name) << 2 | route


class Plan:
    """The order of one loop written onto a tape for the columns of one batch.

    Without `careful` it holds for chunks in which no compared number is NaN and every risk is known.
    """

    def __init__(self, columns: Columns, control: Control, ruleset: RuleSet, *, careful: bool) -> None:
        self.columns, self.control, self.ruleset, self.careful = columns, control, ruleset, careful
        autopilots = sum(rule.route == "autopilot" for rule in ruleset.rules)
        self.order = RoutingOrder(_STEPS + len(ruleset.blocking) + len(ruleset.rules) + 2 * autopilots)
        self._trees = [parse(rule.when) for rule in ruleset.rules]
        self.tape = Tape(self.order.code_type)
        self.masker = Masker(columns, self.tape, self._uses(), careful=careful)
        self.singly_below = 0
        self.closures: list[tuple[int, int]] = []
        self._write()

    @property
    def ordered(self) -> list[Array]:
        """The columns of numbers in which a NaN would make this plan wrong."""
        signals = [self.columns.get("signal.confidence"), self.columns.risk]
        checked = [id(found.data) for found in signals if found is not None]
        return [array for array in self.masker.ordered if id(array) not in checked]

    def _uses(self) -> Counter[Expression]:
        """How often each leaf is asked for, by rules, by lists of actions and by steps of the order."""
        settings = self.control.settings
        uses: Counter[Expression] = Counter()
        for tree in self._trees:
            uses.update(leaves(tree) if tree is not None else ())
        for action in {*settings.human_actions, *settings.autopilot_actions, *settings.block_actions}:
            uses.update(Compare("==", Path("action"), literal(text)) for text in self._spelled(action))
        uses[Compare("==", Path("action"), literal(""))] += 2
        uses.update([Compare("==", Path("signal.risk"), literal(level)) for level in RISK_LEVELS] * 2)
        return uses

    def _write(self) -> None:
        settings = self.control.settings
        self._listed("block_actions", settings.block_actions, BLOCK)
        self._blocking()
        proposed = FALSE if settings.mode == "preference" else TRUE
        self._say("no_proposal", self.tape.neither(proposed), HUMAN)
        asked = self.masker.masks(Path("signal.requires_approval")).yes if self.columns.asks_approval else FALSE
        self._say("requires_approval", asked, HUMAN)
        self._listed("human_actions", settings.human_actions, HUMAN)
        self._routing()
        self._listed("autopilot_actions", settings.autopilot_actions, AUTOPILOT)
        self._confidence()
        self._close()

    def _say(self, name: str, mask: int, route: int) -> None:
        self.tape.pick(mask, self.order.place(name) | route)

    def _listed(self, name: str, actions: Iterable[str], route: int) -> None:
        code = self.order.place(name) | route
        for text in dict.fromkeys(text for action in actions if action for text in self._spelled(action)):
            self.tape.pick(self.masker.equal("action", text), code)

    def _spelled(self, action: str) -> list[str]:
        """How a listed action may stand in the column."""
        found = self.columns.get("action")
        return [identity(action), *(found.spellings(action) if found is not None else ())]

    # rules

    def _blocking(self) -> None:
        """All matches stand above all failures, so the failures' places come after the last match."""
        rules = [(place, self.ruleset.rules[place]) for place in self.ruleset.blocking]
        failed: list[tuple[str, int]] = []
        for place, rule in rules:
            code = self.order.place(f"rule:{rule.name}")
            masks = self._masks(place, code)
            self.tape.pick(masks.yes, code | BLOCK)
            self.tape.pin(masks.error)
            failed.append((f"rule:{rule.name}", masks.error))
        for name, error in failed:
            self._say(name, error, HUMAN)

    def _routing(self) -> None:
        unknown, above = self._risk()
        for place in self.ruleset.routing:
            mark, rule = self.tape.mark(), self.ruleset.rules[place]
            if rule.route == "autopilot":
                self._autopilot(place, rule, unknown, above)
            else:
                code = self.order.place(f"rule:{rule.name}") | HUMAN
                masks = self._masks(place, code)
                self.tape.pick(self.tape.either(masks.yes, masks.error), code)
            self.tape.release(mark)
        self._say("error", unknown, HUMAN)
        self._say("risk_ceiling", above, HUMAN)

    def _autopilot(self, place: int, rule: Rule, unknown: int, above: int) -> None:
        """An autopilot rule speaks only where the risk, the case's or its own, lets it."""
        error, ceiling = self.order.place("error"), self.order.place("risk_ceiling")
        code = self.order.place(f"rule:{rule.name}")
        masks = self._masks(place, error)
        risky = precedence.above(rule.risk, self.control.settings.risk_ceiling)
        self.tape.pick(self.tape.both(masks.yes, unknown), error | HUMAN)
        self.tape.pick(self.tape.both(masks.yes, TRUE if risky else above), ceiling | HUMAN)
        self.tape.pick(masks.yes, code | AUTOPILOT)
        self.tape.pick(masks.error, code | HUMAN)

    def _masks(self, place: int, code: int) -> Masks:
        """The masks of a rule; one that columns cannot do is noted, and speaks nowhere yet."""
        if place in self.ruleset.broken:
            return Masks(FALSE, TRUE)
        tree = self._trees[place]
        try:
            if tree is not None:
                return self.masker.masks(tree)
        except UnsupportedError:
            pass
        self.singly_below = max(self.singly_below, code)
        return Masks(FALSE, FALSE)

    # risk

    def _risk(self) -> tuple[int, int]:
        """Where the risk given is unknown, and where it is above the ceiling."""
        found = self.columns.risk
        if found is None:
            return FALSE, FALSE
        tape, ceiling = self.tape, self.control.settings.risk_ceiling
        limit = precedence.number(ceiling)
        there = tape.neither(self.masker.absent("signal.risk"))
        if found.kind == "text":
            return tape.both(there, tape.neither(self._levels(-1.0))), self._levels(limit)
        above = self.masker.number(found, ">", limit)
        return self._unknown(found, there), tape.both(there, above)

    def _unknown(self, found: Column, there: int) -> int:
        if not self.careful:
            return FALSE
        known = self.tape.both(self.masker.number(found, ">=", 0.0), self.masker.number(found, "<=", 1.0))
        return self.tape.both(there, self.tape.neither(known))

    def _levels(self, limit: float) -> int:
        named = tuple(literal(level) for level, number in RISK_LEVELS.items() if number > limit)
        return self.masker.masks(Member(Path("signal.risk"), named)).yes

    # confidence

    def _confidence(self) -> None:
        """A batch has no learned scores: where they are asked for, nothing reaches the threshold."""
        if self.control.learned:
            self._say("no_signal", TRUE, HUMAN)
            return
        found = self.columns.get("signal.confidence")
        self._say("no_signal", self.masker.absent("signal.confidence"), HUMAN)
        reached = self._reached(found, self.control.threshold_for(None))
        for segment, mask in self._segments(self.control.thresholds):
            reached = self._chosen(mask, self._reached(found, self.control.threshold_for(segment)), reached)
        code = self.order.place("threshold")
        self.tape.pick(TRUE, code | HUMAN)
        self.tape.pick(reached, code | AUTOPILOT)

    def _reached(self, found: Column | None, threshold: float | None) -> int:
        if found is None or threshold is None:
            return FALSE
        return self.masker.number(found, ">=", threshold)

    def _segments(self, named: Iterable[str]) -> list[tuple[str, int]]:
        if self.columns.get("signal.segment") is None:
            return []
        return [(segment, self.masker.equal("signal.segment", segment)) for segment in named if segment]

    def _chosen(self, mask: int, here: int, elsewhere: int) -> int:
        tape = self.tape
        return tape.either(tape.both(mask, here), tape.both(tape.neither(mask), elsewhere))

    def _close(self) -> None:
        closed = TRUE if self.control.closed_for(None) is not None else FALSE
        for segment, mask in self._segments(self.control.closed):
            here = TRUE if self.control.closed_for(segment) is not None else FALSE
            closed = self._chosen(mask, here, closed)
        self.closures = [(closed, self.order.place("closed") | HUMAN)]
        suggests = TRUE if self.control.settings.start == "suggest" else FALSE
        self.closures.append((suggests, self.order.place("start") | HUMAN))

    def close(self, code: Array) -> None:
        """Turn autopilot into a human where a segment is closed, or where the loop only suggests."""
        for mask, spoken in self.closures:
            where = self.tape.mask(mask)
            if where is not False:
                np.copyto(code, code.dtype.type(spoken), where=((code & 3) == AUTOPILOT) & where)


# A flat list of array operations that is run chunk by chunk on preallocated masks.


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
        if isinstance(tree, Logical):
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
    if isinstance(tree, Logical):
        yield from leaves(tree.left)
        yield from leaves(tree.right)
    elif isinstance(tree, Not):
        yield from leaves(tree.part)
    else:
        yield tree
        if isinstance(tree, Member):
            yield from (Compare("==", tree.path, item) for item in tree.items)
