"""The scans: scikit-learn's 1,797 handwritten digits, 8 by 8 pixels, and the order in which they come.

The truth is read in two places only: by who labels (the 60 start labels, the scripted reviewer) and by the scorer.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from dualcontrol.case import JSON
from dualcontrol.demo.png import data_uri

SCALE = 16
STARTERS_EACH = 6


class Order(NamedTuple):
    """Samples labelled before the start, and those that stream past; rows of ``load_digits()``."""

    starters: list[int]
    stream: list[int]


@lru_cache(maxsize=1)
def _digits() -> Any:
    return load_digits()


def count() -> int:
    """How many scans there are."""
    return len(_digits().images)


def truth(sample: int) -> int:
    """The digit that was written."""
    return int(_digits().target[sample])


@lru_cache(maxsize=2_000)
def scan(sample: int) -> dict[str, JSON]:
    """A scan as a case's input: the picture for people, the 64 grey values for the model."""
    picture = _digits().images[sample].astype(int)
    grey = (255 - picture * 255 // 16).tolist()
    return {
        "image": {"$image": data_uri(grey, SCALE), "alt": "Scan of a handwritten digit"},
        "pixels": [int(value) for value in picture.ravel()],
    }


def order(seed: int) -> Order:
    """All scans shuffled by the seed: the first six of each digit are the 60 starters, the rest streams."""
    shuffled = [int(sample) for sample in np.random.default_rng(seed).permutation(count())]
    starters = [sample for digit in range(10) for sample in _first(shuffled, digit)]
    taken = set(starters)
    return Order(starters, [sample for sample in shuffled if sample not in taken])


def _first(shuffled: list[int], digit: int) -> list[int]:
    return [sample for sample in shuffled if truth(sample) == digit][:STARTERS_EACH]
