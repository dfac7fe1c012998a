"""The order of routing as numbers: each thing that can be said has a code, and the highest code is heard.

A code is a place in the order and a route in its two lowest bits; rules that columns can do raise codes on the
tape, the others row by row; what stops autopilot afterwards stands in `finish`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dualcontrol.case import RISK_LEVELS
from dualcontrol.control import Control, Rule
from dualcontrol.route import risk as risks
from dualcontrol.route.columns import Array, Column, Columns
from dualcontrol.route.masks import Masker
from dualcontrol.route.rules import RuleSet
from dualcontrol.route.subset import Member, Path, UnsupportedError, literal, parse
from dualcontrol.route.tape import FALSE, TRUE, Tape

BLOCK, HUMAN, AUTOPILOT = 0, 1, 2
ROUTES = ("block", "human", "autopilot")
FLAGGED = -3


class Single(NamedTuple):
    """A rule that is evaluated row by row, with its codes for a match and for a failure."""

    place: int
    match: int
    failure: int


class Order:
    """Who may speak, from first to last; names by place, and codes that grow with precedence."""

    def __init__(self, ruleset: RuleSet) -> None:
        rules = ruleset.rules
        said = ["block_actions"]
        said += [f"rule:{rules[place].name}" for place in ruleset.blocking] * 2
        said += ["no_proposal", "requires_approval", "human_actions"]
        said += [f"rule:{rules[place].name}" for place in ruleset.routing]
        said += ["error", "risk_ceiling", "autopilot_actions", "no_signal", "threshold", "closed", "start"]
        self.names = tuple(reversed(said))
        self.code_type = np.uint8 if len(said) < 64 else np.uint16
        self._blocks, self._routes = len(ruleset.blocking), len(ruleset.routing)

    def step(self, name: str, route: int) -> int:
        """The code of a step that is no rule."""
        return self.names.index(name) << 2 | route

    def blocking(self, nth: int, failed: bool) -> int:
        """The code of the n-th block rule, matching or failing."""
        place = len(self.names) - 2 - nth - (self._blocks if failed else 0)
        return place << 2 | (HUMAN if failed else BLOCK)

    def routing(self, nth: int, route: int) -> int:
        """The code of the n-th other rule."""
        return (len(self.names) - 5 - 2 * self._blocks - nth) << 2 | route


class Plan:
    """The order of one loop written onto a tape for the columns of one batch."""

    def __init__(self, columns: Columns, control: Control, ruleset: RuleSet, *, careful: bool) -> None:
        self.columns, self.control, self.ruleset = columns, control, ruleset
        self.order = Order(ruleset)
        self.tape = Tape(self.order.code_type)
        self.masker = Masker(columns, self.tape, careful)
        self.singly: list[Single] = []
        self.overrides: list[tuple[int, int]] = []
        self.flagged: list[int] = []
        self.base = self.order.step("threshold", HUMAN)
        self._write()

    def _write(self) -> None:
        settings = self.control.settings
        self._listed("block_actions", settings.block_actions, BLOCK)
        self._rules()
        if settings.mode == "preference":
            self.tape.pick(TRUE, self.order.step("no_proposal", HUMAN))
        if self.columns.asks_approval:
            asked = self.masker.masks(Path("signal.requires_approval")).yes
            self.tape.pick(asked, self.order.step("requires_approval", HUMAN))
        self._listed("human_actions", settings.human_actions, HUMAN)
        self._risk()
        self._listed("autopilot_actions", settings.autopilot_actions, AUTOPILOT)
        self._confidence()
        self._closed()

    def _listed(self, name: str, actions: tuple[str, ...], route: int) -> None:
        for action in actions:
            if action:
                self.tape.pick(self.masker.equal("action", action), self.order.step(name, route))

    # rules

    def _rules(self) -> None:
        for nth, place in enumerate(self.ruleset.blocking):
            self._rule(place, self.order.blocking(nth, False), self.order.blocking(nth, True))
        for nth, place in enumerate(self.ruleset.routing):
            rule = self.ruleset.rules[place]
            route = HUMAN if rule.route == "human" else AUTOPILOT
            match = self.order.routing(nth, route)
            if route == AUTOPILOT and self._too_risky(rule):
                self.flagged.append(match)
            self._rule(place, match, self.order.routing(nth, HUMAN))

    def _too_risky(self, rule: Rule) -> bool:
        return risks.above(rule.risk, self.control.settings.risk_ceiling)

    def _rule(self, place: int, match: int, failure: int) -> None:
        if place in self.ruleset.broken:
            self.tape.pick(TRUE, failure)
            return
        mark = self.tape.mark()
        tree = parse(self.ruleset.rules[place].when)
        try:
            masks = self.masker.masks(tree) if tree is not None else None
        except UnsupportedError:
            masks = None
        if masks is None:
            self.singly.append(Single(place, match, failure))
        else:
            self.tape.pick(masks.yes, match)
            self.tape.pick(masks.error, failure)
        self.tape.release(mark)

    # risk

    def _risk(self) -> None:
        found = self.columns.get("signal.risk")
        unknown, above = (FALSE, FALSE) if found is None else self._risk_masks(found)
        error, ceiling = self.order.step("error", HUMAN), self.order.step("risk_ceiling", HUMAN)
        self.tape.pick(unknown, error)
        self.tape.pick(above, ceiling)
        if any(self.ruleset.rules[place].route == "autopilot" for place in self.ruleset.routing):
            self.overrides = [(unknown, error), (FLAGGED, ceiling), (above, ceiling)]

    def _risk_masks(self, found: Column) -> tuple[int, int]:
        tape, ceiling = self.tape, self.control.settings.risk_ceiling
        limit = 2.0 if ceiling is None else risks.number(ceiling)
        there = tape.neither(self.masker.absent("signal.risk"))
        if found.kind == "text":
            known = self._levels(-1.0)
            return tape.both(there, tape.neither(known)), tape.both(there, self._levels(limit))
        numbers = found if found.kind == "number" else risk_numbers(found)
        known = tape.both(self.masker.number(numbers, ">=", 0.0), self.masker.number(numbers, "<=", 1.0))
        above = self.masker.number(numbers, ">", limit)
        return tape.both(there, tape.neither(known)), tape.both(there, above)

    def _levels(self, limit: float) -> int:
        named = tuple(literal(level) for level, number in RISK_LEVELS.items() if number > limit)
        return self.masker.masks(Member(Path("signal.risk"), named)).yes

    # confidence

    def _confidence(self) -> None:
        found = self.columns.get("signal.confidence")
        if found is None:
            self.tape.pick(TRUE, self.order.step("no_signal", HUMAN))
            return
        self.tape.pick(self.masker.absent("signal.confidence"), self.order.step("no_signal", HUMAN))
        reached = self._reached(found, self.control.threshold_for(None))
        for segment, mask in self._segments(self.control.thresholds):
            here = self._reached(found, self.control.threshold_for(segment))
            reached = self._chosen(mask, here, reached)
        self.tape.pick(reached, self.order.step("threshold", AUTOPILOT))

    def _reached(self, found: Column, threshold: float | None) -> int:
        return FALSE if threshold is None else self.masker.number(found, ">=", threshold)

    def _segments(self, named: Any) -> list[tuple[str, int]]:
        if self.columns.get("signal.segment") is None:
            return []
        there = self.tape.neither(self.masker.absent("signal.segment"))
        listed = [segment for segment in named if segment]
        return [(s, self.tape.both(there, self.masker.equal("signal.segment", s))) for s in listed]

    def _chosen(self, mask: int, here: int, elsewhere: int) -> int:
        tape = self.tape
        return tape.either(tape.both(mask, here), tape.both(tape.neither(mask), elsewhere))

    def _closed(self) -> None:
        closed = TRUE if self.control.closed_for(None) is not None else FALSE
        for segment, mask in self._segments(self.control.closed):
            here = TRUE if self.control.closed_for(segment) is not None else FALSE
            closed = self._chosen(mask, here, closed)
        self.overrides.append((closed, self.order.step("closed", HUMAN)))
        if self.control.settings.start == "suggest":
            self.overrides.append((TRUE, self.order.step("start", HUMAN)))

    def finish(self, code: Array) -> None:
        """Turn autopilot into a human where the risk, a closed segment or the start of the loop says so."""
        for mask, spoken in self.overrides:
            stopped = self._stopped(mask, code)
            if stopped is not None:
                code[stopped] = spoken

    def _stopped(self, mask: int, code: Array) -> Array | None:
        if mask == FLAGGED:
            return np.isin(code, np.array(self.flagged, code.dtype)) if self.flagged else None
        where = self.tape.mask(mask)
        if where is False:
            return None
        found: Array = (code & 3) == AUTOPILOT
        return found if where is True else found & where


def risk_numbers(found: Column) -> Column:
    """A risk column of levels and numbers as numbers, NaN where the risk is unknown."""
    numbers = np.full(len(found.data), np.nan)
    for row in range(len(found.data)):
        value = found.value(row)
        if value is not None and risks.known(value):
            numbers[row] = risks.number(value)
    return Column("number", numbers, found.absent)
