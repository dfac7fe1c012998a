"""Changes by two: what one person wants changed takes effect when a second approves it, as a case of its own.

The cases are of a loop that the program makes itself.  Its people are the group `policy`, the author of a change owns
its case and so cannot approve it, and nothing in it ever goes to autopilot.  What was approved is carried out once, in
one transaction with the effect of its case: killed in between it has not begun, and the next sweep or desk begins it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import asdict

from dualcontrol import stop
from dualcontrol.accounts import registry
from dualcontrol.case import JSON, Actor, Case, Value, plain
from dualcontrol.commands import known_as, person
from dualcontrol.control import BY_TWO, LEADS, READMIT, SUSPEND, SUSPENDED, Control, LoopSettings, Rule
from dualcontrol.errors import DualcontrolError, EligibilityError, Pending, RequestError, SettingsError, StoreError
from dualcontrol.events import Event, ReviewerStepped
from dualcontrol.keys import json_text
from dualcontrol.learn.serving import check_one, started
from dualcontrol.learn.trainers import DeskPort
from dualcontrol.names import identity, same
from dualcontrol.overrides import Change, dropped, overridden
from dualcontrol.people import Grant, Verb, human_of, may, refuse
from dualcontrol.propose import command
from dualcontrol.step import Steps
from dualcontrol.store import CaseRow, Tx

log = logging.getLogger("dualcontrol")
GROUP = "policy"  # who approves a change
OWNER = "changes"  # who carries one out
WAITS = "a second person has to approve this change"
OPEN = "open_autopilot"
PAGE = 100
ABOUT_PEOPLE = Rule(name="people", when=f'action in ["{SUSPEND}", "{READMIT}"]', route="human", group=LEADS)


class ChangingDesk(DeskPort, Protocol):
    """A desk as changes see it."""

    @property
    def steps(self) -> Steps:
        """The one mechanism."""


class Approved(NamedTuple):
    """A change that was approved: its arguments as they were proposed, who wants it, who approved it, and its case."""

    args: dict[str, JSON]
    by: str
    approved_by: str
    case_id: str


Applier = Callable[[Steps, Tx, Approved], None]
APPLIERS: dict[str, Applier] = {}


def applies(action: str) -> Callable[[Applier], Applier]:
    """Register what carries out an approved change of this name: it writes in the transaction that it is given.

    Whatever DualcontrolError it raises stands in the case, and nothing of the change is written.
    """

    def register(applier: Applier) -> Applier:
        APPLIERS[action] = applier
        return applier

    return register


# Asking for a change


def propose(
    desk: ChangingDesk, action: str, args: Mapping[str, JSON], by: str, reason: str = "", key: str | None = None
) -> Case:  # fmt: skip
    """The case of a change that waits for a second person; the one that is open, where the author has asked already.

    With a `key` it is asked for once, whatever came of it.
    Raises RequestError for an action that nothing carries out, and EligibilityError for no person.
    """
    if action not in APPLIERS:
        raise RequestError(f"nothing carries out {action!r}; known are: {', '.join(sorted(APPLIERS))}")
    author = person(by)
    settings = ruled(desk).settings
    for row in _cases(desk, "open"):
        case = desk.case(row.id)
        if key is None and row.action == action and same(case.owner, author) and _args(case) == json_text(dict(args)):
            return case
    proposal = command(
        settings, action=action, args=dict(args), input={"asked_by": author}, rationale=reason or None, owner=author,
        requires_approval=True, effect="ready", key=key,
    )  # fmt: skip
    return desk.steps.propose(proposal, own=True).case


def ruled(desk: ChangingDesk) -> Control:
    """What governs the loop of changes, made where it is not there, with the groups of this program's settings."""
    if _own(desk) is None and desk.control(BY_TWO) is not None:
        raise SettingsError(
            f"there is a loop of your own named {BY_TWO!r}, which is the name of the one in which changes are approved",
            hint="Let changes = \"one\" stand in the other loops, or begin a new database without that loop.",
        )  # fmt: skip
    groups = getattr(desk.settings, "groups", None) or {}
    own = LoopSettings(
        name=BY_TWO, group=GROUP, context="minimal", undo=0, changes="two", groups=dict(groups), rules=(ABOUT_PEOPLE,)
    )
    return desk.steps.govern(own)


def _own(desk: ChangingDesk) -> Control | None:
    """What governs the loop of changes; None where there is none, or an older version let somebody have the name."""
    control = desk.control(BY_TWO)
    return control if control is not None and control.settings.changes == "two" else None


