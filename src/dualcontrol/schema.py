"""JSON Schema (draft 2020-12): checking schemas, validating values, binding defaults, canonical forms.

A schema may come from anybody who may propose, so nothing in it may cost more than time linear in the value: patterns
are run by a linear engine (the one of pydantic, so that a gate and its schema agree), equal members are found by their
text, and whoever nests alternatives in alternatives meets a limit on the number of keywords that are looked at.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend
from pydantic import AnyUrl, TypeAdapter
from pydantic import ValidationError as Unfit
from pydantic_core import SchemaError as BadPattern
from pydantic_core import SchemaValidator, core_schema
from referencing import Registry

from dualcontrol.case import ENCODER, JSON

Schema = dict[str, JSON]
FEWEST_STEPS, STEPS_A_NODE = 20_000, 30  # keywords looked at: at least, and for each value in the value
REPEATS = 1_000  # atoms that a pattern may stand for once its counted repetitions are written out
PATTERN_WORK = 40_000_000  # atoms times characters: about a second
DEEPEST = 64  # references followed one into the other
EXACT = 2**53  # up to here every whole number is a float as well
FINER_THAN_MICROSECONDS = re.compile(r"[.,]\d{6}\d*[1-9]")


class Violation(NamedTuple):
    """How a value does not fit its schema, or a schema JSON Schema: what is wrong, where, and with which part."""

    message: str
    path: tuple[str | int, ...] = ()
    instance: JSON = None


class TooMuchWork(Exception):
    """A value or a schema that would take longer than linear time."""


# Schemas


def flaw(schema: Schema) -> Violation | None:
    """What keeps a schema from being used: it is none, or a linear engine cannot read one of its patterns."""
    return _flaw(ENCODER.encode(schema).decode())


@lru_cache(maxsize=512)
def _flaw(text: str) -> Violation | None:
    schema = json.loads(text)
    try:
        Draft202012Validator.check_schema(schema, format_checker=FormatChecker(formats=()))
    except SchemaError as error:
        return Violation(error.message, tuple(error.absolute_path), error.instance)
    except RecursionError:
        return Violation("it is nested too deeply")
    for path, pattern in _patterns(schema):
        why = _unreadable(pattern)
        if why is not None:
            return Violation(f"the pattern {pattern!r:.80} cannot be used: {why}", path, pattern)
    return None


def _patterns(schema: JSON, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every pattern in a schema with its path; what stands in ``const``, ``enum`` and examples is data."""
    if isinstance(schema, list):
        for place, part in enumerate(schema):
            yield from _patterns(part, (*path, place))
    if not isinstance(schema, dict):
        return
    for name, part in schema.items():
        if name == "pattern" and isinstance(part, str):
            yield (*path, name), part
        elif name == "patternProperties" and isinstance(part, dict):
            yield from (((*path, name), pattern) for pattern in part)
        if name in ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas"):
            for key, inner in part.items() if isinstance(part, dict) else ():
                yield from _patterns(inner, (*path, name, key))
        elif name not in ("const", "enum", "default", "examples", "required"):
            yield from _patterns(part, (*path, name))


def _unreadable(pattern: str) -> str | None:
    """Why a pattern is refused, or None."""
    try:
        _matcher(pattern)
    except BadPattern:
        return "it is no regular expression without look-around and back-references"
    if _atoms(pattern) > REPEATS:
        return f"it repeats more than {REPEATS:,} times"
    return None


@lru_cache(maxsize=512)
def _matcher(pattern: str) -> SchemaValidator:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex", strict=True))
    except BadPattern:
        if (spelled := _ECMA.sub(_as_rust, pattern)) == pattern:
            raise
        return SchemaValidator(core_schema.str_schema(pattern=spelled, regex_engine="rust-regex", strict=True))


# What JSON Schema's regular expressions (ECMA-262) spell in another way than the linear engine: NUL, control letters,
# and a bracket that stands for itself in a class.
_ECMA = re.compile(r"\\(?P<nul>0)(?!\d)|\\c(?P<control>[A-Za-z])|\\.|(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\])", re.DOTALL)


