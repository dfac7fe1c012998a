"""What a value may be: one check for each kind; nothing is converted, what does not fit is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import msgspec

from dualcontrol.case import ENCODER, RISK_LEVELS, microseconds
from dualcontrol.learn.names import NONE, TRAINERS, known
from dualcontrol.names import identity, written
from dualcontrol.route.promise import HINTS, beyond
from dualcontrol.settings.place import Place, nearest
from dualcontrol.settings.schemas import check_schema

Check: TypeAlias = Callable[[Any, Place], Any]

CENTURY = 36_525 * 86_400_000_000
MOST_PEOPLE = 1_000
CONTEXT_FIELDS = ("input", "proposal", "rationale", "alternatives", "history")
MARKDOWN_FIELDS = (*CONTEXT_FIELDS, "meta", "answer")
SIGNAL_FIELDS = ("meta", "confidence", "risk", "scores", "segment")


def listed(value: Any, place: Place, wanted: str) -> list[Any]:
    """A list."""
    if isinstance(value, list):
        return value
    raise place.wrong(wanted, value)


def text(value: Any, place: Place) -> str:
    """Text that is not empty."""
    if not _is_text(value):
        raise place.wrong("text that is not empty", value)
    return str(value)


def _is_text(value: Any) -> bool:
    """Whether this is text that is not empty and that every database takes."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return False
    return value.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in value)


def secret(value: Any, place: Place) -> str:
    """Text that is never shown."""
    if not _is_text(value):
        raise place.error(f"{place.words} must be text that is not empty")
    return str(value)


def key_material(value: Any, place: Place) -> str:
    """A secret that is long enough that nobody guesses it."""
    if len(secret(value, place)) < 16:
        raise place.error(f"{place.words} must have at least 16 characters")
    return str(value)


def database_url(value: Any, place: Place) -> str:
    """The address of a SQLite or PostgreSQL database."""
    url = secret(value, place)
    try:
        scheme = urlsplit(url).scheme.partition("+")[0]
    except ValueError:
        raise place.error(f"{place.words} is not an address") from None
    if scheme not in ("sqlite", "postgresql", "postgres") or "://" not in url:
        near = nearest(scheme, ("sqlite", "postgresql")) if scheme else None
        raise place.error(
            f"{place.words} must begin with sqlite:/// or postgresql://, not {scheme or 'anything else'}",
            near=near,
        )
    return url


def flag(value: Any, place: Place) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        near = value.casefold() if isinstance(value, str) and value.casefold() in ("true", "false") else None
        raise place.wrong("true or false", value, near)
    return value


def whole(low: int, high: int) -> Check:
    """A whole number from `low` to `high`."""
    wanted = f"a whole number from {low} to {high}"

    def check(value: Any, place: Place) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise place.wrong(wanted, value)
        if not low <= value <= high:
            raise place.wrong(wanted, value)
        return value

    return check


def _is_number(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool)
    return isinstance(value, float) and math.isfinite(value)


def _percent(value: Any) -> float | None:
    return value / 100 if _is_number(value) and 1 < value <= 100 else None


def share(value: Any, place: Place) -> float:
    """A number from 0 to 1."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise place.wrong("a number from 0 to 1", value, _percent(value))
    return float(value)


def between(value: Any, place: Place) -> float:
    """A number above 0 and below 1."""
    if not _is_number(value) or not 0 < value < 1:
        raise place.wrong("a number above 0 and below 1", value, _percent(value))
    return float(value)


def promised(name: str) -> Check:
    """A share that can be promised: not 0, not 1, and not so small that no number of labels carries it."""

    def check(value: Any, place: Place) -> float:
        if not _is_number(value) or not 0 < value < 1:
            raise place.wrong("a number above 0 and below 1", value, _percent(value), hint=HINTS[name])
        said = beyond(name, value)
        if said is not None:
            raise place.error(f"{place.words} is {value!r}: {said}", hint=HINTS[name])
        return float(value)

    return check


NONE_FOUND = "Who misses every error finds none, so that nothing could be certified; leave it out, or say 0.1."


def missed(value: Any, place: Place) -> float:
    """A share that is not the whole: who misses every error finds none."""
    if not _is_number(value) or not 0 <= value < 1:
        raise place.wrong("a number of at least 0 and below 1", value, _percent(value), hint=NONE_FOUND)
    return float(value)


def positive(value: Any, place: Place) -> float:
    """A number above 0, and at most 1."""
    if not _is_number(value) or not 0 < value <= 1:
        raise place.wrong("a number above 0 and at most 1", value, _percent(value))
    return float(value)


def word(*words: str) -> Check:
    """One of a few words."""

    def check(value: Any, place: Place) -> str:
        if not isinstance(value, str) or value not in words:
            near = nearest(value, words) if isinstance(value, str) else None
            raise place.wrong(_either(words), value, near)
        return value

    return check


def _either(words: tuple[str, ...]) -> str:
    return ", ".join(words[:-1]) + f" or {words[-1]}"


def risk(value: Any, place: Place) -> str | float:
    """A risk level, or a number from 0 to 1."""
    if isinstance(value, str):
        return str(word(*RISK_LEVELS)(value, place))
    if not _is_number(value) or not 0 <= value <= 1:
        raise place.wrong(f"{_either(tuple(RISK_LEVELS))}, or a number from 0 to 1", value, _percent(value))
    return float(value)


def duration(value: Any, place: Place) -> str | int | float:
    """A time longer than nothing: a number of seconds or text such as ``15m``."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            if 0 < (microseconds(value) or 0) <= CENTURY:
                return value
        except (ValueError, OverflowError):
            pass
    raise place.wrong('a time such as "90s", "15m", "8h" or "7d", or a number of seconds, above 0', value)


