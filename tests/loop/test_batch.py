"""Rows in columns: cases only for those that a human sees, one entry a chunk for the rest."""

from __future__ import annotations

import numpy as np
import pytest

import dualcontrol as dc
from dualcontrol.batch import propose_batch
from dualcontrol.errors import ContextError, KeyConflictError, PayloadError, ProposalError, SignalError
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
    bad["confidence"][7] = float("nan")
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

    def breaking(self, durable=True):
        calls[0] += durable
        if calls[0] == 3:
            raise KeyboardInterrupt
        return real(self, durable)

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
        ({"confidence": [0.95] * 99 + [float("nan")]}, SignalError, 99),
        ({"args.n": [1.0] * 70 + [float("inf")] + [1.0] * 29}, PayloadError, 70),
        ({"args.n": [1] * 70 + [{"deep": [float("nan")]}] + [1] * 29}, PayloadError, 70),
        ({"input": ["x"] * 98 + ["  ", "x"]}, ContextError, 98),
        ({"input": ["x"] * 98 + [None, "x"]}, ContextError, 98),
        ({"action": ["pay"] * 97 + ["", "pay", "pay"]}, ContextError, 97),
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
