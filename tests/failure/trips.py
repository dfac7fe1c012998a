"""Programs that are killed and started again: one for each kind of event, run in a child process.

    python trips.py URL WITNESS EVENT after|before|never [TRIP]
    python trips.py serve SCRATCH.db

Plays the trip in which EVENT happens, or the one that is named.
With ``after`` the process is killed with SIGKILL right after the transaction with the first such event has
committed, with ``before`` right before it commits.
Every trip may be started again at any point and goes on from what the database says.
The witness is a file outside the store: the effect appends a line to it with fsync.
The last line printed is the trip's end as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dualcontrol as dc
from dualcontrol import step
from dualcontrol.case import Case
from dualcontrol.commands import Propose
from dualcontrol.errors import EffectError, EffectUnknownError
from dualcontrol.events import (
    AuditsChanged,
    AutopilotClosed,
    AutopilotOpened,
    Entry,
    EpochBegan,
    EvidenceCounted,
    LookTaken,
    ModelKept,
    ModelPromoted,
    ProbeScored,
    ReliefChanged,
    ReviewerStepped,
    ScoreChanged,
    ThresholdMoved,
    TrainingFailed,
)
from dualcontrol.probe import AnswerKey

SHORT = 0.4
STOPPING = ("LoopStopped", "LoopResumed", "AllStopped", "AllResumed")
PAY = {"input": {"mail": "please pay"}, "rationale": "the invoice is right"}


class Killer:
    """A store whose transactions end the process around the first commit that holds an event of one kind."""

    def __init__(self, store: Any, event: str, when: str) -> None:
        self._store, self._event, self._when = store, event, when

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @contextmanager
    def transaction(self, durable: bool = True, starts: bool | None = None) -> Iterator[Any]:
        """The store's own transaction, watched."""
        seen = Seen()
        with self._store.transaction(durable, starts) as tx:
            yield seen.watch(tx)
            if self._when == "before" and self._event in seen.kinds:
                os.kill(os.getpid(), signal.SIGKILL)
        if self._when == "after" and self._event in seen.kinds:
            os.kill(os.getpid(), signal.SIGKILL)


class Seen:
    """Which kinds of events a transaction has written."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()

    def watch(self, tx: Any) -> Any:
        """Note the kinds of every entry on its way into the database."""
        for name in ("save", "save_control", "append"):
            setattr(tx, name, self._noting(getattr(tx, name)))
        return tx

    def _noting(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            entry = next(a for a in (*args, *kwargs.values()) if isinstance(a, Entry))
            self.kinds |= {type(e).__name__ for e in entry.events}
            return write(*args, **kwargs)

        return noted


class Trip:
    """What every trip needs: a desk, a loop with short times, a witness, and looks at the record."""

    def __init__(self, desk: dc.Desk, witness: str, **settings: Any) -> None:
        self.desk, self.witness = desk, witness
        self.settings = {"lease": SHORT, "effect_lease": SHORT, "threshold": 0.9, **settings}
        self.settle()

    def settle(self, **settings: Any) -> None:
        """Put settings in force."""
        self.settings |= settings
        self.loop = self.desk.loop("pay", **self.settings)

    def append(self, line: str) -> None:
        """The effect: one line, on the disk."""
        with open(self.witness, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def lines(self) -> list[str]:
        """What the witness saw."""
        try:
            with open(self.witness, encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def gate(self, confidence: float = 0.5, *, fails: bool = False) -> Any:
        """The gated function."""

        @self.loop.gate(timeout=0, confidence=confidence)
        def pay(order: str, amount: float) -> str:
            self.append(f"{order} {amount}")
            if fails:
                raise RuntimeError("the bank said no")
            return f"paid {amount}"

        return pay

    def call(self, pay: Any) -> Any:
        """One attempt of the program, under its run's name."""
        with self.desk.run("r"), self.loop.context(**PAY):
            return pay("A-17", 420.0)

    def until_done(self, pay: Any, human: Callable[[], Any]) -> Any:
        """The program, again and again, with a human beside it, until it gives or raises something final."""
        for _ in range(200):
            try:
                return self.call(pay)
            except dc.Pending:
                human()
            except EffectUnknownError as error:
                case_id = str(error.details["case_id"])
                self.desk.resolve_effect(case_id, happened=bool(self.lines()), result="found done")
            except (EffectError, dc.Rejected, dc.TimedOut) as error:
                return error.code
            time.sleep(0.05)
        raise AssertionError("the trip does not end")

    def case(self) -> Case | None:
        """The one case of this trip."""
        rows = self.desk.store.queries.cases(loop="pay").rows
        return self.desk.case(rows[0].id) if rows else None

    def happened(self, kind: str) -> int:
        """How many events of a kind the case has."""
        case = self.case()
        return sum(type(e).__name__ == kind for e in self.desk.events(case.id)) if case else 0

    def answer(self, verdict: str = "approve", value: Any = None, person: str = "ana") -> None:
        """One human, if there is something for them."""
        claim = self.desk.claim(person, "pay")
        if claim is not None:
            claim.answer(verdict, value, rationale="seen")

    def end(self, result: Any) -> dict[str, Any]:
        """How it ended, for the comparison."""
        self.desk.sweep()
        case = self.case()
        assert case is not None
        outcome = case.outcome
        return {
            "result": result,
            "by": outcome.by if outcome else None,
            "verdict": outcome.verdict if outcome else None,
            "value": outcome.value if outcome else None,
            "effect": case.effect.state,
            "witness": self.lines(),
            "cases": len(self.desk.store.queries.cases(loop="pay").rows),
            "decided": self.happened("Decided"),
            "concluded": self.happened("Concluded"),
        }


