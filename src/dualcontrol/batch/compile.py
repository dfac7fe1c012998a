"""The order of routing as numbers: whatever can be said has a code, and the highest code is heard.

A code is a place in the order and, in its two lowest bits, a route.
A chunk of rows goes down the order from the top, and each step raises the codes of the rows that it speaks for; rules
that columns cannot do are left for the rows where nothing above them has spoken; what closes autopilot afterwards is
laid over the result.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from dualcontrol.batch.columns import Array, Column, Columns, all_shares, any_nan, bound
from dualcontrol.case import RISK_LEVELS
from dualcontrol.control import Control
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
    """What is the same for all chunks of a batch: the loop's rules, and the places of its order by name."""

    def __init__(self, columns: Columns, control: Control, ruleset: RuleSet) -> None:
        self.columns, self.control, self.ruleset = columns, control, ruleset
        autopilots = sum(rule.route == "autopilot" for rule in ruleset.rules)
        self.names = [""] * (_STEPS + len(ruleset.blocking) + len(ruleset.rules) + 2 * autopilots)
        self.code_type = np.uint8 if len(self.names) <= 64 else np.uint16
        settings, actions = control.settings, columns.get("action")
        self.spelled: dict[str, list[str]] = {}  # how a listed action may stand in the column
        for action in {*settings.block_actions, *settings.human_actions, *settings.autopilot_actions, ""} - {""}:
            self.spelled[action] = [identity(action), *(actions.spellings(action) if actions is not None else ())]


