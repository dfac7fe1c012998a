"""Parser of what people type and spreadsheets write: JSON, numbers, truth values and labels."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

from dualcontrol.case import ENCODER, JSON, once
from dualcontrol.control import Control
from dualcontrol.verdicts import VERDICTS


def parsed(text: str, *, gaps: bool = False, minded: Collection[str] | None = None) -> Any:
    """A JSON value; a key that stands twice is refused, NaN and infinity too unless `gaps` may be written so.

    Where only some keys are looked at, no other is `minded`.
    """

    def members(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
        once([pair for pair in pairs if minded is None or pair[0] in minded])
        return dict(pairs)

    def no_constant(name: str) -> Any:
        raise ValueError(f"{name} is not a JSON value")

    try:
        return json.loads(text, parse_constant=None if gaps else no_constant, object_pairs_hook=members)
    except RecursionError as error:
        raise ValueError("it is nested too deep to be read") from error


def loose(text: str) -> Any:
    """The JSON value that a text spells, or the text itself."""
    try:
        return parsed(text)
    except ValueError:
        return text


# What a person means by the text of an answer, typed or in a file.

TEXTS = ("ranking", "group")  # values that a plain text may stand for
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
    kind = VERDICTS[verdict].value if verdict in VERDICTS else None
    if kind == "label" and labels is not None:
        return label(text, labels)
    if kind == "response":
        value = loose(text)
        return value if isinstance(value, dict | list) else text
    if kind in TEXTS and text[:1] not in ('"', "[", "{"):
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
    values = [*_spelled(text, proposed), first]
    if number is not None:
        values.append(int(number) if number == number.to_integral_value() else float(number))
    if word in (*TRUE, *FALSE):
        place = 0 if any(isinstance(value, bool) for value in proposed) else len(values)
        values.insert(place, word in TRUE)
    return [*values, text]


def label(text: str, labels: Sequence[JSON]) -> JSON:
    """The label that a text names: exactly, else as JSON or a spreadsheet spells it, else without regard to case.

    Where it names none it is the text's own value.
    """
    word = text.strip().casefold()
    matches = _spelled(text, labels) or [x for x in labels if isinstance(x, str) and x.strip().casefold() == word]
    return matches[0] if len(matches) == 1 else loose(text)


def _spelled(text: str, labels: Sequence[JSON]) -> list[JSON]:
    """The label that a text spells, if it is one: spreadsheets write 1 as 1.0 or 1E+00, and true as TRUE or WAHR."""
    if text in (texts := [label for label in labels if isinstance(label, str)]):
        return [text]
    spelled = ENCODER.encode(loose(text))
    if same := [label for label in labels if ENCODER.encode(label) == spelled]:
        return same[:1]
    word, number = text.strip().casefold(), number_of(text)
    matches: list[JSON] = [label for label in labels if isinstance(label, bool) and word in (TRUE if label else FALSE)]
    if not matches and number is not None:  # the labels that are this number; where none is, the texts that read as it
        numbers = [label for label in labels if isinstance(label, int | float) and not isinstance(label, bool)]
        matches = [label for label in numbers if Decimal(repr(label)) == number]
        matches = matches or [label for label in texts if number_of(label) == number]
    return matches if len(matches) == 1 else []


def number_of(text: str) -> Decimal | None:
    """The number that a text is, with a decimal point or comma; None where it is none, or might mean thousands."""
    written = text.strip().replace("\u2212", "-")
    if not _NUMBER.fullmatch(written) or _THOUSANDS.fullmatch(written):
        return None
    return Decimal(written.replace(",", "."))
