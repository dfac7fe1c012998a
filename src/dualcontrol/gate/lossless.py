"""Whether what runs is what was decided: JSON compared with its types, and conversions that keep every value."""

from __future__ import annotations

import datetime
import re
import types
from collections import abc, deque
from decimal import Decimal
from enum import Enum
from inspect import Parameter
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic_core import to_jsonable_python

from dualcontrol.case import ENCODER, JSON

JSON_TYPES = (str, int, float, bool, types.NoneType)
PLAIN = (*JSON_TYPES, Any, object, list, dict, Parameter.empty, None)
LISTS = (list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable)
OBJECTS = (dict, abc.Mapping, abc.MutableMapping)
MANY = (list, tuple, deque)
SETS = (set, frozenset)
TIMES = (datetime.datetime, datetime.time, datetime.timedelta)
FINER_THAN_MICROSECONDS = re.compile(r"[.,]\d{6}\d*[1-9]")


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


def carries(value: Any, decided: JSON) -> bool:
    """Whether a converted value, with its models as dicts, holds all that was decided and nothing else in its place.

    Defaults may be added, an integer may become the float of the same value, and a text the date, number or
    identifier that it writes; a number that loses digits, or a key that the type does not know, is not carried.
    """
    if isinstance(value, Enum):
        return carries(value.value, decided)
    if isinstance(decided, dict) and isinstance(value, dict):
        named = {key if type(key) is str else next(iter(to_jsonable_python({key: 0}))): v for key, v in value.items()}
        return all(key in named and carries(named[key], said) for key, said in decided.items())
    if isinstance(decided, list) and isinstance(value, MANY):
        return len(value) == len(decided) and all(map(carries, value, decided))
    if isinstance(decided, list) and isinstance(value, SETS):
        return all(any(carries(member, said) for member in value) for said in decided)
    return _leaf(value, decided)


def _leaf(value: Any, decided: JSON) -> bool:
    if type(value) in JSON_TYPES:
        widened = type(value) is float and type(decided) is int and value == decided
        return widened or (type(value) is type(decided) and same(value, decided))
    if isinstance(value, Decimal):
        return type(decided) in (str, int, float) and Decimal(str(decided)) == value
    if isinstance(decided, str):
        return not (isinstance(value, TIMES) and FINER_THAN_MICROSECONDS.search(decided))
    return not isinstance(value, abc.Iterator) and same(to_jsonable_python(value), decided)
