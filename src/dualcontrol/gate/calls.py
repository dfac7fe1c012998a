"""A call of a gated function: with the caller's own arguments at hand, or known from its record only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from dualcontrol.case import JSON, encode_content, plain
from dualcontrol.errors import PayloadError
from dualcontrol.gate.lossless import same
from dualcontrol.gate.port import UNBOUND

if TYPE_CHECKING:
    from dualcontrol.gate.trip import Gate


class Call:
    """One call's arguments: as JSON by name, and back into the function."""

    def __init__(self, gate: Gate, bound_to: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.gate = gate
        self.lead = () if bound_to is UNBOUND else (bound_to,)
        arguments = gate.signature.bind(*self.lead, *args, **kwargs)
        arguments.apply_defaults()
        self.bound = arguments
        skip = next(iter(arguments.arguments), None) if self.lead else None
        self.named = {k: v for k, v in arguments.arguments.items() if k != skip}
        self.as_json = self._as_json()

    def _as_json(self) -> dict[str, JSON]:
        """The arguments by name as JSON values, as they are now: what a caller changed meanwhile is not run."""
        try:
            named: dict[str, JSON] = to_jsonable_python(plain(self.named), fallback=encode_content)
        except (PydanticSerializationError, TypeError, ValueError) as error:
            raise PayloadError(f"an argument of {self.gate.action} is not JSON: {error}") from error
        return named

    def run(self, args: dict[str, JSON]) -> Any:
        """Call the function with the decided arguments: the caller's own objects unless they were edited."""
        now = self._as_json()
        if same(args, now):
            return self.gate.fn(*self.bound.args, **self.bound.kwargs)
        own = {name: value for name, value in self.named.items() if name in args and same(args[name], now[name])}
        positional, named = self.gate.arguments(bool(self.lead)).call(self.lead, own, args)
        return self.gate.fn(*positional, **named)


class Decided:
    """A call that is known from its record only: the arguments that were decided, and nothing of the caller's."""

    def __init__(self, gate: Gate, on: Any) -> None:
        self.gate = gate
        self.lead = () if on is UNBOUND else (on,)

    def run(self, args: dict[str, JSON]) -> Any:
        """Call the function with the decided arguments."""
        positional, named = self.gate.arguments(bool(self.lead)).call(self.lead, {}, args)
        return self.gate.fn(*positional, **named)
