"""The order of routing as numbers: whatever can be said has a code, and the highest code is heard.

A code is a place in the order and, in its two lowest bits, a route.
The tape raises codes from the top of the order to the bottom; rules that columns cannot do are left for the
rows where nothing above them has spoken; what closes autopilot afterwards is laid over the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from dualcontrol.case import RISK_LEVELS
from dualcontrol.control import Control, Rule
from dualcontrol.names import identity
from dualcontrol.route import risk as risks
from dualcontrol.route.columns import Array, Column, Columns
from dualcontrol.route.masks import Masker, Masks, leaves
from dualcontrol.route.rules import RuleSet
from dualcontrol.route.subset import Compare, Expression, Member, Path, UnsupportedError, literal, parse
from dualcontrol.route.tape import FALSE, TRUE, Tape

BLOCK, HUMAN, AUTOPILOT = 0, 1, 2
ROUTES = ("block", "human", "autopilot")
_STEPS = 11


class Order:
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
        self.order = Order(_STEPS + len(ruleset.blocking) + len(ruleset.rules) + 2 * autopilots)
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
        risky = risks.above(rule.risk, self.control.settings.risk_ceiling)
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
        limit = risks.number(ceiling)
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
