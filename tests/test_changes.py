"""Changes by two: nothing changes before a second person approves it, and then it changes once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol import changes
from dualcontrol.control import BY_TWO, Control, LoopSettings
from dualcontrol.doctor import PROBLEM, examine
from dualcontrol.errors import (
    EligibilityError,
    ProposalError,
    RequestError,
    SettingsError,
    StoreUnavailableError,
)
from dualcontrol.events import AutopilotOpened, Event, OverrideDropped, SettingOverridden
from dualcontrol.propose import command

GROUPS = {"policy": ["ana", "ben", "cleo"]}
PAY: dict[str, Any] = {"context": "minimal", "threshold": 0.9, "changes": "two"}


@pytest.fixture
def desk(database_url: str) -> Iterator[dc.Desk]:
    with dc.open(database_url, durability="process", groups=GROUPS) as desk:
        desk.loop("pay", **PAY)
        yield desk


@pytest.fixture
def loop(desk: dc.Desk) -> dc.Loop:
    return dc.Loop(desk, desk.governing("pay"))


def asked(change: Callable[[], Any]) -> str:
    """The case that a change waits in."""
    with pytest.raises(dc.Pending, match="a second person has to approve this change") as waits:
        change()
    return waits.value.case_id


def answer(desk: dc.Desk, case_id: str, person: str, verdict: str = "approve", value: Any = None) -> dc.Case:
    claim = desk.claim(person, case=case_id)
    assert claim is not None
    claim.answer(verdict, value)
    return desk.case(case_id)


def happened(desk: dc.Desk, kind: type[Event]) -> list[Any]:
    loop_id = desk.governing("pay").loop_id
    entries = desk.store.queries.entries(f"loop/{loop_id}")
    return [event for entry in entries for event in entry.events if isinstance(event, kind)]


def sound(desk: dc.Desk) -> bool:
    return [finding for finding in examine(desk.store) if finding.level == PROBLEM] == []


def test_an_override_takes_effect_when_a_second_person_approves_it(desk: dc.Desk, loop: dc.Loop) -> None:
    case_id = asked(lambda: loop.override("threshold", 0.5, "ana"))
    case = desk.case(case_id)
    assert (case.loop, case.action, case.owner, case.route and case.route.to) == (
        BY_TWO, "override_setting", "ana", "human",
    )  # fmt: skip
    assert case.proposed_value()["args"] == {"loop": "pay", "key": "threshold", "value": 0.5, "before": 0.9}
    assert loop.control.settings.threshold == 0.9
    assert asked(lambda: loop.override("threshold", 0.5, "Ana")) == case_id  # asked already
    with pytest.raises(EligibilityError, match="proposed case"):
        desk.claim(" ANA ", case=case_id)
    with pytest.raises(EligibilityError, match="not a member"):
        desk.claim("dan", case=case_id)
    assert answer(desk, case_id, "ben").effect.state == "succeeded"
    (event,) = happened(desk, SettingOverridden)
    assert (event.value, event.by, event.approved_by, event.case_id) == ("0.5", "ana", "ben", case_id)
    assert loop.override("threshold", 0.5, "ana").settings.threshold == 0.5  # in force: nobody is asked
    assert sound(desk)


def test_what_is_rejected_changes_nothing(desk: dc.Desk, loop: dc.Loop) -> None:
    case_id = asked(lambda: loop.override("threshold", 0.5, "ana"))
    assert answer(desk, case_id, "ben", "reject").state == "closed"
    desk.sweep()
    assert happened(desk, SettingOverridden) == []
    assert asked(lambda: loop.override("threshold", 0.5, "ana")) != case_id


def test_dropping_an_override_takes_two_as_well(desk: dc.Desk, loop: dc.Loop) -> None:
    answer(desk, asked(lambda: loop.override("threshold", 0.5, "ana")), "ben")
    case_id = asked(lambda: loop.drop_override("threshold", "ben"))
    assert loop.control.settings.threshold == 0.5
    answer(desk, case_id, "cleo")
    (event,) = happened(desk, OverrideDropped)
    assert (event.by, event.approved_by, event.case_id) == ("ben", "cleo", case_id)
    assert (loop.control.settings.threshold, loop.control.overrides) == (0.9, {})


def test_opening_autopilot_takes_two_and_stopping_it_one(desk: dc.Desk, loop: dc.Loop) -> None:
    assert loop.stop_autopilot("ana", "odd").closed
    case_id = asked(lambda: loop.open_autopilot("ana", "mended"))
    assert loop.control.closed
    answer(desk, case_id, "ben")
    (event,) = happened(desk, AutopilotOpened)
    assert event.reason == "ana, approved by ben, opened it again: mended"
    assert loop.open_autopilot("ana").closed == {}


def test_nobody_alone_makes_it_a_loop_of_one(desk: dc.Desk, loop: dc.Loop) -> None:
    case_id = asked(lambda: loop.override("changes", "one", "ana"))
    assert loop.control.settings.changes == "two"
    with pytest.raises(RequestError, match="by two"):
        loop.override("threshold", 0.5, "ana", approved_by="ben")
    answer(desk, case_id, "ben")
    assert loop.override("threshold", 0.5, "ana").settings.threshold == 0.5


def test_a_mistake_is_refused_before_anybody_is_asked(desk: dc.Desk, loop: dc.Loop) -> None:
    with pytest.raises(SettingsError, match="did you mean 'threshold'"):
        loop.override("treshold", 0.5, "ana")
    assert desk.control(BY_TWO) is None


def test_a_value_that_no_longer_fits_changes_nothing_and_the_case_says_so(desk: dc.Desk, loop: dc.Loop) -> None:
    first = asked(lambda: loop.override("threshold", 0.5, "ana"))
    second = asked(lambda: loop.override("threshold", 0.6, "cleo"))
    quorum = asked(lambda: loop.override("quorum", {"answers": 4}, "ana"))
    answer(desk, first, "ben")
    case = answer(desk, second, "ben")
    assert (case.effect.state, case.effect.ran) == ("failed", False)
    assert "threshold of loop 'pay' is 0.5 by now by ana" in case.content.get("error")
    desk.loop("pay", **{**PAY, "threshold": 0.5}, group="policy")  # which has three members
    case = answer(desk, quorum, "ben")
    assert case.effect.state == "failed"
    assert "needs 4 different people" in case.content.get("error")
    assert [event.value for event in happened(desk, SettingOverridden)] == ["0.5"]
    assert sound(desk)


def test_an_approver_who_edits_a_change_is_its_author_and_it_is_not_made(desk: dc.Desk, loop: dc.Loop) -> None:
    case_id = asked(lambda: loop.override("threshold", 0.5, "ana"))
    args = {"loop": "pay", "key": "threshold", "value": 0.1, "before": 0.9}
    case = answer(desk, case_id, "ben", "edit", {"action": "override_setting", "args": args})
    assert case.effect.state == "failed"
    assert "other values than its author asked for" in case.content.get("error")
    assert loop.control.settings.threshold == 0.9


def test_the_loop_of_changes_is_the_programs_own(desk: dc.Desk, loop: dc.Loop) -> None:
    case_id = asked(lambda: loop.override("threshold", 0.5, "ana"))
    own = desk.loop(BY_TWO)
    with pytest.raises(RequestError, match="program's own"):
        own.override("threshold", 0.0, "ana")
    with pytest.raises(RequestError, match="program's own"):
        own.open_autopilot("ana")
    with pytest.raises(SettingsError, match="program's own"):
        desk.loop(BY_TWO, threshold=0.0)
    with pytest.raises(SettingsError, match="program's own"):
        desk.loop("Changes", threshold=0.0)
    args = desk.case(case_id).proposed_value()["args"]
    with pytest.raises(ProposalError, match="takes no proposals"):
        own.propose(action="override_setting", args=args, owner="cleo", confidence=1.0, input=1)
    with pytest.raises(RequestError, match="takes no proposals"):
        own.propose_batch({"action": ["override_setting"], "input": ["x"], "confidence": [1.0]})
    assert loop.control.settings.threshold == 0.9


def test_a_kill_between_approval_and_change_is_made_good_once(
    desk: dc.Desk, loop: dc.Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends after the answer was written, and at any place inside the change."""
    case_id = asked(lambda: loop.override("threshold", 0.5, "ana"))
    with monkeypatch.context() as ended:
        ended.setattr(changes, "answered", lambda desk, case: None)
        assert answer(desk, case_id, "ben").effect.state == "ready"
    for method in ("save_control", "save"):
        with monkeypatch.context() as ended:
            broken_off(ended, desk, method)
            with pytest.raises(StoreUnavailableError):
                desk.sweep()
        assert desk.case(case_id).effect.state == "ready"
        assert loop.control.settings.threshold == 0.9
    assert desk.sweep() == 1
    assert desk.sweep() == 0
    assert len(happened(desk, SettingOverridden)) == 1
    assert desk.case(case_id).effect.state == "succeeded"
    assert sound(desk)