def plain(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """Propose, claim, approve, run once."""
    trip = Trip(desk, witness)
    return trip.end(trip.until_done(trip.gate(), trip.answer))


def failing(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """The effect runs and fails; it is not tried again."""
    trip = Trip(desk, witness)
    pay = trip.gate(fails=True)

    def attempt(*args: Any) -> Any:
        try:
            return pay(*args)
        except RuntimeError as error:
            return str(error)

    result = trip.until_done(attempt, trip.answer)
    return trip.end("failed" if result in ("DC-EFFECT", "the bank said no") else result)


def released(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """A claim is given back before somebody else answers."""
    trip = Trip(desk, witness)

    def human() -> None:
        if not trip.happened("Released"):
            claim = desk.claim("ana", "pay")
            if claim is not None:
                claim.release()
        else:
            trip.answer(person="ben")

    return trip.end(trip.until_done(trip.gate(), human))


def extended(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """A claim is held longer."""
    trip = Trip(desk, witness)

    def human() -> None:
        claim = desk.claim("ana", "pay")
        if claim is not None:
            claim.extend(SHORT * 2)
            claim.approve()

    return trip.end(trip.until_done(trip.gate(), human))


def expired(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """A claim runs out; somebody else answers."""
    trip = Trip(desk, witness)

    def human() -> None:
        if not trip.happened("LeaseExpired"):
            desk.claim("ana", "pay")
            time.sleep(SHORT + 0.05)
            desk.sweep()
        else:
            trip.answer(person="ben")

    return trip.end(trip.until_done(trip.gate(), human))


def passed(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """The first reviewer abstains, the second approves."""
    trip = Trip(desk, witness)

    def human() -> None:
        if not trip.happened("Passed"):
            trip.answer("abstain")
        else:
            trip.answer(person="ben")

    return trip.end(trip.until_done(trip.gate(), human))


def rerouted(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """An edit meets a rule that wants two people."""
    rule = {"name": "large", "when": "args.amount > 500.0", "route": "human", "quorum": {"answers": 2}}
    trip = Trip(desk, witness, rules=[rule])

    def human() -> None:
        if not trip.happened("Rerouted"):
            trip.answer("edit", {"order": "A-17", "amount": 700.0})
        else:
            trip.answer(person="ben")

    return trip.end(trip.until_done(trip.gate(), human))


def alarmed(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """The only reviewer proposed it; the arbiter decides alone."""
    trip = Trip(desk, witness, group="solo", quorum={"answers": 1, "arbiter": "leads"})
    meant = {"action": "pay", "args": {"amount": 420.0}, "alternatives": [], "confidence": 0.5, **PAY}
    case = trip.loop.propose(key="k", owner="ana", **meant)
    trip.answer(person="lee")
    with trip.loop.effect(case) as value:
        trip.append(f"{value['args']['amount']}")
    return trip.end(len(desk.case(case.id).alarms))


def cancelled(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """One veto of two reviewers decides; the other's row is cancelled."""
    trip = Trip(desk, witness, quorum={"answers": 2, "veto": True})
    return trip.end(trip.until_done(trip.gate(), lambda: trip.answer("reject")))


def retracted(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """A decision is taken back in time, however slow the machine; another one counts at once."""
    trip = Trip(desk, witness, undo="1h")

    def human() -> None:
        case = trip.case()
        assert case is not None
        if not trip.happened("Retracted") and case.settled is not None:
            desk.retract(case.id, "ana")
        elif not trip.happened("Retracted"):
            trip.answer("reject")
        else:
            trip.settle(undo=0)
            trip.answer("approve", person="ben")

    return trip.end(trip.until_done(trip.gate(), human)) | {"decided": None}


def revoked(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """An approval is taken back before its effect begins; nothing runs."""
    trip = Trip(desk, witness)
    pay = trip.gate()

    def attempt(*args: Any) -> Any:
        case = trip.case()
        if case is not None and case.effect.state == "ready" and case.outcome and case.outcome.verdict == "approve":
            desk.revoke(case.id, "ben")
        return pay(*args)

    return trip.end(trip.until_done(attempt, trip.answer))


def recalled(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """Two people are wanted after one has approved: the case goes back for the other before its effect begins."""
    trip = Trip(desk, witness)
    pay = trip.gate()

    def attempt(*args: Any) -> Any:
        case = trip.case()
        if case is not None and case.outcome is not None and not trip.happened("Recalled"):
            trip.settle(quorum={"answers": 2})
        return pay(*args)

    def human() -> None:
        trip.answer(person="ben" if trip.happened("Recalled") else "ana")

    return trip.end(trip.until_done(attempt, human))


def audited(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """Autopilot runs; the audit says it was wrong; history stays."""
    trip = Trip(desk, witness, audit=1.0)
    result = trip.until_done(trip.gate(confidence=0.99), lambda: None)
    for _ in range(40):
        if trip.happened("Audited"):
            break
        trip.answer("reject")
        time.sleep(0.05)
    return trip.end(result) | {"audited": trip.happened("Audited")}


def probed(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """A probe for one person: it is asked and scored once, and nothing runs."""
    trip = Trip(desk, witness, probes={"share": 0.05})
    key = AnswerKey(person="ana", wrong=True, how="authored", cue="there is no such order")
    pay = {"id": "c1", "action": "pay", "value": {"order": "A-18", "amount": 420.0}}
    if not desk.store.queries.cases(kind="probe").rows:
        desk.steps.propose(Propose(loop="pay", kind="probe", candidates=(pay,), proposed=0, given=("alternatives",),
                                   answer_key=key.content(), **PAY))  # fmt: skip
    for _ in range(40):
        trip.answer("reject")
        (row,) = desk.store.queries.cases(kind="probe").rows
        case = desk.case(row.id)
        if case.scored is not None:
            break
        time.sleep(0.05)
    desk.sweep()
    scores = [e.rejected for e in desk.events(case.id) if isinstance(e, ProbeScored)]
    return {"scores": scores, "state": desk.case(case.id).state, "witness": trip.lines()}


def committed(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """An audit of an action: first it is said what should happen, then the action is shown and answered."""
    promise = {"max_error": 0.1, "adjudicate": False}
    trip = Trip(desk, witness, threshold=None, audit=1.0, guarantee=promise, autopilot_actions=["pay"])
    result = trip.until_done(trip.gate(), lambda: None)
    for _ in range(40):
        claim = desk.claim("ana", "pay")
        if claim is not None:
            if claim.view["committed"] is None:
                claim.commit("not", to="nobody")
            claim.reject("not ours")
        if trip.happened("Audited"):
            break
        time.sleep(0.05)
    case = trip.case()
    assert case is not None
    first = [answer.first for answer in case.answers]
    return trip.end(result) | {"audited": trip.happened("Audited"), "first": first}


def timed_out(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """Nobody answers in time."""
    trip = Trip(desk, witness, respond_within=SHORT, on_timeout="reject")
    return trip.end(trip.until_done(trip.gate(), lambda: None))


def withdrawn(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """The program takes its proposal back."""
    trip = Trip(desk, witness)

    def human() -> None:
        case = trip.case()
        assert case is not None
        desk.withdraw(case.id)

    return trip.end(trip.until_done(trip.gate(), human))


def lost(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """An effect never reports back; somebody looks, it did not happen, it runs."""
    trip = Trip(desk, witness)
    pay = trip.gate()

    def human() -> None:
        trip.answer()
        case = trip.case()
        if case is not None and case.effect.state == "ready" and not trip.happened("EffectStarted"):
            trip.loop.start_effect(case.id, "a program that dies")
            time.sleep(SHORT + 0.05)
            desk.sweep()

    return trip.end(trip.until_done(pay, human))


def erased(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """The content is erased; the outcome stays, the key is never run again."""
    trip = Trip(desk, witness)
    case = trip.case()
    if case is None or not case.erased:
        trip.until_done(trip.gate(), trip.answer)
        case = trip.case()
        assert case is not None
        desk.erase(case.id)
    try:
        trip.call(trip.gate())
    except dc.DualcontrolError as error:
        return trip.end(error.code)
    raise AssertionError("an erased key ran again")


def pair(trip: Trip) -> list[Case]:
    """Two cases that ask the same while there is relief; the second has joined the first."""
    desk, meant = trip.desk, {"action": "pay", "args": {"order": "A-17"}, "alternatives": [], "confidence": 0.5, **PAY}
    desk.steps.move("pay", lambda control, now: [] if control.relief else relieved(control, now))
    leader, follower = (trip.loop.propose(key=key, **meant) for key in ("first", "second"))
    assert leader.id in (follower.leader, *(getattr(e, "leader", None) for e in desk.events(follower.id)))
    return [leader, follower]


def settled(trip: Trip, follower: Case) -> dict[str, Any]:
    """Let the second case come to its end, with its effect run once."""
    desk = trip.desk
    for _ in range(200):
        desk.sweep()
        if desk.case(follower.id).outcome is not None:
            break
        trip.answer()
        time.sleep(0.05)
    if desk.case(follower.id).effect.state == "ready":
        with trip.loop.effect(follower.id) as value:
            trip.append(f"{value['args']['order']}")
    ends = [row.verdict for row in desk.store.queries.cases(loop="pay").rows]
    return trip.end(ends) | {"joined": trip.desk.case(follower.id).leader is not None}


def joined(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """One answer settles two cases."""
    trip = Trip(desk, witness, capacity={"reviewers": 1}, respond_within="1h")
    return settled(trip, pair(trip)[1])


def one_by_one(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """The same, where no follower is settled in its leader's transaction."""
    step.AT_ONCE = 0
    return joined(desk, witness)


def parted(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """The first of two cases is withdrawn; people are asked about the second by itself."""
    trip = Trip(desk, witness, capacity={"reviewers": 1}, respond_within="1h")
    leader, follower = pair(trip)
    if desk.case(leader.id).outcome is None:
        desk.withdraw(leader.id)
    return settled(trip, follower)


def policy(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """The settings change while a case waits."""
    trip = Trip(desk, witness)
    result = trip.until_done(trip.gate(), trip.answer)
    desk.loop("pay", threshold=0.8)
    control = desk.control("pay")
    assert control is not None
    return trip.end(result) | {"threshold": control.settings.threshold}


def overridden(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """A person lays a threshold over the declared one, and drops it again."""
    trip = Trip(desk, witness)
    result = trip.until_done(trip.gate(), trip.answer)
    stream = [type(e).__name__ for entry in desk.store.queries.entries(trip.loop.stream) for e in entry.events]
    if "SettingOverridden" not in stream:
        trip.loop.override("threshold", 0.95, "ana")
    if "OverrideDropped" not in stream:
        trip.loop.drop_override("threshold", "ben")
    stream = [type(e).__name__ for entry in desk.store.queries.entries(trip.loop.stream) for e in entry.events]
    counts = {kind: stream.count(kind) for kind in ("SettingOverridden", "OverrideDropped")}
    return trip.end(result) | counts | {"threshold": trip.loop.control.settings.threshold}


def by_two(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """An override that a second person approves; whoever comes next carries it out."""
    loop = desk.loop("pay", context="minimal", threshold=0.9, changes="two")
    desk.sweep()
    try:
        loop.override("threshold", 0.95, "ana")
    except dc.Pending as waits:
        claim = desk.claim("ben", case=waits.case_id)
        assert claim is not None
        claim.approve()
    entries = [*desk.store.queries.entries(loop.stream)]
    rows = desk.store.queries.cases(loop="changes").rows
    entries += [entry for row in rows for entry in desk.store.queries.entries(f"case/{row.id}")]
    kinds = [type(event).__name__ for entry in entries for event in entry.events]
    counts = {kind: kinds.count(kind) for kind in ("SettingOverridden", "EffectStarted", "EffectSucceeded")}
    return {"threshold": loop.control.settings.threshold, "cases": len(rows)} | counts


ACCOUNTS = (
    "AccountAdded", "AccountJoined", "RolesChanged", "GroupNamed", "AccountsLinked", "AccountRemoved",
    "AccountRecovered", "TokenIssued", "TokenRevoked", "PeopleChanged", "GroupChanged",
)  # fmt: skip


def accounts(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """Accounts come, get roles, groups and tokens, and go; whoever starts again does what is not done yet."""
    desk.loop("pay", context="minimal")
    people = desk.people
    if not people.begun:
        people.set_up("root", "no hash", alone="ana")
    names = [account.name for account in people.accounts()]
    if "ben" not in names:
        people.invite("ben", "root")
    if people.account("ben").state == "invited":
        desk.sign_ins.choose_password(people.recover("ben", "root").secret, "four words are good")
    if people.account("ben").state == "active":
        people.grant("ben", "reviewer", "root")
        people.set_group("team", ["ana", "ben"], "root")
    if "bot" not in names:
        people.register("bot", "root", owner="ana")
    if not desk.tokens.listed():
        desk.tokens.issue("bot", "root")
    for token, _ in desk.tokens.listed():
        if token.revoked_at is None:
            desk.tokens.revoke(token.id, "root")
    if people.account("ben").state != "removed":
        people.remove("ben", "root")
    control = desk.control("pay")
    assert control is not None
    known = {member.name: [*member.roles] for member in (control.people or {}).values()}
    return {
        "states": {account.name: account.state for account in people.accounts()}, "roles": known,
        "groups": {name: [*names] for name, names in control.groups.items()}, "tokens": len(desk.tokens.listed()),
        "linked": people.account("root").behind == people.account("ana").behind, "witness": [],
    }  # fmt: skip


def control_event(make: Callable[[Any, int], Any], done: Callable[[Any], bool]) -> Callable[..., dict[str, Any]]:
    """A trip that ends with one event in the loop's own stream.

    A model of these trips has no file, so a program that starts again closes autopilot for the whole loop.
    """

    def trip_of(desk: dc.Desk, witness: str) -> dict[str, Any]:
        trip = Trip(desk, witness)
        result = trip.until_done(trip.gate(), trip.answer)
        desk.steps.move("pay", lambda control, now: [] if done(control) else make(control, now))
        control = desk.control("pay")
        assert control is not None
        shut = {segment: why for segment, why in control.closed.items() if segment}
        moved_to = {"model": control.model, "epoch": control.epoch, "thresholds": control.thresholds, "closed": shut}
        moved_to["relief"] = control.relief
        return trip.end(result) | {"control": moved_to}

    return trip_of


def moved(control: Any, now: int) -> Any:
    event = ThresholdMoved(version=control.version + 1, at=now, segment="", threshold="0.95", reason="test")
    return [event]


def closed(control: Any, now: int) -> Any:
    event = AutopilotClosed(version=control.version + 1, at=now, segment="x", cause="person", reason="test")
    return [event]


def opened(control: Any, now: int) -> Any:
    event = AutopilotOpened(version=control.version + 1, at=now, segment="x", reason="test")
    return [event]


def began(control: Any, now: int) -> Any:
    version, promise = control.version + 1, '{"max_error": 0.05}'
    return [EpochBegan(version=version, at=now, segment="", epoch=1, reason="test", promise=promise)]


def counted(control: Any, now: int) -> Any:
    return [EvidenceCounted(at=now, segment="", epoch=0, upto=7, labels=((7, "0.5", 0, "1.0", 0, 0),))]


def looked(control: Any, now: int) -> Any:
    figures = {
        "labels": 9,
        "after": 0,
        "upto": 9,
        "max_error": "0.05",
        "confidence": "0.95",
        "missed": "0.0",
        "wrong": 0,
    }
    return [LookTaken(at=now, segment="", epoch=0, threshold="0.9", **figures)]


def audits(control: Any, now: int) -> Any:
    return [AuditsChanged(version=2, at=now, segment="", edges=("0.5",), shares=("1.0", "0.1"), reason="test")]


def relieved(control: Any, now: int) -> Any:
    event = ReliefChanged(
        version=control.version + 1, at=now, level=2, name="fewer audits", demand="60.0", capacity="35.0",
        understaffed=2, reason="test",
    )  # fmt: skip
    return [event]


def untrained(control: Any, now: int) -> Any:
    failure = {"code": "DC-MODEL", "reason": "test", "attempt": 1, "retry_at": now + 60_000_000}
    return [TrainingFailed(at=now, what="model", trainer="x:Y", **failure)]


def stepped(control: Any, now: int) -> Any:
    return [ReviewerStepped(version=control.version + 1, at=now, person="zed", step=1, because="test", verdicts=1)]


def scored(control: Any, now: int) -> Any:
    return [ScoreChanged(version=control.version + 1, at=now, model="r1", examples=500, reason="test")]


def model(kind: Any) -> Callable[[Any, int], Any]:
    def make(control: Any, now: int) -> Any:
        version = {"version": control.version + 1} if kind is ModelPromoted else {}
        event = kind(**version, at=now, model="m1", examples=10, metric="log loss", score="0.5")
        return [event]

    return make


def stopped(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """All loops are stopped after the approval, and opened again: what was approved runs once, after that."""
    trip = Trip(desk, witness)
    pay = trip.gate()

    def recorded() -> list[str]:
        entries = [*desk.store.queries.entries("stop"), *desk.store.queries.entries(trip.loop.stream)]
        return [name for entry in entries for e in entry.events if (name := type(e).__name__) in STOPPING]

    def attempt(*args: Any) -> Any:
        case = trip.case()
        if case is not None and case.effect.state == "ready" and "LoopStopped" not in recorded():
            desk.stop("lee", "test")
        return pay(*args)

    def human() -> None:
        trip.answer()
        if trip.loop.control.stopped is not None:
            assert trip.lines() == []
            desk.resume("lee", "test")

    return trip.end(trip.until_done(attempt, human)) | {"stops": recorded()}


def batch(desk: dc.Desk, witness: str) -> dict[str, Any]:
    """A chunk of rows is routed in one entry; rows for humans are cases."""
    loop = desk.loop("pay", mode="labels", threshold=0.9, context="minimal", lease=SHORT)
    columns = {"input": ["a", "b", "c"], "proposal": ["x", "y", "z"], "signal.confidence": [0.95, 0.2, 0.99]}
    loop.propose_batch(columns, key="chunk")
    rows = desk.store.queries.cases(loop="pay").rows
    stream = [type(e).__name__ for entry in desk.store.queries.entries(loop.stream) for e in entry.events]
    return {"cases": len(rows), "batches": stream.count("BatchRouted"), "witness": []}


TRIPS: dict[str, Callable[[dc.Desk, str], dict[str, Any]]] = {
    "Opened": plain,
    "Routed": plain,
    "Rerouted": rerouted,
    "Joined": joined,
    "joined, one by one": one_by_one,
    "Parted": parted,
    "ReviewOpened": plain,
    "AlarmRaised": alarmed,
    "Claimed": plain,
    "Released": released,
    "Extended": extended,
    "LeaseExpired": expired,
    "Committed": committed,
    "Answered": plain,
    "Passed": passed,
    "ReviewCancelled": cancelled,
    "Decided": plain,
    "Retracted": retracted,
    "Audited": audited,
    "ProbeScored": probed,
    "Revoked": revoked,
    "Recalled": recalled,
    "TimedOut": timed_out,
    "Withdrawn": withdrawn,
    "Concluded": plain,
    "EffectStarted": plain,
    "EffectSucceeded": plain,
    "EffectFailed": failing,
    "EffectLost": lost,
    "EffectResolved": lost,
    "Erased": erased,
    "PolicyChanged": policy,
    "SettingOverridden": overridden,
    "OverrideDropped": overridden,
    "overridden by two": by_two,
    "ThresholdMoved": control_event(moved, lambda c: c.thresholds == {"": 0.95}),
    "EpochBegan": control_event(began, lambda c: c.epoch == 1),
    "EvidenceCounted": control_event(counted, lambda c: c.seq > 1),
    "LookTaken": control_event(looked, lambda c: c.seq > 1),
    "AuditsChanged": control_event(audits, lambda c: bool(c.audits)),
    "AutopilotClosed": control_event(closed, lambda c: bool(c.closed)),
    "AutopilotOpened": control_event(opened, lambda c: c.version > 1),
    **dict.fromkeys(STOPPING, stopped),
    **dict.fromkeys(ACCOUNTS, accounts),
    "ReliefChanged": control_event(relieved, lambda c: c.relief == 2),
    "ModelPromoted": control_event(model(ModelPromoted), lambda c: c.model == "m1"),
    "TrainingFailed": control_event(untrained, lambda c: "model" in c.untrained),
    "ModelKept": control_event(model(ModelKept), lambda c: c.version > 1),
    "ScoreChanged": control_event(scored, lambda c: c.scorer == "r1"),
    "BatchRouted": batch,
    "ReviewerStepped": control_event(stepped, lambda c: "zed" in c.rungs),
}


def main(url: str, witness: str, event: str, when: str, trip: str | None = None) -> None:
    """Play one trip, to its end or to its kill."""
    desk = dc.open(url, durability="power", groups={"solo": ["ana"], "leads": ["lee"]})
    desk.steps.store = Killer(desk.store, event, when)
    print(json.dumps(TRIPS[trip or event](desk, witness), sort_keys=True))
    desk.close()


def serve() -> None:
    """Play a trip for each line of stdin, in a process of its own that begins with everything imported.

    A line is the arguments of `main` and two files for stdout and stderr, as JSON; the answer is the exit status.
    """
    with dc.open("sqlite:///" + sys.argv[2], durability="process") as desk:
        plain(desk, sys.argv[2] + ".witness")
    assert threading.active_count() == 1, "a thread would be lost in the fork"
    for line in sys.stdin:
        out, err, *arguments = json.loads(line)
        if (child := os.fork()) == 0:
            for stream, path in ((1, out), (2, err)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
            status = 1
            try:
                main(*arguments)
                sys.stdout.flush()
                status = 0
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else main(*sys.argv[1:])