def _cases(desk: ChangingDesk, state: str) -> Iterator[CaseRow]:
    """The cases of changes in a state, newest first."""
    cursor = None
    while True:
        page = desk.store.queries.cases(loop=BY_TWO, state=state, limit=PAGE, cursor=cursor)
        yield from page.rows
        cursor = page.next
        if cursor is None:
            return


def _args(case: Case) -> bytes:
    proposal = case.proposal
    return b"" if proposal is None else json_text(proposal.value)


# Carrying it out


def answered(desk: ChangingDesk, case: Case) -> None:
    """Carry out a change that was just approved; the answer stands, and a sweep does it where this fails."""
    if case.loop == BY_TWO and case.effect.state == "ready" and _own(desk) is not None:
        try:
            carry_out(desk, case.id)
        except StoreError as error:
            log.warning("the change of case %s is left to the next sweep: %s", case.id, error.message)


def run_all(desk: ChangingDesk) -> int:
    """Carry out every change that was approved and not begun, as after a kill; returns how many."""
    control = _own(desk)
    if control is None or not desk.store.queries.counts(control.loop_id)["decided"]:
        return 0
    ready = [row.id for row in _cases(desk, "decided") if row.effect == "ready"]
    return sum(carry_out(desk, case_id) for case_id in reversed(ready))


def resume(desk: ChangingDesk) -> None:
    """What a program does with changes when it begins: the groups of its settings approve, and what waits is made."""
    if _own(desk) is not None:
        ruled(desk)
        run_all(desk)


def carry_out(desk: ChangingDesk, case_id: str) -> bool:
    """Carry out one approved change, once; whether this call did.  What refuses it stands in the case."""
    try:
        case = desk.steps.run_effect(case_id, OWNER, lambda tx, case: _applied(desk.steps, tx, case))
    except StoreError:
        raise
    except DualcontrolError as error:  # somebody else was first, or it went back to people
        log.info("the change of case %s is not carried out here: %s", case_id, error.message)
        return False
    done = case.effect.state == "succeeded"
    if done and case.action == OPEN and case.proposal is not None:  # a model's file may have gone while it was closed
        control = desk.control(case.proposal.value["loop"])
        if control is not None and control.model is not None:
            check_one(desk, control)
    return done


def _applied(steps: Steps, tx: Tx, case: Case) -> None:
    """Write an approved change; RequestError for one that nobody wanted as it is, or that one person made alone."""
    outcome, proposal = case.concluded, case.proposal
    if outcome is None or proposal is None or proposal.action not in APPLIERS:
        raise RequestError("nothing carries out this change")
    if case.resolved_value() != case.proposed_value():
        raise RequestError("it was approved with other values than its author asked for: ask for those as a change")
    control, owner = steps.control(tx, case.loop), case.owner or ""
    others = [name for name in outcome.reviewers if human_of(name, control) != human_of(owner, control)]
    if outcome.by != "human" or case.owner is None or not others:
        raise RequestError("no second person has approved it")
    APPLIERS[proposal.action](steps, tx, Approved(dict(proposal.value), case.owner, others[0], case.id))


# The changes of a loop: settings, and autopilot that a person had stopped


