"""What the release before left in a database: entries and rows without what that release did not write."""

from __future__ import annotations

import json
from typing import Any

from newer import connected

from dualcontrol.events import link

# The fields that came later, by kind of event; and those of what governs a loop.
LATER = {"AutopilotClosed": ("cause", "model"), "EpochBegan": ("cut",)}
CONTROL = ("causes",)


def made_older(url: str) -> int:
    """Take from every loop's stream and row what came later, hashes and all; how many events lost something."""
    changed = 0
    with connected(url) as database:
        mark = "?" if url.startswith("sqlite") else "%s"
        streams = "SELECT id, control FROM loops ORDER BY id"
        for loop_id, control in list(database.execute(streams).fetchall()):
            head = ""
            bodies = f"SELECT seq, body FROM entries WHERE stream = 'loop/{loop_id}' ORDER BY seq"
            for seq, body in list(database.execute(bodies).fetchall()):
                entry = json.loads(body)
                lost = [_without(event, LATER.get(event["kind"], ())) for event in entry["events"]]
                changed += sum(lost)
                text = _text(entry) if any(lost) else body
                head = link(head, text.encode())
                write = f"UPDATE entries SET body = {mark}, hash = {mark} WHERE stream = {mark} AND seq = {mark}"
                database.execute(write, (text, head, f"loop/{loop_id}", seq))
            row = json.loads(control)
            _without(row, CONTROL)
            database.execute(f"UPDATE loops SET control = {mark}, head = {mark}", (_text(row), head))
    return changed


def _without(value: dict[str, Any], names: tuple[str, ...]) -> bool:
    return sum(value.pop(name, None) is not None for name in names) > 0


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
