"""Moments as people say them."""

from __future__ import annotations

from datetime import UTC, datetime

UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def span(microseconds: int) -> str:
    """A length of time in its two largest units: ``2 h 5 min``."""
    seconds = round(abs(microseconds) / 1_000_000)
    said: list[str] = []
    for name, size in UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            said.append(f"{count} {name}")
        elif said:
            break
    return " ".join(said[:2]) or "0 s"


def ago(at: int | None, now: int) -> str:
    """A moment as seen from now: ``5 min ago``, ``in 2 h``."""
    if at is None:
        return ""
    if abs(now - at) < 1_000_000:
        return "now"
    return f"{span(now - at)} ago" if at < now else f"in {span(at - now)}"


def due(at: int | None, now: int) -> str:
    """When an answer is due: ``in 5 min``, or ``late by 2 h``."""
    if at is None:
        return "no limit"
    return f"late by {span(now - at)}" if at < now else f"in {span(at - now)}"


def stamp(at: int | None) -> str:
    """A moment in ISO 8601, UTC, to the second."""
    if at is None:
        return ""
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
