"""The picture that is written by hand is a PNG that others can read."""

from __future__ import annotations

import base64
import struct
import zlib

from dualcontrol.demo.scans import data_uri


def test_pixels_come_back_scaled():
    kind, _, body = data_uri([[0, 255], [128, 7]], scale=2).partition("base64,")
    raw = base64.b64decode(body)
    assert kind == "data:image/png;"
    assert raw.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">IIB", raw[16:25]) == (4, 4, 8)
    length = struct.unpack(">I", raw[33:37])[0]
    assert zlib.decompress(raw[41 : 41 + length]) == b"".join(
        b"\x00" + bytes(row) for row in ([0, 0, 255, 255], [0, 0, 255, 255], [128, 128, 7, 7], [128, 128, 7, 7])
    )
    assert struct.unpack(">I", raw[-4:])[0] == zlib.crc32(b"IEND")
