"""Static checks of rules when they are loaded: what could only ever fail, or what nobody can have meant."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, NoReturn

import cel

from dualcontrol.case import microseconds
from dualcontrol.control import Rule
from dualcontrol.errors import RuleError
from dualcontrol.route import precedence
from dualcontrol.route.cel import MACROS, Cursor, macros
from dualcontrol.route.rules import VARIABLES

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
    try:
        program = cel.compile(rule.when)
    except Exception as error:
        message = str(error).partition("ERROR: ")[2].replace("<input>:", "line ") or str(error)
        raise RuleError(f"rule {rule.name!r} does not parse: {message}", rule=rule.name) from None
    bound = macros(rule.when)
    known = {*VARIABLES, *TYPES, *(macro.binds for macro in bound)}
    for name in program.variables():
        if name not in known:
            _refuse(rule, f"names the unknown variable {name!r}", _nearest(name, tuple(VARIABLES)))
    for macro in bound:
        if macro.binds in VARIABLES:
            _refuse(rule, f"binds {macro.binds!r}, which has a meaning", "Use another name inside the macro.")
    for name in program.functions():
        if name[0].isalpha() and name not in FUNCTIONS:
            _refuse(rule, f"calls the unknown function {name!r}", _nearest(name, tuple(FUNCTIONS)))
    for macro in bound:  # CEL has no cost limit: one comprehension inside another could hold up a case for seconds
        if macro.depth:
            _refuse(rule, f"runs {macro.name!r} inside another macro", "Macros may not be nested.")
    _check_yield(rule, program)
    _check_demands(rule)


def _refuse(rule: Rule, what: str, hint: str) -> NoReturn:
    raise RuleError(f"rule {rule.name!r} {what}", hint=hint, rule=rule.name)


def _nearest(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(str(word), known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(sorted(known))}."


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
    unfit = misfit(rule.when)
    if unfit is not None and unfit.part:
        _refuse(rule, f"has {unfit.part!r:.200}, {unfit.kind}, where true or false belongs", hint)
    if unfit is not None:
        _refuse(rule, f"yields {unfit.kind}, not true or false", hint)


def _check_demands(rule: Rule) -> None:
    unknown = precedence.why_unknown(rule.risk)
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


# What an expression can yield, told from its words alone: nothing is evaluated, so fields may hold anything.
#
# A field of `args`, `input` or `meta` may be true or false and is let through; what is refused is a part that stands
# where a truth value belongs and can never be one.  What this reader does not know it lets through as well: then the
# rule is judged when it runs, and sends the case to a human.


RELATIONS, SUMS, PRODUCTS = frozenset({"<", "<=", ">", ">=", "==", "!=", "in"}), ("+", "-"), ("*", "/", "%")


class Misfit(NamedTuple):
    """A part that can never be true or false where that is asked for; `part` is empty for the whole expression."""

    part: str
    kind: str


def misfit(source: str) -> Misfit | None:
    """The first part of an expression that can never be the truth value it has to be; None where there is none."""
    try:
        reader = _KindReader(source)
        whole = reader.expression()
        reader.end()
    except (ValueError, RecursionError):
        return None
    return reader.misfit or (Misfit("", whole) if is_other(whole) else None)


class _KindReader(Cursor):
    """Recursive descent over CEL's grammar; each method reads a part and gives its kind."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.misfit: Misfit | None = None
        self._source = source
        self._bound = {macro.binds for macro in macros(source)}

    def _truth(self, kind: str, start: int) -> None:
        """Note a part read since `start` that has to be a truth value and is none."""
        if is_other(kind) and self.misfit is None:
            last = self.words[self.at - 1]
            self.misfit = Misfit(self._source[self.words[start].at : last.at + len(last.text)], kind)

    def expression(self) -> str:
        """``condition ? one : other``, or what stands there without a condition."""
        start = self.at
        kind = self._joined("||")
        if self.next() != "?":
            return kind
        self._truth(kind, start)
        self.at += 1
        one = self._joined("||")
        self.expect(":")
        return either(one, self.expression())

    def _joined(self, op: str) -> str:
        start = self.at
        kind = self._operated(RELATIONS, BOOL) if op == "&&" else self._joined("&&")
        while self.next() == op:
            self._truth(kind, start)
            self.at += 1
            start = self.at
            self._truth(self._operated(RELATIONS, BOOL) if op == "&&" else self._joined("&&"), start)
            kind = BOOL
        return kind

    def _operated(self, signs: Collection[str], result: str) -> str:
        """Parts with one of these signs between them: relations of sums, sums of products, products."""
        tighter = {BOOL: (SUMS, VALUE), VALUE: (PRODUCTS, NUMBER)}.get(result)
        kind = self._operated(*tighter) if tighter else self._signed()
        while self.next() in signs:
            self.at += 1
            self._operated(*tighter) if tighter else self._signed()
            kind = result
        return kind

    def _signed(self) -> str:
        sign, count = self.next(), 0
        if sign not in ("!", "-"):
            return self._member()
        while self.skip(sign):
            count += 1
        start = self.at
        kind = self._member()
        if sign == "!":
            self._truth(kind, start)
        if count % 2 == 0:  # the binding takes two signs for none
            return kind
        return BOOL if sign == "!" else NUMBER

    def _member(self) -> str:
        """A value, and what is asked of it by index, field or call."""
        root = self.next()
        kind = self._primary()
        while True:
            if self.skip("["):
                self.expression()
                self.expect("]")
                kind = ANY
            elif self.skip("."):
                name = self.name()
                if self.skip("("):
                    kind = self._macro(name) if name in MACROS else of_call(name, self._listed(")"))
                else:
                    kind = SIGNAL.get(name, ANY) if root == "signal" else ANY
            else:
                return kind
            root = ""

    def _primary(self) -> str:
        if self.skip("("):
            kind = self.expression()
            self.expect(")")
            return kind
        if self.skip("["):
            self._listed("]")
            return LIST
        if self.skip("{"):
            self._listed("}")
            return MAP
        word = self.take()
        if word.kind == "number":
            return NUMBER
        if word.kind == "string":
            return BYTES if word.text.lstrip("rR")[:1] in "bB" else TEXT
        if word.kind != "name" or self.next() == "{":
            raise ValueError("more than this reader knows")
        if self.skip("("):
            return of_call(word.text, self._listed(")"))
        if word.text in self._bound:
            return ANY
        return ROOTS.get(word.text) or NAMED.get(word.text) or (TYPE if word.text in TYPES else ANY)

    def _listed(self, end: str) -> list[str]:
        """What stands in brackets, with commas, or colons in a map."""
        kinds: list[str] = []
        while not self.skip(end):
            kinds.append(self.expression())
            if not self.skip(",") and not (end == "}" and self.skip(":")) and self.next() != end:
                raise ValueError(f"{end} expected")
        return kinds

    def _macro(self, name: str) -> str:
        """A comprehension: its predicate is a truth value for each element; `map` has one only before a transform."""
        self.name()
        self.expect(",")
        start = self.at
        kind = self.expression()
        if name != "map" or self.next() == ",":
            self._truth(kind, start)
        if self.skip(","):
            self.expression()
        self.expect(")")
        return LIST if name in ("map", "filter") else BOOL