class ChunkRouter:
    """One chunk of rows on its way down the order; `code` is written to."""

    def __init__(self, plan: Plan, start: int, stop: int, code: Array) -> None:
        self.plan, self.start, self.code = plan, start, code
        self.masker = Masker(plan.columns, start, stop)
        self.singly_below = 0  # the highest code of a rule that columns cannot do
        self._left = len(plan.names)

    def run(self) -> int:
        """Fill in the codes of all rows; returns how many of them were routed one by one."""
        control, ruleset, code = self.plan.control, self.plan.ruleset, self.code
        settings = control.settings
        code.fill(0)
        self._listed("block_actions", settings.block_actions, BLOCK)
        failures = []
        for place in ruleset.blocking:
            blocks = self._place(f"rule:{ruleset.rules[place].name}")
            masks = self._masks(place, blocks)
            self._say(masks.yes, blocks | BLOCK)
            failures.append(masks.error)
        for place, error in zip(ruleset.blocking, failures, strict=True):  # all matches stand above all failures
            self._say(error, self._place(f"rule:{ruleset.rules[place].name}") | HUMAN)
        self._say(settings.mode == "preference", self._place("no_proposal") | HUMAN)
        asked = self.plan.columns.asks_approval and self.masker.masks(Path("signal.requires_approval")).yes
        self._say(asked, self._place("requires_approval") | HUMAN)
        self._listed("human_actions", settings.human_actions, HUMAN)
        self._routing()
        self._listed("autopilot_actions", settings.autopilot_actions, AUTOPILOT)
        self._confidence()
        singly = np.flatnonzero(code < self.singly_below).tolist() if self.singly_below else []
        closed = self._by_segment(control.closed, lambda segment: control.closed_for(segment) is not None)
        closures = [(closed, self._place("closed")), (settings.start == "suggest", self._place("start"))]
        for row in singly:
            subject = self.plan.columns.row(self.start + row, settings.mode != "preference")
            ruling = rule_on(subject, control, Findings(ruleset, subject))
            code[row] = self.plan.names.index(ruling.by) << 2 | ROUTES.index(ruling.to)
        for mask, closure in closures:
            if mask is not False:
                np.copyto(code, code.dtype.type(closure | HUMAN), where=((code & 3) == AUTOPILOT) & mask)
        return len(singly)

    def _place(self, name: str) -> int:
        """The next place below all others, as the code that blocks."""
        self._left -= 1
        self.plan.names[self._left] = name
        return self._left << 2

    def _say(self, mask: Mask, code: int) -> None:
        """Raise the code of the rows in a mask to at least this one."""
        if mask is True:
            np.maximum(self.code, self.code.dtype.type(code), out=self.code)
        elif not isinstance(mask, bool):
            np.maximum(self.code, mask.view(np.uint8) * self.code.dtype.type(code), out=self.code)

    def _listed(self, name: str, actions: Iterable[str], route: int) -> None:
        code = self._place(name) | route
        for text in dict.fromkeys(text for action in actions if action for text in self.plan.spelled[action]):
            self._say(self.masker.equal("action", text), code)

    def _masks(self, place: int, code: int) -> Masks:
        """The masks of a rule; one that columns cannot do is noted, and speaks nowhere yet."""
        if place in self.plan.ruleset.broken:
            return Masks(False, True)
        tree = self.plan.ruleset.trees[place]
        try:
            if tree is not None:
                return self.masker.masks(tree)
        except UnsupportedError:
            pass
        self.singly_below = max(self.singly_below, code)
        return Masks(False, False)

    def _routing(self) -> None:
        """The rules that route, and the risk; an autopilot rule speaks only where the risk, also its own, lets it."""
        unknown, above = self._risk()
        ceiling = self.plan.control.settings.risk_ceiling
        for place in self.plan.ruleset.routing:
            rule = self.plan.ruleset.rules[place]
            if rule.route != "autopilot":
                code = self._place(f"rule:{rule.name}")
                masks = self._masks(place, code | HUMAN)
                self._say(either(masks.yes, masks.error), code | HUMAN)
                continue
            error, risky, code = self._place("error"), self._place("risk_ceiling"), self._place(f"rule:{rule.name}")
            masks = self._masks(place, error)
            self._say(both(masks.yes, unknown), error | HUMAN)
            self._say(both(masks.yes, precedence.above(rule.risk, ceiling) or above), risky | HUMAN)
            self._say(masks.yes, code | AUTOPILOT)
            self._say(masks.error, code | HUMAN)
        self._say(unknown, self._place("error") | HUMAN)
        self._say(above, self._place("risk_ceiling") | HUMAN)

    def _risk(self) -> tuple[Mask, Mask]:
        """Where the risk given is unknown, and where it is above the ceiling."""
        risk, limit = self.plan.columns.risk, precedence.number(self.plan.control.settings.risk_ceiling)
        if risk is None:
            return False, False
        there = neither(self.masker.absent("signal.risk"))
        if risk.kind == "text":
            known, above = (
                self.masker.masks(Member(Path("signal.risk"), tuple(literal(name) for name in names))).yes
                for names in (RISK_LEVELS, [name for name, number in RISK_LEVELS.items() if number > limit])
            )
            return both(there, neither(known)), above
        above = both(there, self.masker.number(risk, ">", limit))
        if all_shares(self.masker.part(risk.data)):
            return False, above
        known = both(self.masker.number(risk, ">=", 0.0), self.masker.number(risk, "<=", 1.0))
        return both(there, neither(known)), above

    def _confidence(self) -> None:
        """A batch has no learned scores: where they are asked for, nothing reaches the threshold."""
        control, masker = self.plan.control, self.masker
        if control.learned:
            self._say(True, self._place("no_signal") | HUMAN)
            return
        confidence = self.plan.columns.get("signal.confidence")
        self._say(masker.absent("signal.confidence"), self._place("no_signal") | HUMAN)

        def reached(segment: str | None) -> Mask:
            threshold = control.threshold_for(segment)
            return confidence is not None and threshold is not None and masker.number(confidence, ">=", threshold)

        code = self._place("threshold")
        self._say(True, code | HUMAN)
        self._say(self._by_segment(control.thresholds, reached), code | AUTOPILOT)

    def _by_segment(self, named: Iterable[str], mask_of: Callable[[str | None], Mask]) -> Mask:
        """A mask that each of the named segments has for itself, and all other rows together."""
        mask = mask_of(None)
        for segment in named if self.plan.columns.get("signal.segment") is not None else ():
            if segment:
                inside = self.masker.equal("signal.segment", segment)
                mask = either(both(inside, mask_of(segment)), both(neither(inside), mask))
        return mask


