"""What people lay over settings: in force for every program, recorded, and never lost to a file without a word."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dualcontrol as dc
from dualcontrol.control import LoopSettings
from dualcontrol.doctor import PROBLEM, examine
from dualcontrol.errors import (
    ConflictError,
    NotFoundError,
    OverrideError,
    QuorumError,
    RequestError,
    RuleError,
    SamePersonError,
    SettingsError,
)
from dualcontrol.events import Event, OverrideDropped, PolicyChanged, SettingOverridden
from dualcontrol.settings import laid, loop_settings

GROUPS = {"support": ["ana", "ben"], "leads": ["lee"]}
PAY: dict[str, Any] = {"context": "minimal", "threshold": 0.9, "group": "support"}
Open = Callable[..., dc.Desk]


@pytest.fixture
def opened(database_url: str) -> Iterator[Open]:
    """Opens programs on one database, each with settings of its own for the loop "pay"; in memory they share one."""
    desks: list[dc.Desk] = []

    def program(**changes: Any) -> dc.Desk:
        groups = changes.pop("groups", GROUPS)
        if ":memory:" in database_url and desks:
            desk = desks[0]
        else:
            desk = dc.open(database_url, durability="process", groups=groups)
            desks.append(desk)
        desk.loop("pay", **{**PAY, **changes})
        return desk

    yield program
    for desk in desks:
        desk.close()


def stream(desk: dc.Desk, name: str = "pay") -> list[tuple[str, Event]]:
    """(actor, event) of everything in a loop's stream."""
    control = desk.governing(name)
    return [(e.actor, event) for e in desk.store.queries.entries(f"loop/{control.loop_id}") for event in e.events]


def sound(desk: dc.Desk) -> bool:
    """Whether what governs is what the entries say."""
    return [finding for finding in examine(desk.store) if finding.level == PROBLEM] == []


def test_a_value_is_laid_over_the_files_with_its_author(opened: Open) -> None:
    desk = opened()
    loop = dc.Loop(desk, desk.governing("pay"))
    assert loop.propose(action="a", args={}, input=1, confidence=0.92).route.to == "autopilot"
    control = loop.override("threshold", 0.95, " Ana ")
    assert (control.settings.threshold, control.declared.threshold) == (0.95, 0.9)
    assert loop.propose(action="a", args={}, input=2, confidence=0.92).route.to == "human"
    actor, event = stream(desk)[-1]
    assert isinstance(event, SettingOverridden)
    assert (actor, event.key, event.value, event.before, event.by) == ("Ana", "threshold", "0.95", "0.9", "Ana")
    assert control.overrides["threshold"].by == "Ana"
    assert loop.override("threshold", 0.95, "ben").version == control.version  # in force already: nothing is written
    assert sound(desk)


def test_a_dropped_value_is_the_files_again(opened: Open) -> None:
    desk = opened()
    loop = dc.Loop(desk, desk.governing("pay"))
    loop.override("threshold", None, "ana")
    loop.override("audit", 0.5, "ana")
    assert loop.control.settings.threshold is None
    control = loop.drop_override("threshold", "ben")
    assert (control.settings.threshold, control.settings.audit, control.declared.audit) == (0.9, 0.5, 0.0)
    control = loop.drop_override("audit", "ben")
    assert (control.base, control.overrides, control.settings) == (None, {}, control.declared)
    actor, event = stream(desk)[-1]
    assert isinstance(event, OverrideDropped)
    assert (actor, event.key, event.by, event.reason) == ("ben", "audit", "ben", None)
    assert sound(desk)


def test_an_override_outlives_its_program_and_every_other_key_may_change(opened: Open) -> None:
    dc.Loop(opened(), opened().governing("pay")).override("threshold", 0.95, "ana")
    control = opened(audit=0.25).governing("pay")
    assert (control.settings.threshold, control.settings.audit) == (0.95, 0.25)
    assert (control.declared.threshold, control.declared.audit) == (0.9, 0.25)
    desk = opened(audit=0.25)
    event = stream(desk)[-1][1]
    assert isinstance(event, PolicyChanged)
    assert event.base is not None
    assert desk.governing("pay").version == control.version
    assert sound(desk)


def test_a_start_with_another_value_under_an_override_is_refused_with_both_named(opened: Open) -> None:
    desk = opened()
    loop = dc.Loop(desk, desk.governing("pay"))
    loop.override("threshold", 0.95, "ana")
    before = stream(desk)
    with pytest.raises(
        OverrideError, match=r"^threshold of loop 'pay' is 0\.8 .* was 0\.9 when ana laid 0\.95 over it"
    ):
        opened(threshold=0.8)
    assert stream(desk) == before
    assert loop.control.settings.threshold == 0.95
    loop.drop_override("threshold", "ben")
    assert opened(threshold=0.8).governing("pay").settings.threshold == 0.8
    assert sound(desk)


