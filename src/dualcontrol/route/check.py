"""What is refused when rules are loaded: what could only ever fail, or what nobody can have meant."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

import cel

from dualcontrol.case import microseconds
from dualcontrol.control import Rule
from dualcontrol.errors import RuleError
from dualcontrol.route import risk as risks
from dualcontrol.route.expression import Macro, macros
from dualcontrol.route.rules import VARIABLES
from dualcontrol.route.value_kinds import TYPES
from dualcontrol.route.yields import misfit

ROUTES = ("human", "autopilot", "block")
_PARTS = ("FullYear", "Month", "DayOfYear", "DayOfMonth", "Date", "DayOfWeek", "Hours", "Minutes", "Seconds")
FUNCTIONS = frozenset(
    {"size", "contains", "startsWith", "endsWith", "matches", "string", "int", "uint", "double", "bytes"}
    | {"type", "timestamp", "duration", "dyn", "getMilliseconds"}
    | {f"get{part}" for part in _PARTS}
)


def check_rules(rules: Sequence[Rule]) -> None:
    """Refuse rules that cannot work; the error names the rule, what is wrong and where."""
    seen: set[str] = set()
    for rule in rules:
        if not rule.name.strip():
            _refuse(rule, "has no name", "Give every rule a name: it is the reason that people read.")
        if rule.name in seen:
            _refuse(rule, "stands twice", "Give every rule a name of its own.")
        seen.add(rule.name)
        check_rule(rule)


def check_rule(rule: Rule) -> None:
    """Refuse one rule that cannot work."""
    if rule.route not in ROUTES:
        _refuse(rule, f"has the unknown route {rule.route!r}", _nearest(rule.route, ROUTES))
    program = _parsed(rule)
    bound = macros(rule.when)
    _check_names(rule, program, bound)
    _check_functions(rule, program)
    _check_cost(rule, bound)
    _check_yield(rule, program)
    _check_demands(rule)


def _refuse(rule: Rule, what: str, hint: str) -> NoReturn:
    raise RuleError(f"rule {rule.name!r} {what}", hint=hint, rule=rule.name)


def _nearest(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(str(word), known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(sorted(known))}."


def _parsed(rule: Rule) -> Any:
    try:
        return cel.compile(rule.when)
    except Exception as error:
        message = str(error).partition("ERROR: ")[2].replace("<input>:", "line ") or str(error)
        raise RuleError(f"rule {rule.name!r} does not parse: {message}", rule=rule.name) from None


def _check_names(rule: Rule, program: Any, bound: list[Macro]) -> None:
    known = {*VARIABLES, *TYPES, *(macro.binds for macro in bound)}
    for name in program.variables():
        if name not in known:
            _refuse(rule, f"names the unknown variable {name!r}", _nearest(name, tuple(VARIABLES)))
    for macro in bound:
        if macro.binds in VARIABLES:
            _refuse(rule, f"binds {macro.binds!r}, which has a meaning", "Use another name inside the macro.")


def _check_functions(rule: Rule, program: Any) -> None:
    for name in program.functions():
        if name[0].isalpha() and name not in FUNCTIONS:
            _refuse(rule, f"calls the unknown function {name!r}", _nearest(name, tuple(FUNCTIONS)))


def _check_cost(rule: Rule, bound: list[Macro]) -> None:
    """CEL has no cost limit: one comprehension inside another could hold up a case for seconds."""
    for macro in bound:
        if macro.depth:
            _refuse(rule, f"runs {macro.name!r} inside another macro", "Macros may not be nested.")


def _check_yield(rule: Rule, program: Any) -> None:
    hint = "`when` has to yield true or false; compare the value with something."
    if not program.variables():
        try:
            result = program.execute({})
        except Exception as error:
            _refuse(rule, f"can never be evaluated ({type(error).__name__})", hint)
        if not isinstance(result, bool):
            _refuse(rule, f"yields {result!r}, not true or false", hint)
        return
    found = misfit(rule.when)
    if found is not None and found.part:
        _refuse(rule, f"has {found.part!r:.200}, {found.kind}, where true or false belongs", hint)
    if found is not None:
        _refuse(rule, f"yields {found.kind}, not true or false", hint)


def _check_demands(rule: Rule) -> None:
    unknown = risks.why_unknown(rule.risk)
    if unknown is not None:
        _refuse(rule, f"has a risk that is none: {unknown}", "Write low, medium, high, critical or a number.")
    try:
        within = microseconds(rule.respond_within)
    except ValueError as error:
        _refuse(rule, f"has no response time: {error}", 'Write a duration such as "15m".')
    if within is not None and within <= 0:
        _refuse(rule, "has a response time of nothing", 'Write a duration such as "15m".')
    if rule.quorum is not None and rule.quorum.answers < 1:
        _refuse(rule, "asks for no answers", "Set quorum.answers to 1 or more.")
