"""Rows in columns: cases only for those that a human sees, one entry a chunk for the rest."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import dualcontrol as dc
from dualcontrol.batch import propose_batch
from dualcontrol.errors import (
    ContextError,
    KeyConflictError,
    PayloadError,
    PayloadTooLargeError,
    ProposalError,
    SignalError,
)
from dualcontrol.events import BatchRouted
from dualcontrol.testing import seeded_ids


@pytest.fixture
def desk(database_url):
    # the same draws each time: of so few rows now and then none would be audited
    desk = dc.open(database_url, durability="process", secret="5eed" * 16, new_id=seeded_ids(1))
    yield desk
    desk.close()


@pytest.fixture
def mail(desk):
    return desk.loop("mail", mode="labels", threshold=0.9, audit=0.3, context="minimal")


def rows(n: int = 200) -> dict:
    confidence = np.random.default_rng(1).random(n)
    return {
        "input": [f"mail {i}" for i in range(n)],
        "proposal": ["ham"] * n,
        "confidence": confidence,
        "meta.row": list(range(n)),
    }


def batches(desk, loop) -> list[BatchRouted]:
    entries = desk.store.queries.entries(loop.stream)
    return [e for entry in entries for e in entry.events if isinstance(e, BatchRouted)]


def test_cases_are_opened_for_people_only(desk, mail):
    made = mail.propose_batch(rows())
    to = np.array(["block", "human", "autopilot"])[made.to]
    seen = set(np.flatnonzero((to == "human") | made.audited).tolist())
    assert set(made.cases) == seen
    assert 0 < made.audited.sum() < 60
    assert (made.inclusion[to == "autopilot"] == 0.3).all()
    event = batches(desk, mail)[0]
    assert (event.rows, event.human, event.autopilot) == (
        200,
        int((to == "human").sum()),
        int((to == "autopilot").sum()),
    )
    case = desk.case(made.cases[min(seen)])
    assert case.meta == {"row": min(seen)}
    assert case.candidates[0].value == "ham"


def test_an_audited_row_is_a_case_on_autopilot(desk, mail):
    made = mail.propose_batch(rows())
    row = int(np.flatnonzero(made.audited)[0])
    case = desk.case(made.cases[row])
    assert (case.route.to, case.route.audited, case.outcome.by) == ("autopilot", True, "autopilot")
    assert case.reviews[0].kind == "audit"


def test_the_same_batch_again_writes_nothing(desk, mail):
    first = mail.propose_batch(rows(), key="monday")
    again = mail.propose_batch(rows(), key="monday")
    assert first.cases == again.cases
    assert (first.audited == again.audited).all()
    assert len(batches(desk, mail)) == 1


def test_a_batch_is_written_in_chunks(desk, mail):
    made = propose_batch(desk.steps, "mail", rows(), key="k", chunk=64)
    assert [e.chunk for e in batches(desk, mail)] == [0, 1, 2, 3]
    assert sum(made.counts[k] for k in ("autopilot", "human", "blocked")) == 200


def test_bad_rows_are_named_and_nothing_is_written(desk, mail):
    bad = rows(10)
    bad["confidence"][7] = 1.5
    with pytest.raises(SignalError, match="row 7"):
        mail.propose_batch(bad)
    loop = desk.loop("strict", mode="labels", threshold=0.9, context="standard")
    with pytest.raises(ContextError):
        loop.propose_batch(rows(10))
    assert desk.store.queries.cases().rows == ()
    assert batches(desk, mail) == []


SURE = {"input": [f"mail {i}" for i in range(6)], "confidence": [0.99] * 6}
PLAIN = [
    (["spam", "ham"], "ham", "eggs"),
    ([0, 1, 2], 1, 3),
    ([True], True, False),
    ([0.5, 1.5], 0.5, 2.5),
    ([0.5, 1.5], 0.5, float("nan")),
]
MIXED = [
    ([0, 1], 1, 10**30),
    ([True, False], True, 1),
    ([1, 2], 1, True),
    ([1, 2], 1.0, 1.5),
    ([1, "2"], 1, "1"),
    ([["a"], {"b": 1}], {"b": 1}, {"b": True}),
    (["spam", "ham"], {"value": "ham", "rationale": "so"}, {"value": "eggs"}),
]


def objects(labels: list) -> np.ndarray:
    """An array that keeps each label as it is."""
    return np.array([*labels, None], dtype=object)[:-1]


def arrow(labels: list) -> object:
    """A column of Arrow."""
    return pytest.importorskip("pyarrow").array(labels)


@pytest.mark.parametrize(
    ("kind", "labels", "good", "bad"),
    [(kind, *case) for kind in (list, objects) for case in PLAIN + MIXED]
    + [(kind, *case) for kind in (np.array, arrow) for case in PLAIN],
)
def test_a_label_outside_the_set_is_refused_wherever_its_row_goes(desk, kind, labels, good, bad):
    loop = desk.loop("mail", mode="labels", labels=labels, threshold=0.9, context="minimal")
    assert loop.propose_batch({**SURE, "proposal": kind([good] * 6)}).counts["autopilot"] == 6
    with pytest.raises(ProposalError, match=r"row 4: .* is not a label of loop 'mail'") as caught:
        propose_batch(desk.steps, "mail", {**SURE, "proposal": kind([good] * 4 + [bad, good])}, chunk=2)
    assert caught.value.details["row"] == 4
    assert len(batches(desk, loop)) == 1


def test_a_column_of_another_type_has_no_label(desk):
    loop = desk.loop("mail", mode="labels", labels=[True, False], threshold=0.9, context="minimal")
    with pytest.raises(ProposalError, match="row 0: 1 is not a label"):
        loop.propose_batch({**SURE, "proposal": np.array([1, 0, 1, 0, 1, 0])})
    assert batches(desk, loop) == []


@pytest.mark.parametrize(
    "column",
    [
        {"scores": [{"spam": 0.1, "ham": 0.9}, {"1": 1.0}, {"eggs": 1.0}, {"eggs": 0.5}, {}, {}]},
        {"proposal": ["ham"] * 6, "alternatives": [[], ["spam", 1], ["ham", "eggs"], [], [], []]},
        {"proposal": ["ham"] * 6, "candidates": [None, ["spam"], [{"value": "eggs", "source": None}], None, [], []]},
        {"proposal": ["ham"] * 3 + ["eggs"] * 3, "alternatives": [[], [], ["eggs"], [], [], []]},
        {"action": [None, "", "mail", "mail", None, None], "args.x": [1] * 6},
    ],
)
def test_every_column_of_labels_is_looked_at(desk, column):
    loop = desk.loop("mail", mode="labels", labels=["spam", "ham", 1], threshold=0.9, context="minimal")
    with pytest.raises(ProposalError, match=r"row 2: .* is not a label"):
        loop.propose_batch({**SURE, **column})
    assert batches(desk, loop) == []


def test_what_propose_refuses_propose_batch_refuses(desk):
    loop = desk.loop("mail", mode="labels", labels=["spam", "ham", 1], threshold=0.9, context="minimal")
    for given in ("eggs", 1.5, True, "1", ["spam"], {"value": "eggs"}, float("nan")):
        with pytest.raises(ProposalError) as one:
            loop.propose(proposal=given, input="mail", confidence=0.99)
        with pytest.raises(ProposalError) as many:
            loop.propose_batch({"proposal": [given], "input": ["mail"], "confidence": [0.99]})
        assert many.value.message == f"row 0: {one.value.message}"


def test_without_a_set_of_labels_any_will_do(desk):
    loop = desk.loop("mail", mode="labels", threshold=0.9, context="minimal")
    assert loop.propose_batch({**SURE, "proposal": ["a", 1, True, 2.5, ["b"], {"c": 1}]}).counts["autopilot"] == 6


def test_a_table_of_arrow_is_a_batch(desk):
    table = pytest.importorskip("pyarrow").table({**SURE, "proposal": ["ham"] * 6, "rationale": ["so"] * 6})
    loop = desk.loop("mail", mode="labels", labels=["ham"], threshold=0.9, audit=1.0, context="minimal")
    made = loop.propose_batch(table)
    assert (made.counts["autopilot"], len(made.cases)) == (6, 6)
    case = desk.case(made.cases[5])
    assert (case.input, case.rationale, case.proposal.value) == ("mail 5", "so", "ham")


def test_a_column_has_a_text_for_its_name(desk, mail):
    for name in (None, 5, ("input",), b"input"):
        with pytest.raises(ProposalError, match="named by a text"):
            mail.propose_batch({**SURE, name: ["x"] * 6})


ACT = {"action": ["pay"] * 3, "args.n": [1, 2, 3], "input": ["x"] * 3, "confidence": [0.9, 0.1, 0.9]}


@pytest.fixture
def pay(desk):
    return desk.loop("pay", mode="approval", threshold=0.9, context="minimal")


def counted(desk) -> tuple[int, int]:
    return len(desk.store.queries.cases().rows), sum(len(desk.store.queries.entries(f"loop/{i}")) for i in range(5))


@pytest.mark.parametrize(
    "other",
    [
        {**ACT, "args.n": [1, 2, 4]},
        {name: cells[:2] for name, cells in ACT.items()},
        {name: [*cells, cells[0]] for name, cells in ACT.items()},
        {**ACT, "meta.day": ["monday"] * 3},
    ],
)
def test_a_key_stands_for_one_batch(desk, pay, other):
    pay.propose_batch(ACT, key="B")
    before = counted(desk)
    with pytest.raises(KeyConflictError):
        pay.propose_batch(other, key="B")
    assert counted(desk) == before


def test_a_key_finds_the_routes_of_then(desk, pay):
    first = pay.propose_batch(ACT, key="B")
    stricter = desk.loop("pay", mode="approval", threshold=0.99, context="minimal")
    arrays = {name: np.array(cells) for name, cells in ACT.items()}
    again = stricter.propose_batch(arrays, key="B")
    assert again.cases == first.cases
    assert [again.names[i] for i in again.by] == [first.names[i] for i in first.by]
    assert (again.to == first.to).all()
    assert (again.inclusion == first.inclusion).all()
    assert again.counts == first.counts


def test_an_interrupted_batch_goes_on(desk, pay, monkeypatch):
    wide = {name: cells * 40 for name, cells in ACT.items()}
    real, calls = type(desk.store).transaction, [0]

    def breaking(self, durable=True, starts=None):
        calls[0] += durable
        if calls[0] == 3:
            raise KeyboardInterrupt
        return real(self, durable, starts)

    monkeypatch.setattr(type(desk.store), "transaction", breaking)
    with pytest.raises(KeyboardInterrupt):
        propose_batch(desk.steps, "pay", wide, key="B", chunk=40)
    monkeypatch.undo()
    assert [e.chunk for e in batches(desk, pay)] == [0, 1]
    made = propose_batch(desk.steps, "pay", wide, key="B", chunk=40)
    assert [e.chunk for e in batches(desk, pay)] == [0, 1, 2]
    assert len(made.cases) == len(set(made.cases.values())) == 40


@pytest.mark.parametrize(
    ("change", "error", "row"),
    [
        ({"confidence": [0.95] * 99 + [float("inf")]}, SignalError, 99),
        ({"args.n": [1.0] * 70 + [float("inf")] + [1.0] * 29}, PayloadError, 70),
        ({"args.n": [1] * 70 + [{"deep": [float("nan")]}] + [1] * 29}, PayloadError, 70),
        ({"input": ["x"] * 98 + ["  ", "x"]}, ContextError, 98),
        ({"input": ["x"] * 98 + [None, "x"]}, ContextError, 98),
        ({"action": ["pay"] * 97 + ["", "pay", "pay"]}, ProposalError, 97),
    ],
)
def test_one_bad_row_in_the_last_chunk_leaves_nothing(desk, pay, change, error, row):
    good = {"action": ["pay"] * 100, "args.n": [1] * 100, "input": ["x"] * 100, "confidence": [0.95] * 100}
    before = counted(desk)
    with pytest.raises(error, match=f"row {row}") as found:
        propose_batch(desk.steps, "pay", {**good, **change}, chunk=30)
    assert found.value.details["row"] == row
    assert counted(desk) == before


def test_context_is_asked_of_rows_that_nobody_sees(desk):
    loop = desk.loop("strict", mode="labels", threshold=0.9, context=["input.subject", "rationale", "proposal"])
    sure = {"input.subject": ["a", "b"], "proposal": ["ham"] * 2, "confidence": [0.99] * 2, "rationale": ["r", "s"]}
    assert loop.propose_batch(sure).counts["autopilot"] == 2
    for lacking in ({**sure, "rationale": ["r", ""]}, {**sure, "input.subject": ["a", None]}):
        with pytest.raises(ContextError, match="row 1"):
            loop.propose_batch(lacking)


class Odd:
    """A value of a program's own."""


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