def test_what_the_file_says_by_now_is_no_override_any_more(opened: Open) -> None:
    desk = opened()
    loop = dc.Loop(desk, desk.governing("pay"))
    loop.override("threshold", 0.95, "ana")
    loop.override("audit", 0.5, "ana")
    control = opened(threshold=0.95).governing("pay")
    assert ([*control.overrides], control.settings.threshold, control.settings.audit) == (["audit"], 0.95, 0.5)
    (_, policy), (_, event) = stream(desk)[-2:]
    assert isinstance(policy, PolicyChanged)
    assert isinstance(event, OverrideDropped)
    assert (event.by, event.key) == ("settings", "threshold")
    assert event.reason
    assert opened(threshold=0.97).governing("pay").settings.threshold == 0.97
    assert sound(desk)


def test_an_override_that_no_longer_fits_is_refused_at_the_start(opened: Open) -> None:
    desk = opened()
    loop = dc.Loop(desk, desk.governing("pay"))
    loop.override("quorum", {"answers": 2}, "ana")
    with pytest.raises(OverrideError, match=r"do not go with what is laid over them \(quorum = .* by ana\)"):
        opened(group="leads")  # one member
    assert loop.control.settings.group == "support"


def test_the_members_of_a_group_are_overridden_for_one_loop(opened: Open) -> None:
    desk = opened()
    loop, other = dc.Loop(desk, desk.governing("pay")), desk.loop("other", **PAY)
    loop.override("groups.support", ["ana", "cleo"], "lee")
    case = loop.propose(action="a", args={}, input=1, confidence=0.1)
    assert desk.claim("ben", loop) is None
    assert desk.claim("cleo", loop).case.id == case.id  # type: ignore[union-attr]
    assert other.control.settings.groups["support"] == ("ana", "ben")
    loop.override("groups.night", ["nell"], "lee")  # one that the file does not have
    assert loop.control.overrides["groups.night"].before == "null"
    assert "night" not in loop.drop_override("groups.night", "lee").settings.groups


def test_another_promise_or_other_labels_are_certified_by_nothing(opened: Open) -> None:
    desk = opened(threshold=None, mode="labels", labels=["a", "b"], guarantee={"max_error": 0.1})
    loop = dc.Loop(desk, desk.governing("pay"))
    epoch = loop.control.epoch
    assert loop.override("guarantee", {"max_error": 0.05}, "ana").epoch == epoch + 1
    control = loop.override("labels", ["a", "b", "c"], "ana")
    event = stream(desk)[-1][1]
    assert isinstance(event, SettingOverridden)
    assert (control.epoch, event.relabelled) == (epoch + 2, True)
    assert loop.override("audit", 0.5, "ana").epoch == epoch + 2
    assert loop.drop_override("labels", "ana").epoch == epoch + 3
    loop.certify()
    assert sound(desk)


WRONG: list[tuple[str, Any, type[Exception], str]] = [
    ("treshold", 0.5, SettingsError, "did you mean 'threshold'"),
    ("threshold", 95, SettingsError, "did you mean 0.95"),
    ("threshold", "high", SettingsError, "a number from 0 to 1"),
    ("threshold", float("nan"), SettingsError, "a number from 0 to 1"),
    ("threshold", object(), SettingsError, "a value of type object"),
    ("name", "x", SettingsError, "unknown key 'name'"),
    ("groups", {"support": []}, SettingsError, "unknown key 'groups'"),
    ("quorum.answers", 2, SettingsError, "did you mean 'quorum'"),
    ("quorum", {"answers": 3}, QuorumError, "has 2 members"),
    ("group", "suport", SettingsError, "did you mean 'support'"),
    ("groups.support", None, SettingsError, "a list of texts"),
    ("groups.support", ["ana", "Ana "], SettingsError, "one person"),
    ("rules", [{"name": "x", "when": "args.", "route": "human"}], RuleError, "argument: "),
    ("rule", [{"name": "x"}], RuleError, "has no 'when'"),
    ("threshold", 0.9, RequestError, "in the settings themselves"),
    ("", 1, SettingsError, "unknown key"),
    ("x" * 300, 1, SettingsError, "a setting is named"),
]


@pytest.mark.parametrize(("key", "value", "kind", "words"), WRONG, ids=[f"{row[0][:20]}-{row[3]}" for row in WRONG])
def test_a_value_is_checked_as_the_files(opened: Open, key: str, value: Any, kind: type[Exception], words: str) -> None:
    desk = opened()
    before = stream(desk)
    with pytest.raises(kind, match=words):
        dc.Loop(desk, desk.governing("pay")).override(key, value, "ana")
    assert stream(desk) == before


