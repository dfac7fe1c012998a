"""The command runner: load the case, ask the pure stages, save case and ledger entry in one transaction.

Nothing else joins stages and store, which is why this file is longer than others.  The store wakes the waiters.
A command that meets a conflict is tried again on fresh rows, at most `ATTEMPTS` times (optimistic concurrency).
"""

from __future__ import annotations

import hmac
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from msgspec.structs import replace

from dualcontrol import apply, keys, review, route
from dualcontrol.case import Case, Review, is_high, microseconds
from dualcontrol.commands import (
    Command,
    Commit,
    Erase,
    Expire,
    Extend,
    FinishEffect,
    Follow,
    GiveAnswer,
    JoinCase,
    LoseEffect,
    Propose,
    Recall,
    Release,
    Reseat,
    ResolveEffect,
    Retract,
    Revoke,
    Settle,
    StartEffect,
    TakeClaim,
    Timeout,
    checked,
)
from dualcontrol.commands import person as named
from dualcontrol.control import A_DAY, BY_TWO, Control, Env, Facts, LoopSettings, level_of, uuid7
from dualcontrol.errors import (
    ClaimError,
    ConflictError,
    DualcontrolError,
    ErasedError,
    KeyConflictError,
    LedgerError,
    ProposalError,
    ReadOnlyError,
    SamePersonError,
    SettledError,
    StoreError,
    UnknownCaseError,
    UnknownLoopError,
)
from dualcontrol.events import STOP, Concluded, Entry, Event, GroupChanged, LoopStopped, PeopleChanged, Routed
from dualcontrol.evolve import all_stopped, fold, governed_by
from dualcontrol.keys import check_key, fingerprint, json_text, likeness, short
from dualcontrol.labels import Labels
from dualcontrol.learn import examples
from dualcontrol.names import identity, same
from dualcontrol.overrides import Lay, governed
from dualcontrol.people import able_in, human_of, may, pools_of, proof_of, refuse
from dualcontrol.probe import unaddressed
from dualcontrol.propose import admit
from dualcontrol.review import lease as lease_of
from dualcontrol.review import reactions, values
from dualcontrol.review.edits import outstanding
from dualcontrol.review.view import REASON, PersonalView, bare
from dualcontrol.route import reroute
from dualcontrol.route.capacity import JOINED
from dualcontrol.store import CaseRow, Conflict, InboxRow, KeyTaken, PersonTaken, Store, Tx
from dualcontrol.store.accounts import news_for

ATTEMPTS = 5
EXPIRED_AT_ONCE = 20
NO_FACTS = Facts()
P = ParamSpec("P")
Done = TypeVar("Done")


class Proposed(NamedTuple):
    """The case of a proposal, the fencing token of its effect if that was started, and whether the case is new."""

    case: Case
    fence: int | None
    new: bool


def retrying(step: Callable[Concatenate[Steps, P], Done]) -> Callable[Concatenate[Steps, P], Done]:
    """Make a method of `Steps` that is one transaction run again after a conflict."""

    @wraps(step)
    def attempts(steps: Steps, /, *args: P.args, **kwargs: P.kwargs) -> Done:
        return steps.retried(step, steps, *args, **kwargs)

    return attempts


