"""What every value can do, and content: written as its seals, with its values in ``payloads``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeAlias

import msgspec

JSON: TypeAlias = Any


class Content:
    """Content by slot: ``values`` in memory, ``seals`` (one commitment a slot) on paper.

    Encoding a Content writes its seals only; the values are rows in ``payloads``.
    """

    __slots__ = ("seals", "values")

    def __init__(self, values: Mapping[str, JSON] | None = None, seals: Mapping[str, str] | None = None) -> None:
        self.values: dict[str, JSON] = dict(values or {})
        self.seals: dict[str, str] = dict(seals or {})

    def __or__(self, other: Content) -> Content:
        return Content({**self.values, **other.values}, {**self.seals, **other.seals})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and self.values == other.values and self.seals == other.seals

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.seals.items())))

    def __bool__(self) -> bool:
        return bool(self.values or self.seals)

    def __repr__(self) -> str:
        return f"Content({sorted(self.values | self.seals)})"

    def get(self, slot: str, default: JSON = None) -> JSON:
        """The value in a slot, or the default when there is none or it was erased."""
        return self.values.get(slot, default)


DEPTH = 200  # levels of a value that anything looks at
OWN: tuple[type, ...] = (str, bool, int, float, type(None))
NUMPY: dict[str, Callable[[Any], Any]] = {"b": bool, "i": int, "u": int, "f": float}  # by the kind of a NumPy type


def encode_content(value: Any) -> Any:
    """How msgspec writes what is no plain JSON: content by its seals, a library's text or number as Python's own."""
    if isinstance(value, Content):
        return value.seals
    own = scalar(value)
    if type(own) in OWN:
        return own
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def scalar(value: Any) -> Any:
    """A text, number or flag of a library, NumPy's among them, as Python's own; whatever else it is comes back."""
    if type(value) in OWN:
        return value
    for kind in (str, float, int):
        if isinstance(value, kind):
            return kind.__str__(value) if kind is str else kind(value)
    numpy = sys.modules.get("numpy")  # not imported here: without it nobody can hold one of its numbers
    if numpy is not None and isinstance(value, numpy.generic) and value.dtype.kind in NUMPY:
        return NUMPY[value.dtype.kind](value)
    return value


class _OddError(Exception):
    """Something in a value is not of JSON's own types."""


def _odd(value: Any) -> Any:
    raise _OddError


_LOOK = msgspec.json.Encoder(enc_hook=_odd)


def plain(value: JSON) -> JSON:
    """A value with the texts, numbers and flags of libraries in it as Python's own, however deep.

    What is no JSON stays in it as it is, for whoever checks it to name.  A value that is plain is given back itself;
    the look at it is one pass in C.
    """
    if type(value) not in (dict, list, tuple):
        return scalar(value)
    try:
        _LOOK.encode(value)
    except (_OddError, TypeError, ValueError, RecursionError):  # also keys that are no texts, and cycles
        return _walked(value, DEPTH)
    return value


def _walked(value: JSON, depth: int) -> JSON:
    """The same by hand; what lies deeper is left alone, since nothing that deep is taken."""
    if depth == 0:
        return value
    if type(value) is dict:
        return {scalar(key): _walked(item, depth - 1) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)([_walked(item, depth - 1) for item in value])
    return scalar(value)


def decode_content(kind: type, value: Any) -> Any:
    """How msgspec reads content: its seals; the values come from ``payloads``."""
    if kind is Content:
        return Content(seals=value)
    raise TypeError(f"cannot decode {kind}")


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The root of all values: immutable, keyword-only, equal by content, JSON both ways.

    Values are trees of JSON, without cycles, so the garbage collector need not look at them (``gc=False``).
    """

    def to_dict(self) -> dict[str, JSON]:
        """This value as plain JSON values."""
        built: dict[str, JSON] = msgspec.to_builtins(self, enc_hook=encode_content)
        return built

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> Self:
        """The value that `to_dict` described; raises msgspec.ValidationError when it does not fit."""
        return msgspec.convert(dict(data), cls, dec_hook=decode_content)


ENCODER = msgspec.json.Encoder(enc_hook=encode_content, order="sorted")
SNAPSHOT = msgspec.json.Encoder(enc_hook=encode_content)  # for rows that are decoded, never hashed or compared


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """A JSON decoder for a value type that knows how content is written."""
    return msgspec.json.Decoder(kind, dec_hook=decode_content)


def once(pairs: Sequence[tuple[str, JSON]]) -> dict[str, JSON]:
    """The object of these members, for `json.loads`; a key that stands twice says two things and is a ValueError."""
    read = dict(pairs)
    if len(read) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return read


class Shown(Value, frozen=True, kw_only=True):
    """A value that shows every field to people and programs; stored, it leaves out what is at its default."""

    def to_dict(self) -> dict[str, JSON]:
        """This value as plain JSON values, with every field."""
        return {name: _shown(getattr(self, name)) for name in self.__struct_fields__}


def _shown(value: Any) -> JSON:
    if isinstance(value, Value):
        return value.to_dict()
    return [_shown(item) for item in value] if isinstance(value, tuple) else value
