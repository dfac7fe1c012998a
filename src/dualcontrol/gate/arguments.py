"""The arguments of a gated function: their JSON Schema, their JSON, and the way from decided JSON back into a call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from copy import copy, deepcopy
from inspect import Parameter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic_core import PydanticSerializationError

from dualcontrol.case import JSON
from dualcontrol.errors import EffectError, PayloadError, ProposalError
from dualcontrol.gate.lossless import JSON_TYPES, equal, is_plain, jsonable
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
        given = {name: a.default for name, a in self.each.items() if a.default is not Parameter.empty}
        written: dict[str, JSON] = {}
        for name, value in given.items():
            try:
                written[name] = jsonable(value)
            except (PydanticSerializationError, ValueError):
                continue
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
