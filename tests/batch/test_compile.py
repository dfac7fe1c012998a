"""Expressions over columns say in every row what CEL says: true, false, or that they cannot be evaluated."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualcontrol.batch.columns import Column, Columns
from dualcontrol.batch.compile import ROUTES, Masker, Tape
from dualcontrol.batch.routes import route_batch
from dualcontrol.control import Control, LoopSettings, Rule
from dualcontrol.route.cel import parse
from dualcontrol.route.route import route
from dualcontrol.route.rules import Findings, compiled

TRUTHS = list(itertools.product([True, False, None], repeat=3))
FLAGS = {
    f"input.{name}": np.array([*column, 0], object)[:-1]
    for name, column in zip("abc", zip(*TRUTHS, strict=True), strict=True)
}
EDGES = [0.0, -0.0, 0.1, 0.25, 0.9, 1.0, 2.5, -3.0, 500.0, 1e300, -1e300]
VALUES: dict[str, Any] = {
    "f4": [0.0, 0.1, np.nextafter(np.float32(0.1), np.float32(0)), 0.9, 2.5, -3.0, 3.4e38, np.inf, -np.inf, np.nan],
    "f8": [0.0, 0.1, 0.9, 2.5, -3.0, 500.0, 1e300, np.inf, np.nan, 2.0**53],
    "i1": [0, 1, 2, 3, -3, 127, -128],
    "i8": [0, 1, 2, 3, -3, 500, 2**53, 2**53 + 1, 2**62, 2**63 - 1, -(2**63)],
    "u2": [0, 1, 500, 65_535],
}
WHOLE = [0, 1, 2, 3, 127, 128, 500, 65_536, 2**53, 2**53 + 1, 2**63 - 1]


def found_by_columns(source: str, columns: dict[str, Any]) -> list[Any]:
    """True, False, or None where the expression fails, row by row, as columns find it."""
    table = Columns(columns)
    tree = parse(source)
    assert tree is not None
    tape = Tape(np.uint8)
    masks = Masker(table, tape, careful=True).masks(tree)
    tape.run(0, table.rows, np.zeros(table.rows, np.uint8))
    yes, error = (np.broadcast_to(tape.mask(cell), table.rows).tolist() for cell in masks)
    assert not any(y and e for y, e in zip(yes, error, strict=True))
    return [None if e else y for y, e in zip(yes, error, strict=True)]


def found_by_cel(source: str, columns: dict[str, Any]) -> list[Any]:
    """The same, as CEL finds it."""
    table = Columns(columns)
    rules = compiled((Rule(name="r", when=source, route="human"),))
    found = [Findings(rules, table.row(row))[0] for row in range(table.rows)]
    return [one if isinstance(one, bool) else None for one in found]


LOGIC = st.recursive(
    st.sampled_from(["input.a", "input.b", "input.c", "true", "false", "1"]),
    lambda inner: st.one_of(
        inner.map(lambda e: f"!({e} || false)"),
        st.tuples(inner, st.sampled_from([" && ", " || "]), inner).map(lambda p: f"({''.join(p)})"),
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(LOGIC)
def test_logic_absorbs_errors_as_cel_does(source: str) -> None:
    if parse(source) is not None:
        assert found_by_columns(source, FLAGS) == found_by_cel(source, FLAGS)


@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "==", "!="])
@pytest.mark.parametrize("kind", sorted(VALUES))
def test_numbers_compare_exactly_whatever_the_column_holds(kind: str, op: str) -> None:
    columns = {"input.n": np.array(VALUES[kind], kind)}
    for value in [*map(repr, EDGES), *map(str, WHOLE), "-9223372036854775808"]:
        for source in (f"input.n {op} {value}", f"{value} {op} input.n"):
            assert found_by_columns(source, columns) == found_by_cel(source, columns), source


@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "==", "!="])
def test_numbers_of_two_columns_compare_exactly(op: str) -> None:
    for one, other in itertools.product(sorted(VALUES), repeat=2):
        pairs = list(itertools.product(VALUES[one], VALUES[other]))
        columns = {"input.x": np.array([x for x, _ in pairs], one), "input.y": np.array([y for _, y in pairs], other)}
        source = f"input.x {op} input.y"
        assert found_by_columns(source, columns) == found_by_cel(source, columns), (one, other)


@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "==", "!="])
@pytest.mark.parametrize("held", ["object", "unicode", "string"])
def test_text_compares_by_code_point(held: str, op: str) -> None:
    texts = ["", "a", "ab", "b", "z", "é", "日本", "\U0001f600", "ab "]
    kinds: dict[str, Any] = {"object": object, "unicode": None, "string": np.dtypes.StringDType()}
    columns = {"input.s": np.array(texts, kinds[held])}
    for text in [*texts, "longer than the column is wide"]:
        source = f'input.s {op} "{text}"'
        assert found_by_columns(source, columns) == found_by_cel(source, columns), source


@pytest.mark.parametrize("literal", ['"a"', "1", "1.0", "true", "null"])
@pytest.mark.parametrize("op", ["<", "==", "!="])
@pytest.mark.parametrize("values", [["a", "b"], [1, 2], [1.0, 2.0], [True, False]])
def test_types_that_differ_are_unequal_and_have_no_order(values: list[Any], op: str, literal: str) -> None:
    for holes in ([], [None]):
        columns = {"input.v": np.array([*values, *holes], object)}
        source = f"input.v {op} {literal}"
        assert found_by_columns(source, columns) == found_by_cel(source, columns)


@pytest.mark.parametrize("given_risk", ["low", "high", "spicy", 0.5, 0.6, 1.5, -1.0, float("nan"), None])
@pytest.mark.parametrize("rule_risk", [None, "medium", "critical"])
@pytest.mark.parametrize("ceiling", ["critical", "low", "medium", 0.6])
def test_risk_stops_autopilot_rules_in_columns_as_one_by_one(given_risk: Any, rule_risk: Any, ceiling: Any) -> None:
    rules = (Rule(name="r", when="input.a", route="autopilot", risk=rule_risk),)
    knobs = LoopSettings(name="l", rules=rules, risk_ceiling=ceiling, threshold=0.5, autopilot_actions=("go",))
    control = Control(loop="l", loop_id=1, version=1, settings=knobs)
    columns = {
        "action": ["go", "stay"] * 3,
        "input.a": [True, True, False, False, None, None],
        "signal.risk": [given_risk] * 5 + ["low" if isinstance(given_risk, str) else 0.1],
    }
    routes = route_batch(columns, control)
    for row in range(6):
        single = route(routes.columns.row(row), control, 0)
        assert (ROUTES[routes.to[row]], routes.names[routes.by[row]]) == (single.to, single.by)


def test_a_column_knows_its_values() -> None:
    found = Column("number", np.array([1, 2], np.int8), np.array([False, True]))
    assert [found.value(0), found.value(1)] == [1, None]
