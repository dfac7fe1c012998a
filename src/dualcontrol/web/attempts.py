"""Rate limit of wrong tokens: by door and client, and by all clients together.

A client may miss `BURST` times at once and once each `PAUSE` after that; all together have a larger allowance.  What
comes sooner is not looked at, right or wrong, so that nobody learns anything by guessing on.  Waiting is short and
never grows: an owner who mistyped waits seconds.  Whoever has brought the right token from an address before is let
in there whatever others try, and sessions bring no token at all.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

PAUSE, BURST = 6.0, 10
PAUSE_OF_ALL, BURST_OF_ALL = 1.0, 100
PROVEN = 3600.0
CLIENTS = 10_000
ALL = ""
Key = TypeVar("Key", str, tuple[str, str])


class Attempts:
    """The misses of one server, counted as a leaking bucket; safe for many threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._full: OrderedDict[tuple[str, str], float] = OrderedDict()  # when a bucket will have leaked empty
        self._proven: OrderedDict[str, float] = OrderedDict()

    def wait(self, door: str, client: str, *, right: bool) -> int:
        """Count one attempt; 0 where it counts as what it is, else the whole seconds before one is looked at again."""
        with self._lock:
            now = self._clock()
            proven = now - self._proven.get(client, -PROVEN) < PROVEN
            if right and proven:
                return 0
            left = self._left((door, client), now, PAUSE, BURST)
            if not proven:
                left = max(left, self._left((door, ALL), now, PAUSE_OF_ALL, BURST_OF_ALL))
            if left > 0:
                return math.ceil(left)
            if right:
                _note(self._proven, client, now)
                return 0
            _note(self._full, (door, client), max(self._full.get((door, client), now), now) + PAUSE)
            _note(self._full, (door, ALL), max(self._full.get((door, ALL), now), now) + PAUSE_OF_ALL)
            return 0

    def proven(self, client: str) -> bool:
        """Whether somebody has brought a right secret from there not long ago."""
        with self._lock:
            return self._clock() - self._proven.get(client, -PROVEN) < PROVEN

    def closed(self, door: str, client: str) -> int:
        """The whole seconds before one more attempt is looked at; 0 where one is now.  Counts nothing."""
        with self._lock:
            now = self._clock()
            of_client = self._left((door, client), now, PAUSE, BURST)
            return math.ceil(max(of_client, self._left((door, ALL), now, PAUSE_OF_ALL, BURST_OF_ALL), 0.0))

    def _left(self, bucket: tuple[str, str], now: float, pause: float, burst: int) -> float:
        """How long until a bucket takes one more."""
        return self._full.get(bucket, now) - now - (burst - 1) * pause


def _note(table: OrderedDict[Key, float], key: Key, value: float) -> None:
    """Keep a value, and of all the latest only."""
    table[key] = value
    table.move_to_end(key)
    while len(table) > CLIENTS:
        table.popitem(last=False)


def client_of(address: tuple[str, int] | None) -> str:
    """Who is asking, by address; the addresses of one IPv6 network are one client, for one machine has them all."""
    host = address[0] if address else "unknown"
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.IPv6Network((ip, 64), strict=False))
