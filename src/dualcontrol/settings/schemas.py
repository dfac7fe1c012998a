"""Whether the JSON Schema of a loop is one."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from dualcontrol.settings.place import Place, nearest

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


def check_schema(schema: dict[str, Any], place: Place) -> None:
    """Refuse what is not a JSON Schema (draft 2020-12), naming the part that is wrong."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        path = tuple(error.absolute_path)
        at = place
        for part in path:
            at = at.child(part)
        near = nearest(error.instance, TYPES) if path[-1:] == ("type",) and isinstance(error.instance, str) else None
        inner = f" at {'.'.join(str(p) for p in path)}" if path else ""
        raise at.error(f"{place.words} is not a JSON Schema{inner}: {error.message}", near=near) from None
