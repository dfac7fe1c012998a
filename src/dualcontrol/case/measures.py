"""Risk and durations as numbers."""

from __future__ import annotations

from functools import lru_cache

RISK_LEVELS: dict[str, float] = {"low": 0.25, "medium": 0.5, "high": 0.75, "critical": 1.0}


def risk_number(risk: str | float | None) -> float:
    """A risk level or number as a number; no risk is 0, a level nobody knows is the highest."""
    return RISK_LEVELS.get(risk, 1.0) if isinstance(risk, str) else float(risk or 0.0)


def is_low(risk: str | float | None) -> bool:
    """Whether somebody said that the risk is low; a risk that nobody stated or knows is not."""
    return risk is not None and risk_number(risk) <= RISK_LEVELS["low"]


def is_high(risk: str | float | None) -> bool:
    """Whether the risk is high or more."""
    return risk_number(risk) >= RISK_LEVELS["high"]


@lru_cache(maxsize=256, typed=True)
def microseconds(text: str | int | float | None) -> int | None:
    """A duration such as ``"15m"``, ``"7d"`` or a number of seconds, in microseconds; None stays None."""
    if text is None:
        return None
    if isinstance(text, bool):
        raise ValueError('a duration is a number of seconds or text such as "15m"')
    if isinstance(text, int | float):
        return int(text * 1_000_000)
    units = {"ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    number = text.strip().rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text.strip()[len(number) :] or "s"
    if unit not in units:
        raise ValueError(f"{text!r} is not a duration; write a number and one of ms, s, m, h, d, w")
    return int(float(number) * units[unit] * 1_000_000)
