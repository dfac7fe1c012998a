"""A shortcut through the commonest schemas: an object of plain types fits at a glance, all else is left to jsonschema.

Says yes only where jsonschema would (a property test holds it to that); "no" means "ask jsonschema".
A full validation costs about 25 times as much, and it is on the way of every edited call.
"""

from __future__ import annotations

from dualcontrol.case import JSON

NOTES = frozenset(("title", "description", "default", "examples", "deprecated"))
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


def fits_plainly(value: JSON, schema: JSON) -> bool:
    """Whether a value fits a schema for certain, by its types alone."""
    if not isinstance(schema, dict):
        return False
    kind = schema.get("type")
    if kind == "object":
        return isinstance(value, dict) and _object(value, schema)
    allowed = TYPES.get(kind) if isinstance(kind, str) else None
    return allowed is not None and type(value) in allowed and schema.keys() - NOTES == {"type"}


def _object(value: dict[str, JSON], schema: dict[str, JSON]) -> bool:
    if schema.keys() - NOTES - {"type", "properties", "required", "additionalProperties"}:
        return False
    properties, required = schema.get("properties", {}), schema.get("required", ())
    if not isinstance(properties, dict) or not isinstance(required, list | tuple):
        return False
    if not value.keys() <= properties.keys() or not all(name in value for name in required):
        return False
    return all(fits_plainly(item, properties[name]) for name, item in value.items())
