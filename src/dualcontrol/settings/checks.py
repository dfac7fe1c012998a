"""What keys say together: refused is what contradicts itself or would let something through by accident."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dualcontrol.case import RISK_LEVELS, Quorum
from dualcontrol.control import LoopSettings, Rule
from dualcontrol.errors import QuorumError, RuleError, SettingsError
from dualcontrol.names import identity, nearest
from dualcontrol.route.check import check_rules
from dualcontrol.settings.place import MISSING, Place

ACTION_LISTS = ("human_actions", "autopilot_actions", "block_actions")
# Microseconds.  A hand that taps twice does so within 400 ms; who labels by keys sees a picture in less.
LEAST_DEAD, MOST_DEAD = {"labels": 150_000, "other": 400_000}, 10_000_000
# The group of loops that name none; it is open to everybody unless [groups] declares it.
OPEN_GROUP = "reviewers"


def check_loop(loop: LoopSettings, place: Place) -> None:
    """Refuse settings of a loop that do not go together."""
    _one_standard(loop, place)
    _labels(loop, place)
    _one_list_each(loop, place)
    _group(loop.group, loop.groups, place.child("group"))
    _quorum(loop.quorum, loop.group, loop, place.child("quorum"))
    for index, rule in enumerate(loop.rules):
        _rule(rule, loop, place.child("rule").child(index))
    _distinct(loop.rules, place.child("rule"))
    _timeout(loop, place)
    _dead_time(loop, place.child("dead_time"))
    _capacity(loop, place.child("capacity"))


def _one_standard(loop: LoopSettings, place: Place) -> None:
    guarantee = place.child("guarantee")
    if guarantee.given.get(guarantee.path) is MISSING:
        return
    if loop.guarantee is None:
        raise guarantee.error(f"{guarantee.words} has no 'max_error': the share of autopilot that may be wrong")
    if loop.threshold is not None:
        at = place.given.origin(place.child("threshold").path).text
        raise guarantee.error(
            f"threshold ({at}) and guarantee are both given in {place.table}: "
            "give one, a guarantee finds its own threshold"
        )


def _labels(loop: LoopSettings, place: Place) -> None:
    if loop.labels is not None and loop.mode != "labels":
        raise place.child("labels").error(
            f'labels in {place.table} need mode = "labels", not {loop.mode!r}', near="labels"
        )
    if loop.mode == "approval" and loop.quorum.settle == "collect":
        raise place.child("quorum").child("settle").error(
            f'settle in {place.child("quorum").table} is "collect", which decides nothing; '
            'approval needs "unanimous", "majority" or a number'
        )  # fmt: skip


def _one_list_each(loop: LoopSettings, place: Place) -> None:
    first: dict[str, str] = {}
    for key in ACTION_LISTS:
        for action in getattr(loop, key):
            _one_name(action, place.child(key))
            name = identity(action)
            if first.setdefault(name, key) != key:
                raise place.child(key).error(f"action {action!r} is in {first[name]} and in {key} of {place.table}")


def _one_name(action: str, place: Place) -> None:
    """An entry names one action: a pattern or several names in one text would match nothing, and let all pass."""
    if not identity(action):
        raise place.error(f"{place.words} has an entry without a sign that can be seen")
    if re.search(r"[,;|\n]", action):
        names = [name.strip() for name in re.split(r"[,;|\n]", action) if name.strip()]
        raise place.error(
            f"{place.words} has the entry {action!r:.80}, which looks like several names: give each its own text",
            near=", ".join(f'"{name}"' for name in names) or None,
        )
    if re.search(r"[*?^$\\(){}\[\]<>+~%]|\.\*|/.*/", action):
        raise place.error(
            f"{place.words} has the entry {action!r:.80}, which looks like a pattern; an entry is the name of one "
            "action, and a rule is for the rest: when = 'action.startsWith(\"delete_\")'"
        )


def _group(group: str, groups: Mapping[str, tuple[str, ...]], place: Place) -> None:
    if groups and group not in groups and group != OPEN_GROUP:
        known = ", ".join(groups)
        raise place.error(
            f"{place.words} names the group {group!r}, which is not in [groups] ({known})",
            near=nearest(group, groups),
        )


def _quorum(quorum: Quorum, group: str, loop: LoopSettings, place: Place) -> None:
    if quorum.of is not None and quorum.of < quorum.answers:
        raise place.child("of").error(
            f"{place.child('of').words} is {quorum.of}, fewer than the {quorum.answers} answers wanted",
            near=quorum.answers,
        )
    if isinstance(quorum.settle, int) and quorum.settle > quorum.asked:
        raise place.child("settle").error(
            f"{place.child('settle').words} wants {quorum.settle} equal answers of {quorum.asked} asked for",
            near=quorum.asked,
        )
    _enough(quorum.asked, group, loop, _asking(place))
    if quorum.arbiter is not None:
        _group(quorum.arbiter, loop.groups, place.child("arbiter"))
        beside = quorum.asked if quorum.arbiter == group else 0
        _enough(1 + beside, quorum.arbiter, loop, place.child("arbiter"))


def _asking(quorum: Place) -> Place:
    """Where it was written how many people are wanted, or from which group."""
    for key in ("of", "answers"):
        if quorum.given.get((*quorum.path, key)) is not MISSING:
            return quorum.child(key)
    return Place(quorum.given, (*quorum.path[:-1], "group"))


def _enough(needed: int, group: str, loop: LoopSettings, place: Place) -> None:
    members = loop.members(group)
    if members is None or needed <= len(members):
        return
    have = f"has {len(members)} member{'s' if len(members) != 1 else ''}"
    wanted = f"{needed} different people" if needed > 1 else "somebody"
    named = f" ({', '.join(members[:10])})" if members else ""
    raise place.error(
        f"{place.words} needs {wanted}, but group {group!r} {have}{named}",
        kind=QuorumError, group=group, members=list(members), needed=needed,
    )  # fmt: skip


def _rule(rule: Rule, loop: LoopSettings, place: Place) -> None:
    try:
        check_rules((rule,))
    except RuleError as error:
        raise _placed(error, place.child("when")) from None
    if rule.group is not None:
        _group(rule.group, loop.groups, place.child("group"))
    if rule.group is not None or rule.quorum is not None:
        _quorum(rule.quorum or loop.quorum, rule.group or loop.group, loop, place.child("quorum"))


def _placed(error: RuleError, place: Place) -> SettingsError:
    """The error of the routing stage with file and line."""
    near = re.search(r"[Dd]id you mean '([^']+)'", error.hint)
    placed = place.error(error.message, kind=RuleError, hint=error.hint, **error.details)
    placed.details["nearest"] = near[1] if near else None
    return placed


def _distinct(rules: tuple[Rule, ...], place: Place) -> None:
    names: set[str] = set()
    for index, rule in enumerate(rules):
        if rule.name in names:
            raise (
                place.child(index).child("name").error(f"two rules are named {rule.name!r}: a reason names one rule")
            )
        names.add(rule.name)


def _dead_time(loop: LoopSettings, place: Place) -> None:
    """A second tap must not answer a page that nobody has seen, and a page must not look broken."""
    least = LEAST_DEAD["labels" if loop.mode == "labels" else "other"]
    if not least <= loop.dead <= MOST_DEAD:
        why = "a label loop" if loop.mode == "labels" else f"a loop in {loop.mode} mode"
        span = f"from {least // 1000} ms to {MOST_DEAD // 1_000_000} s"
        raise place.error(
            f"{place.words} is {loop.dead_time!r}, and {why} takes {span}: a second tap must not answer the next page"
        )


def _timeout(loop: LoopSettings, place: Place) -> None:
    """A timeout must lead somewhere, and never lets a high risk through."""
    here = place.child("on_timeout")
    if loop.on_timeout == "escalate" and loop.quorum.arbiter is None:
        raise here.error(f'on_timeout = "escalate" in {place.table} needs quorum.arbiter: the group it escalates to')
    if loop.on_timeout != "autopilot":
        return
    if loop.guarantee is not None:
        raise here.error(
            f'on_timeout = "autopilot" and guarantee are both given in {place.table}: what is not certified would run '
            "because nobody had the time"
        )
    if _number(loop.risk_ceiling) >= RISK_LEVELS["high"]:
        raise place.child("risk_ceiling").error(
            f'risk_ceiling {loop.risk_ceiling!r} with on_timeout = "autopilot" in {place.table} '
            "would let a high risk through on timeout"
        )
    for index, rule in enumerate(loop.rules):
        _no_high_risk(rule, loop.risk_ceiling, place.child("rule").child(index))


def _capacity(loop: LoopSettings, here: Place) -> None:
    """Capacity is how many people answer within a promise: both have to be known."""
    if loop.capacity is None:
        return
    if loop.respond_within is None:
        raise here.error(f"{here.words} needs respond_within: the time that reviewers promise to answer in")
    if loop.capacity.reviewers is None and not loop.members(loop.group):
        raise here.error(f"{here.words} has no 'reviewers', and group {loop.group!r} has no members to count")


def _no_high_risk(rule: Rule, ceiling: str | float, place: Place) -> None:
    if rule.risk is None or rule.route == "block" or _number(rule.risk) <= _number(ceiling):
        return
    raise place.child("risk").error(
        f"rule {rule.name!r} sets the risk {rule.risk!r}, above the risk_ceiling {ceiling!r}: "
        'on_timeout = "autopilot" would let a high risk through on timeout'
    )


def _number(risk: str | float) -> float:
    return RISK_LEVELS[risk] if isinstance(risk, str) else float(risk)
