"""What a rule can yield: never true or false is refused when rules are loaded; what may be is never refused."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import cel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dualcontrol as dc
from dualcontrol.control import Rule
from dualcontrol.errors import RuleError
from dualcontrol.route import check_rules
from dualcontrol.route.check import misfit

ROOT = Path(__file__).parents[2]


def load(when: str) -> None:
    check_rules([Rule(name="r", when=when, route="human")])


@pytest.mark.parametrize(
    ("when", "what"),
    [
        ("action", "yields text"),
        ("args", "yields a map"),
        ("meta", "yields a map"),
        ("input", "yields the whole input"),
        ("signal.confidence", "yields a number"),
        ("signal.risk", "yields a value"),
        ("args.a ? 1 : 2", "yields a number"),
        ("args.a ? true : 2", "yields sometimes a number"),
        ("[args.a]", "yields a list"),
        ("{'a': args.a}", "yields a map"),
        ("type(args.a)", "yields a type"),
        ("timestamp(args.t)", "yields a time"),
        ("args.l.filter(x, x > 1)", "yields a list"),
        ("args.l.map(x, x > 1)", "yields a list"),
        ("args.l.map(x, x.n + 1, x > 1) == []", "has 'x.n + 1'"),
        ("size(args.l)", "yields a number"),
        ("args.l.size()", "yields a number"),
        ("timestamp(args.t).getHours()", "yields a number"),
        ("string(args.a)", "yields text"),
        ("dyn(size(args.l))", "yields a number"),
        ("args.a + 1", "yields a value"),
        ("!args.a + 1", "yields a value"),
        ("-args.a", "yields a number"),
        ("(args.a * 2)", "yields a number"),
        ("args.a > 1 || 5", "has '5', a number,"),
        ("args.l.all(x, x > 1) && args.s + 'x'", "has \"args.s + 'x'\", a value,"),
        ("!(size(args.l))", "has '(size(args.l))', a number,"),
        ("args.a.b ? args.x : action", "yields sometimes text"),
        ("size(args.l) ? true : args.b", "has 'size(args.l)', a number,"),
        ("args.l.exists(x, x + 1)", "has 'x + 1', a value,"),
        ("args.l.filter(x, 'a') == []", "has \"'a'\", text,"),
    ],
)  # fmt: skip
def test_what_can_never_be_true_or_false_is_refused(when: str, what: str) -> None:
    with pytest.raises(RuleError) as refused:
        load(when)
    assert f"rule 'r' {what}" in refused.value.message
    assert "true or false" in refused.value.message


@pytest.mark.parametrize(
    "when",
    [
        "args.flag", "meta.vip", "input.a[0]", "args['b']", "signal.requires_approval", "!!args.flag", "input == true",
        "dyn(args.b)", "args.l[int(args.x) + 1]", "{'a': true}[args.k]", "has(args.a) && args.a", "!has(args.a)",
        "args.b ? args.c : true", "(args.b ? 1 : 2) == 1", "(args.b ? true : 2) == true", "args.a < 5 == true",
        "args.l.exists(x, x)", "args.l.exists_one(x, x > 1)", "args.l.all(x, x.ok ? x.n > 1 : true)",
        "args.l.exists(int, int)", "size(args.l.filter(x, x.ok)) > 1", "args.l.map(x, x > 1)[0]",
        "args.l.map(x, x.ok, x.n + 1) == [2]", "[1, 2,].exists(x, x == args.a)", "args.a in [1, 2]", "'k' in args",
        "args.s.startsWith('a') || args.s.endsWith('b')", "args.s.contains('?') && args.s.matches(r'^\\d+$')",
        "type(args.x) == bool", "timestamp(args.t).getHours() > 5", "duration(args.d) > duration('1h')",
        "args.s == 'a && 5' // || 5", "-args.a < -3.5", "args.a == 1u && args.b != null", "args.x == b'a'",
    ],
)  # fmt: skip
def test_what_may_be_true_or_false_loads(when: str) -> None:
    load(when)


def test_every_rule_that_is_shipped_or_shown_loads() -> None:
    ten = tomllib.loads((ROOT / "bench" / "ten_rules.toml").read_text(encoding="utf-8"))
    shown = [rule["when"] for loop in ten["loop"].values() for rule in loop["rule"]]
    for page in [*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "src/dualcontrol/cli/init.py"]:
        shown += [found[1] for found in re.findall(r"""^when = (["'])(.*)\1$""", page.read_text("utf-8"), re.MULTILINE)]
    assert len(shown) > 20
    for when in shown:
        load(when)


