"""Routing rules: CEL compiled once for each set of rules, evaluated on one context for each case."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import cel

from dualcontrol.case import JSON, Signal
from dualcontrol.control import Rule
from dualcontrol.route.cel import parse, paths


class Subject(NamedTuple):
    """What rules and steps may look at: one proposal as plain facts."""

    action: str
    args: JSON
    input: JSON
    signal: Signal
    meta: JSON
    proposed: bool
    score: float | None = None  # the learned chance of being right, where the loop has one


class Failure(NamedTuple):
    """Why a rule could not be evaluated; the text names the rule and the kind, never content."""

    reason: str


Finding: TypeAlias = bool | Failure


VARIABLES: dict[str, Callable[[Subject], JSON]] = {
    "action": lambda subject: subject.action,
    "args": lambda subject: subject.args,
    "input": lambda subject: subject.input,
    "signal": lambda subject: signal_map(subject.signal),
    "meta": lambda subject: subject.meta,
}


def signal_map(signal: Signal) -> dict[str, JSON]:
    """The decision signal as rules see it: what was not given is not there."""
    fields: dict[str, JSON] = {"requires_approval": signal.requires_approval}
    for name in ("confidence", "risk", "segment", "scores"):
        value = getattr(signal, name)
        if value is not None:
            fields[name] = value
    return fields


class RuleSet:
    """The compiled rules of a loop, and what they name: variables, and of these the fields where that is known."""

    __slots__ = ("blocking", "broken", "fields", "names", "programs", "routing", "rules", "trees")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self.programs: list[Any] = []
        self.broken: dict[int, Failure] = {}
        for place, rule in enumerate(rules):
            try:
                self.programs.append(cel.compile(rule.when))
            except Exception:  # a rule that was never checked must not open the gate
                self.broken[place] = Failure(f"rule {rule.name!r} could not be evaluated: it does not parse")
                self.programs.append(None)
        variables = {name for program in self.programs if program for name in program.variables()}
        self.names = tuple(name for name in VARIABLES if name in variables)
        self.trees = [parse(rule.when) for rule in rules]
        self.fields: dict[str, tuple[str, ...]] = {}  # none for a variable that a rule may look at in another way
        if None not in self.trees:
            named = [path.name.split(".") for tree in self.trees if tree is not None for path in paths(tree)]
            for root in {names[0] for names in named} - {names[0] for names in named if len(names) == 1}:
                self.fields[root] = tuple(dict.fromkeys(names[1] for names in named if names[0] == root))
        self.blocking = tuple(i for i, rule in enumerate(rules) if rule.route == "block")
        self.routing = tuple(i for i, rule in enumerate(rules) if rule.route != "block")


@lru_cache(maxsize=256)
def compiled(rules: tuple[Rule, ...]) -> RuleSet:
    """The rules compiled, once for each distinct tuple of rules."""
    return RuleSet(rules)


class Findings:
    """What each rule says about one subject: evaluated when first asked, on one shared context."""

    __slots__ = ("_context", "_findings", "set", "subject")

    def __init__(self, ruleset: RuleSet, subject: Subject) -> None:
        self.set = ruleset
        self.subject = subject
        self._findings: dict[int, Finding] = {}
        self._context: Any = None

    def __getitem__(self, place: int) -> Finding:
        finding = self._findings.get(place)
        if finding is None:
            finding = self._findings[place] = self._evaluated(place)
        return finding

    def _evaluated(self, place: int) -> Finding:
        if place in self.set.broken:
            return self.set.broken[place]
        rule = self.set.rules[place]
        try:
            if self._context is None:
                self._context = cel.Context(variables={name: self._value(name) for name in self.set.names})
            result = self.set.programs[place].execute(self._context)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the Rust binding's panics are no Exception
            why = _KINDS.get(type(error), type(error).__name__)
            if isinstance(error, KeyError):  # a field is named only where the rule itself names it
                field = str(error.args[0]) if error.args else ""
                named = field and re.search(rf"(?<!\w){re.escape(field)}(?!\w)", rule.when)
                why = "it names a field that is not there" + (f" ({field})" if named else "")
        else:
            if isinstance(result, bool):
                return result
            why = f"it yields {_TYPES.get(type(result), 'something else')}, not true or false"
        return Failure(f"rule {rule.name!r} could not be evaluated: {why}")

    def _value(self, name: str) -> JSON:
        """A variable, cut down to the fields that rules name: converting content for CEL is what costs."""
        value, fields = VARIABLES[name](self.subject), self.set.fields.get(name)
        if fields is None or type(value) is not dict:
            return value
        return {field: value[field] for field in fields if field in value}


_KINDS: dict[type[BaseException], str] = {
    IndexError: "it names a place in a list that is not there",
    TypeError: "the types do not fit",
    ZeroDivisionError: "it divides by zero",
    OverflowError: "a number is too large",
    ValueError: "it meets a value that CEL does not know",
    RuntimeError: "a name or function in it is unknown, or fails",
}
_TYPES = {str: "text", int: "a number", float: "a number", list: "a list", dict: "a map", type(None): "null"}
