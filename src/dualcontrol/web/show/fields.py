"""Edit forms from a JSON Schema: one input a property, types kept, integers of any size exact.

What no input can carry without loss (nested objects, lists, unions) is edited as JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from markupsafe import Markup, escape

from dualcontrol.case import JSON
from dualcontrol.errors import AnswerValueError
from dualcontrol.layout import laid
from dualcontrol.web.show.literal import named
from dualcontrol.web.show.words import brief
from dualcontrol.web.strict import parse

TYPES = {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean"}
ABSENT = "absent"
PREFIX = "f:"
MOST = 60  # inputs of a form
LONGEST = 16_000  # characters in one of them
TOGETHER = 150_000  # bytes of HTML of all of them
OPTIONS, CHOICES = 200, 10_000  # of a choice, and characters in them; more are typed
NAME = 300


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One input of a form: what it edits, the text it starts with, and what is hidden in that.

    Without an input it is `kept` as it is.
    """

    name: str
    kind: str
    text: str
    required: bool = False
    present: bool = True
    nullable: bool = False
    help: str = ""
    title: str = ""
    options: tuple[tuple[str, str], ...] = ()
    value: JSON = None
    default: JSON = None
    kept: bool = False
    hidden: Markup = Markup("")

    @property
    def input(self) -> str:
        """The input's name in the form."""
        return f"{PREFIX}{self.name}"


def fields(schema: Mapping[str, JSON] | None, value: JSON) -> tuple[Field, ...]:
    """The inputs for a value, in its own order; none when only JSON text can edit it.

    What is too much for a form (many fields, long texts) is kept as it is.
    """
    if not isinstance(value, dict) or not _is_plain(schema or {}):
        return ()
    properties = (schema or {}).get("properties") or {}
    required = (schema or {}).get("required") or []
    made: list[Field] = []
    left = TOGETHER
    for name in dict.fromkeys([*value, *properties]):
        field = _kept(name, value)
        if len(made) < MOST and left > 0 and len(name) <= NAME:
            field = _field(name, properties.get(name), value, required=name in required)
            left -= _room(field)
        if len(made) < MOST or name in value:
            made.append(field)
    return tuple(made)


def _room(field: Field) -> int:
    """How many bytes of HTML an input takes."""
    said = (field.name, field.text, field.title, field.help, *(text for option in field.options for text in option))
    return 300 + len(field.hidden) + sum(len(escape(text).encode()) for text in said)


def _kept(name: str, values: Mapping[str, JSON]) -> Field:
    """A field that the form leaves alone."""
    return Field(
        name=name, kind="json", text="", title=name[:60], present=name in values, value=values.get(name), kept=True
    )


def _is_plain(schema: Mapping[str, JSON]) -> bool:
    combined = {"oneOf", "anyOf", "allOf", "$ref", "if", "not"} & set(schema)
    properties = schema.get("properties", {})
    return not combined and schema.get("type", "object") == "object" and isinstance(properties, dict)


def _field(name: str, rule: Any, values: Mapping[str, JSON], *, required: bool) -> Field:
    rule = rule if isinstance(rule, dict) else {}
    present = name in values
    value = values.get(name, rule.get("default"))
    kind, nullable = _kind(rule, value, present)
    if kind == "text" and isinstance(value, str) and (len(value) > 60 or "\n" in value or "\r" in value):
        kind = "long"
    text = _as_text(kind, value, known=present or value is not None)
    if len(text) > LONGEST:
        return _kept(name, values)
    return Field(
        name=name, kind=kind, text=text, required=required, present=present, nullable=nullable,
        title=brief(str(rule.get("title") or name), 120), help=brief(str(rule.get("description") or ""), 400),
        value=values.get(name), default=rule.get("default"),
        options=_options(rule, required) if kind == "choice" else (),
        hidden=named(text) if kind in ("text", "long", "json") else Markup(""),
    )  # fmt: skip


