"""What people type and spreadsheets write, read as JSON, numbers and labels."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

from dualcontrol.case import ENCODER, JSON, once
from dualcontrol.control import Control


def parsed(text: str, *, gaps: bool = False, minded: Collection[str] | None = None) -> Any:
    """A JSON value; a key that stands twice is refused, NaN and infinity too unless `gaps` may be written so.

    Where only some keys are looked at, no other is `minded`.
    """

    def members(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
        once([pair for pair in pairs if minded is None or pair[0] in minded])
        return dict(pairs)

    try:
        return json.loads(text, parse_constant=None if gaps else _no_constant, object_pairs_hook=members)
    except RecursionError as error:
        raise ValueError("it is nested too deep to be read") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def loose(text: str) -> Any:
    """The JSON value that a text spells, or the text itself."""
    try:
        return parsed(text)
    except ValueError:
        return text


# What a person means by the text of an answer, typed or in a file.

TEXTS = ("prefer", "escalate")
# Truth values as spreadsheets write them in the languages that also write decimal commas.
TRUE = (
    "true", "wahr", "vrai", "verdadero", "verdadeiro", "vero", "waar", "prawda", "pravda", "sant", "sand", "sann",
    "tosi", "igaz", "doğru", "adevărat", "истина", "істина",
)  # fmt: skip
FALSE = (
    "false", "falsch", "faux", "falso", "onwaar", "fałsz", "nepravda", "falskt", "falsk", "usann", "epätosi", "hamis",
    "yanlış", "fals", "ложь", "хибність",
)  # fmt: skip
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d{1,3})?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")


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


def readings(verdict: str, text: str, control: Control | None, proposed: Sequence[JSON]) -> list[JSON]:
    """What a text of a file may stand for, the likeliest first: a file may have been through a spreadsheet.

    Without a set of labels a text is the label that was proposed, where it spells that one, else what it says.
    """
    first = meant(verdict, text, control)
    if verdict != "label" or (control is not None and control.settings.labels is not None):
        return [first]
    number, word = number_of(text), text.strip().casefold()
    found = [*_spelled(text, proposed), first]
    if number is not None:
        found.append(int(number) if number == number.to_integral_value() else float(number))
    if word in (*TRUE, *FALSE):
        place = 0 if any(isinstance(value, bool) for value in proposed) else len(found)
        found.insert(place, word in TRUE)
    return [*found, text]


def label(text: str, labels: Sequence[JSON]) -> JSON:
    """The label that a text names: exactly, else as JSON or a spreadsheet spells it, else without regard to case.

    Where it names none it is the text's own value.
    """
    found = _spelled(text, labels) or _alike(text, labels)
    return found[0] if len(found) == 1 else loose(text)


def _spelled(text: str, labels: Sequence[JSON]) -> list[JSON]:
    """The label that a text spells, if it is one: spreadsheets write 1 as 1.0 or 1E+00, and true as TRUE or WAHR."""
    if exact := [given for given in labels if isinstance(given, str) and given == text]:
        return exact[:1]
    spelled = ENCODER.encode(loose(text))
    if same := [given for given in labels if ENCODER.encode(given) == spelled]:
        return same[:1]
    found = _said(text, labels) or _numbered(text, labels)
    return found if len(found) == 1 else []


def _alike(text: str, labels: Sequence[JSON]) -> list[JSON]:
    """The texts that differ in case and surrounding space only."""
    return [given for given in labels if isinstance(given, str) and given.strip().casefold() == text.strip().casefold()]


def _numbered(text: str, labels: Sequence[JSON]) -> list[JSON]:
    """The labels that are this number; where none is, the texts that read as it."""
    number = number_of(text)
    if number is None:
        return []
    same = [given for given in labels if not isinstance(given, bool) and isinstance(given, int | float)
            and Decimal(repr(given)) == number]  # fmt: skip
    return same or [given for given in labels if isinstance(given, str) and number_of(given) == number]


def _said(text: str, labels: Sequence[JSON]) -> list[JSON]:
    word = text.strip().casefold()
    return [given for given in labels if isinstance(given, bool) and word in (TRUE if given else FALSE)]


def number_of(text: str) -> Decimal | None:
    """The number that a text is, with a decimal point or comma; None where it is none, or might mean thousands."""
    written = text.strip().replace("\u2212", "-")
    if not _NUMBER.fullmatch(written) or _THOUSANDS.fullmatch(written):
        return None
    return Decimal(written.replace(",", "."))


def _object_or_text(text: str) -> JSON:
    value = loose(text)
    return value if isinstance(value, dict | list) else text
