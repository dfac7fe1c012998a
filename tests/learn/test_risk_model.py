"""The risk model finds where proposals are wrong, also where confidence hides it, and says it as a probability."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dualcontrol.errors import ModelError
from dualcontrol.learn.risk_model import RiskModel


def confident_mistakes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence, true error and label: errors fall with confidence, but the five percent on top err often."""
    rng = np.random.default_rng(seed)
    confidence = rng.random(count)
    risk = np.where(confidence > 0.95, 0.3, 0.4 * np.exp(-5 * confidence) + 0.002)
    return confidence, risk, rng.random(count) < risk


def test_it_puts_confident_mistakes_where_they_belong() -> None:
    """Below most of the rest, though their confidence is the highest."""
    confidence, _, wrong = confident_mistakes(6_000, 0)
    model = RiskModel.fit(confidence, wrong)
    cluster, good = model.p_wrong(np.array([[0.96], [0.99]])), model.p_wrong(np.array([[0.7], [0.9]]))
    assert cluster.min() > 3 * good.max()


def test_what_it_says_is_a_probability() -> None:
    """Over decisions it has not seen, in four groups by its own score, as many are wrong as it says."""
    confidence, _, wrong = confident_mistakes(10_000, 0)
    model = RiskModel.fit(confidence, wrong)
    new, risk, _ = confident_mistakes(10_000, 1)
    said = model.p_wrong(new)
    for group in np.array_split(np.argsort(said), 4):
        assert said[group].mean() == pytest.approx(risk[group].mean(), abs=0.03)


def rows(count: int, seed: int) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Proposals whose error depends on action and amount; each has a number of its own."""
    rng = np.random.default_rng(seed)
    found = [
        {
            "confidence": float(rng.random()), "action": str(rng.choice(["refund", "email"])),
            "args": {"amount": float(rng.exponential(300)), "order": f"A-{number}"},
        }
        for number in range(count)
    ]  # fmt: skip
    risk = [0.4 if row["action"] == "refund" and row["args"]["amount"] > 300 else 0.02 for row in found]
    return found, rng.random(count) < risk


def test_dicts_are_read_by_field_and_names_of_single_cases_left_out() -> None:
    given, wrong = rows(3_000, 0)
    model = RiskModel.fit(given, wrong)
    base = {"confidence": 0.5, "args": {"amount": 500.0, "order": "new"}}
    refund, email = model.p_wrong([base | {"action": "refund"}, base | {"action": "email"}])
    assert refund > 0.2 > 0.1 > email
    assert model._width == 4  # action=email, action=refund, args.amount, confidence


def test_what_was_never_seen_is_no_reason_to_fail() -> None:
    given, wrong = rows(1_000, 0)
    model = RiskModel.fit(given, wrong)
    found = model.p_wrong([{"confidence": 0.5}, {"action": "transfer", "colour": "red"}, {}])
    assert ((found >= 0.0) & (found <= 1.0)).all()
    assert model.p_wrong([]).shape == (0,)


def test_weights_count() -> None:
    """Errors that were audited one time in ten weigh as ten."""
    rng = np.random.default_rng(0)
    features, wrong = np.zeros((4_000, 1)), rng.random(4_000) < 0.2
    plain = RiskModel.fit(features, wrong).p_wrong(features[:1])[0]
    weighted = RiskModel.fit(features, wrong, np.where(wrong, 4.0, 1.0)).p_wrong(features[:1])[0]
    assert plain == pytest.approx(0.2, abs=0.03)
    assert weighted == pytest.approx(0.5, abs=0.05)


def test_the_same_labels_give_the_same_model_and_bytes_keep_it() -> None:
    given, wrong = rows(800, 0)
    one, two = RiskModel.fit(given, wrong, seed=3), RiskModel.fit(given, wrong, seed=3)
    kept = RiskModel.from_bytes(one.to_bytes())
    assert np.array_equal(one.p_wrong(given), two.p_wrong(given))
    assert np.array_equal(one.p_wrong(given), kept.p_wrong(given))


@pytest.mark.parametrize("errors", [0, 9, 1_000])
def test_too_few_of_a_kind_are_refused(errors: int) -> None:
    wrong = np.arange(1_000) < errors
    with pytest.raises(ModelError, match="too few"):
        RiskModel.fit(np.random.default_rng(0).random((1_000, 2)), wrong)


def test_features_that_hold_nothing_are_refused() -> None:
    wrong = np.arange(100) % 2
    with pytest.raises(ModelError, match="neither numbers nor words"):
        RiskModel.fit([{"order": f"A-{number}"} for number in range(100)], wrong)


def test_other_features_than_it_was_fitted_on_are_refused() -> None:
    model = RiskModel.fit(np.random.default_rng(0).random((100, 2)), np.arange(100) % 2)
    with pytest.raises(ModelError, match="rows of 2 numbers"):
        model.p_wrong(np.zeros((1, 3)))


def test_bytes_of_something_else_are_refused() -> None:
    import io

    import joblib

    file = io.BytesIO()
    joblib.dump({"not": "a model"}, file)
    with pytest.raises(ModelError, match="no risk model"):
        RiskModel.from_bytes(file.getvalue())