MOMENT = datetime(2024, 1, 1, 9, 0)
NO_JSON = {
    "nan": math.nan,
    "infinity": -math.inf,
    "a nan far inside": {"a": [1.0, {"b": math.nan}]},
    "a nan of numpy": np.float64("nan"),
    "a set": {1, 2},
    "a frozenset": frozenset(["a"]),
    "a set inside": {"a": [{1}]},
    "bytes": b"ab",
    "bytearray": bytearray(b"ab"),
    "a naive datetime": MOMENT,
    "an aware datetime": MOMENT.replace(tzinfo=UTC),
    "a date": date(2024, 1, 1),
    "a time": time(9, 0),
    "a timedelta": timedelta(1),
    "a datetime inside": [{"at": MOMENT}],
    "datetime64": np.datetime64("2024-01-01T09:00:00", "ns"),
    "datetime64 in days": np.datetime64("2024-01-01"),
    "not a time": np.datetime64("NaT"),
    "timedelta64": np.timedelta64(1, "ns"),
    "decimal": Decimal("1.5"),
    "uuid": UUID(int=1),
    "complex": 1j,
    "an array": np.array([1, 2]),
    "a lone surrogate": "\ud800",
    "a surrogate inside": {"a": ["x\udc80"]},
    "a key that is a number": {1: 2},
    "a key that is none": {"a": {None: 1}},
    "an object": Odd(),
    "a function": len,
    "a generator": (n for n in ()),
    "a range": range(3),
    "too deep": nested(300),
    "far too deep": nested(5000),
    "too large": "x" * 1_100_000,
    "too large inside": {"a": ["é" * 600_000]},
}
PLACES = ["input.x", "input", "args.x", "meta.x", "proposal", "history", "alternatives"]


