"""Whether the JSON Schema of a loop is one."""

from __future__ import annotations

from typing import Any

from dualcontrol.schema import flaw
from dualcontrol.settings.place import Place, nearest

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


def check_schema(schema: dict[str, Any], place: Place) -> None:
    """Refuse what is not a JSON Schema (draft 2020-12), naming the part that is wrong."""
    wrong = flaw(schema)
    if wrong is None:
        return
    at = place
    for part in wrong.path:
        at = at.child(part)
    near = None
    if wrong.path[-1:] == ("type",) and isinstance(wrong.instance, str):
        near = nearest(wrong.instance, TYPES)
    inner = f" at {'.'.join(str(p) for p in wrong.path)}" if wrong.path else ""
    raise at.error(f"{place.words} is not a JSON Schema{inner}: {wrong.message}", near=near)
