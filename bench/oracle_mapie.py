"""MAPIE's one-shot threshold (Learn then Test, fixed sequence) for calibration sets that bench/guarantee.py made.

It runs in an environment of its own, which holds MAPIE and nothing of this project:

    python3.11 -m venv .venv-mapie && .venv-mapie/bin/pip install mapie==1.6.0
    python bench/guarantee.py --runs 400 --policy ltt --mapie .venv-mapie/bin/python

Prints the lowest score that MAPIE lets through for each set, 1 where it lets nothing through.
"""

from __future__ import annotations

import json
import sys
import warnings

import numpy as np
from mapie.risk_control import BinaryClassificationController, BinaryRisk

START = 80


class AutopilotError(BinaryRisk):
    """Among the decisions on autopilot, those that are wrong; the label says "right".

    MAPIE takes back the count of errors as the ceiling of share times size, which floating point now and then lifts
    by one (7 / 25 * 25 is a little more than 7); a trillionth less keeps the count.
    """

    def __init__(self) -> None:
        super().__init__(
            risk_occurrence=lambda right, autopilot: right.ravel() == 0,
            risk_condition=lambda right, autopilot: autopilot.ravel() == 1,
            higher_is_better=False,
        )

    def get_value_and_effective_sample_size(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[float, int]:
        """The share of errors and of how many."""
        value, size = super().get_value_and_effective_sample_size(y_true, y_pred)
        return value * (1.0 - 1e-12), size


def threshold(scores: np.ndarray, wrong: np.ndarray, grid: np.ndarray, alpha: float, delta: float) -> float:
    """The lowest threshold that is still valid in the sequence of the grid.

    "fixed_sequence" turns the grid around where the error found falls along it; an order that was learned before, as
    this one was fixed before, is kept.
    """
    controller = BinaryClassificationController(
        predict_function=lambda rows: np.column_stack([1.0 - rows, rows]),
        risk=AutopilotError(),
        target_level=alpha,
        confidence_level=1.0 - delta,
        best_predict_param_choice="recall",
        list_predict_params=grid,
        fwer_method="split_fixed_sequence",
    )
    controller._learned_fixed_sequence = grid
    controller.calibrate(scores, 1 - wrong.astype(int))
    valid = controller.valid_predict_params
    return float(min(valid)) if len(valid) else 1.0


def main() -> None:
    """Read the sets and print their thresholds."""
    warnings.simplefilter("ignore")
    given = np.load(sys.argv[1])
    grid = np.concatenate([given["edges"][:START][::-1], [0.0]])
    alpha, delta = float(given["alpha"]), float(given["delta"])
    rows = zip(given["scores"], given["wrong"], strict=True)
    print(json.dumps([threshold(scores, wrong, grid, alpha, delta) for scores, wrong in rows]))


if __name__ == "__main__":
    main()