def holding(place: str, value: object, row: int, sure: float) -> dict:
    """Three rows, one of which holds a value in a column."""
    table = {"input": ["x"] * 3, "proposal": ["ham"] * 3, "confidence": [0.99] * 3}
    if place.startswith("args"):
        table |= {"action": ["pay"] * 3}
        del table["proposal"]
    if place.startswith("input."):
        table["input.y"] = table.pop("input")
    cells: list = [None if place in ("history", "alternatives", "meta.x") else "ham"] * 3
    cells[row] = [value] if place == "alternatives" else value
    table["confidence"][row] = sure
    return {**table, place: cells}


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_json_is_refused_wherever_its_row_goes(quiet, place):
    """By its row and column, as `propose` refuses it, and nothing is written."""
    acts = place.startswith("args")
    loop = quiet.loop("any", mode="approval" if acts else "labels", threshold=0.9, context=["proposal"])
    for name, value in NO_JSON.items():
        with pytest.raises(PayloadError) as one:
            loop.propose(**({"action": "pay", "args": {"x": value}} if acts else {"proposal": "ham", "input": value}))
        for row, sure in ((1, 0.99), (2, 0.5)):
            with pytest.raises(PayloadError) as many:
                loop.propose_batch(holding(place, value, row, sure))
            assert type(many.value) is type(one.value), name
            assert many.value.details["row"] == row, name
            if not name.startswith("too large"):  # the slot that it is part of is too large
                assert re.match(rf"row {row}: {re.escape(place)}\b", many.value.message), many.value.message[:200]
                assert many.value.details["column"] == place, name
    assert quiet.store.queries.cases().rows == ()
    assert batches(quiet, loop) == []


