"""Risk as a level or a number: compared on one scale, given back as it was written."""

from __future__ import annotations

from dualcontrol.case import RISK_LEVELS

Risk = str | float | None


class UnknownRiskError(ValueError):
    """The risk is neither a known level nor a number from 0 to 1."""


def number(risk: str | float) -> float:
    """The risk on the scale from 0 to 1; raises UnknownRiskError for anything that is not on it."""
    if isinstance(risk, str):
        level = RISK_LEVELS.get(risk)
        if level is None:
            raise UnknownRiskError(f"the risk is none of the levels {', '.join(RISK_LEVELS)}")
        return level
    if isinstance(risk, bool) or not 0.0 <= risk <= 1.0:
        raise UnknownRiskError("the risk is not a number from 0 to 1")
    return float(risk)


def known(risk: Risk) -> bool:
    """Whether this risk can be compared; no risk at all can."""
    return why_unknown(risk) is None


def why_unknown(risk: Risk) -> str | None:
    """What is wrong with this risk, or None when it can be compared."""
    try:
        if risk is not None:
            number(risk)
    except UnknownRiskError as error:
        return str(error)
    except TypeError:
        return "the risk is not a number from 0 to 1"
    return None


def higher(first: Risk, second: Risk) -> Risk:
    """The higher of two risks, the first where they are equal; one that cannot be compared is the highest."""
    if second is None or not known(first):
        return first
    if first is None or not known(second):
        return second
    return second if number(second) > number(first) else first


def above(risk: Risk, ceiling: Risk) -> bool:
    """Whether the risk is above the ceiling; exactly at it is not above, nor is no risk."""
    return risk is not None and ceiling is not None and number(risk) > number(ceiling)