# Kinds of values that parts of a rule can have, as far as its words tell; two may be true or false.


ANY, BOOL = "anything", "true or false"
NUMBER, TEXT, BYTES, LIST, MAP, TYPE, TIME = "a number", "text", "bytes", "a list", "a map", "a type", "a time"
VALUE = "a value"  # of one of the kinds above
SOMETIMES = "sometimes "  # before a kind: true or false in other cases
ROOTS = {"action": TEXT, "args": MAP, "input": "the whole input", "signal": MAP, "meta": MAP}
SIGNAL = {"confidence": NUMBER, "risk": VALUE, "requires_approval": BOOL, "segment": TEXT, "scores": "the scores"}
NAMED = {"true": BOOL, "false": BOOL, "null": "null"}
TYPES = frozenset({"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"})
CALLS = {
    "has": BOOL, "contains": BOOL, "startsWith": BOOL, "endsWith": BOOL, "matches": BOOL, "size": NUMBER,
    "int": NUMBER, "uint": NUMBER, "double": NUMBER, "string": TEXT, "bytes": BYTES, "type": TYPE,
    "timestamp": TIME, "duration": TIME,
}  # fmt: skip


def is_other(kind: str) -> bool:
    """Whether what is of this kind is never true or false, or sometimes not."""
    return kind not in (ANY, BOOL)


def of_call(name: str, arguments: list[str]) -> str:
    """The kind of what a function or a method gives back."""
    if name == "dyn" and len(arguments) == 1:
        return arguments[0]
    return NUMBER if name.startswith("get") else CALLS.get(name, ANY)


def either(one: str, other: str) -> str:
    """The kind of a choice between two."""
    others = [kind for kind in (one, other) if is_other(kind)]
    if not others:
        return BOOL if one == other == BOOL else ANY
    kinds = {kind.removeprefix(SOMETIMES) for kind in others}
    kind = kinds.pop() if len(kinds) == 1 else VALUE
    never = len(others) == 2 and not any(kind.startswith(SOMETIMES) for kind in others)
    return kind if never else SOMETIMES + kind
