"""A second epoch whose scores are those of a risk model, learned from the decisions of the first.

Raw confidence may hide a cluster of confident mistakes; the model has the confidence alone, and sees where it lies.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from streams import BINS, Stream, drawn

from dualcontrol.guarantee.certificate import edges_of
from dualcontrol.learn.risk_model import RiskModel

FINE = 20


def second_epoch(name: str, decisions: int, seed: int) -> Stream:
    """Decisions in bins of 1 - P(wrong); all of the first epoch, as long as the second, was reviewed."""
    first, second = drawn(name, decisions, seed), drawn(name, decisions, 1_000_000 + seed)
    rng = np.random.default_rng([seed, 8])
    model = RiskModel.fit(_confidence(first.places, rng), first.seen, seed=seed)
    edges = edges_of((1.0 - model.p_wrong(_confidence(first.places, rng))).tolist(), BINS)
    scores = 1.0 - model.p_wrong(_confidence(second.places, rng))
    errors, masses = _truth(model, edges, first.before)
    return replace(
        second, scores=scores, places=np.searchsorted(edges, scores, side="right"), before=errors, after=errors,
        edges=tuple(edges), masses=masses,
    )  # fmt: skip


def _confidence(places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Confidences anywhere in their bin."""
    return (places + rng.random(len(places))) / BINS


def _truth(model: RiskModel, edges: list[float], errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The true error and the mass of each new bin, from twenty points of each old one."""
    fine = np.arange(BINS * FINE)
    new = np.searchsorted(edges, 1.0 - model.p_wrong((fine + 0.5) / len(fine)), side="right")
    count = np.bincount(new, minlength=len(edges) + 1)
    wrong = np.bincount(new, errors[fine // FINE], len(edges) + 1)
    return wrong / np.maximum(count, 1), count / len(fine)