@pytest.fixture
def quiet():
    """A desk of its own for tests that look at no database."""
    with dc.open("sqlite:///:memory:", durability="process", secret="5eed" * 16) as opened:
        yield opened


@pytest.mark.parametrize("sure", [0.99, 0.5])
def test_times_of_a_data_frame_are_refused_as_propose_refuses_them(quiet, sure):
    """None of them arrives as a number: a reviewer would have read 1704110400000000000."""
    pandas = pytest.importorskip("pandas")
    pa = pytest.importorskip("pyarrow")
    moments = pandas.Series([pandas.Timestamp(MOMENT)] * 2)
    columns = {
        "series": moments, "aware": moments.dt.tz_localize("Europe/Berlin"), "array": moments.to_numpy(),
        "objects": moments.astype(object), "list": list(moments), "not a time": pandas.Series([pandas.NaT] * 2),
        "seconds": moments.to_numpy().astype("M8[s]"), "span": moments - moments.iloc[0],
        "arrow": pa.array(moments), "arrow days": pa.array([date(2024, 1, 1)] * 2),
        "arrow times": pa.array([time(9)] * 2), "arrow with nulls": pa.array([MOMENT, None]),
    }  # fmt: skip
    loop = quiet.loop("any", mode="labels", threshold=0.9, context=["proposal"])
    for name, column in columns.items():
        with pytest.raises(PayloadError, match=r"row 0: meta\.at is an? .*, which is not a JSON value") as caught:
            loop.propose_batch({"proposal": ["ham"] * 2, "confidence": [sure] * 2, "meta.at": column})
        assert "ISO" in caught.value.hint, name
    assert quiet.store.queries.cases().rows == ()


