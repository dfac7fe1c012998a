"""Edit forms from a JSON Schema: one input a property, types kept, integers of any size exact.

What no input can carry without loss (nested objects, lists, unions) is edited as JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from dualcontrol.case import JSON
from dualcontrol.errors import AnswerValueError
from dualcontrol.web.strict import parse

TYPES = {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean"}
ABSENT = "absent"
PREFIX = "f:"


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One input of a form: what it edits, and the text it starts with."""

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

    @property
    def input(self) -> str:
        """The input's name in the form."""
        return f"{PREFIX}{self.name}"


def fields(schema: Mapping[str, JSON] | None, value: JSON) -> tuple[Field, ...]:
    """The inputs for a value; none when only JSON text can edit it."""
    if not isinstance(value, dict) or not _is_plain(schema or {}):
        return ()
    properties = (schema or {}).get("properties") or {}
    required = (schema or {}).get("required") or []
    names = dict.fromkeys([*properties, *value])
    made = [_field(n, properties.get(n), value, required=n in required) for n in names]
    return tuple(sorted(made, key=lambda f: (f.kind in ("long", "json"), f.kind == "json", not f.required)))


def _is_plain(schema: Mapping[str, JSON]) -> bool:
    combined = {"oneOf", "anyOf", "allOf", "$ref", "if", "not"} & set(schema)
    properties = schema.get("properties", {})
    return not combined and schema.get("type", "object") == "object" and isinstance(properties, dict)


def _field(name: str, rule: Any, values: Mapping[str, JSON], *, required: bool) -> Field:
    rule = rule if isinstance(rule, dict) else {}
    present = name in values
    value = values.get(name, rule.get("default"))
    kind, nullable = _kind(rule, value, present)
    if kind == "text" and isinstance(value, str) and (len(value) > 60 or "\n" in value):
        kind = "long"
    return Field(
        name=name, kind=kind, text=_as_text(kind, value, known=present or value is not None), required=required,
        present=present, nullable=nullable, title=str(rule.get("title") or name),
        help=str(rule.get("description") or ""), value=values.get(name),
        options=_options(rule, required) if kind == "choice" else (),
    )  # fmt: skip


def _kind(rule: Mapping[str, JSON], value: JSON, present: bool) -> tuple[str, bool]:
    """The kind of input, and whether null may be said."""
    if isinstance(rule.get("enum"), list):
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
        return compact(value)
    if kind in ("integer", "number") and value is None:
        return ""
    return json.dumps(value)


def compact(value: JSON) -> str:
    """JSON to be edited: a list with one line an item, anything else on one line while that is short."""
    line = json.dumps(value, ensure_ascii=False)
    if isinstance(value, list) and value and len(line) > 80:
        return "[\n" + ",\n".join(f"  {json.dumps(item, ensure_ascii=False)}" for item in value) + "\n]"
    return line if len(line) <= 80 else json.dumps(value, indent=2, ensure_ascii=False)


def _options(rule: Mapping[str, Any], required: bool) -> tuple[tuple[str, str], ...]:
    known = tuple((json.dumps(o), o if isinstance(o, str) else json.dumps(o)) for o in rule["enum"])
    return known if required else (("", "(not set)"), *known)


def collect(known: tuple[Field, ...], given: Mapping[str, Any]) -> dict[str, JSON]:
    """The edited value from a form's texts; `AnswerValueError` names the field that does not fit."""
    value: dict[str, JSON] = {}
    for field in known:
        text = given.get(field.input)
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
    return text.replace("\r\n", "\n").strip("\n") == before.replace("\r\n", "\n").strip("\n")


def _nothing(field: Field) -> JSON:
    if field.nullable:
        return None
    if field.required:
        raise AnswerValueError(f"{field.title} is required", path=[field.name])
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