# Expressions over columns as masks, with the error rules of CEL.
#
# Each expression is two masks: where it is true and where it cannot be evaluated.
# False absorbs an error in ``&&``, true absorbs it in ``||``.


Mask: TypeAlias = Array | bool  # True or False where all rows are alike
UFUNCS: dict[str, Any] = {
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal, "!=": np.not_equal,
}  # fmt: skip
_ORDER: dict[str, Callable[[str, str], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class Masks(NamedTuple):
    """Where an expression is true and where it fails."""

    yes: Mask
    error: Mask = False


def both(first: Mask, second: Mask) -> Mask:
    """Where both masks hold."""
    if isinstance(first, bool):
        return second if first else False
    if isinstance(second, bool):
        return first if second else False
    return first & second


def either(first: Mask, second: Mask) -> Mask:
    """Where one of the masks holds."""
    if isinstance(first, bool):
        return True if first else second
    if isinstance(second, bool):
        return True if second else first
    return first | second


def neither(mask: Mask) -> Mask:
    """Where the mask does not hold."""
    return not mask if isinstance(mask, bool) else ~mask


class Masker:
    """Expressions over one chunk of a batch's columns; texts, gaps and NaN are looked for once a column."""

    def __init__(self, columns: Columns, start: int, stop: int) -> None:
        self.columns, self.start, self.stop = columns, start, stop
        self._gone: dict[str, Mask] = {}
        self._nans: dict[int, Mask] = {}
        self._texts: dict[tuple[int, str, str], Mask] = {}

    def part(self, array: Array) -> Array:
        """The rows of this chunk."""
        return array[self.start : self.stop]

    def masks(self, tree: Expression) -> Masks:
        """The masks of an expression; raises UnsupportedError where columns cannot do it."""
        if isinstance(tree, Logical):
            a, b = self.masks(tree.left), self.masks(tree.right)
            if tree.op == "||":
                yes = either(a.yes, b.yes)
                return Masks(yes, both(either(a.error, b.error), neither(yes)))
            one_fails = either(both(a.error, b.yes), both(b.error, a.yes))
            return Masks(both(a.yes, b.yes), either(one_fails, both(a.error, b.error)))
        if isinstance(tree, Not):
            part = self.masks(tree.part)
            return Masks(neither(either(part.yes, part.error)), part.error)
        return self._compare(tree) if isinstance(tree, Compare) else self._leaf(tree)

    def equal(self, path: str, text: str) -> Mask:
        """Where a column of text is there and is this text."""
        column = self.columns.get(path)
        if column is None:
            return False
        return both(self._text(column, "==", text), neither(self.absent(path)))

    def absent(self, path: str) -> Mask:
        """Where a path is not there; without an action there are no args."""
        gone = self._gone.get(path)
        if gone is None:
            column = self.columns.get(path)
            gone = column is None or (column.absent is not None and self.part(column.absent))
            if path.startswith("args."):
                gone = either(gone, self.equal("action", ""))
            self._gone[path] = gone
        return gone

    def number(self, column: Column, op: str, value: Any) -> Mask:
        """Where a numeric column compares with a number."""
        bounded = bound(op, column.data.dtype, value)
        if isinstance(bounded, bool):
            return bounded
        mask: Array = UFUNCS[bounded[0]](self.part(column.data), bounded[1])
        return mask

    def _leaf(self, tree: Path | Literal | Member | Has) -> Masks:
        if isinstance(tree, Literal):
            return Masks(tree.value is True, tree.kind != "bool")
        path = tree if isinstance(tree, Path) else tree.path
        column = self._flat(path)
        gone = self.absent(path.name)
        if isinstance(tree, Has):
            return Masks(neither(gone))
        if column is None or column.kind == "other":
            return self._failing(column)
        if isinstance(tree, Member):
            yes: Mask = False
            for item in tree.items:
                yes = either(yes, self.masks(Compare("==", path, item)).yes)
            return Masks(yes, gone)
        return Masks(both(self.part(column.data), neither(gone)), gone) if column.kind == "flag" else Masks(False, True)

    def _flat(self, path: Path) -> Column | None:
        """The column of a path; None where no row has it."""
        root, _, field = path.name.partition(".")
        column = self.columns.get(path.name)
        whole = column is None and not field
        half = column is not None and not field and column.absent is not None
        if root not in VARIABLES or whole or half or not self.columns.is_flat(path.name):
            raise UnsupportedError("not a flat path")
        return column

    def _failing(self, column: Column | None) -> Masks:
        if column is not None and column.kind == "other":
            raise UnsupportedError("a column of mixed values")
        return Masks(False, True)

    def _compare(self, tree: Compare) -> Masks:
        """A column compared with a literal or another column; types that differ are unequal and have no order."""
        left, ordering = self._flat(tree.left), tree.op in _ORDER
        right = self._flat(tree.right) if isinstance(tree.right, Path) else None
        gone = self.absent(tree.left.name)
        nan: Mask = False
        if isinstance(tree.right, Path):
            if left is None or right is None:
                return Masks(False, True)
            if left.kind != "number" or right.kind != "number":
                raise UnsupportedError("two columns that are not numbers")
            yes = UFUNCS[tree.op](self.part(left.data), self.part(right.data))
            gone = either(gone, self.absent(tree.right.name))
            nan = ordering and either(self._nan(left.data), self._nan(right.data))
        elif left is None or left.kind == "other":
            return self._failing(left)
        elif left.kind == "number" and tree.right.kind in ("int", "float"):
            yes, nan = self.number(left, tree.op, tree.right.value), ordering and self._nan(left.data)
        elif left.kind == "text" and isinstance(tree.right.value, str):
            yes = self._text(left, tree.op, tree.right.value)
        elif left.kind == "flag" and isinstance(tree.right.value, bool):
            yes = UFUNCS[tree.op](self.part(left.data), np.bool_(tree.right.value))
        elif ordering:
            return Masks(False, True)
        else:
            yes = tree.op == "!="
        return Masks(both(yes, neither(gone)), either(gone, nan))

    def _nan(self, data: Array) -> Mask:
        """Where a number is NaN, which has no order; no comparison holds there."""
        mask = self._nans.get(id(data))
        if mask is None:
            part = self.part(data)
            mask = self._nans[id(data)] = np.isnan(part) if part.dtype.kind == "f" and any_nan(part) else False
        return mask

    def _text(self, column: Column, op: str, text: str) -> Mask:
        """Where a column of text, held as codes, as words or plain, compares with a text."""
        if op == "!=":
            return neither(self._text(column, "==", text))
        mask = self._texts.get(key := (id(column.data), op, text))
        if mask is not None:
            return mask
        data = self.part(column.data)
        if column.labels is not None and op == "==":
            code = column.code_of.get(text)
            mask = code is not None and data == data.dtype.type(code)
        elif column.labels is not None:
            mask = False
            for label in column.labels:
                if _ORDER[op](label, text):
                    mask = either(mask, self._text(column, "==", label))
        elif op != "==" or data.dtype.kind == "T":
            kind = np.dtypes.StringDType() if data.dtype.kind == "T" else None
            mask = UFUNCS[op](data, np.array(text, dtype=kind))
        else:
            mask = True
            for word, wanted in zip(column.words, column.spelled(text), strict=True):
                mask = both(mask, wanted is not None and self.part(word) == wanted)
        self._texts[key] = mask
        return mask