def pause(value: Any, place: Place) -> str | int | float:
    """A time that may be nothing."""
    return value if _is_number(value) and value == 0 else duration(value, place)


def texts(value: Any, place: Place) -> tuple[str, ...]:
    """A list of texts that are not empty."""
    items = listed(value, place, 'a list of texts, such as ["one", "two"]')
    for item in items:
        if not _is_text(item):
            raise place.wrong("a list of texts that are not empty", item)
    return tuple(items)


def distinct(value: Any, place: Place) -> tuple[str, ...]:
    """A list of texts, each named once."""
    names = texts(value, place)
    twice = next((n for i, n in enumerate(names) if n in names[:i]), None)
    if twice is not None:
        raise place.error(f"{place.words} names {twice!r} twice: each segment has one certificate")
    return names


def people(value: Any, place: Place) -> tuple[str, ...]:
    """The members of a group, each named once."""
    names = tuple(map(written, texts(value, place)))
    keys = [identity(name) for name in names]
    if "" in keys:
        raise place.wrong("names with a sign that can be seen", value)
    twice = next((i for i, key in enumerate(keys) if key in keys[:i]), None)
    if twice is not None:
        first = names[keys.index(keys[twice])]
        which = f"{first!r} twice" if first == names[twice] else f"{first!r} and {names[twice]!r}, one person,"
        raise place.error(f"{place.words} names {which}: a quorum counts persons, not entries")
    return names


def context(value: Any, place: Place) -> str | tuple[str, ...]:
    """A context level, or a list of required fields; ``input.customer`` names a field of a field."""
    if isinstance(value, str):
        return str(word("minimal", "standard", "full")(value, place))
    fields = texts(value, place)
    for field in fields:
        head = field.partition(".")[0]
        if head not in CONTEXT_FIELDS + SIGNAL_FIELDS:
            near = nearest(head, CONTEXT_FIELDS + SIGNAL_FIELDS)
            raise place.error(f"{place.words} names an unknown field {field!r}", near=near)
    if not fields:
        raise place.wrong("minimal, standard, full or a list of at least one field", value)
    return fields


def markdown(value: Any, place: Place) -> tuple[str, ...]:
    """The fields that hold markdown, each named once; ``input.mail`` names a field of a field."""
    fields = texts(value, place)
    for at, field in enumerate(fields):
        head, *rest = field.split(".")
        if head not in MARKDOWN_FIELDS:
            near = "proposal" if head in ("args", "arguments") else nearest(head, MARKDOWN_FIELDS)
            raise place.error(f"{place.words} names an unknown field {field!r}", near=near)
        if not all(rest):
            raise place.error(f"{place.words} names {field!r}, in which a name between dots is empty")
        if field in fields[:at]:
            raise place.error(f"{place.words} names {field!r} twice")
    return fields


def settle(value: Any, place: Place) -> str | int:
    """How equal answers settle: a word, or how many must agree."""
    if isinstance(value, str):
        if value in ("unanimous", "majority", "collect"):
            return value
        near = nearest(value, ("unanimous", "majority", "collect"))
        wanted = "unanimous, majority or collect, or the number of equal answers that settle, such as 2"
        raise place.wrong(wanted, value, near)
    return int(whole(1, MOST_PEOPLE)(value, place))


def trainer(value: Any, place: Place) -> str:
    """A trainer of ours, none, or one of the user's own."""
    name = text(value, place)
    if known(name):
        return name
    names = (*sorted(TRAINERS), *NONE)
    raise place.wrong(f'{", ".join(names)}, or "module:attribute" of your own', value, nearest(name, names))


def labels(value: Any, place: Place) -> tuple[Any, ...]:
    """A list of JSON values, each once."""
    items = listed(value, place, 'a list, such as ["spam", "ham"]')
    seen: set[str] = set()
    for item in items:
        shape = _canonical(item, place)
        if shape in seen:
            raise place.error(f"{place.words} has {shape} twice")
        seen.add(shape)
    if not items:
        raise place.error(f"{place.words} must name at least one label")
    return tuple(items)


def _canonical(value: Any, place: Place) -> str:
    try:
        ENCODER.encode(value)
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        raise place.wrong("JSON values (no dates, no infinity)", value) from None


def schema(value: Any, place: Place) -> dict[str, Any]:
    """A JSON Schema."""
    if not isinstance(value, dict):
        raise place.wrong("a table that holds a JSON Schema", value)
    _canonical(value, place)
    check_schema(value, place)
    return value
