"""A risk that is let in stays what it was: in the case, in its events, and in the route."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dualcontrol as dc
from dualcontrol.case import RISK_LEVELS
from dualcontrol.doctor import PROBLEM, examine
from dualcontrol.errors import SignalError
from dualcontrol.evolve import fold

NUMERALS = st.sampled_from(["nan", "inf", "-Infinity", "0.2", "-5", "1_0", "1e3", " 1", "\u0663"]) | st.floats().map(
    repr
)
TEXTS = st.text(max_size=8) | st.sampled_from(list(RISK_LEVELS)) | NUMERALS


@pytest.fixture(scope="module")
def loop() -> Iterator[dc.Loop]:
    with dc.open("sqlite:///:memory:", durability="process") as desk:
        yield desk.loop("pay", threshold=0.5, risk_ceiling="medium", context="minimal")


def propose(loop: dc.Loop, risk: object) -> dc.Case:
    return loop.propose(action="pay", args={}, input="x", confidence=0.9, risk=risk)


@settings(max_examples=150, deadline=None)
@given(risk=TEXTS | st.floats() | st.integers(-2, 2))
def test_a_risk_is_refused_or_comes_back_from_the_events(loop: dc.Loop, risk: str | float) -> None:
    try:
        case = propose(loop, risk)
    except SignalError:
        assert risk not in RISK_LEVELS
        assert isinstance(risk, str) or not 0 <= risk <= 1
        return
    stored = loop.desk.case(case.id)
    assert (stored.risk, type(stored.risk) is str) == (risk, isinstance(risk, str))
    folded = fold(None, loop.desk.events(case.id))
    assert (folded.risk, folded.route) == (stored.risk, stored.route)
    if isinstance(risk, str) and risk not in RISK_LEVELS:
        assert (stored.route.to, stored.route.by, stored.route.risk) == ("human", "error", risk)


@given(risk=NUMERALS)
def test_a_number_as_text_is_refused_at_every_door(loop: dc.Loop, risk: str) -> None:
    wanted = "give a number or one of low, medium, high, critical"
    with pytest.raises(SignalError, match=wanted):
        propose(loop, risk)
    columns = {"action": ["pay"] * 2, "input": ["x"] * 2, "confidence": [0.9] * 2}
    for risks in (["low", risk], np.array(["low", risk]), [0.5, risk]):
        with pytest.raises(SignalError, match=f"row 1: .*{wanted}"):
            loop.propose_batch({**columns, "risk": risks})


def test_an_unknown_level_in_a_batch_goes_to_a_human_as_it_was(loop: dc.Loop) -> None:
    columns = {"action": ["pay"] * 3, "input": ["x"] * 3, "alternatives": [[]] * 3, "rationale": ["y"] * 3}
    made = loop.propose_batch({**columns, "confidence": [0.9] * 3, "risk": ["low", "odd", "high"]})
    assert {row: (c.risk, c.route.by) for row, c in _cases(loop, made).items()} == {
        1: ("odd", "error"), 2: ("high", "risk_ceiling"),
    }  # fmt: skip


def _cases(loop: dc.Loop, made: dc.Batch) -> dict[int, dc.Case]:
    return {row: loop.desk.case(case_id) for row, case_id in made.cases.items()}


def test_the_doctor_finds_nothing_in_what_was_let_in(loop: dc.Loop) -> None:
    propose(loop, "unheard of")
    assert not [found for found in examine(loop.desk.store) if found.level == PROBLEM]