WRONG = {
    "rationale": (5, ["so"], b"so"),
    "source": ("gpt", 5, {1: 2}),
    "alternatives": ("text", {"a": 1}, {1, 2}, 5, [{"value": 1, "id": 7}], [{"value": 1, "id": "c1"}]),
    "scores": ([], [0.1, 0.2], [2.0], "x", 5, {0.5}, {"ham": 2.0}, {"ham": True}, {"ham": "1"}, {"ham": math.nan}, {}),
    "proposal": ({"value": "ham", "score": 2.0}, {"value": "ham", "id": 7}, {"value": "ham", "schema": "object"}),
    "confidence": (1.2, -0.1, True, "0.9", math.inf),
    "risk": (1.5, "0.2", "", math.inf),
    "segment": ("a\x00b", "x" * 201, "\ud800"),
}


@pytest.mark.parametrize("column", WRONG)
def test_a_malformed_row_is_refused_wherever_it_goes(quiet, column):
    loop = quiet.loop("any", mode="labels", threshold=0.9, context=["proposal"])
    for value in WRONG[column]:
        row = {"input": "x", "proposal": "ham", "confidence": 0.99, column: value}
        with pytest.raises(ProposalError) as one:
            loop.propose(**row)
        for sure in (0.99, 0.5):
            table = {name: [None, cell] for name, cell in row.items()} | {"input": ["x", "x"]}
            table["proposal"][0] = "ham"
            table["confidence"] = [0.5, value if column == "confidence" else sure]
            with pytest.raises(ProposalError, match="row 1: ") as many:
                loop.propose_batch({name: objects(cells) for name, cells in table.items()})
            assert (type(many.value), many.value.details["row"]) == (type(one.value), 1), value
    assert batches(quiet, loop) == []


@pytest.mark.parametrize("action", ["", " ", "a\x00b", "x" * 201, "\ud800"])
def test_an_action_that_is_none_is_refused_wherever_its_row_goes(quiet, action):
    loop = quiet.loop("acts", threshold=0.9, context=["proposal"])
    for sure in (0.99, 0.5):
        for column in (["pay", action], np.array(["pay", action]), np.array(["pay", action], object)):
            with pytest.raises(ProposalError, match="row 1: "):
                loop.propose_batch({"action": column, "args.n": [1, 2], "confidence": [0.99, sure]})
    assert quiet.store.queries.cases().rows == ()


