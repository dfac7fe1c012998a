"""The demos: digits, tidy, pairs and fallback, one loop for each mode, and the headless run of the digits."""

from __future__ import annotations

import os
from typing import Any

from dualcontrol.desk import Desk
from dualcontrol.learn.trainers import optional


def start(desk: Desk, folder: str | os.PathLike[str], seed: int = 0) -> Any:
    """Start the four loops' feeders on a desk; see `dualcontrol.demo.feeders.start`."""
    return optional("dualcontrol.demo.feeders", "demo").start(desk, folder, seed)
