"""The arguments of a gated function: their JSON Schema, their JSON, and the way from decided JSON back into a call."""

from __future__ import annotations

import functools
import inspect
import types
from collections import abc, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from copy import copy, deepcopy
from inspect import Parameter
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic_core import PydanticSerializationError, to_jsonable_python

from dualcontrol.case import ENCODER, JSON, encode_content, plain
from dualcontrol.errors import EffectError, PayloadError, ProposalError
from dualcontrol.schema import as_sets, bound

CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
NOT_RUN = "Nothing was run; propose it again under another key, or let somebody edit it to a value that fits."
ANNOTATE = (
    "Annotate the parameter with the very type, and let its JSON hold all that it holds: no secret, no excluded or "
    "private field, no serializer that rounds. Pass a secret by its name, and look it up inside the function."
)


class Argument:
    """One parameter: its field of the schema, and how a decided value of it is read."""

    def __init__(self, parameter: Parameter, annotation: Any) -> None:
        self.name, self.kind, self.default = parameter.name, parameter.kind, parameter.default
        self.annotation = annotation
        if self.kind is Parameter.VAR_POSITIONAL:
            self.annotation, self.default = list[annotation], []
        elif self.kind is Parameter.VAR_KEYWORD:
            self.annotation, self.default = dict[str, annotation], {}
        self.plain = is_plain(self.annotation)

    def field(self) -> Any:
        """Its field of the model; the name is an alias, so that no name clashes with pydantic's own."""
        named: dict[str, Any] = dict.fromkeys(("alias", "validation_alias", "serialization_alias"), self.name)
        return self.annotation, Field(default=... if self.default is Parameter.empty else self.default, **named)

    @functools.cached_property
    def model(self) -> type[BaseModel]:
        """A model of this argument alone: what was not edited is not read again."""
        return create_model("argument", __config__=CONFIG, value=(self.annotation, ...))

    def read(self, decided: JSON) -> Any:
        """The value for the call: the decided JSON itself, or what the annotation makes of it; or ValidationError."""
        held: Any = self.model.model_validate({"value": decided})
        if self.plain:  # a copy, since the function may change it and the case is what was decided
            return deepcopy(decided) if isinstance(decided, dict | list) else decided
        return held.value

    def comes_back(self, value: Any, written: JSON) -> bool:
        """Whether reading the JSON of a value gives that value again."""
        if type(value) in JSON_TYPES:
            return True
        try:
            return equal(value, written if self.plain else self.read(written))
        except (ValidationError, PydanticUserError):
            return False


class Arguments:
    """All parameters of a function but the object that it is a method of."""

    def __init__(self, action: str, body: Callable[..., Any], parameters: Iterable[Parameter]) -> None:
        self.action = action
        self.each = {p.name: Argument(p, resolved(body, p.annotation)) for p in parameters}

    @functools.cached_property
    def schema(self) -> dict[str, JSON]:
        """JSON Schema of the arguments, from the annotations."""
        fields: dict[str, Any] = {f"a{n}": argument.field() for n, argument in enumerate(self.each.values())}
        try:
            model: type[BaseModel] = create_model(self.action, __config__=CONFIG, **fields)
            return model.model_json_schema()
        except PydanticUserError as error:
            raise ProposalError(
                f"no JSON Schema can be made of the arguments of {self.action}: {error.message}",
                hint="Annotate them with types that pydantic knows, or not at all.",
            ) from error

    @functools.cached_property
    def _sets(self) -> bool:
        """Whether lists without an order stand anywhere in the arguments."""
        return "uniqueItems" in str(self.schema)

    @functools.cached_property
    def defaults(self) -> dict[str, JSON]:
        """The defaults that JSON can say."""
        written: dict[str, JSON] = {}
        for name, argument in self.each.items():
            if argument.default is not Parameter.empty:
                with suppress(PydanticSerializationError, ValueError):
                    written[name] = jsonable(argument.default)
        return written

    def as_json(self, values: Mapping[str, Any]) -> dict[str, JSON]:
        """Arguments by name as JSON, in the caller's order; `PayloadError` for what JSON cannot say."""
        if all(type(value) in JSON_TYPES for value in values.values()):
            return dict(values)
        try:
            written = {name: jsonable(value) for name, value in values.items()}
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            raise PayloadError(f"an argument of {self.action} is not JSON: {error}") from error
        full: dict[str, JSON] = bound(written, self.schema)  # what a type leaves out of its JSON stands at its default
        return as_sets(full, self.schema) if self._sets else full

    def check(self, values: Mapping[str, Any], written: Mapping[str, JSON]) -> None:
        """Refuse arguments that their JSON does not say whole: people would approve another call than the one made."""
        for name, value in values.items():
            if not self.each[name].comes_back(value, written[name]):
                raise PayloadError(
                    f"{name} of {self.action} does not come back from its JSON: {type(value).__name__} holds more than "
                    "that, or something else", hint=ANNOTATE,
                )  # fmt: skip

    def values(self, own: Mapping[str, Any], decided: JSON) -> dict[str, Any]:
        """The values of a call by name: the caller's own, else what was decided, else the default."""
        if not isinstance(decided, dict) or not decided.keys() <= self.each.keys():
            raise EffectError(f"{self.action} does not take what was decided: {decided!r:.80}", hint=NOT_RUN)
        if missing := [n for n, a in self.each.items() if a.default is Parameter.empty and n not in decided]:
            raise EffectError(f"{self.action} lacks {', '.join(missing)} in what was decided", hint=NOT_RUN)
        try:
            return {
                name: own[name] if name in own else a.read(decided[name]) if name in decided else copy(a.default)
                for name, a in self.each.items()
            }
        except ValidationError as error:
            raise EffectError(f"{self.action} does not take what was decided: {error}", hint=NOT_RUN) from error

    def call(self, lead: tuple[Any, ...], values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and named arguments of the call with these values."""
        positional: list[Any] = list(lead)
        named: dict[str, Any] = {}
        for name, argument in self.each.items():
            if argument.kind is Parameter.VAR_POSITIONAL:
                positional += values[name]
            elif argument.kind is Parameter.VAR_KEYWORD:
                named |= values[name]
            elif argument.kind is Parameter.KEYWORD_ONLY:
                named[name] = values[name]
            else:
                positional.append(values[name])
        return positional, named


def resolved(body: Callable[..., Any], annotation: Any) -> Any:
    """An annotation as a type; one that is missing or cannot be read takes anything."""
    if annotation in (Parameter.empty, inspect.Signature.empty):
        return Any
    if not isinstance(annotation, str):
        return annotation
    source: Any = getattr(inspect.unwrap(body), "__func__", inspect.unwrap(body))
    try:
        cells = zip(source.__code__.co_freevars, source.__closure__ or (), strict=True)
        return eval(annotation, source.__globals__, {name: cell.cell_contents for name, cell in cells})
    except Exception:
        return Any


# Whether what runs is what was decided: values as JSON and back, compared with their types, and nothing lost.


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
