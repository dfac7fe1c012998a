"""The scans: scikit-learn's 1,797 handwritten digits, 8 by 8 pixels, and the order in which they come.

The truth is read in two places only: by who labels (the 60 start labels, the scripted reviewer) and by the scorer.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from dualcontrol.case import JSON

SCALE = 16
STARTERS_EACH = 6


class ScanOrder(NamedTuple):
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


def order(seed: int) -> ScanOrder:
    """All scans shuffled by the seed: the first six of each digit are the 60 starters, the rest streams."""
    shuffled = [int(sample) for sample in np.random.default_rng(seed).permutation(count())]
    starters = [sample for digit in range(10) for sample in _first(shuffled, digit)]
    taken = set(starters)
    return ScanOrder(starters, [sample for sample in shuffled if sample not in taken])


def _first(shuffled: list[int], digit: int) -> list[int]:
    return [sample for sample in shuffled if truth(sample) == digit][:STARTERS_EACH]


# A grey picture as a PNG data URI, written by hand: the demo needs no imaging package.


def data_uri(pixels: Sequence[Sequence[int]], scale: int = 1) -> str:
    """The picture of rows of grey values (0 black, 255 white), each pixel `scale` wide and high."""
    rows = [bytes(value for value in row for _ in range(scale)) for row in pixels]
    body = b"".join(b"\x00" + row for row in rows for _ in range(scale))
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows) * scale, 8, 0, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(body, 9)), _chunk(b"IEND", b""))
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
