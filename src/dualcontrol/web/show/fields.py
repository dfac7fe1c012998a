"""Edit forms from a JSON Schema: one input a property, types kept, integers of any size exact.

What no input can carry without loss (nested objects, lists, unions) is edited as JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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
KINDS = {str: "text", int: "integer", float: "number", bool: "boolean"}
COMBINED = {"oneOf", "anyOf", "allOf", "$ref"}
PREFIX = "f:"
MOST = 60  # inputs of a form
LONGEST = 16_000  # characters in one of them
TOGETHER = 150_000  # bytes of HTML of all of them
OPTIONS, CHOICES = 200, 10_000  # of a choice, and characters in them; more are typed
NAME = 300


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One input of a form: what it edits, the text it starts with, and what is hidden in that.

    A `fixed` one has no input: its value stays as it is.
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
    fixed: bool = False
    hidden: Markup = Markup("")

    @property
    def input(self) -> str:
        """The input's name in the form."""
        return f"{PREFIX}{self.name}"


def fields(schema: Mapping[str, JSON] | None, value: JSON) -> tuple[Field, ...]:
    """The inputs for a value, in its own order; none when only JSON text can edit it.

    What is too much for a form (many fields, long texts) stays as it is.
    """
    schema = schema or {}
    combined = (COMBINED | {"if", "not"}) & set(schema)
    if combined or schema.get("type", "object") != "object" or not isinstance(schema.get("properties", {}), dict):
        return ()
    if not isinstance(value, dict):
        return ()
    properties = schema.get("properties") or {}
    required = schema.get("required") or []
    inputs: list[Field] = []
    left = TOGETHER
    for name in dict.fromkeys([*value, *properties]):
        field = Field(
            name=name, kind="json", text="", title=name[:60], present=name in value, value=value.get(name), fixed=True
        )
        if len(inputs) < MOST and left > 0 and len(name) <= NAME:
            field = _field(field, properties.get(name), required=name in required)
            texts = (
                field.name,
                field.text,
                field.title,
                field.help,
                *(text for pair in field.options for text in pair),
            )
            left -= 300 + len(field.hidden) + sum(len(escape(text).encode()) for text in texts)
        if len(inputs) < MOST or name in value:
            inputs.append(field)
    return tuple(inputs)


def _field(fixed: Field, rule: Any, *, required: bool) -> Field:
    """The input for a property under its rule; a text that is too long stays `fixed`."""
    rule = rule if isinstance(rule, dict) else {}
    value = fixed.value if fixed.present else rule.get("default")
    kind, nullable = _kind(rule, value, fixed.present)
    if kind == "text" and isinstance(value, str) and (len(value) > 60 or "\n" in value or "\r" in value):
        kind = "long"
    if value is None and (not fixed.present or kind in ("text", "long", "integer", "number")):
        text = ""
    elif kind in ("text", "long"):
        text = str(value)
    else:
        text = laid(value, LONGEST + 1).text if kind == "json" else json.dumps(value)
    if len(text) > LONGEST:
        return fixed
    options: tuple[tuple[str, str], ...] = ()
    if kind == "choice":
        options = () if required else (("", "(not set)"),)
        options += tuple((json.dumps(o), o if isinstance(o, str) else json.dumps(o)) for o in rule["enum"])
    return Field(
        name=fixed.name, kind=kind, text=text, required=required, present=fixed.present, nullable=nullable,
        title=brief(str(rule.get("title") or fixed.name), 120), help=brief(str(rule.get("description") or ""), 400),
        value=fixed.value, default=rule.get("default"), options=options,
        hidden=named(text) if kind in ("text", "long", "json") else Markup(""),
    )  # fmt: skip


def _kind(rule: Mapping[str, JSON], value: JSON, present: bool) -> tuple[str, bool]:
    """The kind of input, and whether null may be said."""
    choice = rule.get("enum")
    if isinstance(choice, list) and len(choice) <= OPTIONS and len(json.dumps(choice)) <= CHOICES:
        return "choice", False
    stated = rule.get("type")
    types = [stated] if isinstance(stated, str) else list(stated) if isinstance(stated, list) else []
    nullable = "null" in types
    types = [t for t in types if t != "null"]
    own = KINDS.get(type(value), "json")
    if COMBINED & set(rule) or len(types) > 1 or not (types or present):
        return "json", nullable
    if not types:
        return own, nullable
    kind = TYPES.get(str(types[0]), "json")
    fits = value is None or own == kind or (kind == "number" and own == "integer")
    return (kind if fits else "json"), nullable


def collect(known: tuple[Field, ...], form: Mapping[str, Any]) -> dict[str, JSON]:
    """The edited value from a form's texts; `AnswerValueError` names the field that does not fit.

    Unchanged text keeps the very value it came from.
    """
    value: dict[str, JSON] = {}
    for field in known:
        text = None if field.fixed else form.get(field.input)
        if text is None or (field.present and as_sent(str(text)) == as_sent(field.text)):
            if field.present:
                value[field.name] = field.value
            continue
        text = str(text)
        if field.kind in ("text", "long"):
            unix = text.replace("\r\n", "\n")
            if unix or field.present or field.required:
                value[field.name] = unix
        elif text.strip():
            value[field.name] = _read(field, text.strip())
        elif field.nullable:
            value[field.name] = None
        elif field.required:
            raise AnswerValueError(f"{field.title} is required", path=[field.name])
        elif field.default is not None:
            stands = json.dumps(field.default, ensure_ascii=False)
            raise AnswerValueError(
                f"{field.title} is empty, and left out it would be {stands:.60}: write what it is to be",
                path=[field.name],
            )
    return value


def as_sent(text: str) -> str:
    """A text as it comes back from a form that nobody touched: one kind of line ends, and no NUL."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def _read(field: Field, text: str) -> JSON:
    """The value that a text stands for, where the input is of numbers or JSON."""
    try:
        value = parse(text.encode("utf-8", "replace"))
    except json.JSONDecodeError as error:
        raise AnswerValueError(f"{field.title}: not JSON: {error.msg}", path=[field.name]) from error
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if field.kind in ("integer", "number") and not is_number:
        raise AnswerValueError(f"{field.title} is a number, not {text[:40]!r}", path=[field.name])
    if field.kind == "integer" and not isinstance(value, int):
        raise AnswerValueError(f"{field.title} is a whole number, not {text[:40]!r}", path=[field.name])
    return value