def _as_rust(token: re.Match[str]) -> str:
    if token["nul"]:
        return r"\x00"
    if token["control"]:
        return f"\\x{ord(token['control']) % 32:02x}"
    if token["class"]:
        inner = re.sub(
            r"\\.|\[", lambda part: r"\[" if part.group() == "[" else part.group(), token["class"][1:], flags=re.DOTALL
        )
        return "[" + _ECMA.sub(_as_rust, inner)
    return token.group()


@lru_cache(maxsize=512)
def _atoms(pattern: str) -> int:
    """How many characters and classes a pattern stands for once its counted repetitions are written out."""
    sums, last, place = [0], 0, 0
    while place < len(pattern):
        token = _TOKEN.match(pattern, place)
        if token is None:
            break
        text, place = token.group(), token.end()
        if token["group"] is not None:
            sums.append(0)
        elif text == ")":
            last = sums.pop() if len(sums) > 1 else 0
            sums[-1] += last
        elif token["most"] is not None or token["least"] is not None:
            times = max(int(token["most"] or token["least"] or 1), 1)
            sums[-1] += last * (times - 1)
            last *= times
        elif text not in ("|", "^", "$", "*", "+", "?") and not text.startswith("(?"):
            last = 1
            sums[-1] += 1
    return sum(sums)