class SettingArgs(Value, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A value to lay over a setting, in the place of the one that was in force when it was asked for."""

    loop: str
    key: str
    value: JSON
    before: JSON


class DropArgs(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An override to drop, and its value when that was asked for."""

    loop: str
    key: str
    before: JSON


class AutopilotArgs(Value, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """Autopilot to open that a person had stopped."""

    loop: str
    segment: str
    because: str


class PersonArgs(Value, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """Somebody who is to take no more cases of a loop, or to take them again."""

    loop: str
    person: str
    because: str


Args = SettingArgs | DropArgs | AutopilotArgs | PersonArgs
Make = Callable[[Control, int], Any]


def override(desk: ChangingDesk, loop: str, wanted: Change) -> Control:
    """Lay a value over a setting of a loop; raises Pending where a second person has to approve it first."""
    lay = desk.steps.lay

    def ask(control: Control) -> Args:
        before = control.settings.setting(wanted.key)
        return SettingArgs(loop=loop, key=wanted.key, value=plain(wanted.value), before=before)

    return _by_one_or_two(desk, loop, wanted, lambda now, at: overridden(now, at, wanted, lay), "override_setting", ask)


def drop_override(desk: ChangingDesk, loop: str, wanted: Change) -> Control:
    """Let a setting be as the file says again; raises Pending where a second person has to approve it first."""
    lay = desk.steps.lay

    def ask(control: Control) -> Args:
        return DropArgs(loop=loop, key=wanted.key, before=control.settings.setting(wanted.key))

    return _by_one_or_two(desk, loop, wanted, lambda now, at: dropped(now, at, wanted, lay), "drop_override", ask)


def open_autopilot(desk: ChangingDesk, loop: str, by: str, because: str, segment: str) -> Control:
    """Let autopilot act again; raises Pending where a second person has to approve it first."""

    def make(now: Control, at: int) -> list[Event]:
        return started(now, at, by, because, segment)

    args = AutopilotArgs(loop=loop, segment=segment, because=because)
    return _by_one_or_two(desk, loop, Change("", by), make, OPEN, lambda control: args, because, "resume")


def _by_one_or_two(
    desk: ChangingDesk, loop: str, wanted: Change, make: Make, action: str, ask: Callable[[Control], Args],
    reason: str = "", verb: Verb = "configure",
) -> Control:  # fmt: skip
    """Make the change at once where the loop leaves it to one person; else ask a second, and raise Pending."""
    if same(loop, BY_TWO):
        raise RequestError(f"the loop {BY_TWO!r} is the program's own, and is as it is", hint="Change another loop.")
    waiting: list[Control] = []

    def alone(now: Control, at: int) -> Any:
        waiting.clear()
        refuse(may(wanted.by, verb, now))
        events = make(now, at)  # what would be refused is refused before anybody is asked
        if now.settings.changes != "two" or not events:
            return events
        waiting.append(now)
        return []

    control = desk.steps.move(loop, alone, actor=wanted.by)
    if not waiting:
        return control
    if wanted.approved_by is not None:
        raise RequestError(f"loop {loop!r} takes changes by two: the approval is given in the case of the change",
                           hint="Leave approved_by out; the error Pending names the case.")  # fmt: skip
    case = propose(desk, action, asdict(ask(waiting[-1])), wanted.by, reason)
    raise Pending(case.id, note=WAITS)


def _read(kind: type[Any], args: Mapping[str, JSON]) -> Any:
    try:
        return kind.from_dict(args)
    except msgspec.ValidationError as error:
        raise RequestError(f"the change is not one that can be carried out: {error}") from error


def _moved(steps: Steps, tx: Tx, loop: str, approved: Approved, make: Make) -> None:
    """Write the events of a change to a loop, in the name of its author."""
    control = steps.control(tx, known_as(loop, RequestError, "a loop"))
    if same(loop, BY_TWO):
        raise RequestError(f"the loop {BY_TWO!r} is the program's own")
    events = make(control, tx.now)
    if events:
        steps.moved(tx, control, events, expected=control, actor=approved.by)


@applies("override_setting")
def _override(steps: Steps, tx: Tx, approved: Approved) -> None:
    args: SettingArgs = _read(SettingArgs, approved.args)
    wanted = Change(args.key, approved.by, args.value, approved.approved_by, approved.case_id, args.before)
    _moved(steps, tx, args.loop, approved, lambda now, at: overridden(now, at, wanted, steps.lay))


@applies("drop_override")
def _drop(steps: Steps, tx: Tx, approved: Approved) -> None:
    args: DropArgs = _read(DropArgs, approved.args)
    wanted = Change(args.key, approved.by, None, approved.approved_by, approved.case_id, args.before)
    _moved(steps, tx, args.loop, approved, lambda now, at: dropped(now, at, wanted, steps.lay))


@applies(OPEN)
def _open_autopilot(steps: Steps, tx: Tx, approved: Approved) -> None:
    args: AutopilotArgs = _read(AutopilotArgs, approved.args)

    def opened(now: Control, at: int) -> list[Event]:
        return started(now, at, approved.by, args.because, args.segment, approved_by=approved.approved_by)

    _moved(steps, tx, args.loop, approved, opened)


# Roles and groups, and the end of an emergency stop


class RoleArgs(Value, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A role to give or to take away."""

    name: str
    role: str
    loop: str


class GroupArgs(Value, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """Who is to belong to a group; None gives it back to the settings."""

    group: str
    people: tuple[str, ...] | None


class ResumeArgs(Value, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A stopped loop to open again."""

    loop: str
    because: str


def _regranted(steps: Steps, tx: Tx, approved: Approved, *, give: bool) -> None:
    args: RoleArgs = _read(RoleArgs, approved.args)
    wanted, approval = Grant(role=registry.known_role(args.role), loop=args.loop), _approval(approved)
    events, _ = registry.regranted(tx, tx.accounts, args.name, wanted, approved.by, give=give, approval=approval)
    registry.Registry(steps).record(tx, events, approved.by)


@applies("grant_role")
def _grant(steps: Steps, tx: Tx, approved: Approved) -> None:
    _regranted(steps, tx, approved, give=True)


@applies("revoke_role")
def _revoke(steps: Steps, tx: Tx, approved: Approved) -> None:
    _regranted(steps, tx, approved, give=False)


@applies("set_group")
def _group(steps: Steps, tx: Tx, approved: Approved) -> None:
    args: GroupArgs = _read(GroupArgs, approved.args)
    events = registry.grouped(tx, tx.accounts, args.group, args.people, approved.by, _approval(approved))
    registry.Registry(steps).record(tx, events, approved.by)


def _approval(approved: Approved) -> registry.Approval:
    return registry.Approval(approved.approved_by, approved.case_id)


def resume_stopped(desk: ChangingDesk, actor: Actor, because: str, loop: str | None) -> list[Control]:
    """Open a stopped loop again, or all; raises Pending where a loop among them takes a second person first.

    All loops are opened by one only where each of them leaves it to one; else they are opened one by one.
    """
    controls = [control for control in desk.steps.store.queries.loops() if loop in (None, control.loop)]
    by_two = [c.loop for c in controls if c.stopped is not None and c.settings.changes == "two" and c.loop != BY_TWO]
    if not by_two:
        return stop.resume(desk.steps, actor, because, loop)
    if loop is None:
        raise RequestError(
            f"{', '.join(by_two)} {'takes' if len(by_two) == 1 else 'take'} two people to open again",
            hint="Open the loops one by one: a second person approves each of these.",
        )
    refuse(may(actor.person, "resume", controls[0]))
    stop.checked_reason(because, "resume")
    case = propose(desk, "resume_loop", asdict(ResumeArgs(loop=loop, because=because)), actor.person, because)
    raise Pending(case.id, note=WAITS)


@applies("resume_loop")
def _resume(steps: Steps, tx: Tx, approved: Approved) -> None:
    args: ResumeArgs = _read(ResumeArgs, approved.args)
    actor = Actor(person=approved.by, via="changes", authenticated="approval")
    _moved(steps, tx, args.loop, approved, lambda now, at: stop.resumed(now, at, actor, args.because, False))


# Suspension: a statistic asks for it, the leads decide, and a lead ends it


def suggest_suspension(desk: ChangingDesk, args: Mapping[str, JSON], key: str) -> None:
    """Ask the leads, once for a key, whether somebody is to take no more cases of a loop."""
    propose(desk, SUSPEND, args, "system", str(args["because"]), key)


def suspended(now: Control, at: int, person: str, because: str, approved: Approved | None, by: str) -> list[Event]:
    """Nobody is suspended twice."""
    return [] if now.step_of(person) == SUSPENDED else [_stepped(now, at, person, SUSPENDED, because, approved, by)]


def readmitted(now: Control, at: int, person: str, because: str, approved: Approved | None, by: str) -> list[Event]:
    """Who was suspended begins below the ladder; what the test said of them before counts no more."""
    return [_stepped(now, at, person, 0, because, approved, by)] if now.step_of(person) == SUSPENDED else []


def _stepped(
    now: Control, at: int, person: str, step: int, because: str, approved: Approved | None, by: str
) -> ReviewerStepped:  # fmt: skip
    rung = now.rungs.get(identity(person))
    return ReviewerStepped(
        version=now.version + 1, at=at, person=rung.name if rung else person, step=step, because=because, by=by,
        verdicts=rung.verdicts if rung else 0, approved_by=approved.approved_by if approved else None,
        case_id=approved.case_id if approved else None,
    )  # fmt: skip


def move_person(desk: ChangingDesk, loop: str, action: str, who: str, by: str, because: str) -> Control:
    """Suspend or readmit somebody, as a lead; Pending where the loop takes two, EligibilityError for oneself."""
    make = suspended if action == SUSPEND else readmitted
    stop.checked_reason(because, "suspend" if action == SUSPEND else "readmit")

    def change(now: Control, at: int) -> list[Event]:
        if human_of(who, now) == human_of(by, now):
            raise EligibilityError(f"{by} decides nothing about themselves")
        return make(now, at, person(who), because, None, by)

    args = PersonArgs(loop=loop, person=person(who), because=because)
    return _by_one_or_two(desk, loop, Change("", by), change, action, lambda control: args, because, "resume")


@applies(SUSPEND)
def _suspend(steps: Steps, tx: Tx, approved: Approved) -> None:
    args: PersonArgs = _read(PersonArgs, approved.args)
    _moved(steps, tx, args.loop, approved,
           lambda now, at: suspended(now, at, args.person, args.because, approved, approved.by))  # fmt: skip


@applies(READMIT)
def _readmit(steps: Steps, tx: Tx, approved: Approved) -> None:
    args: PersonArgs = _read(PersonArgs, approved.args)
    _moved(steps, tx, args.loop, approved,
           lambda now, at: readmitted(now, at, args.person, args.because, approved, approved.by))  # fmt: skip