def broken_off(patch: pytest.MonkeyPatch, desk: dc.Desk, method: str) -> None:
    """Let transactions break off where they write with this method."""
    with desk.store.transaction() as tx:
        kind = type(tx)

    def gone(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("gone")

    patch.setattr(kind, method, gone)


def test_a_desk_that_is_opened_makes_good_what_another_left(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "dualcontrol.toml"
    file.write_text(
        f'[database]\nurl = "sqlite:///{tmp_path}/dc.db"\n[groups]\npolicy = ["ana", "ben"]\n'
        '[loop.pay]\nchanges = "two"\nthreshold = 0.9\n', encoding="utf-8",
    )  # fmt: skip
    with dc.open(settings=file) as desk:
        case_id = asked(lambda: desk.loop("pay").override("threshold", 0.5, "ana"))
        monkeypatch.setattr(changes, "answered", lambda desk, case: None)
        answer(desk, case_id, "ben")
    with dc.open(settings=file) as desk:
        assert desk.case(case_id).effect.state == "succeeded"
        assert desk.governing("pay").settings.threshold == 0.5
        file.write_text(file.read_text(encoding="utf-8").replace('["ana", "ben"]', '["lee"]'), encoding="utf-8")
    with dc.open(settings=file) as desk:  # the people of the file approve from its next start on
        assert desk.governing(BY_TWO).settings.groups["policy"] == ("lee",)


def test_what_other_modules_change_is_carried_out_by_its_name(desk: dc.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered applier writes in the same transaction; a name that nobody carries out is refused."""
    made: list[changes.Approved] = []
    monkeypatch.setitem(changes.APPLIERS, "grant_role", lambda steps, tx, approved: made.append(approved))
    case = changes.propose(desk, "grant_role", {"person": "dan", "role": "lead"}, "ana", "she leaves")
    assert made == []
    answer(desk, case.id, "ben")
    assert made == [changes.Approved({"person": "dan", "role": "lead"}, "ana", "ben", case.id)]
    with pytest.raises(RequestError, match="nothing carries out"):
        changes.propose(desk, "grant_rule", {}, "ana")


def test_a_loop_of_ones_own_by_that_name_is_left_alone(desk: dc.Desk, loop: dc.Loop) -> None:
    """An older version let somebody have it: its cases run nothing here."""
    desk.steps.govern(LoopSettings(name=BY_TWO, context="minimal"))
    with pytest.raises(SettingsError, match="a loop of your own"):
        loop.override("threshold", 0.5, "ana")
    case = proposed(desk, owner="ana", action="pay")
    assert answer(desk, case.id, "ben").effect.state == "ready"
    desk.sweep()
    assert desk.case(case.id).effect.state == "ready"


def proposed(desk: dc.Desk, **fields: Any) -> dc.Case:
    """A case in the loop of changes, whoever proposes it."""
    args = {"loop": "pay", "key": "threshold", "value": 0.5, "before": 0.9}
    wanted = command(desk.governing(BY_TWO).settings, args=args, input=1, effect="ready", **fields)
    return desk.steps.propose(wanted, own=True).case


def test_a_change_that_is_nobodys_is_not_made(desk: dc.Desk, loop: dc.Loop) -> None:
    asked(lambda: loop.override("audit", 0.5, "ana"))
    for fields in ({"action": "override_setting"}, {"action": "unheard_of", "owner": "ana"}):
        case = answer(desk, proposed(desk, **fields).id, "ben")
        assert case.effect.state == "failed"
    assert loop.control.settings.threshold == 0.9
    assert happened(desk, SettingOverridden) == []


def test_a_loop_of_one_asks_nobody(desk: dc.Desk) -> None:
    loop = desk.loop("pay", context="minimal", threshold=0.9)
    control: Control = loop.override("threshold", 0.5, "ana")
    assert control.settings.threshold == 0.5
    assert desk.control(BY_TWO) is None
