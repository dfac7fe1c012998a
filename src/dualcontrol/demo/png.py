"""A grey picture as a PNG data URI, written by hand: the demo needs no imaging package."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence


def data_uri(pixels: Sequence[Sequence[int]], scale: int = 1) -> str:
    """The picture of rows of grey values (0 black, 255 white), each pixel `scale` wide and high."""
    rows = [bytes(value for value in row for _ in range(scale)) for row in pixels]
    body = b"".join(b"\x00" + row for row in rows for _ in range(scale))
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows) * scale, 8, 0, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(body, 9)), _chunk(b"IEND", b""))
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