def test_rows_that_are_large_together_are_refused_and_those_that_fit_are_taken(quiet):
    loop = quiet.loop("any", mode="labels", threshold=0.9, context=["proposal"])
    half, sure = "x" * 600_000, {"proposal": ["ham"] * 2, "confidence": [0.99, 0.99]}
    assert loop.propose_batch({**sure, "input.a": ["a", half], "input.b": ["b", "b"]}).counts["autopilot"] == 2
    assert loop.propose_batch({**sure, "input.a": ["a", half], "meta.b": ["b", half]}).counts["autopilot"] == 2
    for column in (["a", half], np.array(["a", half]), np.array(["a", half], np.dtypes.StringDType()), [["a"], [half]]):
        with pytest.raises(PayloadTooLargeError, match=r"row 1: input is [\d,]+ bytes"):
            loop.propose_batch({**sure, "input.a": column, "input.b": ["b", half]})


def test_what_propose_takes_propose_batch_takes_as_it_is(quiet):
    """Values arrive as they are, whatever kind of column they came in."""
    pa = pytest.importorskip("pyarrow")
    loop = quiet.loop("any", mode="labels", threshold=0.9, context=["proposal"])
    values = [1, 1.5, True, "text", [1, [2]], {"a": {"b": None}}, 2**70, "é\U0001f600", (1, 2), None]
    made = loop.propose_batch({"proposal": ["ham"] * 10, "meta.x": values, "confidence": [0.5] * 10})
    arrived = [quiet.case(made.cases[row]).meta for row in range(10)]
    assert arrived == [{"x": [1, 2] if value == (1, 2) else value} if value is not None else {} for value in values]
    lists = pa.table({"proposal": ["ham"] * 2, "meta.x": [[1, 2], [3]], "meta.y": [{"a": [1]}, {"a": []}]})
    made = loop.propose_batch(lists.append_column("confidence", pa.array([0.5, 0.99])))
    assert quiet.case(made.cases[0]).meta == {"x": [1, 2], "y": {"a": [1]}}


def missing() -> dict:
    """A column in which the second confidence is missing, in each way that tables write that."""
    pandas, pa = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    return {
        "list": [0.99, math.nan, 0.98], "none": [0.99, None, 0.98], "mixed": [1, math.nan, 0.98],
        "array": np.array([0.99, math.nan, 0.98]), "small": np.array([0.99, math.nan, 0.98], np.float32),
        "objects": np.array([0.99, math.nan, 0.98], object), "masked": np.ma.masked_invalid([0.99, math.nan, 0.98]),
        "series": pandas.Series([0.99, None, 0.98]), "nullable": pandas.Series([0.99, None, 0.98], dtype="Float64"),
        "na": [0.99, pandas.NA, 0.98], "arrow": pa.array([0.99, math.nan, 0.98]),
        "arrow null": pa.array([0.99, None, 0.98]),
        "arrow series": pandas.Series([0.99, None, 0.98], dtype="double[pyarrow]"),
    }  # fmt: skip


@pytest.mark.parametrize("name", missing())
def test_a_missing_confidence_goes_to_a_human(quiet, name):
    """NaN is how tables write a missing number: the row has no confidence, in a batch as by itself."""
    loop = quiet.loop("any", mode="labels", threshold=0.9, context=["proposal"])
    made = loop.propose_batch({"proposal": ["ham"] * 3, "confidence": missing()[name]})
    assert (list(made.to), list(made.cases)) == ([2, 1, 2], [1])
    case = quiet.case(made.cases[1])
    alone = loop.propose(proposal="ham", confidence=math.nan)
    for one in (case, alone):
        assert (one.confidence, one.route.to, one.route.by) == (None, "human", "no_signal")
    nobody = loop.propose_batch({"proposal": ["ham"] * 3, "confidence": np.full(3, math.nan)})
    assert nobody.counts["human"] == 3


def test_an_input_is_given_though_it_counts_for_nothing(quiet):
    loop = quiet.loop("any", mode="labels", threshold=0.9, context="minimal")
    made = loop.propose_batch({"proposal": ["ham"] * 3, "input": [0, False, 0.0], "confidence": [0.5] * 3})
    assert [quiet.case(made.cases[row]).input for row in range(3)] == [0, False, 0.0]