_TOKEN = re.compile(
    r"(?P<group>\((?:\?(?:P?<[^>]*>|[a-zA-Z-]*:))?(?!\?))|\(\?[a-zA-Z-]*\)"
    r"|\\[pP]\{[^}]*\}|\\x\{[^}]*\}|\\.|\[\^?\]?(?:\\.|\[[^\]]*\]|[^\]\\])*\]?"
    r"|\{(?P<least>\d{1,9})(?:,(?P<most>\d{0,9}))?\}|.",
    re.DOTALL,
)


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern is somewhere in a text, in time linear in it; `TooMuchWork` for a text that is too long."""
    if _atoms(pattern) * len(text) > PATTERN_WORK:
        raise TooMuchWork(f"a text of {len(text):,} characters is too long for the pattern {pattern!r:.80}")
    return _matcher(pattern).isinstance_python(text)


# Validation


def violation(value: JSON, schema: Schema) -> Violation | None:
    """How a value does not fit its schema, or None; asked again for the same, the answer is remembered."""
    if fits_plainly(value, schema):
        return None
    return _violation(ENCODER.encode(value), ENCODER.encode(schema).decode())


@lru_cache(maxsize=64)
def _violation(value: bytes, schema: str) -> Violation | None:
    read = json.loads(value)
    _STEPS.left = FEWEST_STEPS + STEPS_A_NODE * _nodes(read)
    try:
        error = best_match(_validator(schema).iter_errors(read))
    except TooMuchWork as long:
        return Violation(f"cannot be held against its schema in time: {long}")
    except Exception as broken:  # a schema that cannot be applied proves nothing about the value
        return Violation(f"cannot be held against its schema: {broken!s:.200}")
    if error is None:
        return None
    return Violation(f"does not fit: {error.message[:200]}", tuple(error.absolute_path))


@lru_cache(maxsize=512)
def _validator(schema: str) -> Any:
    """A validator that knows this schema and fetches no other."""
    return _LINEAR(json.loads(schema), registry=Registry(), format_checker=FORMATS)


def _nodes(value: JSON) -> int:
    """How many values a value is made of."""
    count, waiting = 0, [value]
    while waiting:
        part = waiting.pop()
        count += 1
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return count


class _Steps(threading.local):
    left: int = 0


_STEPS = _Steps()
Keyword = Callable[..., Any]


def _counted(keyword: Keyword) -> Keyword:
    """A keyword that counts its evaluations: nested alternatives would be evaluated 2ⁿ times."""

    def check(validator: Any, wanted: JSON, instance: JSON, schema: Schema) -> Iterator[ValidationError]:
        _STEPS.left -= 1
        if _STEPS.left < 0:
            raise TooMuchWork("too many alternatives are nested in each other")
        yield from keyword(validator, wanted, instance, schema) or ()

    return check


def _pattern(validator: Any, pattern: str, instance: JSON, schema: Schema) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not matches(pattern, instance):
        yield ValidationError(f"{instance!r:.80} does not match {pattern!r:.80}")


def _pattern_properties(validator: Any, wanted: Schema, instance: JSON, schema: Schema) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, inner in wanted.items():
            for name, part in instance.items():
                if matches(pattern, name):
                    yield from validator.descend(part, inner, path=name, schema_path=pattern)


def _additional(validator: Any, wanted: JSON, instance: JSON, schema: Schema) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    patterns = schema.get("patternProperties", {})
    extra = [n for n in instance if n not in schema.get("properties", {}) and not any(matches(p, n) for p in patterns)]
    if isinstance(wanted, dict):
        for name in extra:
            yield from validator.descend(instance[name], wanted, path=name)
    elif wanted is False and extra:
        names = ", ".join(f"{name!r:.80}" for name in extra[:5])
        yield ValidationError(f"Additional properties are not allowed ({names})")


def _unique(validator: Any, wanted: JSON, instance: JSON, schema: Schema) -> Iterator[ValidationError]:
    if wanted and isinstance(instance, list) and len({plain_text(item) for item in instance}) < len(instance):
        yield ValidationError("it names the same item twice")


_OWN: dict[str, Keyword] = {
    "pattern": _pattern, "patternProperties": _pattern_properties, "additionalProperties": _additional,
    "uniqueItems": _unique,
}  # fmt: skip
_KEYWORDS = {n: _counted(k) for n, k in {**Draft202012Validator.VALIDATORS, **_OWN}.items()}
_LINEAR: Any = extend(Draft202012Validator, _KEYWORDS)  # type: ignore[no-untyped-call]

# Formats of strings: what pydantic makes of a text, or what the standard library does

FORMATS = FormatChecker(formats=())


_DATES, _TIMES, _MOMENTS = TypeAdapter(datetime.date), TypeAdapter(datetime.time), TypeAdapter(datetime.datetime)
_SPANS, _URLS = TypeAdapter(datetime.timedelta), TypeAdapter(AnyUrl)
_NOT_IN_URIS = re.compile(r"[\s\x00-\x1f<>\"{}|\\^`]")


def _check_format(check: Callable[[str], object], *names: str) -> None:
    """Register a check of a format; a text is refused when it raises or gives False, other values have no format."""
    for name in names:
        FORMATS.checks(name, raises=(ValueError, EmailNotValidError, Unfit))(
            lambda instance: not isinstance(instance, str) or check(instance) is not False
        )


def _is_time(text: str, name: str) -> bool:
    """Whether a text is a date, time, moment or duration of ISO 8601, no finer than microseconds."""
    if FINER_THAN_MICROSECONDS.search(text) is not None:
        return False
    if name == "duration":
        _SPANS.validate_python(text)
        return not re.fullmatch(r"[-+]?[\d.]*", text)
    # Pydantic alone reads digits as seconds since 1970; a text is a date where ISO 8601 says the same.
    if name == "date":
        return bool(_DATES.validate_python(text) == datetime.date.fromisoformat(text))
    if name == "time":
        return bool(_TIMES.validate_python(text) == datetime.time.fromisoformat(text))
    return bool(_MOMENTS.validate_python(text) == datetime.datetime.fromisoformat(text))


def _is_uri(text: str) -> bool:
    _URLS.validate_python(text)
    return _NOT_IN_URIS.search(text) is None


def _is_hostname(text: str) -> bool:
    labels = text.removesuffix(".").split(".")
    return len(text) <= 253 and all(re.fullmatch(r"(?!-)[\w-]{1,63}(?<!-)", label) for label in labels)


for _name in ("date", "time", "date-time", "duration"):
    _check_format(partial(_is_time, name=_name), _name)
_check_format(uuid.UUID, "uuid", "uuid1", "uuid3", "uuid4", "uuid5", "uuid6", "uuid7", "uuid8")
_check_format(partial(validate_email, check_deliverability=False), "email", "idn-email")
_check_format(_is_uri, "uri", "iri")
_check_format(lambda text: bool(urlsplit(text)) and _NOT_IN_URIS.search(text) is None, "uri-reference", "iri-reference")
_check_format(_is_hostname, "hostname", "idn-hostname")
for _name, _check in (
    ("ipv4", ipaddress.IPv4Address), ("ipv4network", ipaddress.IPv4Network), ("ipv4interface", ipaddress.IPv4Interface),
    ("ipv6", ipaddress.IPv6Address), ("ipv6network", ipaddress.IPv6Network), ("ipv6interface", ipaddress.IPv6Interface),
    ("ipvanyaddress", ipaddress.ip_address), ("ipvanynetwork", ipaddress.ip_network),
    ("ipvanyinterface", ipaddress.ip_interface), ("json-string", json.loads),
):  # fmt: skip
    _check_format(_check, _name)
_check_format(lambda text: _unreadable(text) is None, "regex")
_check_format(lambda text: re.fullmatch(r"(?:/(?:[^~/]|~[01])*)*", text) is not None, "json-pointer")


# Fast path for the commonest schemas: an object of plain types; all else is left to jsonschema.
#
# Says yes only where jsonschema would (a property test holds it to that); "no" means "ask jsonschema".
# A full validation costs about 25 times as much, and every edited call needs one.


NOTES = frozenset(("title", "description", "default", "examples", "deprecated"))
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
_OBJECT_KEYWORDS = {"type", "properties", "required", "additionalProperties"}


def fits_plainly(value: JSON, schema: JSON) -> bool:
    """Whether a value fits a schema for certain, by its types alone."""
    if not isinstance(schema, dict):
        return False
    kind = schema.get("type")
    if kind == "object":
        if not isinstance(value, dict) or schema.keys() - NOTES - _OBJECT_KEYWORDS:
            return False
        properties, required = schema.get("properties", {}), schema.get("required", ())
        if not isinstance(properties, dict) or not isinstance(required, list | tuple):
            return False
        if not value.keys() <= properties.keys() or not all(name in value for name in required):
            return False
        return all(fits_plainly(item, properties[name]) for name, item in value.items())
    allowed = TYPES.get(kind) if isinstance(kind, str) else None
    return allowed is not None and type(value) in allowed and schema.keys() - NOTES == {"type"}


# Canonical forms


def bound(value: JSON, schema: Schema | None) -> JSON:
    """The value as a program that declared the schema would read it: what is left out stands at its default.

    A whole number that was written as ``3.0`` is ``3`` where the schema asks for an integer.  Where several
    alternatives take a value and would complete it in different ways, it is left as it is.
    """
    if not isinstance(schema, dict) or not isinstance(value, dict | list | float) or _is_whole(value, schema):
        return value
    text = ENCODER.encode(schema).decode()
    if '"anyOf"' not in text and '"oneOf"' not in text:
        return _Binding(schema).bound(value, schema, DEEPEST)
    return json.loads(_bound_text(ENCODER.encode(value), text))


def _is_whole(value: JSON, schema: Schema) -> bool:
    """Whether a flat object leaves nothing out, which most do that a gate proposes."""
    properties = schema.get("properties")
    if type(value) is not dict or type(properties) is not dict or not properties.keys() <= value.keys():
        return False
    for name, part in value.items():
        form = properties.get(name)
        is_number = isinstance(form, dict) and form.get("type") == "number"
        if type(part) not in _WHOLE and not (type(part) is float and is_number):
            return False
    return True


_WHOLE = (str, int, bool, type(None))


@lru_cache(maxsize=64)
def _bound_text(value: bytes, schema: str) -> bytes:
    """`bound` on JSON texts, cached: choosing among alternatives is the expensive part of an edit."""
    read, root = json.loads(value), json.loads(schema)
    _STEPS.left = FEWEST_STEPS + STEPS_A_NODE * _nodes(read)
    try:
        return ENCODER.encode(_Binding(root).bound(read, root, DEEPEST))
    except TooMuchWork:
        return value


class _Binding:
    """Binds the defaults of one schema to values."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._validators: dict[int, Any] = {}

    def bound(self, value: JSON, schema: JSON, depth: int) -> JSON:
        """A value with what it leaves out by this part of the schema; `depth` references may still be followed."""
        if not isinstance(schema, dict) or depth <= 0 or not isinstance(value, dict | list | float):
            return value
        if "$ref" in schema:
            value = self.bound(value, _referred(schema["$ref"], self._root), depth - 1)
        for part in _listed(schema, "allOf"):
            value = self.bound(value, part, depth - 1)
        for choices in (_listed(schema, "anyOf"), _listed(schema, "oneOf")):
            value = self._chosen(value, choices, depth - 1) if choices else value
        if isinstance(value, float):
            whole = schema.get("type") == "integer" and value.is_integer() and abs(value) <= EXACT
            return int(value) if whole else value
        if not isinstance(value, dict | list):  # a part above has made a whole number of it
            return value
        if isinstance(value, list):
            first, rest = _listed(schema, "prefixItems"), schema.get("items")
            return [self.bound(v, first[n] if n < len(first) else rest, depth - 1) for n, v in enumerate(value)]
        named, more = schema.get("properties"), schema.get("additionalProperties")
        properties: dict[str, JSON] = named if isinstance(named, dict) else {}
        full = {name: self.bound(part, properties.get(name, more), depth - 1) for name, part in value.items()}
        for name, inner in properties.items():
            if name not in full and isinstance(inner, dict) and "default" in inner:
                full[name] = self.bound(json.loads(ENCODER.encode(inner["default"])), inner, depth - 1)
        return full

    def _chosen(self, value: JSON, choices: list[JSON], depth: int) -> JSON:
        """The value as the alternatives that take it read it, where they agree."""
        readings: dict[str, JSON] = {}
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            if id(choice) not in self._validators:
                defined: Schema = {k: self._root[k] for k in ("$defs", "definitions") if k in self._root}
                self._validators[id(choice)] = _LINEAR(
                    {**defined, **choice}, registry=Registry(), format_checker=FORMATS
                )
            read = self.bound(value, choice, depth)
            try:
                fits = self._validators[id(choice)].is_valid(read)
            except TooMuchWork:
                raise
            except Exception:  # what cannot be applied takes nothing
                fits = False
            if fits:
                readings[ENCODER.encode(read).decode()] = read
        return next(iter(readings.values())) if len(readings) == 1 else value


