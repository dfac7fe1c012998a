"""Whether scores have become others under the same name: gross changes are found, a scale that stays is left alone."""

from __future__ import annotations

import random

import pytest

from dualcontrol.guarantee.monitor import GROUPS, WINDOW, Scale, grouped


def watched(scale: Scale, places: list[int]) -> int | None:
    """After how many decisions the alarm comes."""
    return next((i for i, place in enumerate(places, 1) if scale.observe(place) is not None), None)


def test_a_scale_that_stays_raises_no_alarm():
    alarms = 0
    for seed in range(200):
        noise = random.Random(seed)
        counts = [0.0] * 100
        for _ in range(150):
            counts[noise.randrange(100)] += 1.0
        alarms += watched(Scale(counts, 150), [noise.randrange(100) for _ in range(5_000)]) is not None
    assert alarms == 0


@pytest.mark.parametrize("place", [0, 50, 99])
def test_scores_that_fall_into_one_place_are_found_within_two_windows(place: int):
    noise = random.Random(1)
    scale = Scale([3.0] * 100, 300)
    before = [noise.randrange(100) for _ in range(WINDOW * 10 + 90)]
    assert watched(scale, before) is None
    found = watched(scale, [place] * 2 * WINDOW)
    assert found is not None
    assert found <= 2 * WINDOW - 90


def test_a_burst_of_equal_scores_is_no_other_scale():
    noise = random.Random(2)
    places = [noise.randrange(100) for _ in range(180)] + [99] * 40 + [noise.randrange(100) for _ in range(280)]
    assert watched(Scale([3.0] * 100, 300), places) is None


@pytest.mark.parametrize(
    "weights", [[5.0], [0.0, 0.0], [100.0, 1.0, 1.0], [1.0] * 7, [1.0] * 100, [0.0] * 50 + [1.0] * 50]
)
def test_groups_are_neighbours(weights: list[float]):
    groups = grouped(weights)
    assert groups == sorted(groups)
    assert set(groups) == set(range(groups[-1] + 1))
    assert len(set(groups)) <= GROUPS
    assert Scale(weights, int(sum(weights))).observe(0) is None


def test_a_constant_score_has_nothing_to_compare_with():
    assert watched(Scale([200.0], 200), [0] * 2_000) is None
