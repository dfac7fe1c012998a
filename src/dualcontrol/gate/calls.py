"""A call of a gated function, with the caller's own arguments at hand or known from its record only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dualcontrol.case import JSON
from dualcontrol.gate.lossless import same
from dualcontrol.gate.port import UNBOUND

if TYPE_CHECKING:
    from dualcontrol.gate.trip import Gate


class Made:
    """One call's arguments, as the caller gave them: by name, and as JSON."""

    def __init__(self, gate: Gate[Any, Any], bound_to: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.gate = gate
        self.lead = () if bound_to is UNBOUND else (bound_to,)
        arguments = gate.signature.bind(*self.lead, *args, **kwargs)
        arguments.apply_defaults()
        skip = next(iter(arguments.arguments), None) if self.lead else None
        self.named = {k: v for k, v in arguments.arguments.items() if k != skip}
        self.arguments = gate.arguments(bool(self.lead))
        self.as_json = self.arguments.as_json(self.named)
        self.arguments.check(self.named, self.as_json)

    def prepared(self, decided: JSON) -> Prepared:
        """The call with the decided arguments: the caller's own objects unless they were edited, or changed since."""
        now = self.arguments.as_json(self.named)
        known = decided if isinstance(decided, dict) else {}
        own = {name: v for name, v in self.named.items() if name in known and same(known[name], now[name])}
        return Prepared(self, own, decided)


class Recorded:
    """A call that is known from its record only: the arguments that were decided, and nothing of the caller's."""

    def __init__(self, gate: Gate[Any, Any], on: Any) -> None:
        self.gate = gate
        self.lead = () if on is UNBOUND else (on,)
        self.arguments = gate.arguments(bool(self.lead))

    def prepared(self, decided: JSON) -> Prepared:
        """The call with the decided arguments."""
        return Prepared(self, {}, decided)


class Prepared:
    """A call that is ready to run: its values by name, and as the JSON that is held against the record."""

    def __init__(self, call: Made | Recorded, own: dict[str, Any], decided: JSON) -> None:
        self._call, self._own, self._decided = call, own, decided
        self.values = call.arguments.values(own, decided)
        self.as_json = call.arguments.as_json(self.values)

    def run(self) -> Any:
        """Call the function; what its caller changed while the effect was being taken does not run."""
        call = self._call
        now = call.arguments.as_json(self._own) if self._own else {}
        values = self.values
        if not all(same(now[name], self.as_json[name]) for name in now):
            values = call.prepared(self._decided).values
        positional, named = call.arguments.call(call.lead, values)
        return call.gate.fn(*positional, **named)
