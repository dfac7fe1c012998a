"""Times, durations and states in words."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

from dualcontrol import verdicts
from dualcontrol.case import JSON, Review
from dualcontrol.characters import visible

SECOND = 1_000_000
SPECS = verdicts.VERDICTS
VERDICTS = {name: spec.word for name, spec in SPECS.items()}
MODES = {"approval": "Approval", "labels": "Labels", "preference": "Preference", "fallback": "Fallback"}
KINDS = {
    "decide": "Decision", "second": "Second reading", "arbiter": "Arbitration", "audit": "Audit", "probe": "Decision",
}  # fmt: skip
COMPARISON = "Comparison"
TIMEOUTS = {
    "reject": "it is rejected", "hold": "it keeps waiting", "escalate": "it goes to the group above",
    "autopilot": "it goes through as proposed",
}  # fmt: skip
EFFECTS = {
    "none": "No effect", "ready": "Ready to run", "started": "Running", "succeeded": "Done", "failed": "Failed",
    "unknown": "Unknown",
}  # fmt: skip
BY = {"autopilot": "autopilot", "human": "a human", "timeout": "the timeout", "withdrawn": "withdrawal"}
BARE = {True: "true", False: "false", None: "nothing"}
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def kind_of(review: Review | None) -> str:
    """What a review is, in a word."""
    return COMPARISON if review is not None and review.against else KINDS[review.kind if review else "decide"]


def compared(said: dict[str, str]) -> str:
    """What a comparison found of the proposal and of the person's answer."""
    return "; ".join(f"the {side}: {word}" for side, word in said.items())


def duration(micros: int, most: int = 2) -> str:
    """A span in its two largest units: ``2 h 5 min``; units that are 0 are left out, parts of a second cut off."""
    seconds = abs(micros) // SECOND
    parts = []
    for size, unit in UNITS:
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:most]) or "0 s"


def rough(micros: int) -> str:
    """A span in its largest unit: ``2 h``."""
    return duration(micros, 1)


def relative(at: int, now: int) -> str:
    """A moment as seen from now: ``3 min ago``, ``in 2 h``, ``just now``."""
    if abs(at - now) < 5 * SECOND:
        return "just now"
    return f"in {rough(at - now)}" if at > now else f"{rough(now - at)} ago"


def absolute(at: int) -> str:
    """A moment in full: ``2026-11-22 17:44:21 UTC``."""
    return f"{datetime.fromtimestamp(at / SECOND, UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(at: int) -> str:
    """A moment as an HTML time element takes it."""
    return f"{datetime.fromtimestamp(at / SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"


def percent(share: float | None) -> str:
    """A share as people say it: ``93 %``, ``0.4 %``; a dash when there is none."""
    if share is None:
        return "–"
    return f"{share * 100:.{1 if 0 < share < 0.1 else 0}f} %".replace(".0 ", " ")


def number(value: float | None) -> str:
    """A confidence or score with two digits; a dash when there is none."""
    return "–" if value is None else f"{value:.2f}"


def count(many: int, one: str, more: str | None = None) -> str:
    """A number with its noun: ``1 answer``, ``1,204 answers``."""
    return f"{many:,} {one if many == 1 else more or one + 's'}"


def brief(value: JSON, most: int = 90, depth: int = 0) -> str:
    """A value on one line, in the caller's order; only its beginning is looked at."""
    if isinstance(value, dict):
        value = (
            value["text"] if set(value) == {"text"} else value.get("alt", "an image") if "$image" in value else value
        )
    if isinstance(value, str) and value.startswith("data:image/"):
        value = "an image"
    few = max(most // 2, 4)  # of the items of a list or an object
    if isinstance(value, dict | list) and depth >= 3:
        text = f"{{{len(value)}}}" if isinstance(value, dict) else f"[{len(value)}]"
    elif isinstance(value, dict):
        items = islice(value.items(), few)
        text = ", ".join(f"{one_line(k, 30)[:30]} {brief(v, 30, depth + 1)}" for k, v in items)
    elif isinstance(value, list):
        text = ", ".join(brief(v, 30, depth + 1) for v in islice(value, few))
    else:
        text = BARE[value] if isinstance(value, bool | None) else str(value)
    line = one_line(text, most)
    short = line if len(line) <= most else line[: most - 1]
    while len(short) > 4 and len(visible(short)) > 3 * most:  # the names of what hides in it take more room
        short = short[: len(short) // 2]
    return line if len(short) == len(line) else f"{short}…"


def one_line(text: str, most: int) -> str:
    """The beginning of a text, long enough to be cut to `most`, its line ends and runs of spaces as single spaces."""
    start = text.lstrip(" \t\r\n")[: 8 * most]
    return " ".join(word for word in start.replace("\t", " ").replace("\r", " ").replace("\n", " ").split(" ") if word)


def afterwards(kind: str, on_timeout: str) -> str:
    """What happens when a review's time is over: the time of an audit ends nothing, its case is settled."""
    return TIMEOUTS["hold" if kind in ("audit", "probe") else on_timeout]


def sentence(text: str) -> str:
    """A text that begins with a capital letter."""
    return text[:1].upper() + text[1:]
