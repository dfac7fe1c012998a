"""A call of a gated function, with the caller's own arguments at hand or known from its record only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dualcontrol.case import JSON
from dualcontrol.errors import EffectError, NotRun, PayloadError
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

    def as_decided(self, decided: JSON) -> Prepared:
        """The call as its caller made it, where that is what was decided to the letter; else as was decided."""
        if not same(decided, self.as_json):
            return self.prepared(decided)
        return Prepared(self, self.named, decided, self.named, self.as_json)

    def prepared(self, decided: JSON) -> Prepared:
        """The call with the decided arguments: the caller's own objects unless they were edited, or changed since."""
        now = self.arguments.as_json(self.named)
        known = decided if isinstance(decided, dict) else {}
        own = {name: v for name, v in self.named.items() if name in known and same(known[name], now[name])}
        values = self.arguments.values(own, decided)
        return Prepared(self, own, decided, values, self.arguments.as_json(values))


class Recorded:
    """A call that is known from its record only: the arguments that were decided, and nothing of the caller's."""

    def __init__(self, gate: Gate[Any, Any], on: Any) -> None:
        self.gate = gate
        self.lead = () if on is UNBOUND else (on,)
        self.arguments = gate.arguments(bool(self.lead))

    def as_decided(self, decided: JSON) -> Prepared:
        """The call with the decided arguments."""
        return self.prepared(decided)

    def prepared(self, decided: JSON) -> Prepared:
        """The call with the decided arguments."""
        values = self.arguments.values({}, decided)
        return Prepared(self, {}, decided, values, self.arguments.as_json(values))


class Prepared:
    """A call that is ready to run: its values by name, and as the JSON that is held against the record."""

    def __init__(
        self,
        call: Made | Recorded,
        own: dict[str, Any],
        decided: JSON,
        values: dict[str, Any],
        as_json: dict[str, JSON],
    ) -> None:
        self._call, self._own, self._decided = call, own, decided
        self.values, self.as_json = values, as_json

    def run(self) -> Any:
        """Call the function; what its caller changed while the effect was being taken does not run."""
        call = self._call
        positional, named = call.arguments.call(call.lead, self._unchanged())
        return call.gate.fn(*positional, **named)

    def _unchanged(self) -> dict[str, Any]:
        """The values that were held against the record, by themselves or, where they have changed, read from it."""
        arguments = self._call.arguments
        try:
            now = arguments.as_json(self._own) if self._own else {}
            if all(same(value, self.as_json[name]) for name, value in now.items()):
                return self.values
            return self._call.prepared(self._decided).values
        except (EffectError, PayloadError) as error:
            raise NotRun(f"the arguments have changed since they were decided: {error.message}") from error
