"""The trainers by name: settings check a name without loading what is behind it."""

from __future__ import annotations

import re

# Module of ours and the extra that it needs, by the name in the settings.
TRAINERS: dict[str, tuple[str, str]] = {"sklearn": ("dualcontrol.learn.sklearn_trainer", "learn")}
NONE = ("export", "off")
OWN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")  # a trainer of the user's, as module:attribute


def known(name: str) -> bool:
    """Whether a name stands for a trainer: one of ours, none, or the user's own."""
    return name in TRAINERS or name in NONE or OWN.fullmatch(name) is not None