def test_rules_are_overridden_by_either_name(opened: Open) -> None:
    desk = opened()
    loop = dc.Loop(desk, desk.governing("pay"))
    rule = {"name": "all", "when": "true", "route": "human", "quorum": {"of": 2}}
    assert loop.override("rule", [rule], "ana").overrides.keys() == {"rules"}
    assert loop.propose(action="a", args={}, input=1, confidence=0.99).route.by == "rule:all"
    assert loop.drop_override("rule", "ana").settings.rules == ()


def test_nobody_approves_a_change_of_their_own(opened: Open) -> None:
    desk = opened()
    loop = dc.Loop(desk, desk.governing("pay"))
    with pytest.raises(SamePersonError):
        loop.override("threshold", 0.95, "ana", approved_by=" ANA")
    assert loop.override("threshold", 0.95, "ana", approved_by="ben").overrides["threshold"].approved_by == "ben"


def test_what_is_not_overridden_is_not_dropped(opened: Open) -> None:
    desk = opened()
    loop = dc.Loop(desk, desk.governing("pay"))
    with pytest.raises(NotFoundError, match="overridden are: none"):
        loop.drop_override("threshold", "ana")
    loop.override("threshold", 0.95, "ana")
    with pytest.raises(NotFoundError, match="did you mean 'threshold'"):
        loop.drop_override("treshold", "ana")


def test_who_saw_another_value_replaces_none(opened: Open) -> None:
    desk = opened()
    loop = dc.Loop(desk, desk.governing("pay"))
    loop.override("threshold", 0.95, "ana", instead_of=0.9)
    with pytest.raises(ConflictError, match=r"is 0\.95 by now by ana"):
        loop.override("threshold", 0.5, "ben", instead_of=0.9)
    assert loop.control.settings.threshold == 0.95


def test_of_two_people_at_once_one_value_is_in_force_and_both_are_recorded(opened: Open) -> None:
    desk = opened()
    values = {"ana": 0.95, "ben": 0.97}
    begin, refused = threading.Barrier(2), []

    def lay(person: str, **more: Any) -> None:
        begin.wait()
        try:
            dc.Loop(desk, desk.governing("pay")).override("threshold", values[person], person, **more)
        except ConflictError:
            refused.append(person)

    def both(**more: Any) -> list[SettingOverridden]:
        threads = [threading.Thread(target=lay, args=(person,), kwargs=more) for person in values]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        return [event for _, event in stream(desk) if isinstance(event, SettingOverridden)]

    events = both()
    assert (len(events), {event.before for event in events}, refused) == (2, {"0.9"}, [])
    assert desk.governing("pay").settings.threshold == values[events[-1].by]
    dc.Loop(desk, desk.governing("pay")).drop_override("threshold", "lee")
    assert len(both(instead_of=0.9)) == 3  # who saw the file's value is told of the other
    assert len(refused) == 1
    assert sound(desk)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "threshold": st.none() | st.floats(0, 1),
    "audit": st.floats(0, 1),
    "risk_ceiling": st.sampled_from(["low", "medium", "high"]),
    "quorum": st.fixed_dictionaries({"answers": st.integers(1, 2)}, optional={"veto": st.booleans()}),
    "human_actions": st.lists(st.sampled_from("abc"), unique=True),
    "respond_within": st.none() | st.sampled_from(["15m", 60, "2h"]),
    "feedback": st.sampled_from(["off", "export", {"retrain_every": 5}]),
    "groups.support": st.lists(st.sampled_from(["ana", "ben", "cleo", "dan"]), min_size=2, unique=True),
    "rules": st.just([]) | st.just([{"name": "r", "when": "true", "route": "human", "quorum": {"answers": 2}}]),
}
KEYS = st.sampled_from(sorted(VALUES)).flatmap(lambda key: st.tuples(st.just(key), VALUES[key]))


@settings(max_examples=150, deadline=None)
@given(changes=st.lists(KEYS, max_size=5))
def test_laying_what_is_in_force_over_the_file_gives_what_is_in_force(changes: list[tuple[str, Any]]) -> None:
    """What an event says of a value in full, laid over the file again, is the same settings to the last bit."""
    base = loop_settings("pay", None, GROUPS, **PAY)
    values: dict[str, Any] = {}
    for key, value in changes:
        values[key] = value
    effective = laid(base, values)
    in_full = {key: effective.setting(key) for key in values}
    again = laid(base, in_full)
    assert again.digest == effective.digest
    assert LoopSettings.from_dict(again.to_dict()).digest == effective.digest
