"""The question that a certificate answers: which settings decide which cases reach the threshold, and what is right.

"Of the cases that reach the threshold, how many are wrong?" is another question once a rule sends other cases there,
fewer or more: what was certified answers the old one.  Every setting is in one of two lists, and a new one has to be
put in one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dualcontrol.control import Control, Guarantee, LoopSettings, Rule
from dualcontrol.labels import Labels

# Settings that decide which cases reach the threshold, which certificate speaks for them, or what a right answer is.
ASKS = (
    "mode", "guarantee", "risk_ceiling", "human_actions", "autopilot_actions", "block_actions", "labels", "schema",
    "rules", "capacity",
)  # fmt: skip
# Settings that do not: who is asked, how long, what is shown, how often is audited (each label keeps the probability
# with which it came), and what happens to a case that people have.  `threshold` is for loops without a guarantee, and
# `start` decides what a certified region may do: nobody counts what nobody was asked in the shadow.
ASIDE = (
    "name", "threshold", "audit", "respond_within", "on_timeout", "context", "meta", "rationale",
    "markdown", "group", "quorum", "start", "feedback", "lease", "undo", "dead_time", "approval_lasts", "on_unknown",
    "effect_lease", "changes", "groups", "probes", "cap",
)  # fmt: skip
SHOWS = ("breakdown",)  # of the guarantee: what is shown of the same cases
ANSWERS = ("mode", "labels", "schema")  # what a right answer is: recorded answers were given to another question
SHOWN = 3  # names in a reason; of more only the count
WIDTH = 60  # characters of a name in a reason


class Asked(NamedTuple):
    """How new settings change the question: in words, None where it stays; and whether answers of before are none."""

    words: str | None = None
    answers: bool = False


def asked(before: Control | None, after: LoopSettings) -> Asked:
    """What new settings of a loop under a guarantee change of what reaches the threshold."""
    if before is None or before.settings.guarantee is None:
        return Asked()
    changes = {name: _CHANGES[name](before.settings, after) for name in ASKS}
    words = [change for change in changes.values() if change is not None]
    return Asked("; ".join(words) or None, any(changes[name] is not None for name in ANSWERS))


def same_cases(before: LoopSettings, after: LoopSettings) -> bool:
    """Whether the same cases reach the threshold, and the same answers are right, whatever is promised of them."""
    return all(_CHANGES[name](before, after) is None for name in ASKS if name != "guarantee")


def _value(name: str) -> Callable[[LoopSettings, LoopSettings], str | None]:
    """How a plain value is another."""

    def change(before: LoopSettings, after: LoopSettings) -> str | None:
        old, new = getattr(before, name), getattr(after, name)
        return None if old == new else f"{name} changed: {new}, not {old}"

    return change


def _actions(name: str) -> Callable[[LoopSettings, LoopSettings], str | None]:
    """Which actions a list has gained or lost; their order says nothing."""

    def change(before: LoopSettings, after: LoopSettings) -> str | None:
        return _changed(name, getattr(before, name), getattr(after, name))

    return change


def _labels(before: LoopSettings, after: LoopSettings) -> str | None:
    """Which labels a set has gained or lost; their order says nothing."""
    one, other = Labels.of(before), Labels.of(after)
    if one is other or (one is not None and other is not None and one.same_as(other)):
        return None
    if one is None or other is None:
        return f"labels changed: {'any label will do' if other is None else 'a set is declared'}"
    dropped = [label for label in before.labels or () if label not in other]
    added = [label for label in after.labels or () if label not in one]
    return _listed("labels", dropped, added)


def _schema(before: LoopSettings, after: LoopSettings) -> str | None:
    return None if before.schema == after.schema else "schema changed"


def _rules(before: LoopSettings, after: LoopSettings) -> str | None:
    """Which rules were dropped, added or are others; whom a rule asks, and by when, says nothing."""
    old, new = {rule.name: _sends(rule) for rule in before.rules}, {rule.name: _sends(rule) for rule in after.rules}
    if [*map(_sends, before.rules)] == [*map(_sends, after.rules)]:
        return None
    dropped, added = [name for name in old if name not in new], [name for name in new if name not in old]
    others = [name for name in old if name in new and old[name] != new[name]]
    if not (dropped or added or others):
        return "rules changed: their order is another"
    return _listed("rules", dropped, added, others)


def _together(before: LoopSettings, after: LoopSettings) -> str | None:
    """Whether a capacity makes equal questions one piece of evidence, of which the guarantee does not say what is."""
    if (before.capacity is None) == (after.capacity is None) or before.together == after.together:
        return None
    return f"capacity changed: equal questions {'count one by one' if after.capacity is None else 'count once'}"


def _sends(rule: Rule) -> tuple[Any, ...]:
    """What a rule says of where a case goes; its name says nothing of that."""
    return rule.when, rule.route, rule.risk


def _promise(before: LoopSettings, after: LoopSettings) -> str | None:
    """Which part of the promise is another."""
    old, new = before.guarantee, after.guarantee
    if old == new:
        return None
    if old is None or new is None:
        return "the guarantee was taken out" if new is None else "a guarantee is declared"
    parts = [
        f"{name} is {_plain(getattr(new, name))}, not {_plain(getattr(old, name))}"
        for name in Guarantee.__struct_fields__
        if name not in SHOWS and getattr(old, name) != getattr(new, name)
    ]  # fmt: skip
    return None if not parts else f"the promise changed: {', '.join(parts)}"


def _plain(value: Any) -> str:
    return ", ".join(value) or "none" if isinstance(value, tuple) else str(value)


def _changed(what: str, before: Sequence[Any], after: Sequence[Any]) -> str | None:
    dropped, added = [one for one in before if one not in after], [one for one in after if one not in before]
    return _listed(what, dropped, added) if dropped or added else None


def _listed(what: str, dropped: Sequence[Any], added: Sequence[Any], others: Sequence[Any] = ()) -> str:
    """A change of a list in words, with a few of the names."""
    parts = [
        f"{_few(names)} {'was' if len(names) == 1 else 'were'} {verb}"
        for names, verb in ((dropped, "dropped"), (added, "added"), (others, "changed")) if names
    ]  # fmt: skip
    return f"{what} changed: {', '.join(parts)}"


def _few(names: Sequence[Any]) -> str:
    if len(names) > SHOWN:
        return f"{len(names)} of them"
    return ", ".join(repr(name)[:WIDTH] for name in names)


_CHANGES: dict[str, Callable[[LoopSettings, LoopSettings], str | None]] = {
    "mode": _value("mode"), "guarantee": _promise, "risk_ceiling": _value("risk_ceiling"),
    **{name: _actions(name) for name in ("human_actions", "autopilot_actions", "block_actions")},
    "labels": _labels, "schema": _schema, "rules": _rules, "capacity": _together,
}  # fmt: skip
