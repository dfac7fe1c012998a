"""Whether what runs is what was decided: values as JSON and back, compared with their types, and nothing lost."""

from __future__ import annotations

import types
from collections import abc, deque
from inspect import Parameter
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic_core import to_jsonable_python

from dualcontrol.case import ENCODER, JSON, encode_content, plain

JSON_TYPES = (str, int, float, bool, types.NoneType)
PLAIN = (*JSON_TYPES, Any, object, list, dict, Parameter.empty, None)
LISTS = (list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable)
OBJECTS = (dict, abc.Mapping, abc.MutableMapping)
MANY = (list, tuple, deque)


def same(one: JSON, other: JSON) -> bool:
    """Whether two values are the same JSON, as the ledger writes it: 1 is neither 1.0 nor true, 0.0 is not -0.0."""
    return bool(one == other) and ENCODER.encode(one) == ENCODER.encode(other)


def is_plain(annotation: Any) -> bool:
    """Whether a JSON value is a value of this annotation as it stands, so that nothing has to be converted."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return is_plain(inner[0]) and not any(hasattr(m, "__get_pydantic_core_schema__") for m in inner[1:])
    if origin in (Union, types.UnionType) or origin in LISTS:
        return all(map(is_plain, inner))
    if origin in OBJECTS:
        return inner[0] in (str, Any) and is_plain(inner[1])
    if origin is Literal:
        return all(type(value) in JSON_TYPES for value in inner)
    return any(annotation is plain for plain in PLAIN)


def jsonable(value: Any) -> JSON:
    """A value as JSON; members of a set in the order of their JSON text, since they have none of their own.

    Raises PydanticSerializationError or ValueError for what JSON cannot say.
    """
    if type(value) in JSON_TYPES:
        return value
    if type(value) in MANY:
        return [jsonable(item) for item in value]
    if isinstance(value, abc.Set):
        return sorted(map(jsonable, value), key=ENCODER.encode)
    if type(value) is dict and all(type(key) is str for key in value):
        return {key: jsonable(item) for key, item in value.items()}
    own = plain(value)
    try:
        return own if type(own) in JSON_TYPES else to_jsonable_python(own, fallback=encode_content)
    except TypeError as error:
        raise ValueError(str(error)) from error


def equal(value: Any, back: Any) -> bool:
    """Whether a value is what came back from its JSON: of the same parts, whatever kind of list or mapping holds them.

    What defines no equality of its own is compared by its attributes.
    """
    if isinstance(value, MANY) and isinstance(back, MANY):
        return len(value) == len(back) and all(map(equal, value, back))
    if isinstance(value, abc.Set) and isinstance(back, list):
        return same(jsonable(value), back)
    if isinstance(value, abc.Mapping) and isinstance(back, abc.Mapping):
        return value.keys() == back.keys() and all(equal(item, back[key]) for key, item in value.items())
    try:
        if bool(value == back):
            return True
    except Exception:  # what cannot be compared did not come back
        return False
    bare = type(value) is type(back) and getattr(type(value), "__eq__", None) is getattr(object, "__eq__", None)
    return bare and hasattr(value, "__dict__") and equal(vars(value), vars(back))
