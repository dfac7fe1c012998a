"""What a person means by the text of an answer, typed or in a file."""

from __future__ import annotations

from dualcontrol.case import ENCODER, JSON
from dualcontrol.cli.reading import loose
from dualcontrol.cli.state import os_user
from dualcontrol.control import Control

TEXTS = ("prefer", "escalate")


def meant(verdict: str, text: str, control: Control | None) -> JSON:
    """The value that a text stands for with this verdict."""
    labels = control.settings.labels if control is not None else None
    if verdict == "label" and labels is not None:
        return label(text, labels)
    if verdict == "respond":
        return _object_or_text(text)
    if verdict in TEXTS and text[:1] not in ('"', "[", "{"):
        return text
    return loose(text)


def label(text: str, labels: tuple[JSON, ...]) -> JSON:
    """The label that a text names: exactly, else as JSON, else without regard to case; else the text's own value."""
    for given in labels:
        if given == text and isinstance(given, str):
            return given
    value = loose(text)
    spelled = ENCODER.encode(value)
    for given in labels:
        if ENCODER.encode(given) == spelled:
            return given
    alike = [given for given in labels if isinstance(given, str) and given.casefold() == text.strip().casefold()]
    return alike[0] if len(alike) == 1 else value


def _object_or_text(text: str) -> JSON:
    value = loose(text)
    return value if isinstance(value, dict | list) else text


def authenticated(person: str) -> str:
    """How we know who answers: the system's user is known to the system, any other name is a claim."""
    return "os" if person == os_user() else "none"
