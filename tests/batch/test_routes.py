"""A batch gives the routes that its rows get one by one, whatever the rules and however the columns are held."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualcontrol.batch.columns import Coded
from dualcontrol.batch.compile import AUTOPILOT, ROUTES
from dualcontrol.batch.routes import drawn_rows, route_batch
from dualcontrol.commands import Propose
from dualcontrol.control import Control, Env, Guarantee, LoopSettings, Rule, draw
from dualcontrol.errors import ProposalError, SignalError
from dualcontrol.route import HANDLERS
from dualcontrol.route.cel import parse

TEXTS = ["refund", "email", "de", "", "x", "zürich"]
NUMBERS = [0.0, 0.1, 0.25, 0.5, 0.9, 1.0, 2.5, -3.0, 500.0, 1e300]
WHOLE = [0, 1, 2, -3, 127, 128, 500, 2**53 + 1, 2**62]


def quoted(text: str) -> str:
    return f'"{text}"'


PLAIN_PATHS = ["action", "args.n", "args.k", "args.s", "args.f", "input.c", "meta.m", "meta.gone"]
SIGNAL_PATHS = ["signal.confidence", "signal.risk", "signal.requires_approval", "signal.segment"]
PATHS = st.sampled_from(PLAIN_PATHS + SIGNAL_PATHS)
LITERALS = st.one_of(
    st.sampled_from(TEXTS).map(quoted),
    st.sampled_from(NUMBERS).map(repr),
    st.sampled_from(WHOLE).map(str),
    st.sampled_from(["true", "false", "null", '"high"', '"low"']),
)
OPS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
LEAVES = st.one_of(
    st.tuples(PATHS, OPS, LITERALS).map(" ".join),
    st.tuples(LITERALS, OPS, PATHS).map(" ".join),
    st.tuples(PATHS, OPS, PATHS).map(" ".join),
    st.tuples(PATHS, st.lists(LITERALS, max_size=3)).map(lambda p: f"{p[0]} in [{', '.join(p[1])}]"),
    st.sampled_from(["args.f", "args.k", "true", "false", "has(args.n)", "!has(meta.m)", "has(meta.gone)"]),
    st.sampled_from(["size(args.s) > 2", "args.n * 2.0 > 1.0", 'args.s.startsWith("re")', "args.k + 1 > 2"]),
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda e: f"!({e})"),
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda p: f"({p[0]}) {p[1]} ({p[2]})"),
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(" ".join),
    ),
    max_leaves=5,
)
LEVEL = st.sampled_from(["low", "medium", "high", "critical"])
RULES = st.lists(
    st.tuples(EXPRESSIONS, st.sampled_from(["human", "autopilot", "block"]), st.none() | LEVEL), max_size=4
).map(lambda found: tuple(Rule(name=f"r{i}", when=w, route=r, risk=k) for i, (w, r, k) in enumerate(found)))
SETTINGS = st.fixed_dictionaries(
    {
        "rules": RULES,
        "threshold": st.sampled_from([None, 0.5, 0.9]),
        "risk_ceiling": st.sampled_from(["critical", "low", "medium", 0.6]),
        "audit": st.sampled_from([0.0, 0.5, 1.0]),
        "human_actions": st.sampled_from([(), ("refund",), ("", "x")]),
        "autopilot_actions": st.sampled_from([(), ("email", "x"), ("",)]),
        "block_actions": st.sampled_from([(), ("de",), ("", "nobody")]),
        "start": st.sampled_from(["gate", "gate", "suggest", "shadow"]),
        "mode": st.sampled_from(["approval", "approval", "labels", "preference"]),
        "guarantee": st.sampled_from([None, None, Guarantee(max_error=0.1, score="risk")]),
    }
)
CONTROLS = st.fixed_dictionaries(
    {
        "thresholds": st.sampled_from([{}, {}, {"de": 0.25}, {"": 0.6, "x": 1.0}]),
        "closed": st.sampled_from([{}, {}, {"de": "drift"}, {"": "alarm"}]),
        "scorer": st.sampled_from([None, "r1"]),
    }
)

SMALL = st.floats(width=32, allow_infinity=True)
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "action": st.sampled_from(TEXTS),
    "args.n": SMALL | st.sampled_from([0.1, 0.5, 500.0]).map(lambda x: float(np.float32(x))),
    "args.k": st.sampled_from(WHOLE) | st.integers(-(2**63), 2**63 - 1),
    "args.s": st.sampled_from(TEXTS),
    "args.f": st.booleans(),
    "input.c": st.sampled_from(TEXTS),
    "meta.m": st.one_of(st.sampled_from(TEXTS), st.integers(-5, 5), st.booleans(), SMALL),
    "signal.confidence": st.floats(0, 1, width=32),
    "signal.risk": st.one_of(LEVEL, st.sampled_from(["spicy", "low"])),
    "signal.requires_approval": st.booleans(),
    "signal.segment": st.sampled_from(["de", "x", ""]),
}
SHAPES: dict[str, list[str]] = {
    "action": ["object", "unicode", "coded", "string"],
    "args.n": ["object", "f4", "f8"],
    "args.k": ["object", "i8"],
    "args.s": ["object", "unicode", "coded", "string"],
    "args.f": ["object", "?"],
    "input.c": ["object", "unicode", "coded"],
    "meta.m": ["object"],
    "signal.confidence": ["object", "f4", "f8"],
    "signal.risk": ["object", "unicode", "coded"],
    "signal.requires_approval": ["object", "?"],
    "signal.segment": ["object", "unicode", "coded"],
}


@st.composite
def batches(draw_: st.DrawFn) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Rows by path (None where absent), and the same rows as columns in one of many shapes."""
    rows = draw_(st.integers(1, 6))
    names = draw_(st.sets(st.sampled_from(list(COLUMNS))))
    if any(name.startswith("args.") for name in names):
        names.add("action")
    values = {}
    for name in sorted(names):
        holes = draw_(st.booleans())
        element = COLUMNS[name]
        if name == "signal.risk" and draw_(st.booleans()):
            element = st.floats(width=32, allow_nan=True) | st.sampled_from([0.25, 0.5, 0.75])
        values[name] = draw_(st.lists(st.none() | element if holes else element, min_size=rows, max_size=rows))
    return values, {name: shaped(found, draw_(st.sampled_from(SHAPES[name]))) for name, found in values.items()}


