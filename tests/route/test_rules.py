"""Rules: CEL over the five variables; a failure asks a human, a rule that cannot work is not loaded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualcontrol.case import Quorum, Signal
from dualcontrol.control import Rule
from dualcontrol.errors import RuleError
from dualcontrol.route import check_rules
from dualcontrol.route.cel import macros, words
from dualcontrol.route.rules import Findings, Subject, compiled

SUBJECT = Subject("refund", {"amount": 700.0}, {"country": "de"}, Signal(confidence=0.5), {"team": "a"}, True)


def rule(when: str, **fields: Any) -> Rule:
    return Rule(**{"name": "r", "when": when, "route": "human", **fields})


@pytest.mark.parametrize(
    "when",
    [
        'action == "refund"',
        "args.amount > 500",
        'input.country in ["de", "fr"]',
        "signal.confidence < 0.9 && !signal.requires_approval",
        "!has(signal.risk) && !has(signal.segment)",
        'meta.team == "a"',
        "[1, 2].exists(n, n > 1) && args.missing > 1 || true",
    ],
)
def test_rules_see_the_five_variables(routed: Any, when: str) -> None:
    fields = {"args": {"amount": 700.0}, "input": {"country": "de"}, "confidence": 0.5, "meta": {"team": "a"}}
    assert routed({"rules": (rule(when),)}, **fields).by == "rule:r"


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("args.amonut > 500", "it names a field that is not there (amonut)"),
        ("args.amount > action", "the types do not fit"),
        ("args.amount", "it yields a number, not true or false"),
        ("args.list[3] == 1", "it names a place in a list that is not there"),
        ("1 / int(args.zero) == 1", "it divides by zero"),
        ("args.big * args.big > 1", "a number is too large"),
        ("nonsense(", "it does not parse"),
    ],
)
def test_a_failure_asks_a_human_and_says_which_kind(routed: Any, when: str, why: str) -> None:
    args = {"amount": 700.0, "list": [], "zero": 0, "big": 2**62}
    found = routed({"rules": (rule(when, route="autopilot"),), "threshold": 0.0}, args=args, confidence=1.0)
    assert (found.to, found.by) == ("human", "rule:r")
    assert found.reason == f"rule 'r' could not be evaluated: {why}"


def test_reasons_never_quote_content(routed: Any) -> None:
    found = routed({"rules": (rule("args[input.name] == 1"),)}, input={"name": "Jane Doe"})
    assert "Jane" not in found.reason


@pytest.mark.parametrize("value", [10**400, "\ud800", object(), {1: 2}])
def test_a_value_that_cel_does_not_know_asks_a_human(routed: Any, value: Any) -> None:
    found = routed({"rules": (rule("args.x == 1"),), "threshold": 0.0}, args={"x": value}, confidence=1.0)
    assert found.to in ("human", "autopilot")
    assert found.by == ("rule:r" if found.to == "human" else "threshold")


def test_each_rule_is_evaluated_once_and_only_when_asked() -> None:
    findings = Findings(compiled((rule("args.amount > 1"), rule("true"))), SUBJECT)
    assert findings[0] is True
    assert list(findings._findings) == [0]


def test_compiled_once_for_equal_rules() -> None:
    assert compiled((rule("args.amount > 1"),)) is compiled((rule("args.amount > 1"),))


@pytest.mark.parametrize(
    "when",
    [
        "true",
        "args.amount",
        "has(args.x)",
        "input.items.exists(i, i.price > 3)",
        "type(args.x) == int",
        "!!args.flag",
        "args.a.filter(x, x > 1).exists(y, y > 2)",
        'args.s.startsWith("map(") && args.t == ".exists("',
    ],
)
def test_good_rules_load(when: str) -> None:
    check_rules([rule(when)])


@pytest.mark.parametrize(
    ("when", "what"),
    [
        ("args.amount >", "does not parse: line 1:14: Syntax error"),
        ("1 + 1", "yields 2, not true or false"),
        ('"x"', "yields 'x'"),
        ("args.amount + 1", "yields a value, not true or false"),
        ("1 / 0 == 1", "can never be evaluated"),
        ("arg.amount > 1", "unknown variable 'arg'"),
        ("size(args.x) > lenght(args.y)", "unknown function 'lenght'"),
        ("input.a.all(x, input.b.exists(y, x == y))", "runs 'exists' inside another macro"),
        ("input.a.all(args, args > 1)", "binds 'args'"),
    ],
)
def test_rules_that_cannot_work_are_refused(when: str, what: str) -> None:
    with pytest.raises(RuleError, match="rule 'r'") as refused:
        check_rules([rule(when)])
    assert what in refused.value.message


def test_a_syntax_error_shows_the_place() -> None:
    with pytest.raises(RuleError) as refused:
        check_rules([rule("args.amount >")])
    assert refused.value.message.splitlines()[1:] == ["| args.amount >", "| .............^"]


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"route": "humn"}, "unknown route 'humn'"),
        ({"name": " "}, "has no name"),
        ({"risk": "spicy"}, "has a risk that is none"),
        ({"risk": 2.0}, "has a risk that is none"),
        ({"respond_within": "soon"}, "has no response time"),
        ({"respond_within": 0}, "response time of nothing"),
        ({"quorum": Quorum(answers=0)}, "asks for no answers"),
    ],
)
def test_demands_that_mean_nothing_are_refused(fields: Any, what: str) -> None:
    with pytest.raises(RuleError) as refused:
        check_rules([rule("true", **fields)])
    assert what in refused.value.message


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(RuleError, match="stands twice"):
        check_rules([rule("true"), rule("false")])


def test_macros_are_found_in_code_and_not_in_text() -> None:
    found = macros('a.b.exists(x, x.all(y, y > 1)) && ".map(z" == "" // .filter(q, q)')
    assert [(macro.name, macro.binds, macro.depth) for macro in found] == [
        ("exists", "x", 0),
        ("all", "y", 1),
    ]


@given(st.text(alphabet="ab1.\"'\\ <>=!&|()[],", max_size=30))
def test_words_cover_the_source_or_refuse_it(source: str) -> None:
    try:
        found = words(source)
    except ValueError:
        return
    assert "".join(word.text for word in found).replace(" ", "") == source.replace(" ", "")


def test_only_the_fields_that_rules_name_are_converted(routed: Any) -> None:
    deep: Any = 1
    for _ in range(50_000):
        deep = [deep]
    args = {"amount": 700.0, "transcript": deep}
    assert routed({"rules": (rule("args.amount > 500.0"),)}, args=args).by == "rule:r"
    while isinstance(deep, list):
        deep = deep.pop()


def test_a_rule_that_looks_at_a_whole_variable_gets_it_whole(routed: Any) -> None:
    rules = (rule("args.amount > 5000.0"), Rule(name="many", when="size(args) == 2", route="human"))
    assert routed({"rules": rules}, args={"amount": 7.0, "other": 1}).by == "rule:many"
