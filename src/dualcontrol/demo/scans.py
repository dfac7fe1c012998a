"""The scans: scikit-learn's 1,797 handwritten digits, 8 by 8 pixels, and the order in which they come.

The truth is read in two places only: by who labels (the 60 start labels, the scripted reviewer) and by the scorer.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from dualcontrol.case import JSON

SCALE = 16
STARTERS_EACH = 6


class ScanOrder(NamedTuple):
    """Samples labelled before the start, and those that stream past; rows of ``load_digits()``."""

    starters: list[int]
    stream: list[int]


_digits = lru_cache(maxsize=1)(load_digits)


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


def order(seed: int) -> ScanOrder:
    """All scans shuffled by the seed: the first six of each digit are the 60 starters, the rest streams."""
    shuffled: list[int] = np.random.default_rng(seed).permutation(len(_digits().images)).tolist()
    by_digit = ([sample for sample in shuffled if truth(sample) == digit] for digit in range(10))
    starters = [sample for samples in by_digit for sample in samples[:STARTERS_EACH]]
    return ScanOrder(starters, [sample for sample in shuffled if sample not in set(starters)])


# A grey picture as a PNG data URI, written by hand: the demo needs no imaging package.


def data_uri(pixels: Sequence[Sequence[int]], scale: int = 1) -> str:
    """The picture of rows of grey values (0 black, 255 white), each pixel `scale` wide and high."""
    rows = np.array(pixels, dtype=np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)
    header = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], 8, 0, 0, 0, 0)
    lines = b"".join(b"\x00" + row.tobytes() for row in rows)
    png = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")):
        png += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return "data:image/png;base64," + base64.b64encode(png).decode()
