"""The settings of one loop: checked keys become values, then what the keys say together is checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dualcontrol.case import Quorum
from dualcontrol.control import Capacity, Feedback, Guarantee, LoopSettings, Rule
from dualcontrol.settings.checks import check_loop
from dualcontrol.settings.keys import LOOP, check_name
from dualcontrol.settings.place import MISSING, Given, Origin, Place

SETTLE = {"approval": "unanimous", "labels": "majority", "preference": "collect", "fallback": "unanimous"}


def build_loop(given: Given, name: str, groups: Mapping[str, tuple[str, ...]]) -> LoopSettings:
    """The settings of a loop from what was given; any mistake is refused."""
    place = Place(given, ("loop", name))
    check_name(name, place)
    tree = given.get(place.path)
    loop = _loop(name, LOOP({} if tree is MISSING else tree, place), dict(groups))
    check_loop(loop, place)
    return loop


def _loop(name: str, said: dict[str, Any], groups: dict[str, tuple[str, ...]]) -> LoopSettings:
    quorum = {"settle": SETTLE[said.get("mode", "approval")], **said.pop("quorum", {})}
    rules = tuple(_rule(row, quorum) for row in said.pop("rule", ()))
    guarantee, feedback = said.pop("guarantee", None), said.pop("feedback", None)
    capacity = said.pop("capacity", None)
    return LoopSettings(
        name=name,
        quorum=Quorum(**quorum),
        rules=rules,
        groups=groups,
        guarantee=Guarantee(**guarantee) if guarantee and "max_error" in guarantee else None,
        capacity=Capacity(**capacity) if capacity is not None else None,
        feedback=Feedback(**feedback) if feedback is not None else None,
        **said,
    )


def _rule(row: dict[str, Any], quorum: dict[str, Any]) -> Rule:
    """A rule; what its quorum leaves open is as in the loop's quorum."""
    own = row.pop("quorum", None)
    return Rule(**row, quorum=None if own is None else Quorum(**{**quorum, **own}))


def lay_base(given: Given, name: str, base: LoopSettings) -> None:
    """Lay settings that were built before under what comes next; defaults stay open to be defaults again."""
    origin = Origin(f"settings of loop {name!r}")
    given.merge({"loop": {name: _tree(base)}}, lambda _: origin)


def _tree(base: LoopSettings) -> dict[str, Any]:
    tree = _changed(base, LoopSettings(name=base.name))
    for key in ("name", "groups", "rules", "quorum"):
        tree.pop(key, None)
    quorum = _changed(base.quorum, Quorum(settle=SETTLE[base.mode]))
    if quorum:
        tree["quorum"] = quorum
    if base.rules:
        tree["rule"] = [_rule_tree(rule, base.quorum) for rule in base.rules]
    return {key: _listed(value) for key, value in tree.items()}


def _rule_tree(rule: Rule, quorum: Quorum) -> dict[str, Any]:
    tree = _changed(rule, None)
    if rule.quorum is not None:
        tree["quorum"] = _changed(rule.quorum, quorum)
    return tree


def _changed(value: msgspec.Struct, other: msgspec.Struct | None) -> dict[str, Any]:
    """The fields of a value that are not None and not as in another."""
    fields = msgspec.structs.asdict(value)
    rest = msgspec.structs.asdict(other) if other is not None else {}
    return {k: v for k, v in fields.items() if v is not None and (k not in rest or v != rest[k])}


def _listed(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {k: _listed(v) for k, v in msgspec.structs.asdict(value).items() if v is not None}
    return list(value) if isinstance(value, tuple) else value
