"""Audit draws of a batch: rows drawn by geometric gaps, so that the cost goes with the rows drawn.

The generator is Philox, keyed by HMAC(secret, "audit", batch id): reproducible by whoever holds the secret,
and not to be steered by who writes the rows, for a row's draw depends on its place alone.
"""

from __future__ import annotations

import hmac
import math

import numpy as np
from numpy.typing import NDArray

from dualcontrol.route.audit import PURPOSE

_BLOCK = 16_384
_FAR = 2.0**48


def drawn_rows(secret: bytes, batch_id: str, rows: int, probability: float) -> NDArray[np.int64]:
    """The rows drawn, in order, each by itself with this probability."""
    if probability <= 0.0 or rows == 0:
        return np.empty(0, np.int64)
    if probability >= 1.0:
        return np.arange(rows, dtype=np.int64)
    digest = hmac.digest(secret, f"{PURPOSE}\x00batch\x00{batch_id}".encode(), "sha256")
    bits = np.random.Philox(key=int.from_bytes(digest[:16], "big"))
    parts, last = [], -1
    while last < rows:
        part = _gaps(bits, probability)
        part[0] += last
        parts.append(np.cumsum(part, out=part))
        last = int(part[-1])
    found = np.concatenate(parts)
    return found[: np.searchsorted(found, rows)]


def _gaps(bits: np.random.Philox, probability: float) -> NDArray[np.int64]:
    """Distances from one drawn row to the next, by inversion of 53 random bits each."""
    raw = bits.random_raw(_BLOCK)
    raw >>= np.uint64(11)
    uniform = 1.0 - raw * 2.0**-53
    np.log(uniform, out=uniform)
    uniform /= math.log1p(-probability)
    np.minimum(uniform, _FAR, out=uniform)
    gaps: NDArray[np.int64] = uniform.astype(np.int64)
    gaps += 1
    return gaps
