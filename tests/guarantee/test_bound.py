"""The running bound holds at all times under any drift, and comes close as audits come in."""

from __future__ import annotations

import json
import random
from math import exp, sin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualcontrol.errors import GuaranteeError
from dualcontrol.guarantee.bound import GRID, RunningBound, _psi

PATHS = {
    "constant": lambda n, of: 0.035,
    "jump": lambda n, of: 0.03 if n < of / 2 else 0.09,
    "sine": lambda n, of: 0.04 + 0.03 * sin(n / 1500),
}


@settings(deadline=None)
@given(risk=st.floats(0.0, 1.0), mean=st.floats(0.0, 1.0), share=st.sampled_from(GRID),
       floor=st.sampled_from([0.01, 0.05, 0.5, 1.0]), above=st.floats(0.0, 1.0))  # fmt: skip
def test_the_expected_factor_is_at_most_one_for_every_risk_and_prediction(
    risk: float, mean: float, share: float, floor: float, above: float
) -> None:
    """By enumeration of draw and label, for each inclusion from the floor up."""
    inclusion, bet = floor + above * (1.0 - floor), share * floor
    weighted = ((1.0 - inclusion * risk, 0.0), (inclusion * risk, 1.0 / inclusion))
    found = sum(chance * exp(bet * (risk - x) - _psi(share, floor) * (x - mean) ** 2) for chance, x in weighted)
    assert found <= 1.0 + 1e-12


def miscovered(path: str, seed: int, decisions: int = 4_000, confidence: float = 0.9) -> bool:
    """Whether the bound was ever below the true mean error so far."""
    rng, bound, total = random.Random(seed), RunningBound(confidence, floor=0.1), 0.0
    for n in range(decisions):
        total += (risk := PATHS[path](n, decisions))
        if rng.random() < 0.1:
            bound.observe(wrong=rng.random() < risk, inclusion=0.1)
        else:
            bound.skip()
        if n % 20 == 19 and bound.upper < total / (n + 1):
            return True
    return False


@pytest.mark.parametrize("path", PATHS)
def test_it_covers_the_mean_error_so_far_at_all_times(path: str) -> None:
    assert sum(miscovered(path, seed) for seed in range(20)) <= 5


def test_errors_that_people_let_pass_are_allowed_for() -> None:
    """Of a tenth that is wrong people notice half: without the rate the bound ends below the truth."""
    bounds = [RunningBound(0.9, floor=0.5, miss_rate=rate) for rate in (0.5, 0.0)]
    rng = random.Random(3)
    for _ in range(20_000):
        noticed = rng.random() < 0.1 and rng.random() < 0.5
        for bound in bounds:
            bound.observe(wrong=noticed, inclusion=1.0)
    allowing, believing = (bound.upper for bound in bounds)
    assert believing < 0.1 <= allowing < 0.13
    assert RunningBound.from_dict(bounds[0].to_dict()).upper == allowing


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_it_covers_in_many_runs(path: str) -> None:
    """At most 1 - confidence of them fail, and 1.65 standard errors of chance."""
    assert sum(miscovered(path, seed) for seed in range(400)) <= 400 * (0.1 + 1.65 * (0.1 * 0.9 / 400) ** 0.5)


def test_it_comes_close_to_the_truth() -> None:
    rng, bound = random.Random(0), RunningBound(floor=0.1)
    for _ in range(20_000):
        bound.observe(wrong=rng.random() < 0.03, inclusion=0.1) if rng.random() < 0.1 else bound.skip()
    assert 0.02 < bound.estimate < 0.04 < bound.upper < 0.06  # type: ignore[operator]


def test_nothing_seen_means_nothing_known() -> None:
    bound = RunningBound()
    assert (bound.estimate, bound.upper) == (None, 1.0)
    bound.skip(10)
    assert (bound.estimate, bound.upper) == (0.0, 1.0)
    bound.skip(0)
    assert bound.cases == 10


def test_many_skipped_at_once_are_as_many_skipped_singly() -> None:
    at_once, singly = RunningBound(floor=0.25), RunningBound(floor=0.25)
    for one in (at_once, singly):
        one.observe(wrong=1, inclusion=0.25)
    at_once.skip(8)
    for _ in range(8):
        singly.skip()
    assert at_once.cases == singly.cases
    assert at_once.estimate == singly.estimate


def test_stored_it_goes_on_bit_by_bit() -> None:
    straight, rng = RunningBound(floor=0.1), random.Random(0)
    for _ in range(300):
        stored = RunningBound.from_dict(json.loads(json.dumps(straight.to_dict())))
        wrong = rng.random() < 0.1
        for one in (stored, straight):
            one.observe(wrong=wrong, inclusion=0.1)
            one.skip(3)
        assert stored.to_dict() == straight.to_dict()
        assert stored.upper == straight.upper


@pytest.mark.parametrize("wrong", [2, None, 0.5])
def test_what_is_no_label_is_refused(wrong: float) -> None:
    bound = RunningBound(floor=0.1)
    with pytest.raises(GuaranteeError):
        bound.observe(wrong=wrong, inclusion=0.5)  # type: ignore[arg-type]
    assert bound.cases == 0


@pytest.mark.parametrize("inclusion", [0.0, 0.09, 1.1, float("nan")])
def test_an_inclusion_below_the_floor_is_refused(inclusion: float) -> None:
    bound = RunningBound(floor=0.1)
    with pytest.raises(GuaranteeError):
        bound.observe(wrong=0, inclusion=inclusion)
    assert bound.cases == 0


@pytest.mark.parametrize("count", [-1, -100])
def test_cases_cannot_be_taken_back(count: int) -> None:
    bound = RunningBound(floor=0.1)
    bound.skip(5)
    with pytest.raises(GuaranteeError):
        bound.skip(count)
    assert bound.cases == 5