def _listed(schema: Schema, name: str) -> list[JSON]:
    part = schema.get(name)
    return part if isinstance(part, list) else []


def _referred(reference: JSON, root: Schema) -> JSON:
    """What a reference within the schema names; None for any other."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    part: JSON = root
    for step in reference.lstrip("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        part = part.get(name) if isinstance(part, dict) else None
    return part


def plain_text(value: JSON) -> str:
    """A value as text that is equal for equal JSON: 3 and 3.0 are one number, true is none."""
    return ENCODER.encode(_numbers(value)).decode()


def _numbers(value: JSON) -> JSON:
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        return int(value)
    if isinstance(value, dict):
        return {name: _numbers(part) for name, part in value.items()}
    return [_numbers(part) for part in value] if isinstance(value, list | tuple) else value


def meaning(value: JSON, schema: Schema | None) -> str:
    """A value as text that is equal for what means the same by its schema.

    3 and 3.0 are one number, a list of unique items has no order, and a text of a known format, such as an identifier,
    a moment or an address, is what it names; so is a number that may also be written as text.
    """
    if not isinstance(schema, dict) or _is_read_as_written(value, schema):
        return plain_text(value)
    return plain_text(_read(value, schema, schema, DEEPEST, leaves=True))


def _is_read_as_written(value: JSON, schema: Schema) -> bool:
    """Whether a flat object has no part that its schema reads in another form, as most have that a gate proposes."""
    properties = schema.get("properties")
    if type(value) is not dict or type(properties) is not dict or not _FORMS.isdisjoint(schema):
        return False
    for name, part in value.items():
        form = properties.get(name)
        if type(part) not in _LEAVES or type(form) is not dict or not _FORMS.isdisjoint(form):
            return False
    return True


_LEAVES = (str, int, float, bool, type(None))
_FORMS = frozenset({"$ref", "allOf", "anyOf", "oneOf", "format"})


def means_same(one: JSON, other: JSON, schema: Schema | None) -> bool:
    """Whether two values mean the same by their schema, which the very same JSON always does."""
    return ENCODER.encode(one) == ENCODER.encode(other) or meaning(one, schema) == meaning(other, schema)


def as_sets(value: JSON, schema: Schema) -> JSON:
    """The value with every list sorted of which the schema says that its items are unique: those have no order."""
    return _read(value, schema, schema, DEEPEST, leaves=False)


def _read(value: JSON, schema: JSON, root: Schema, depth: int, *, leaves: bool) -> JSON:
    if not isinstance(schema, dict) or depth <= 0:
        return value
    if "$ref" in schema:
        value = _read(value, _referred(schema["$ref"], root), root, depth - 1, leaves=leaves)
    for part in [p for name in ("allOf", "anyOf", "oneOf") for p in _listed(schema, name)]:
        value = _read(value, part, root, depth - 1, leaves=leaves)
    if isinstance(value, dict):
        named, more = schema.get("properties"), schema.get("additionalProperties")
        properties = named if isinstance(named, dict) else {}
        return {n: _read(v, properties.get(n, more), root, depth - 1, leaves=leaves) for n, v in value.items()}
    if isinstance(value, list):
        first, rest = _listed(schema, "prefixItems"), schema.get("items")
        parts = [first[n] if n < len(first) else rest for n in range(len(value))]
        items = [_read(v, part, root, depth - 1, leaves=leaves) for v, part in zip(value, parts, strict=True)]
        return sorted(items, key=plain_text) if schema.get("uniqueItems") is True else items
    if not leaves:
        return value
    # A text as what it names: by its format, or as the number that the schema would take in its place.
    kinds = {part.get("type") for part in _listed(schema, "anyOf") if isinstance(part, dict)}
    if {"number", "string"} <= kinds and isinstance(value, str | int | float) and not isinstance(value, bool):
        with contextlib.suppress(ArithmeticError):
            return {"number": str(Decimal(str(value)).normalize())}
    if isinstance(value, str) and (form := _NAMED.get(str(schema.get("format")))) is not None:
        with contextlib.suppress(ValueError, EmailNotValidError, Unfit):
            return form(value)
    return value


def _moment_of(text: str) -> str:
    moment = _MOMENTS.validate_python(text)
    return (moment if moment.tzinfo is None else moment.astimezone(datetime.UTC)).isoformat()


_NAMED: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(("uuid", *(f"uuid{n}" for n in range(1, 9))), lambda text: str(uuid.UUID(text))),
    "date-time": _moment_of,
    "time": lambda text: _TIMES.validate_python(text).isoformat(),
    "duration": lambda text: str(_SPANS.validate_python(text)),
    "email": lambda text: validate_email(text, check_deliverability=False).normalized,
    "uri": lambda text: str(_URLS.validate_python(text)),
    **dict.fromkeys(("ipv4", "ipv6", "ipvanyaddress"), lambda text: str(ipaddress.ip_address(text))),
    **dict.fromkeys(("ipv4network", "ipv6network", "ipvanynetwork"), lambda text: str(ipaddress.ip_network(text))),
}