def shaped(values: list[Any], shape: str) -> Any:
    if shape == "object" or (shape in ("unicode", "coded") and any(isinstance(v, float) for v in values)):
        return np.array([*values, None], dtype=object)[:-1]
    if shape == "coded":
        names = sorted({v for v in values if v is not None})
        return Coded(np.array([-1 if v is None else names.index(v) for v in values], np.int16), names)
    fill: Any = "other" if shape in ("unicode", "string") else 0
    dtype = {"unicode": None, "string": np.dtypes.StringDType()}.get(shape, shape)
    data = np.array([fill if v is None else v for v in values], dtype=dtype)
    return data if None not in values else np.ma.masked_array(data, [v is None for v in values])


def command(values: dict[str, list[Any]], row: int) -> Propose:
    """The proposal of one row, as a caller would make it."""
    whole: dict[str, dict[str, Any]] = {"args": {}, "input": {}, "meta": {}, "signal": {}}
    action = None
    for path, column in values.items():
        root, _, name = path.partition(".")
        if path == "action":
            action = column[row]
        elif column[row] is not None:
            whole[root][name] = column[row]
    candidate = {"id": "a", "value": whole["args"], "action": action}
    return Propose(
        loop="l", candidates=(candidate,), proposed=0, input=whole["input"], meta=whole["meta"], **whole["signal"]
    )


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(SETTINGS, CONTROLS, batches())
def test_a_batch_routes_as_one_by_one(knobs: Any, moved: Any, batch: Any) -> None:
    values, columns = batch
    control = Control(loop="l", loop_id=1, version=1, settings=LoopSettings(name="l", **knobs), **moved)
    rows = len(next(iter(values.values()), []))
    draws = np.array([draw(b"s", "audit", str(row)) for row in range(rows)])
    routes = route_batch(columns, control, draws=draws)
    for row in range(rows):
        env = Env(now=0, new_id=lambda row=row: str(row), secret=b"s")
        single = HANDLERS[Propose](None, command(values, row), control, env)[1]
        found = ROUTES[routes.to[row]], routes.names[routes.by[row]], bool(routes.audited[row])
        assert found == (single.to, single.by, single.audited), (row, knobs["rules"])
        assert routes.inclusion[row] == float(single.inclusion)
        assert routes.route(row, 0).reason == single.reason


