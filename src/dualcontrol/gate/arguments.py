"""The arguments of a gated function: their JSON Schema, and the way from decided JSON back into a call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from inspect import Parameter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic_core import PydanticSerializationError

from dualcontrol.case import JSON
from dualcontrol.errors import EffectError, ProposalError
from dualcontrol.gate.lossless import carries, is_plain, same

CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
NOT_RUN = "Nothing was run; propose it again under another key, or let somebody edit it to a value that fits."


class Argument:
    """One parameter: its field of the schema, and how a decided value of it is read."""

    def __init__(self, parameter: Parameter, annotation: Any) -> None:
        self.name, self.kind, self.default = parameter.name, parameter.kind, parameter.default
        self.annotation = annotation
        if self.kind is Parameter.VAR_POSITIONAL:
            self.annotation, self.default = list[annotation], ()
        elif self.kind is Parameter.VAR_KEYWORD:
            self.annotation, self.default = dict[str, annotation], {}
        self.plain = is_plain(self.annotation)

    def field(self) -> Any:
        """Its field of the model; the name is an alias, so that no name clashes with pydantic's own."""
        named: dict[str, Any] = dict.fromkeys(("alias", "validation_alias", "serialization_alias"), self.name)
        if self.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            return self.annotation, Field(default_factory=type(self.default), **named)
        return self.annotation, Field(default=... if self.default is Parameter.empty else self.default, **named)

    @functools.cached_property
    def model(self) -> type[BaseModel]:
        """A model of this argument alone: what was not edited is not read again."""
        return create_model("argument", __config__=CONFIG, value=(self.annotation, ...))

    def read(self, decided: JSON) -> Any:
        """The value for the call: the decided JSON itself, or what the annotation makes of it without loss."""
        held: Any = self.model.model_validate({"value": decided})
        if self.plain:  # a copy, since the function may change it and the case is what was decided
            return deepcopy(decided) if isinstance(decided, dict | list) else decided
        if not _carried(held, decided):
            raise EffectError(f"{self.name} was decided as {decided!r:.80} and would run as {held.value!r:.80}",
                              hint=NOT_RUN)  # fmt: skip
        return held.value


def _carried(held: Any, decided: JSON) -> bool:
    try:
        if same(held.model_dump(mode="json", by_alias=True, warnings=False)["value"], decided):
            return True
    except (PydanticSerializationError, ValueError, TypeError):
        pass
    return carries(held.model_dump(by_alias=True, warnings=False)["value"], decided)


class Arguments:
    """All parameters of a function but the object that it is a method of."""

    def __init__(self, action: str, body: Callable[..., Any], parameters: Iterable[Parameter]) -> None:
        self.action = action
        self.each = {p.name: Argument(p, _resolved(body, p.annotation)) for p in parameters}

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

    def call(self, lead: tuple[Any, ...], own: Mapping[str, Any], decided: JSON) -> tuple[list[Any], dict[str, Any]]:
        """Positional and named arguments of the call: the caller's own, else what was decided, else the default."""
        values = {**self._read(decided, own), **own}
        positional: list[Any] = list(lead)
        named: dict[str, Any] = {}
        for name, argument in self.each.items():
            value = values.get(name, argument.default)
            if argument.kind is Parameter.VAR_POSITIONAL:
                positional += value
            elif argument.kind is Parameter.VAR_KEYWORD:
                named |= value
            elif argument.kind is Parameter.KEYWORD_ONLY:
                named[name] = value
            else:
                positional.append(value)
        return positional, named

    def _read(self, decided: JSON, own: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(decided, dict) or not decided.keys() <= self.each.keys():
            raise EffectError(f"{self.action} does not take what was decided: {decided!r:.80}", hint=NOT_RUN)
        if missing := [n for n, a in self.each.items() if a.default is Parameter.empty and n not in decided]:
            raise EffectError(f"{self.action} lacks {', '.join(missing)} in what was decided", hint=NOT_RUN)
        try:
            return {name: self.each[name].read(value) for name, value in decided.items() if name not in own}
        except ValidationError as error:
            raise EffectError(f"{self.action} does not take what was decided: {error}", hint=NOT_RUN) from error


def _resolved(body: Callable[..., Any], annotation: Any) -> Any:
    """An annotation as a type; one that is missing or cannot be read takes anything."""
    if annotation is Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    source = getattr(inspect.unwrap(body), "__func__", inspect.unwrap(body))
    try:
        return eval(annotation, getattr(source, "__globals__", {}))
    except Exception:
        return Any
