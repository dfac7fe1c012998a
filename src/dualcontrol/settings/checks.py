"""Checks across the settings of a loop: what contradicts itself, or would let something through by accident."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dualcontrol.case import Quorum, is_high, risk_number
from dualcontrol.control import BY_TWO, CLASS, LoopSettings
from dualcontrol.errors import QuorumError, RuleError
from dualcontrol.labels import label_name
from dualcontrol.names import identity, nearest, same
from dualcontrol.route.check import check_rules
from dualcontrol.settings.place import MISSING, Place

ACTION_LISTS = ("human_actions", "autopilot_actions", "block_actions")
# Microseconds.  A hand that taps twice does so within 400 ms; who labels by keys sees a picture in less.
LEAST_DEAD, MOST_DEAD = {"labels": 150_000, "other": 400_000}, 10_000_000
# The group of loops that name none; it is open to everybody unless [groups] declares it.
OPEN_GROUP = "reviewers"


def check_loop(loop: LoopSettings, place: Place) -> None:
    """Refuse settings of a loop that do not go together."""
    if same(loop.name, BY_TWO):
        raise place.error(f"{place.table} is the program's own loop, in which changes are approved: take another name")
    _exclusive(loop, place)
    _actions(loop, place)
    _group(loop.group, loop.groups, place.child("group"))
    _quorum(loop.quorum, loop.group, loop, place.child("quorum"))
    _rules(loop, place.child("rule"))
    _timeout(loop, place)
    # A second tap must not answer a page that nobody has seen, and a page must not look broken.
    least = LEAST_DEAD["labels" if loop.mode == "labels" else "other"]
    if not least <= loop.dead <= MOST_DEAD:
        why = "a label loop" if loop.mode == "labels" else f"a loop in {loop.mode} mode"
        span = f"from {least // 1000} ms to {MOST_DEAD // 1_000_000} s"
        here = place.child("dead_time")
        raise here.error(
            f"{here.words} is {loop.dead_time!r}, and {why} takes {span}: a second tap must not answer the next page"
        )
    for index, corruption in enumerate(loop.probes.corruptions if loop.probes is not None else ()):
        here = place.child("probes").child("corruptions").child(index)
        ways = [corruption.times is not None or corruption.plus is not None, corruption.to is not None, corruption.swap]
        if sum(ways) != 1:
            raise here.error(f"{here.table} takes one of times and plus, to, and swap: what becomes of the field")
    # Capacity is how many people answer within a promise: both have to be known.
    here = place.child("capacity")
    if loop.capacity is not None and loop.respond_within is None:
        raise here.error(f"{here.words} needs respond_within: the time that reviewers promise to answer in")
    if loop.capacity is not None and loop.capacity.reviewers is None and not loop.groups.get(loop.group):
        raise here.error(f"{here.words} has no 'reviewers', and group {loop.group!r} has no members to count")


def _exclusive(loop: LoopSettings, place: Place) -> None:
    """One standard for autopilot, and of labels and of settling what the mode knows."""
    guarantee = place.child("guarantee")
    if guarantee.sources.get(guarantee.path) is not MISSING:
        if loop.guarantee is None:
            raise guarantee.error(f"{guarantee.words} has no 'max_error': the share of autopilot that may be wrong")
        if loop.threshold is not None:
            at = place.sources.origin(place.child("threshold").path).text
            raise guarantee.error(
                f"threshold ({at}) and guarantee are both given in {place.table}: "
                "give one, a guarantee finds its own threshold"
            )
        here = guarantee.child("largest")
        if loop.guarantee.largest > 1 and loop.guarantee.independent_by is None:
            raise here.error(
                f"{here.words} is {loop.guarantee.largest}, and nothing says which cases belong together: "
                'give independent_by too, "question", "run" or a field such as "meta.conversation"'
            )
    _per(loop, guarantee.child("per"))
    if loop.labels is not None and loop.mode != "labels":
        raise place.child("labels").error(
            f'labels in {place.table} need mode = "labels", not {loop.mode!r}', near="labels"
        )
    if loop.mode == "approval" and loop.quorum.settle == "collect":
        raise place.child("quorum").child("settle").error(
            f'settle in {place.child("quorum").table} is "collect", which decides nothing; '
            'approval needs "unanimous", "majority" or a number'
        )  # fmt: skip


def _per(loop: LoopSettings, place: Place) -> None:
    """What gets a certificate of its own is declared: each has its share of the chance of being wrong beforehand."""
    guarantee = loop.guarantee
    if guarantee is None or guarantee.per is None:
        return
    here, per = Place(place.sources, (*place.path[:-1], "segments")), guarantee.per
    if loop.mode == "preference" and per == CLASS:
        raise place.error(f'{place.words} is "{CLASS}", and in preference mode no class is proposed')
    if not guarantee.segments:
        what = "classes, such as actions," if per == CLASS else f"values of {per}"
        raise place.error(
            f"{place.words} is {per!r}: name the {what} that get a certificate of their own in segments; "
            "they share the chance of being wrong, so they have to be known before"
        )
    names = [label_name(label) for label in loop.labels or ()] if per == CLASS else []
    twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if twice is not None:
        raise place.error(f"{place.words}: two labels go by the name {twice!r}; write them so that they differ")
    other = next((name for name in guarantee.segments if name not in names), None) if names else None
    if other is not None:
        raise here.error(f"{here.words} names {other!r}, which is no label of the loop", near=nearest(other, names))


def _actions(loop: LoopSettings, place: Place) -> None:
    """An action is in one list, and an entry names one action.

    A pattern or several names in one text would match nothing, and let all pass.
    """
    first: dict[str, str] = {}
    for key in ACTION_LISTS:
        here = place.child(key)
        for action in getattr(loop, key):
            name = identity(action)
            if not name:
                raise here.error(f"{here.words} has an entry without a sign that can be seen")
            if re.search(r"[,;|\n]", action):
                names = [name.strip() for name in re.split(r"[,;|\n]", action) if name.strip()]
                raise here.error(
                    f"{here.words} has the entry {action!r:.80}, which looks like several names: "
                    "give each its own text",
                    near=", ".join(f'"{name}"' for name in names) or None,
                )
            if re.search(r"[*?^$\\(){}\[\]<>+~%]|\.\*|/.*/", action):
                raise here.error(
                    f"{here.words} has the entry {action!r:.80}, which looks like a pattern; an entry is the name of "
                    "one action, and a rule is for the rest: when = 'action.startsWith(\"delete_\")'"
                )
            if first.setdefault(name, key) != key:
                raise here.error(f"action {action!r} is in {first[name]} and in {key} of {place.table}")


def _group(group: str, groups: Mapping[str, tuple[str, ...]], place: Place) -> None:
    if groups and group not in groups and group != OPEN_GROUP:
        known = ", ".join(groups)
        raise place.error(
            f"{place.words} names the group {group!r}, which is not in [groups] ({known})",
            near=nearest(group, groups),
        )


def _quorum(quorum: Quorum, group: str, loop: LoopSettings, place: Place) -> None:
    """A quorum can come about: by its numbers, and in the group and that of its arbiter."""
    of, settle, arbiter = place.child("of"), place.child("settle"), place.child("arbiter")
    if quorum.of is not None and quorum.of < quorum.answers:
        raise of.error(
            f"{of.words} is {quorum.of}, fewer than the {quorum.answers} answers wanted", near=quorum.answers
        )
    if isinstance(quorum.settle, int) and quorum.settle > quorum.asked:
        raise settle.error(
            f"{settle.words} wants {quorum.settle} equal answers of {quorum.asked} asked for", near=quorum.asked
        )
    # where it was written how many people are wanted, or from which group
    numbers = (here for here in (of, place.child("answers")) if here.sources.get(here.path) is not MISSING)
    _enough(quorum.asked, group, loop, next(numbers, Place(place.sources, (*place.path[:-1], "group"))))
    if quorum.arbiter is not None:
        _group(quorum.arbiter, loop.groups, arbiter)
        beside = quorum.asked if quorum.arbiter == group else 0
        _enough(1 + beside, quorum.arbiter, loop, arbiter)


def _enough(needed: int, group: str, loop: LoopSettings, place: Place) -> None:
    members = loop.groups.get(group)
    if members is None or needed <= len(members):
        return
    have = f"has {len(members)} member{'s' if len(members) != 1 else ''}"
    wanted = f"{needed} different people" if needed > 1 else "somebody"
    named = f" ({', '.join(members[:10])})" if members else ""
    raise place.error(
        f"{place.words} needs {wanted}, but group {group!r} {have}{named}",
        kind=QuorumError, group=group, members=list(members), needed=needed,
    )  # fmt: skip


def _rules(loop: LoopSettings, place: Place) -> None:
    """Every rule can be evaluated and finds its people, and no two have one name."""
    for index, rule in enumerate(loop.rules):
        here = place.child(index)
        try:
            check_rules((rule,))
        except RuleError as error:  # of the routing stage, which knows neither file nor line
            near = re.search(r"[Dd]id you mean '([^']+)'", error.hint)
            placed = here.child("when").error(error.message, kind=RuleError, hint=error.hint, **error.details)
            placed.details["nearest"] = near[1] if near else None
            raise placed from None
        if rule.group is not None:
            _group(rule.group, loop.groups, here.child("group"))
        if rule.group is not None or rule.quorum is not None:
            _quorum(rule.quorum or loop.quorum, rule.group or loop.group, loop, here.child("quorum"))
    names: set[str] = set()
    for index, rule in enumerate(loop.rules):
        if rule.name in names:
            here = place.child(index).child("name")
            raise here.error(f"two rules are named {rule.name!r}: a reason names one rule")
        names.add(rule.name)


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
    if is_high(loop.risk_ceiling):
        raise place.child("risk_ceiling").error(
            f'risk_ceiling {loop.risk_ceiling!r} with on_timeout = "autopilot" in {place.table} '
            "would let a high risk through on timeout"
        )
    for index, rule in enumerate(loop.rules):
        if rule.route != "block" and risk_number(rule.risk) > risk_number(loop.risk_ceiling):
            raise place.child("rule").child(index).child("risk").error(
                f"rule {rule.name!r} sets the risk {rule.risk!r}, above the risk_ceiling {loop.risk_ceiling!r}: "
                'on_timeout = "autopilot" would let a high risk through on timeout'
            )  # fmt: skip