def control_of(*when: str, route: str = "human", **knobs: Any) -> Control:
    rules = tuple(Rule(name=f"r{i}", when=w, route=route) for i, w in enumerate(when))
    return Control(loop="l", loop_id=1, version=1, settings=LoopSettings(name="l", rules=rules, **knobs))


def test_many_chunks_and_codes_beyond_a_byte() -> None:
    rows = 150_000
    amount = np.arange(rows, dtype=np.float64)
    columns = {"action": Coded(np.zeros(rows, np.int8), ["a"]), "args.n": amount}
    control = control_of(*[f"args.n == {k * 1000}.0" for k in range(100)], threshold=0.5)
    routes = route_batch(columns, control)
    found = {int(row): routes.names[routes.by[row]] for row in np.flatnonzero(amount % 1000 == 0)}
    assert {row: by for row, by in found.items() if by != "no_signal"} == {k * 1000: f"rule:r{k}" for k in range(100)}
    assert routes.counts == {"autopilot": 0, "human": rows, "blocked": 0, "audited": 0}


def test_nan_in_an_ordering_asks_a_human_in_its_row_only() -> None:
    columns = {"action": np.array(["a"] * 3), "args.n": np.array([1.0, np.nan, 9.0])}
    routes = route_batch(columns, control_of("args.n > 5.0", route="autopilot", threshold=0.0))
    assert [routes.names[by] for by in routes.by] == ["no_signal", "rule:r0", "rule:r0"]
    assert [ROUTES[to] for to in routes.to] == ["human", "human", "autopilot"]


def test_a_float32_is_compared_as_the_number_it_is() -> None:
    near = np.array([0.9, 0.1], np.float32)
    routes = route_batch({"signal.confidence": near}, control_of(threshold=0.9))
    assert [ROUTES[to] for to in routes.to] == ["human", "human"]
    assert float(near[0]) < 0.9


@pytest.mark.parametrize("bad", [np.inf, 1.5, -0.1])
def test_a_bad_confidence_is_refused_with_its_row(bad: float) -> None:
    confidence = np.full(70_000, 0.5)
    confidence[66_000] = bad
    with pytest.raises(SignalError, match="row 66000"):
        route_batch({"signal.confidence": confidence}, control_of(threshold=0.9))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_confidence_of_nan_is_none_wherever_it_stands(kind: type) -> None:
    confidence = np.full(70_000, 0.95, kind)
    confidence[[3, 66_000]] = np.nan
    routes = route_batch({"signal.confidence": confidence}, control_of(threshold=0.9))
    assert np.flatnonzero(routes.to != AUTOPILOT).tolist() == [3, 66_000]
    assert routes.names[routes.by[66_000]] == "no_signal"
    assert np.isnan(confidence[3]), "the caller's own column is left alone"


@pytest.mark.parametrize(
    "columns",
    [
        {"confidence": np.zeros(1)},
        {"args.n": np.zeros(1)},
        {"action": np.zeros(1)},
        {"input.a": np.zeros(1), "input.b": np.zeros(2)},
        {"input.a": np.zeros((1, 2))},
        {"signal.requires_approval": np.zeros(1)},
    ],
)
def test_columns_that_mean_nothing_are_refused(columns: Any) -> None:
    with pytest.raises(ProposalError):
        route_batch(columns, control_of())


@pytest.mark.parametrize(("column", "value"), [("segment", 1.0), ("risk", True), ("confidence", "high")])
def test_signals_of_another_type_are_refused(column: str, value: Any) -> None:
    with pytest.raises(SignalError):
        route_batch({f"signal.{column}": np.array([value], dtype=object)}, control_of())


def test_rows_that_columns_cannot_do_are_counted() -> None:
    columns = {"action": np.array(["a"] * 4), "args.n": np.array([1.0, 2.0, 3.0, 4.0])}
    routes = route_batch(columns, control_of("args.n > 2.0", "args.n * 2.0 > 3.0"))
    assert [routes.names[by] for by in routes.by] == ["no_signal", "rule:r1", "rule:r0", "rule:r0"]
    assert routes.rows_singly == 2


def test_list_columns_are_evaluated_row_by_row() -> None:
    tags = np.empty(2, object)
    tags[:] = [["vip"], []]
    routes = route_batch({"input.tags": tags}, control_of('"vip" in input.tags'))
    assert [routes.names[by] for by in routes.by] == ["rule:r0", "no_signal"]
    assert routes.rows_singly == 2