def test_the_message_names_file_line_and_fix(tmp_path: Path) -> None:
    settings = '[loop.pay]\n[[loop.pay.rule]]\nname = "r"\nwhen = "args.a > 1 || 5"\nroute = "human"\n'
    (tmp_path / "dualcontrol.toml").write_text(settings, encoding="utf-8")
    with pytest.raises(RuleError) as refused:
        dc.open(settings=tmp_path / "dualcontrol.toml")
    assert "dualcontrol.toml:4: " in refused.value.message
    assert "compare the value" in refused.value.hint


FIELDS = st.sampled_from(
    ["args.b", "args.c", "args.n", "args.s", "args.l", "args.m.b", "args['b']", "signal.confidence"]
)
MADE = st.sampled_from(
    ["1", "2.5", "'x'", "null", "[1, 2]", "{'k': 1}", "size(args.l)", "string(args.n)", "type(args.n)"]
)
TRUTHS = st.sampled_from(
    ["true", "has(args.n)", "args.s.startsWith('x')", "'b' in args", "signal.requires_approval", "args.n in [1, 2]",
     "args.l.all(x, x > 0)", "args.l.exists(x, x == 2)", "size(args.l.filter(x, x > 1)) > 0"]
)  # fmt: skip
VALUES = FIELDS | MADE | st.builds("({} {} {})".format, FIELDS | MADE, st.sampled_from("+-*"), FIELDS | MADE)
LEGAL = st.recursive(
    TRUTHS | FIELDS.filter(lambda path: path.startswith("args"))
    | st.builds("{} {} {}".format, VALUES, st.sampled_from(["==", "!=", "<", ">="]), VALUES),
    lambda inner: st.builds("({} {} {})".format, inner.map("({})".format), st.sampled_from(["&&", "||"]), inner)
    | st.builds("!({})".format, inner) | st.builds("({}) ? ({}) : ({})".format, inner, inner, inner)
    | st.builds("[{}].exists(y, y)".format, inner) | st.builds("[{}][0]".format, inner),
    max_leaves=8,
)  # fmt: skip
OPERATORS = st.sampled_from(["&&", "||", "==", "<", "+", "*", "in"])
ANYTHING = st.recursive(
    VALUES | TRUTHS,
    lambda inner: st.builds("{} {} {}".format, inner, OPERATORS, inner) | st.builds("({})".format, inner)
    | st.builds("{} ? {} : {}".format, inner, inner, inner) | st.builds("!({})".format, inner)
    | st.builds("[{}]".format, inner) | st.builds("dyn({})".format, inner),
    max_leaves=8,
)  # fmt: skip
HELD = [
    (True, False, 1, "x", [1, 2]), (1, 2, True, True, True), ("x", "y", 2.5, "", []),
    (False, True, False, True, [True]),
]  # fmt: skip
CONTEXTS: list[dict[str, Any]] = [
    {
        "args": {"b": b, "c": c, "n": n, "s": s, "l": listed, "m": {"b": c}},
        "signal": {"confidence": 0.5, "requires_approval": b},
    }
    for b, c, n, s, listed in HELD
]


@settings(max_examples=300, deadline=None)
@given(when=LEGAL)
def test_no_legal_rule_is_refused(when: str) -> None:
    cel.compile(when)
    assert misfit(when) is None


@settings(max_examples=500, deadline=None)
@given(when=ANYTHING)
def test_what_is_refused_never_yields_true_or_false(when: str) -> None:
    try:
        cel.compile(when)
    except ValueError:
        return
    found = misfit(when)
    if found is None or found.kind.startswith("sometimes"):
        return
    for context in CONTEXTS:
        try:
            result = cel.compile(found.part or when).execute(context)
        except Exception:
            continue
        assert not isinstance(result, bool), (when, found, context)