class Steps:
    """Runs commands against a store, one transaction each; knows the time, the ids and the draws."""

    def __init__(
        self, store: Store, *, lay: Lay, new_id: Callable[[], str] = uuid7, secret: bytes | None = None,
        clock: Callable[[], int] | None = None, scorer: Scorer | None = None,
    ) -> None:  # fmt: skip
        self.store = store
        self.lay = lay
        self.now = clock or (lambda: time.time_ns() // 1000)
        self.new_id = new_id
        self.secret = secret or store.secret()
        self.queue = Queue()
        self.scores = RiskScores(scorer)
        self.load_checked_at: dict[str, int] = {}  # when load shedding last looked at a loop
        self.log_again_at: dict[str, int] = {}  # when a sweep logs again that a case fails

    # Commands on a case

    def run(self, command: Command) -> Case:
        """Carry out a command on its case; returns the case after it."""
        command = checked(command)
        if isinstance(command, GiveAnswer):
            self._look_ahead(command)
        try:
            return self._run(command)[0]
        except ClaimError as refused:
            claim_id = getattr(command, "claim_id", None)
            ending = self.ending(claim_id) if claim_id else None
            error = refused
            if ending == "released":
                error = ClaimError(f"claim {claim_id} was given back; claim the review again if it is still open")
            elif ending == "expired":
                error = ClaimError(f"the time of claim {claim_id} ran out; claim the review again if it is still open")
            raise error from None

    def ending(self, claim_id: str, person: str | None = None) -> lease_of.Ending | None:
        """How a claim came to its end, for the person who held it; None while it is held, or where it never was."""
        entries = self.store.queries.entries(f"case/{case_of_claim(claim_id)}", values=False)
        return lease_of.ending((event for entry in entries for event in entry.events), claim_id, self.now(), person)

    def _look_ahead(self, command: GiveAnswer) -> None:
        """Check an answer against its schema before the transaction, whose lock others wait for; it is remembered."""
        if not isinstance(command.value, dict | list | float) and not isinstance(command.first, dict):
            return
        case = self.store.queries.case(command.case_id or case_of_claim(command.claim_id), recent=True)
        if case is not None:
            # an action brings its schema along
            controls = [] if case.mode == "approval" else self.store.queries.loops()
            control = next((c for c in controls if c.loop == case.loop), None)
            values.look_ahead(case, command, control.settings.schema if control else None)

    @retrying
    def _run(self, command: Any) -> tuple[Case, list[Event]]:
        while True:
            starts = isinstance(command, STARTING) or None
            with self.store.transaction(durable=not isinstance(command, UNHURRIED), starts=starts) as tx:
                leader = tx.load(command.leader) if isinstance(command, Follow) else None  # locked before its followers
                case = self._load(tx, command)
                # what was due comes first, whoever looks first: it is committed, then the command is tried on the rest
                if not isinstance(command, IN_TIME) or self._caught_up(tx, case) is case:
                    after, events = self._step(tx, case, command, leader)
                    self._conclude_followers(tx, after, events)
                    return after, events

    # What is due

    def carry_out(
        self, what: str, command_of: Callable[[str, str | None], Command], seen: set[Due], at_once: int, longest: float
    ) -> tuple[int, list[Due]] | None:  # fmt: skip
        """Carry out what is due, several cases in one transaction, each with its own entry; None where nothing is due.

        The transaction ends when it has lasted `longest` seconds, since others wait for it.  Returns how many were
        carried out, and those that need a transaction of their own: cases that are joined, since a leader is locked
        before its followers, and all of them when one fails.  What comes to nothing is added to `seen`.
        """
        begun = time.monotonic()
        batch: list[Due] = []
        joined: list[Due] = []
        done = 0
        try:
            with self.store.transaction(durable=what != "settle", starts=what == "case" or None) as tx:
                for due in self.queue.due(tx, what, at_once, seen):
                    if batch and time.monotonic() - begun > longest:
                        break
                    batch.append(due)
                    command: Any = checked(command_of(*due))
                    case = self.queue.workable(tx, due[0], values=not isinstance(command, UNREAD))
                    if case is not None and (case.followers or case.leader):
                        joined.append(due)
                    elif case is not None and self._step(tx, case, command)[1]:
                        done += 1
                    else:
                        seen.add(due)
        except Exception as error:
            if not batch or (isinstance(error, StoreError) and not isinstance(error, LedgerError)):
                raise
            return 0, batch  # nothing was written; each is tried again by itself, and the one that fails says why
        return (done, joined) if batch else None

    def carry_out_alone(self, command: Command) -> bool:
        """Carry out what is due in one case, in a transaction of its own; whether anything came of it."""
        return bool(self._run(checked(command))[1])

    @retrying
    def run_effect(self, case_id: str, owner: str, effect: Callable[[Tx, Case], None]) -> Case:
        """Start the effect of a decided case, do it in this database and record its end, all in one transaction.

        Killed in between it has not begun.  Where `effect` refuses, nothing of it is written, and the case says why.
        """
        start = StartEffect(case_id=case_id, owner=owner, lease=AT_MOST)
        refusal: DualcontrolError | None = None
        while True:
            try:
                with self.store.transaction() as tx:
                    case, _ = self._step(tx, self._load(tx, start), start)
                    if case.effect.state != "started":  # it went back to people
                        return case
                    if refusal is None:
                        _unless_refused(effect, tx, case)
                    end = FinishEffect(
                        case_id=case_id, fence=case.effect.fence, succeeded=refusal is None, ran=refusal is None,
                        error=None if refusal is None else str(refusal),
                    )  # fmt: skip
                    return self._step(tx, case, end)[0]
            except UnfitError as unfit:
                refusal = unfit.error

    # The parts of a step

    def _load(self, tx: Tx, command: Any) -> Case:
        by_claim = not command.case_id and hasattr(command, "claim_id")
        case_id = case_of_claim(command.claim_id) if by_claim else command.case_id
        case = tx.load(case_id, values=not isinstance(command, UNREAD))
        if case is None and by_claim:
            raise ClaimError(f"no claim {short(str(command.claim_id))} was ever given")
        if case is None:
            raise UnknownCaseError(f"there is no case {short(str(case_id))}")
        return case

    def _step(
        self, tx: Tx, case: Case, command: Any, leader: Case | None = None, worked: Mapping[str, int] | None = None
    ) -> tuple[Case, list[Event]]:  # fmt: skip
        if case.read_only:
            raise ReadOnlyError(f"case {case.id} holds an event {case.read_only!r} that this version does not know")
        if case.erased and not isinstance(command, AFTER_ERASURE):
            raise ErasedError(f"the content of case {case.id} was erased")
        control = self.control(tx, case.loop)
        count = len(tx.followers(case.id)) if case.followers and isinstance(command, TakeClaim) else 0
        if isinstance(command, TakeClaim) and worked is None:
            worked = self._worked(tx, command.person, [control])
        env = self.env(tx.now, Facts(leader=leader, followers=count, worked=worked))
        after, events = self._events(case, HANDLERS[type(command)](case, command, control, env), control, env)
        if not events:
            return case, []
        actor = actor_of(command, case)
        proof = None if type(command) in WITH_ACTOR else proof_of(actor)
        entry = Entry(
            stream=f"case/{case.id}", seq=case.seq + 1, at=env.now, actor=actor, events=tuple(events), proof=proof
        )
        after = replace(after, seq=entry.seq)
        tx.save(case, after, entry, examples=examples.rows(after, events, control, env))
        if isinstance(command, Erase):
            tx.erase(after)
        return after, events

    def _conclude_followers(self, tx: Tx, leader: Case, events: list[Event]) -> None:
        """Apply a leader's outcome to its followers, if these events concluded it."""
        if not leader.followers or leader.concluded is None or all(type(event) is not Concluded for event in events):
            return
        # all are locked first, in the order of their ids
        followers = [_readable(tx, case_id) for case_id in tx.followers(leader.id)[:AT_ONCE]]
        for case in followers:
            if case is not None:
                self._step(tx, case, Follow(case_id=case.id, leader=leader.id), leader)

    def _events(
        self, case: Case | None, events: Sequence[Event], control: Control, env: Env
    ) -> tuple[Case, list[Event]]:
        """The case after the events and all reactions of the stages to them, and all those events."""
        every: list[Event] = []
        latest = list(events)
        while latest:
            every += latest
            case = fold(case, latest)
            latest = [
                reaction
                for event in latest
                for react in REACTIONS.get(type(event), ())
                for reaction in react(case, event, control, env)
            ]
        return case, every  # type: ignore[return-value]

    def after(self, case: Case, events: Sequence[Event], control: Control, env: Env) -> Case:
        """Dry run: the case after events and all reactions of the stages to them; nothing is written."""
        return self._events(case, events, control, env)[0]

    # Proposals

    def propose(
        self, command: Propose, start: StartEffect | None = None, print_: str | None = None, *, own: bool = False
    ) -> Proposed:  # fmt: skip
        """Open a case, or return the one that its key stands for; `print_` is the content's fingerprint if it is known.

        With `start`, an effect that is ready is started in the same transaction; returns its fencing token, else None.
        Into the loop of changes nobody proposes but the program's `own` functions.
        """
        command = checked(command)
        if command.loop == BY_TWO and not own:
            raise ProposalError(f"the loop {BY_TWO!r} takes no proposals: override a setting, and it opens the case")
        if command.key is not None:
            check_key(command.key)
            print_ = print_ or fingerprint(self.secret, command)
        if any("schema" in candidate for candidate in command.candidates):
            command = replace(command, candidates=values.with_defaults(command.candidates))
        return self._propose(command, start, print_)

    @retrying
    def _propose(self, command: Propose, start: StartEffect | None, print_: str | None) -> Proposed:
        """Open a case with the score that its loop asks for; scored anew where another model is in force by now."""
        for _ in range(ATTEMPTS):
            score = self.scores.ahead(command)
            with suppress(UnscoredError), self.store.transaction(starts=True) as tx:
                control = self.control(tx, command.loop)
                case = self._known(tx, control, command.key, print_) if command.key and print_ else None
                new = case is None
                if case is None:
                    admitted(command, control)
                    alike = self.alike(command, control)
                    leader, together = leader_of(tx, control, alike), keys.together(self.secret, command, control)
                    facts = Facts(
                        score=self.scores.current(control, score), leader=leader,
                        before=newest_of(tx, control, together, leader), placed=together is not None,
                    )  # fmt: skip
                    events = HANDLERS[Propose](None, command, control, self.env(tx.now, facts))
                    case = self.open(tx, command, control, events, print_, alike, together)
                return Proposed(*self._started(tx, case, start), new)
        raise ConflictError

    def rehearsed(self, command: Propose, control: Control) -> Routed | None:
        """Dry run of a proposal under a control: how it would be routed; its draws are those of no real case."""
        env = self.env(self.now(), Facts())
        events = HANDLERS[Propose](None, checked(command), control, env)
        return next((event for event in events if isinstance(event, Routed)), None)

    def _known(self, tx: Tx, control: Control, key: str, print_: str) -> Case | None:
        """The case that was opened with this key, brought up to date; refused where its content was another."""
        row = tx.find_key(control.loop_id, key)
        if row is None:
            return None
        if row.erased:
            raise ErasedError(f"the case behind key {short(key)} was erased; it is not run again", case_id=row.case_id)
        if not hmac.compare_digest(row.fingerprint, print_):
            raise KeyConflictError(f"key {short(key)} belongs to case {row.case_id} with other content",
                                   case_id=row.case_id)  # fmt: skip
        case = tx.load(row.case_id)
        return None if case is None else self._caught_up(tx, case)

    def _started(self, tx: Tx, case: Case, start: StartEffect | None) -> tuple[Case, int | None]:
        """The case with its effect started, when it is ready and of the action that is asked for.

        In a stopped loop it is not: the caller learns of the stop when it asks for the effect by itself.
        """
        if start is None or case.effect.state != "ready" or self.control(tx, case.loop).stopped is not None:
            return case, None
        if start.action is not None and not same(start.action, case.decided_action()):
            return case, None
        if start.runs is not None and not apply.runs_as_decided(case, start.runs):
            return case, None  # who runs it binds what was decided first, and asks again
        case, _ = self._step(tx, case, start)
        return case, case.effect.fence if case.effect.state == "started" else None

    def case_of_key(self, loop: str, key: str) -> str | None:
        """The case that a key of a loop stands for, or None."""
        with self.store.transaction(durable=False) as tx:
            row = tx.find_key(self.control(tx, loop).loop_id, key)
        return None if row is None else row.case_id

    @retrying
    def caught_up(self, case_id: str) -> Case:
        """The case after what is due in it has been done; no other case is looked at."""
        with self.store.transaction(starts=True) as tx:
            case = tx.load(case_id)
            if case is None:
                raise UnknownCaseError(f"there is no case {short(case_id)}")
            return self._caught_up(tx, case)

    def _caught_up(self, tx: Tx, case: Case) -> Case:
        """The case after what is due in it has been done, so that who comes back sees where it stands."""
        for command in apply.overdue(case, tx.now):
            case, events = self._step(tx, case, command)
            self._conclude_followers(tx, case, events)
        return case

    def open(
        self, tx: Tx, command: Propose, control: Control, events: Sequence[Event], print_: str | None = None,
        alike: str | None = None, together: str | None = None,
    ) -> Case:  # fmt: skip
        """Write a new case that begins with these events, in the caller's transaction; a leader notes it."""
        env = self.env(tx.now)
        case, every = self._events(None, events, control, env)
        actor = command.owner or "program"
        entry = Entry(
            stream=f"case/{case.id}", seq=1, at=env.now, actor=actor, events=tuple(every), proof=proof_of(actor)
        )
        case = replace(case, seq=1)
        can_lead = case.route is not None and case.route.to == "human" and not is_high(case.route.risk)
        counts = case.route is not None and case.route.score is not None
        tx.save(
            None, case, entry, fingerprint=print_, likeness=alike if can_lead else None,
            cluster=together if counts else None,
        )  # fmt: skip
        if case.leader is not None:
            join = JoinCase(case_id=case.leader, follower=case.id)
            self._step(tx, self._load(tx, join), join)
        return case

    def followers(self, case: Case) -> int:
        """How many open followers a case has."""
        return self.store.queries.following(case.id) if case.followers else 0

    def alike(self, command: Propose, control: Control) -> str | None:
        """The likeness by which duplicates of a proposal are found; None where it can neither join nor be joined.

        Only where capacity is declared can there be load shedding.
        """
        live = (command.kind, command.origin) == ("live", "live") and control.settings.start != "shadow"
        if not live or control.settings.capacity is None or is_high(command.risk):
            return None
        return likeness(self.secret, command, control.settings.mode)

    # Claims

    @retrying
    def claim(self, person: str, loops: Sequence[str], lease: int | None = None) -> Case | None:
        """Take the next review of these loops that this person may do; None when there is none.

        `lease` is in microseconds; the loop's own otherwise.
        """
        person = named(person)
        with self.store.transaction(durable=False) as tx:
            controls = {name: self.control(tx, name) for name in loops}
            for case_id, review_id in self.queue.due(tx, "lease", EXPIRED_AT_ONCE):  # the next claim may get them
                case = self.queue.workable(tx, case_id, values=False)
                if case is not None:
                    self._step(tx, case, Expire(case_id=case_id, review_id=review_id or ""))
            pools = [pool for control in controls.values() for pool in pools_of(person, control)]
            if not pools:
                refusals = [may(person, "claim", control) for control in controls.values()]
                refuse(next(iter(refusals), None) if None not in refusals else None)

            worked, capped = self._worked(tx, person, list(controls.values())), dict[str, DualcontrolError]()

            def fits(case: Case, review_id: str) -> bool:  # rows know names, not the humans behind them
                control = controls[case.loop]
                if (refusal := lease_of.capped(case, person, control, worked)) is not None:
                    capped.setdefault(case.id, refusal)
                    return False
                known = control.people is None and not control.rungs
                return known or may(person, "claim", control, case, review_id) is None

            head = self.queue.next(tx, person, pools, fits) if pools else None
            if head is None:
                refuse(next(iter(capped.values()), None))  # nothing else waits
                return None
            case, review_id = head
            duration = lease or microseconds(controls[case.loop].settings.lease) or 0
            command = TakeClaim(case_id=case.id, review_id=review_id, person=person, claim_id=self.new_claim(case.id),
                            until=tx.now + duration)  # fmt: skip
            return self._step(tx, case, command, worked=worked)[0]

    def _worked(self, tx: Tx, person: str, controls: Sequence[Control]) -> dict[str, int] | None:
        """What somebody has answered in 24 hours or holds, in all loops, by level of risk; None without a cap."""
        if all(control.settings.cap is None for control in controls):
            return None
        human, counts = {human_of(person, control) for control in controls}, Counter[str]()
        names = {identity(person)}
        for control in controls:
            names |= {key for key, member in (control.people or {}).items() if member.human in human}
        for name in names:
            counts.update(map(level_of, tx.worked(name, tx.now - A_DAY)))
        return counts

    @retrying
    def claim_case(self, case_id: str, person: str, lease: int | None = None) -> Case:
        """Take a review of the given case for this person; the error says why they may not."""
        person = named(person)
        with self.store.transaction(durable=False) as tx:
            return self._claimed(tx, case_id, person, lease, None)

    def answer_case(
        self, case_id: str, person: str, answer_of: Callable[[Case, Review], GiveAnswer], review_id: str | None = None
    ) -> Case:
        """Claim and answer a review of the given case in one transaction: both happen, or nothing."""
        person = named(person)
        case = self.store.queries.case(case_id, recent=True)
        if case is not None and case.reviews:
            with suppress(Exception):  # what is wrong with it is said when it is given, of the review meant then
                self._look_ahead(answer_of(case, case.reviews[0]))
        return self._answer_case(case_id, person, answer_of, review_id)

    @retrying
    def _answer_case(
        self, case_id: str, person: str, answer_of: Callable[[Case, Review], GiveAnswer], review_id: str | None
    ) -> Case:
        with self.store.transaction() as tx:
            case = self._claimed(tx, case_id, person, None, review_id)
            held = next(r for r in case.reviews if same(r.person, person) and r.state == "claimed")
            after, events = self._step(tx, case, checked(answer_of(case, held)))
            self._conclude_followers(tx, after, events)
        return after

    def _claimed(self, tx: Tx, case_id: str, person: str, lease: int | None, review_id: str | None) -> Case:
        """The case with a review of it held by this person; a lease that has run out holds nothing."""
        case = self._load(tx, TakeClaim(case_id=case_id, review_id="", person=person, claim_id="", until=0))
        for listed in case.reviews:
            case = self._step(tx, case, Expire(case_id=case_id, review_id=listed.id))[0]
        control = self.control(tx, case.loop)
        meant = meant_review(case, person, control, review_id)
        if meant.state == "claimed" and same(meant.person, person):
            return case
        until = tx.now + (lease or microseconds(control.settings.lease) or 0)
        command = TakeClaim(
            case_id=case_id, review_id=meant.id, person=person, claim_id=self.new_claim(case_id), until=until
        )
        return self._step(tx, case, command)[0]

    def new_claim(self, case_id: str) -> str:
        """A new fencing token; it names its case, so that no index of all claims is needed to find it again."""
        return f"{case_id}.{self.new_id().replace('-', '')[16:]}"

    def case_of_claim(self, claim_id: str) -> str | None:
        """The case that a claim id names, or None when there is no such case."""
        case_id = case_of_claim(claim_id)
        with self.store.transaction(durable=False) as tx:
            return case_id if tx.load(case_id, lock=False, values=False) is not None else None

    # Control of a loop

    @retrying
    def govern(self, settings: LoopSettings) -> Control:
        """Put declared settings in force for their loop, under what is laid over them; a new version where they differ.

        A loop that is new begins stopped where all loops are.  Raises OverrideError where they are others under an
        override.
        """
        with self.store.transaction(starts=True) as tx:
            control = tx.control(settings.name)
            events = governed(control, settings, tx.now, self.lay)
            if control is not None and not events:
                return control
            if control is not None:
                return self.moved(tx, control, events, expected=control)
            if (stop := all_stopped(tx.last(STOP))) is not None:
                version = len(events) + 1
                stopped = LoopStopped(
                    version=version, at=tx.now, actor=stop.actor, because=stop.because, everywhere=True
                )
                events.append(stopped)
            new = Control(loop=settings.name, loop_id=0, version=0, settings=settings)
            return self.acquaint(tx, self.moved(tx, new, events, expected=None), "system")

    @retrying
    def move(
        self, loop: str, make: Callable[[Control, int], Sequence[Event]], actor: str = "system",
        starts: bool | None = None,
    ) -> Control:  # fmt: skip
        """Change a loop's control by the events that `make(control, now)` gives; none leaves it as it is.

        `starts` is that of `Store.transaction`: False where nothing may start before the change counts.
        """
        with self.store.transaction(starts=starts) as tx:
            control = self.control(tx, loop)
            events = make(control, tx.now)
            return self.moved(tx, control, events, expected=control, actor=actor) if events else control

    def moved(
        self, tx: Tx, before: Control, events: Sequence[Event], expected: Control | None, actor: str = "system"
    ) -> Control:  # fmt: skip
        """Write events of a loop as one entry, with the control that they make, in the caller's transaction."""
        entry = Entry(
            stream=f"loop/{before.loop_id}", seq=before.seq + 1, at=tx.now, actor=actor, events=tuple(events),
            proof=proof_of(actor),
        )  # fmt: skip
        after = before
        for event in events:
            after = governed_by(after, event)
        after = replace(after, seq=before.seq + 1)
        return tx.save_control(after, entry, expected_version=expected.version if expected else None)

    # Accounts

    def acquaint(self, tx: Tx, control: Control, by: str) -> Control:
        """Tell a loop what it does not know yet of accounts and groups, in the caller's transaction."""
        news = news_for(control, tx.accounts.accounts())
        stated = {group.name: group.people for group in tx.accounts.groups()}
        events: list[Event] = []
        if news:
            events.append(PeopleChanged(version=control.version + 1, at=tx.now, by=by, members=news))
        for group in sorted({*stated, *control.groups}):
            if control.groups.get(group) != (people := stated.get(group)):
                version = control.version + len(events) + 1
                events.append(GroupChanged(version=version, at=tx.now, by=by, group=group, people=people))
        return self.moved(tx, control, events, expected=control, actor=by) if events else control

    def reseat(self, control: Control) -> int:
        """Find somebody else for open reviews whose group has nobody left who may answer; returns how many cases."""
        empty = [group for group in control.pools() if able_in(group, control) == ()]
        if not empty:
            return 0
        pools = [(control.loop_id, group) for group in empty]
        cursor, cases = None, set[str]()
        while True:
            page = self.store.queries.inbox(pools, limit=200, cursor=cursor)
            cases |= {row.review.case_id for row in page.rows if row.read_only is None}
            cursor = page.next
            if cursor is None:
                return sum(self.carry_out_alone(Reseat(case_id=case_id)) for case_id in sorted(cases))

    def give_back(self, tx: Tx, claims: Sequence[tuple[str, str]]) -> None:
        """Release (case id, claim id) pairs, in the caller's transaction; what a newer version wrote is left alone."""
        for case_id, claim_id in claims:
            case = self.queue.workable(tx, case_id)
            if case is not None:
                review = case.review_of_claim(claim_id)
                if review is not None and review.state == "claimed":
                    lapsed = (review.lease_until or 0) <= tx.now
                    command: Command = Release(case_id=case_id, claim_id=claim_id)
                    if lapsed:
                        command = Expire(case_id=case_id, review_id=review.id)
                    self._step(tx, case, command)

    # Shared by the steps above

    def control(self, tx: Tx, loop: str) -> Control:
        """What governs a loop now; `UnknownLoopError` where nobody defined it."""
        control = tx.control(loop)
        if control is None:
            raise UnknownLoopError(f"there is no loop {loop!r}", loop=loop)
        return control

    def env(self, now: int, facts: Facts = NO_FACTS) -> Env:
        """What a stage may know of the world at this moment."""
        return Env(
            now=now, new_id=self.new_id, secret=self.secret, reroute=reroute, outstanding=outstanding,
            facts=facts,
        )  # fmt: skip

    def retried(self, attempt: Callable[P, Done], *args: P.args, **kwargs: P.kwargs) -> Done:
        """Try again on fresh rows while others are faster, at most `ATTEMPTS` times (optimistic concurrency)."""
        for _ in range(ATTEMPTS):
            try:
                return attempt(*args, **kwargs)
            except (Conflict, KeyTaken):
                continue
            except PersonTaken as error:
                raise SamePersonError("this person already works on the case or has answered it") from error
        raise ConflictError


# Command handlers and reactions to events, and what a command is besides: whose, how urgent, when


Handler = Callable[[Any, Any, Control, Env], list[Event]]
HANDLERS: dict[Any, Handler] = {**route.HANDLERS, **review.HANDLERS, **apply.HANDLERS}
REACTIONS: dict[type[Event], list[Handler]] = {
    kind: [stage[kind] for stage in (reactions.REACTIONS, apply.REACTIONS) if kind in stage]
    for kind in {*reactions.REACTIONS, *apply.REACTIONS}
}
UNHURRIED: tuple[type[Command], ...] = (TakeClaim, Settle)
AFTER_ERASURE: tuple[type[Command], ...] = (Erase, FinishEffect, LoseEffect, ResolveEffect)
UNREAD: tuple[type[Command], ...] = (FinishEffect, LoseEffect, Expire)
BY_CLAIM, BY_PERSON = (GiveAnswer, Commit, Release, Extend), (TakeClaim, Retract)
BY_PROGRAM = (StartEffect, FinishEffect, Recall)
WITH_ACTOR = (GiveAnswer, Revoke)  # their events say themselves how the person was known
IN_TIME: tuple[type[Command], ...] = (GiveAnswer, Retract, StartEffect)
STARTING: tuple[type[Command], ...] = (*IN_TIME, Timeout)  # an effect starts, or what a timeout lets through


def admitted(command: Propose, control: Control) -> None:
    """Refuse a proposal before rules look at it: missing context, content that is not JSON, an unknown label.

    A program that opened its loop before the labels changed may still propose an old one.
    """
    labels = None if control.settings.labels is None else Labels.of(control.settings)
    if labels is not None and command.proposed is not None:
        value = command.candidates[command.proposed].get("value")
        if value not in labels:
            raise labels.refusal(value)
    admit(command, control.settings)
    if control.settings.rules:
        json_text([command.input, command.candidates, command.meta])


AT_MOST = 60_000_000  # microseconds that an effect in this database may hold its lease


class UnfitError(Exception):
    """An effect in this database refuses to happen; nothing of it was written."""

    def __init__(self, error: DualcontrolError) -> None:
        self.error = error
        super().__init__(error.message)


def _unless_refused(effect: Callable[[Tx, Case], None], tx: Tx, case: Case) -> None:
    """Do an effect; what refuses it is told apart from what fails around it."""
    try:
        effect(tx, case)
    except StoreError:
        raise
    except DualcontrolError as error:
        raise UnfitError(error) from error


def actor_of(command: Any, case: Case) -> str:
    """Who stands behind a command on a case, for the ledger."""
    kind = type(command)
    if kind in BY_CLAIM:
        review = case.review_of_claim(command.claim_id)
        return (review.person if review else None) or "reviewer"
    if kind in BY_PERSON:
        return str(command.person)
    if kind is Revoke:
        return str(command.actor.person)
    if kind in BY_PROGRAM:
        return "program"
    return str(getattr(command, "by", "system"))


# Leader and followers: under load shedding, a new case joins a duplicate
#
# A leader is locked before any of its followers, by whoever changes both.


AT_ONCE = 100  # followers that are settled in their leader's transaction; what is beyond is left to the sweep


def leader_of(tx: Tx, control: Control, likeness: str | None) -> Case | None:
    """The case that one of this likeness may join, locked; without load shedding None, and nothing is looked up."""
    if likeness is None or control.relief < JOINED:
        return None
    case_id = tx.alike(control.loop_id, likeness)
    return None if case_id is None else _readable(tx, case_id)


def newest_of(tx: Tx, control: Control, together: str | None, leader: Case | None) -> Case | None:
    """The newest case of a cluster, locked, so that two who propose at once do not take one place."""
    if control.settings.together is None:
        return None
    while together is not None and (case_id := tx.together(control.loop_id, together)) is not None:
        case = leader if leader is not None and leader.id == case_id else _readable(tx, case_id, values=False)
        if case is None or tx.together(control.loop_id, together) == case_id:
            return case
    return None


def _readable(tx: Tx, case_id: str, values: bool = True) -> Case | None:
    """The locked case, if it is there and this version can change it; what a newer one wrote is left to it."""
    try:
        case = tx.load(case_id, values=values)
    except ReadOnlyError:
        return None
    return case if case is not None and case.read_only is None else None


# Risk scores, computed before the transaction that routes, so that nobody waits while a model thinks
#
# A score belongs to one risk model.  Where another one is in force by the time the transaction begins, the proposal is
# scored anew and tried again: no case is ever routed on the score of a model that is not in force.


log = logging.getLogger("dualcontrol.scores")
Scorer = Callable[[Control, Propose], float | None]


class Score(NamedTuple):
    """The chance that a proposal is right, by which risk model; None where that gave none."""

    scorer: str | None
    value: float | None


class UnscoredError(Exception):
    """The control in force asks for a score that was not computed ahead; nothing was written."""


class RiskScores:
    """Scores proposals by the last control that asked for it; `scorer` is injected by the desk."""

    def __init__(self, scorer: Scorer | None = None) -> None:
        self.scorer = scorer
        self._controls: dict[str, Control] = {}

    def ahead(self, command: Propose) -> Score | None:
        """The score of a proposal by what is known of its loop; None where its loop asked for none.

        Its value is a probability or None: whatever fails on the way sends the case to a human.
        """
        control = self._controls.get(command.loop)
        if control is None:
            return None
        try:
            value = None if self.scorer is None else self.scorer(control, command)
        except Exception:
            log.exception("a proposal of loop %s was not scored", control.loop)
            value = None
        return Score(control.scorer, float(value) if value is not None and 0.0 <= value <= 1.0 else None)

    def current(self, control: Control, score: Score | None) -> float | None:
        """The score that routing may use; `UnscoredError` where it is not one of the model in force."""
        if control.chances_by is None:
            self._controls.pop(control.loop, None)
            return None
        if score is None or score.scorer != control.scorer:
            self._controls[control.loop] = control
            raise UnscoredError(control.scorer)
        return score.value


# The next review for a person, and what is due, past cases that this version cannot change
#
# What a newer version wrote stays where it is, for programs of that version; here it is passed over.
# Which cases those are is remembered for a while, so that they cost neither a load each time nor a place among the
# few that are taken at once.


Due = tuple[str, str | None]
LOOK_AGAIN = 60_000_000  # microseconds: a case may have been mended, or be one of ours again
PASSED_AT_ONCE = 100  # a transaction that holds more rows than that would be in the way of others


class Queue:
    """What waits for people and for time, as far as this version can work on it."""

    def __init__(self) -> None:
        self._passed: dict[str, int] = {}  # when each case that was passed over is looked at again

    def next(
        self, tx: Tx, person: str, pools: Sequence[tuple[int, str]], fits: Callable[[Case, str], bool]
    ) -> tuple[Case, str] | None:  # fmt: skip
        """Lock and load the next case with a review that this person may take, and the review's id.

        Where cases at the head are passed over, the next call goes on where this one gave up.
        """
        self._look_again(tx.now)
        if not self._passed:
            head = tx.take(person, pools, now=tx.now)
            if head is None:
                return None
            case = self.workable(tx, head[0])
            if case is not None and fits(case, head[1]):
                return case, head[1]
        before, unfit = len(self._passed), 0
        for case_id, review_id in tx.queue(person, pools, without=self._passed):
            case = self.workable(tx, case_id)
            if case is not None and fits(case, review_id):
                return case, review_id
            unfit += case is not None
            if len(self._passed) >= before + PASSED_AT_ONCE or unfit >= PASSED_AT_ONCE:
                break
        return None

    def workable(self, tx: Tx, case_id: str, *, values: bool = True) -> Case | None:
        """The case, if it is there and this version can change it; else it is passed over from now on."""
        case = _readable(tx, case_id, values)
        if case is None:
            self.pass_over(case_id, tx.now)
        return case

    def due(self, tx: Tx, what: str, limit: int, seen: Collection[Due] = ()) -> list[Due]:
        """(case id, review id or None) whose time has come, as many as `limit` beside those passed over and seen."""
        self._look_again(tx.now)
        rows = tx.due(what, tx.now, limit + len(self._passed) + len(seen))
        return [row for row in rows if row[0] not in self._passed and row not in seen][:limit]

    def pass_over(self, case_id: str, now: int) -> None:
        """Leave a case to newer versions for a while."""
        self._passed.pop(case_id, None)
        self._passed[case_id] = now + LOOK_AGAIN

    def _look_again(self, now: int) -> None:
        """Forget the case that has been passed over for longest, once its time is up: one a call, never all."""
        for case_id, until in list(self._passed.items())[:1]:
            if until <= now:
                self._passed.pop(case_id, None)


# Pools of reviews, for one person


def case_of_claim(claim_id: str) -> str:
    """The case that a claim id names; "" when it names none."""
    return str(claim_id).rpartition(".")[0]


def as_listed(row: InboxRow) -> InboxRow:
    """A row of the inbox as anybody may see it: that of a blind review says nothing of the proposal."""
    row = replace(row, review=unaddressed(row.review))
    if not row.review.blind:
        return row
    return replace(row, review=bare(row.review), action=None, risk=None, confidence=None, reason=REASON)


def listed_as(row: CaseRow, seen: PersonalView) -> CaseRow:
    """A row of the list of cases as somebody may see it whose view of the case this is."""
    case = seen.case
    row = replace(row, kind=case.kind)
    if not seen.kept:
        return row
    return replace(
        row, state=case.state, action=None, verdict=None, by=None, wrong=None, confidence=None, closed_at=None,
        effect=case.effect.state,
    )  # fmt: skip


def meant_review(case: Case, person: str, control: Control, review_id: str | None = None) -> Review:
    """The review of a case that a person means: the one named, held, or next in the queue for their groups."""
    groups = {group for _, group in pools_of(person, control)}
    places = ("open", "claimed", "answered", "passed", "cancelled")
    reviews = [r for r in case.reviews if review_id in (None, r.id)]
    if not reviews:
        why = f"it is settled with case {case.leader}" if case.leader else "it was not routed to a human"
        missing = f"no review {review_id}" if review_id else f"no review: {why}"
        raise SettledError(f"case {case.id} has {missing}")
    held = [r for r in reviews if r.state == "claimed" and same(r.person, person)]
    return (held or sorted(reviews, key=lambda r: (places.index(r.state), r.group not in groups, r.order_at, r.id)))[0]
