"""What every event is, and how real numbers are written in one."""

from __future__ import annotations

from dualcontrol.case import Value


def real(number: float | int | str | None) -> str | None:
    """A real number as its shortest round-trip text; levels such as "high" and None pass through."""
    if number is None or isinstance(number, str):
        return number
    return repr(float(number))


def unreal(text: str | None) -> str | float | None:
    """The inverse of `real`."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text


class Event(Value, tag_field="kind", tag=True, frozen=True, kw_only=True):
    """One thing that happened."""


class Unknown(Event, frozen=True, kw_only=True):
    """An event of a version that this program does not know."""

    name: str = ""