def test_a_rule_sees_no_confidence_where_it_is_missing(quiet):
    rule = {"name": "sure", "when": "signal.confidence > 0.5", "route": "autopilot"}
    loop = quiet.loop("any", mode="labels", threshold=0.9, context=["proposal"], rules=[rule])
    made = loop.propose_batch({"proposal": ["ham"] * 2, "confidence": [math.nan, 0.6]})
    assert list(made.to) == [1, 2]


def test_a_data_frame_is_a_batch(quiet):
    pandas = pytest.importorskip("pandas")
    loop = quiet.loop("any", mode="labels", labels=["ham"], threshold=0.9, context=["input"])
    frame = pandas.DataFrame({
        "input": ["a", "b"], "proposal": ["ham", "ham"], "confidence": [0.99, None],
        "meta.kind": pandas.Categorical(["x", None]), "meta.n": pandas.array([None, 7], dtype="Int64"),
        "meta.note": pandas.array(["so", None], dtype="string"),
        "meta.flag": pandas.array([True, None], dtype="boolean"),
    })  # fmt: skip
    made = loop.propose_batch(frame)
    assert quiet.case(made.cases[1]).meta == {"n": 7}
    shown = loop.propose_batch(frame.assign(confidence=0.5))
    assert quiet.case(shown.cases[0]).meta == {"kind": "x", "note": "so", "flag": True}


def test_a_gap_in_a_column_of_content_is_refused_by_row_and_column(quiet):
    """Whether NaN is a missing number or a broken one nobody can tell but who has it."""
    pandas = pytest.importorskip("pandas")
    loop = quiet.loop("any", mode="labels", threshold=0.9, context=["proposal"])
    frame = pandas.DataFrame({"proposal": ["ham"] * 2, "confidence": [0.99] * 2, "meta.n": [1.5, None]})
    with pytest.raises(PayloadError, match=r"row 1: meta\.n is nan") as caught:
        loop.propose_batch(frame)
    assert "None" in caught.value.hint


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(
        ["\ud800", MOMENT, Decimal("1.5"), {1}, frozenset(), b"x", 1j, Odd(), (1, 2), 2**80, "x" * 700_000,
         np.datetime64("2024-01-01"), np.array([1]), np.float64(0.5)]
    ),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2) | st.integers(0, 3), inner, max_size=2)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def doors():
    with dc.open("sqlite:///:memory:", durability="process", secret="5eed" * 16) as opened:
        rule = {"name": "odd", "when": "has(meta.x) && size(meta.x) > 5", "route": "human"}
        yield opened.loop("any", mode="labels", threshold=0.9, context=["proposal"], rules=[rule])


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(
    value=VALUES, place=st.sampled_from(["input", "meta.x", "history", "proposal"]), sure=st.sampled_from([0.99, 0.5])
)
def test_both_doors_say_the_same_of_any_value(doors, value, place, sure):
    one = {"proposal": "ham", "confidence": sure}
    one |= {"meta": {"x": value}} if place == "meta.x" else {place: value}

    def refused(act) -> type | None:
        try:
            act()
        except ProposalError as error:
            return type(error)
        return None

    alone = refused(lambda: doors.propose(**one))
    column = [value] if not isinstance(value, np.generic) else objects([value])
    table = {"proposal": ["ham"], "confidence": [sure]} | {place: column}
    if value is None and place == "proposal":
        return  # no proposal at all, which a row cannot say otherwise
    assert refused(lambda: doors.propose_batch(table)) is alone


def test_a_batch_may_have_only_columns_that_routing_does_not_look_at(desk):
    pairs = desk.loop("pairs", mode="preference", context=["proposal"])
    batch = pairs.propose_batch({"candidates": [["a", "b"], ["c", "d"]]})
    assert [[c.value for c in desk.case(case).candidates] for case in batch.cases.values()] == [["a", "b"], ["c", "d"]]
    words = desk.loop("words", mode="labels", labels=["x", "y"], threshold=0.9, context="minimal")
    with pytest.raises(ContextError, match="row 0: loop 'words' requires context that is missing: input"):
        words.propose_batch({"proposal": ["x", "y"], "rationale": ["m", "n"]})