def _kind(rule: Mapping[str, JSON], value: JSON, present: bool) -> tuple[str, bool]:
    """The kind of input, and whether null may be said."""
    if isinstance(rule.get("enum"), list) and _few(rule["enum"]):
        return "choice", False
    said = rule.get("type")
    types = [said] if isinstance(said, str) else list(said) if isinstance(said, list) else []
    nullable = "null" in types
    types = [t for t in types if t != "null"]
    if {"oneOf", "anyOf", "allOf", "$ref"} & set(rule) or len(types) > 1:
        return "json", nullable
    if types:
        kind = TYPES.get(str(types[0]), "json")
        return (kind if _fits(kind, value) else "json"), nullable
    return (_kind_of(value) if present else "json"), nullable


def _few(options: list[JSON]) -> bool:
    return len(options) <= OPTIONS and len(json.dumps(options)) <= CHOICES


def _fits(kind: str, value: JSON) -> bool:
    return value is None or _kind_of(value) == kind or (kind == "number" and _kind_of(value) == "integer")


def _kind_of(value: JSON) -> str:
    if isinstance(value, bool):
        return "boolean"
    return {str: "text", int: "integer", float: "number"}.get(type(value), "json")


def _as_text(kind: str, value: JSON, *, known: bool) -> str:
    if not known:
        return ""
    if kind in ("text", "long"):
        return "" if value is None else str(value)
    if kind == "json":
        return laid(value, LONGEST + 1).text
    if kind in ("integer", "number") and value is None:
        return ""
    return json.dumps(value)


def _options(rule: Mapping[str, Any], required: bool) -> tuple[tuple[str, str], ...]:
    known = tuple((json.dumps(o), o if isinstance(o, str) else json.dumps(o)) for o in rule["enum"])
    return known if required else (("", "(not set)"), *known)


def collect(known: tuple[Field, ...], given: Mapping[str, Any]) -> dict[str, JSON]:
    """The edited value from a form's texts; `AnswerValueError` names the field that does not fit."""
    value: dict[str, JSON] = {}
    for field in known:
        text = None if field.kept else given.get(field.input)
        if text is None:
            if field.present:
                value[field.name] = field.value
            continue
        said = _said(field, str(text))
        if said is not ABSENT:
            value[field.name] = said
    return value


def _said(field: Field, text: str) -> JSON:
    """What a text says; unchanged text keeps the very value it came from."""
    if field.present and _same(text, field.text):
        return field.value
    if field.kind in ("text", "long"):
        unix = text.replace("\r\n", "\n")
        return unix if unix or field.present or field.required else ABSENT
    if not text.strip():
        return _nothing(field)
    return _READ[field.kind](field, text.strip())


def _same(text: str, before: str) -> bool:
    return as_sent(text) == as_sent(before)


def as_sent(text: str) -> str:
    """A text as it comes back from a form that nobody touched: one kind of line ends, and no NUL."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def _nothing(field: Field) -> JSON:
    if field.nullable:
        return None
    if field.required:
        raise AnswerValueError(f"{field.title} is required", path=[field.name])
    if field.default is not None:
        stands = json.dumps(field.default, ensure_ascii=False)
        raise AnswerValueError(
            f"{field.title} is empty, and left out it would be {stands:.60}: write what it is to be", path=[field.name]
        )
    return ABSENT


def _number(field: Field, text: str) -> JSON:
    value = _json(field, text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AnswerValueError(f"{field.title} is a number, not {text[:40]!r}", path=[field.name])
    return value


def _integer(field: Field, text: str) -> JSON:
    value = _number(field, text)
    if not isinstance(value, int):
        raise AnswerValueError(f"{field.title} is a whole number, not {text[:40]!r}", path=[field.name])
    return value


def _json(field: Field, text: str) -> JSON:
    try:
        return parse(text.encode("utf-8", "replace"))
    except json.JSONDecodeError as error:
        raise AnswerValueError(f"{field.title}: not JSON: {error.msg}", path=[field.name]) from error


_READ: dict[str, Callable[[Field, str], JSON]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _json,
    "choice": _json,
    "json": _json,
}