def test_an_empty_batch_has_no_routes() -> None:
    assert route_batch({}, control_of("true")).counts["human"] == 0
    assert len(route_batch({"signal.confidence": np.zeros(0)}, control_of(threshold=0.1)).to) == 0


def test_arrow_columns_route_like_arrays() -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table(
        {
            "action": pa.chunked_array([["a", None], ["b"]]),
            "args.n": pa.array([1, None, 3]),
            "signal.confidence": pa.array([0.5, 0.95, None]),
            "meta.tags": pa.array([["x"], None, []]),
        }
    )
    control = control_of("args.n > 2", '"x" in meta.tags', threshold=0.9)
    plain = {
        "action": np.array(["a", None, "b"], object),
        "args.n": np.array([1, None, 3], object),
        "signal.confidence": np.array([0.5, 0.95, None], object),
        "meta.tags": np.array([["x"], None, []], object),
    }
    one, other = route_batch(table, control), route_batch(plain, control)
    assert (one.to == other.to).all()
    assert (one.by == other.by).all()


# audits


def test_audits_fall_on_autopilot_rows_with_their_probability() -> None:
    confidence = np.tile(np.array([0.95, 0.1]), 100_000)
    control = control_of(threshold=0.9, audit=0.05)
    routes = route_batch({"signal.confidence": confidence}, control, batch_id="b1", secret=b"s")
    assert not routes.audited[1::2].any()
    assert 4_600 < routes.audited.sum() < 5_400
    again = route_batch({"signal.confidence": confidence}, control, batch_id="b1", secret=b"s")
    assert (routes.audited == again.audited).all()
    assert len(routes.for_people) == 100_000 + routes.audited.sum()


def test_no_audits_without_a_secret_to_draw_them_from() -> None:
    with pytest.raises(ProposalError, match="secret"):
        route_batch({"signal.confidence": np.ones(1)}, control_of(threshold=0.9, audit=0.05))
    for share, audited in ((0.0, 0), (1.0, 1)):
        control = control_of(threshold=0.9, audit=share)
        assert route_batch({"signal.confidence": np.ones(1)}, control).counts["audited"] == audited


def test_draws_differ_by_batch_and_by_secret() -> None:
    drawn = [tuple(drawn_rows(s, b, 1_000, 0.1)) for s, b in ((b"s", "1"), (b"s", "2"), (b"t", "1"))]
    assert len(set(drawn)) == 3


@pytest.mark.parametrize("probability", [1e-9, 0.001, 0.3, 0.999])
def test_gaps_keep_the_probability(probability: float) -> None:
    rows = 200_000
    found = drawn_rows(b"s", "b", rows, probability)
    deviation = (rows * probability * (1 - probability)) ** 0.5
    assert abs(len(found) - rows * probability) <= 5 * deviation + 1
    assert (np.diff(found) > 0).all()
    assert len(found) == 0 or 0 <= found[0] <= found[-1] < rows


def test_a_batch_row_gives_its_whole_route() -> None:
    control = control_of(threshold=0.9, audit=1.0, respond_within=60)
    routes = route_batch({"signal.confidence": np.array([0.95])}, control)
    route = routes.route(0, 5)
    assert (route.to, route.audited, route.due_at) == ("autopilot", True, 60_000_005)
    assert routes.to[0] == AUTOPILOT


@pytest.mark.parametrize("source", ["size(a) > 1", "a ? b : c", "a[0] == 1", "a == 1 == true", "x in y", 'a == r"\\d"'])
def test_what_columns_cannot_do_is_left_to_cel(source: str) -> None:
    assert parse(source) is None


@pytest.mark.parametrize("codes", [np.array([3], np.int8), np.array([0.0])])
def test_codes_without_a_category_are_refused(codes: Any) -> None:
    with pytest.raises(ProposalError, match="place of a category"):
        route_batch({"action": Coded(codes, ["a", "b"])}, control_of())


def test_categories_may_repeat_and_lists_may_stand_for_arrays() -> None:
    columns = {"action": Coded(np.array([0, 1, -1], np.int8), ["a", "a"]), "input.tags": [["x"], ["x", "y"], []]}
    routes = route_batch(columns, control_of('"y" in input.tags', human_actions=("a",)))
    assert [routes.names[by] for by in routes.by] == ["human_actions", "human_actions", "no_signal"]


def test_the_scalar_path_does_not_import_numpy() -> None:
    code = "import sys, dualcontrol.route; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
