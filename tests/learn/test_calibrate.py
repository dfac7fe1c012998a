"""Temperature scaling and its measures, on plain arrays."""

from __future__ import annotations

import numpy as np
import pytest

from dualcontrol.learn import calibrate


def sample(count: int, heat: float, seed: int = 0):
    """Log scores that are `heat` times too sharp, and labels drawn from the honest probabilities."""
    noise = np.random.default_rng(seed)
    honest = noise.normal(0, 2, (count, 4))
    chances = calibrate.softmax(honest)
    index = np.array([noise.choice(4, p=row) for row in chances])
    return honest * heat, index, np.ones(count)


def test_the_temperature_of_many_labels_is_near_the_true_one_and_on_its_cautious_side():
    fitted = calibrate.fit_temperature(*sample(5_000, 3.0))
    assert 2.8 < fitted.heat < 3.6


def test_few_labels_make_for_more_caution():
    heats = [calibrate.fit_temperature(*sample(count, 3.0)).heat for count in (30, 300, 3_000)]
    doubts = [calibrate.fit_temperature(*sample(count, 3.0)).doubt for count in (30, 300, 3_000)]
    assert heats == sorted(heats, reverse=True)
    assert doubts == sorted(doubts, reverse=True)


def test_calibrated_rows_sum_to_one_and_keep_the_order_of_the_classes():
    logs, index, weights = sample(200, 5.0)
    found = calibrate.fit_temperature(logs, index, weights).apply(logs)
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert (found.argmax(axis=1) == logs.argmax(axis=1)).all()


def test_scaling_lowers_log_loss_and_calibration_error_on_labels_it_has_not_seen():
    fitted = calibrate.fit_temperature(*sample(2_000, 4.0))
    logs, index, weights = sample(2_000, 4.0, seed=1)
    raw, scaled = calibrate.softmax(logs), fitted.apply(logs)
    assert calibrate.log_loss(scaled, index, weights) < calibrate.log_loss(raw, index, weights)
    assert calibrate.calibration_error(scaled, index, weights) < calibrate.calibration_error(raw, index, weights) / 2


def test_without_labels_nothing_is_claimed():
    fitted = calibrate.fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int), np.zeros(0))
    assert fitted.apply(np.array([[5.0, 0.0, 0.0]])) == pytest.approx(1 / 3)


def test_a_class_the_model_does_not_know_costs_as_much_as_its_least_likely_one():
    losses = calibrate.losses(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([-1, 1]))
    assert losses == pytest.approx([-np.log(0.1), -np.log(0.8)])


def test_the_paired_difference_is_weighted():
    mean, error = calibrate.difference(np.array([1.0, 0.0]), np.array([0.0, 0.0]), np.array([3.0, 1.0]))
    assert mean == pytest.approx(0.75)
    assert error > 0
