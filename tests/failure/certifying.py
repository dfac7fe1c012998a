"""A reviewer in a process of their own, beside whom evidence is counted: python certifying.py URL PERSON."""

from __future__ import annotations

import sys
import time
from typing import Any

import dualcontrol as dc

PROMISE = {"max_error": 0.2, "adjudicate": False, "miss_rate": 0.0, "blind": False, "pilot": 20, "launch": 0}
SETTINGS: dict[str, Any] = {"mode": "labels", "context": "minimal", "guarantee": PROMISE, "lease": "1s"}
PATIENCE = 2.0


def truth(given: int) -> str:
    """What a case is: every ninth proposal is wrong."""
    return "b" if given % 9 == 0 else "a"


def main(url: str, person: str) -> None:
    """Answer until there is nothing to do for a while."""
    with dc.open(url, durability="process") as desk:
        loop = desk.loop("mail", **SETTINGS)
        print("ready", flush=True)
        last = time.monotonic()
        while time.monotonic() - last < PATIENCE:
            claim = desk.claim(person, "mail")
            if claim is None:
                time.sleep(0.05)
                continue
            claim.label(truth(claim.view["input"]))
            loop.certify()
            last = time.monotonic()
            print("answered", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
