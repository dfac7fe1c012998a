"""Threads that go on when people have decided: by the interrupt's id, never with a bare or an empty resume.

One program at a time continues a thread: each continuation is a case of a loop of its own, whose effect is taken under
a lease.  A program that died while it continued one loses the lease, and the next one takes the thread up where its
checkpoint stands; what had run by then is answered from the record.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from langgraph.types import Command

from dualcontrol.adapters import agent_inbox
from dualcontrol.case import JSON, Case
from dualcontrol.desk import Loop
from dualcontrol.errors import DualcontrolError, EffectTakenError, EffectUnknownError, Paused, Pending, RequestError
from dualcontrol.gate.result import described

PAGE = 500
LONGEST_REST = 600.0  # seconds between two tries of a thread that cannot go on
# A stored resume is checked against what waits before anything is written; versions without it ignore the word.
STRICT = "__pregel_strict_resume"


class Resumed(NamedTuple):
    """A thread that went on: with which cases, and what the graph returned or raised."""

    thread: str
    cases: tuple[str, ...]
    result: Any = None
    error: BaseException | None = None


class Waiting(NamedTuple):
    """An interrupt of a thread, and the case that decides it."""

    interrupt: str
    case: Case
    request: agent_inbox.Request | None  # of a graph that was written for the Agent Inbox

    def answer(self) -> JSON:
        """What the interrupt is resumed with: the answer in the graph's own shape, or the name of the case."""
        return {"case_id": self.case.id} if self.request is None else self.request.answer(self.case)


class Step(NamedTuple):
    """What continues a thread: a command, or none where the answers are in its checkpoint already."""

    command: Command[Any] | None
    cases: tuple[Case, ...]
    acts: tuple[Case, ...]  # whose effect the run is


class Resumer:
    """Continues the threads of one graph whose cases of one loop have been decided.

    `config` is what every invocation gets beside its thread.  `lease` is how long one continuation may take before
    another program takes the thread up; continuations stand in the loop named `lease_loop`, which is made if need be.
    """

    def __init__(
        self, graph: Any, loop: Loop, *, config: Mapping[str, Any] | None = None, lease: str | float = "10m",
        lease_loop: str | None = None,
    ) -> None:  # fmt: skip
        if getattr(graph, "checkpointer", None) in (None, False):
            raise RequestError(
                "this graph keeps no threads, so that none can go on", hint="Compile it with a checkpointer."
            )
        self.graph, self.loop, self.config = graph, loop, dict(config or {})
        name = lease_loop or f"{loop.name}-resumed"
        self.leases = loop.desk.loop(
            name, mode="approval", autopilot_actions=["resume"], context=["proposal"], audit=0.0, on_unknown="retry",
            effect_lease=lease,
        )  # fmt: skip
        self._over: set[str] = set()  # cases whose threads have gone on
        self._failures: dict[str, tuple[int, float]] = {}  # how often a thread could not, and until when it rests

    def once(self) -> list[Resumed]:
        """Continue every thread whose case was decided; one that cannot go on says why, and keeps no other from it."""
        self.loop.desk.sweep()
        gone_on = []
        for thread, case_ids in self._threads().items():
            if self._rests(thread):
                continue
            resumed = self._tried(thread)
            if resumed is not None:
                gone_on.append(resumed)
            if resumed is None or resumed.error is None:
                self._over.update(case_ids - {each.case.id for each in self.waiting(thread)})
        return gone_on

    def watch(self, stop: threading.Event, every: float = 1.0) -> Iterator[Resumed]:
        """The same again and again, until `stop` is set; gives each thread as it has gone on."""
        while not stop.is_set():
            yield from self.once()
            stop.wait(every)

    def resume(self, thread: str) -> Resumed | None:
        """Continue one thread if what it waits for is decided; None where it is not, or where somebody continues it.

        What the graph raises is the `error` of what is returned.  Raises AnswerValueError where the graph takes no such
        answer, and EffectUnknownError where nobody knows how far its last continuation came.
        """
        broken = self._broke_off(thread)
        if self.loop.control.stopped is not None or self._next(thread, broken) is None:
            return None
        lease = self._taken(thread)
        if lease is None:
            return None
        due = self._next(thread, broken)  # again, now that nobody else continues it
        if due is None:
            self.leases.finish_effect(*lease, succeeded=True)
            return None
        return self._continued(thread, due, lease)

    def ask(self, thread: str) -> list[Case]:
        """Open a case for each Agent Inbox request that a thread waits with; for graphs that know nothing of a desk.

        Its answer is given in that inbox's shape, and the run that goes on with it is its effect: it begins once.
        """
        opened = []
        for pending in self._state(thread).interrupts:
            request = None if agent_inbox.case_named(pending.value) else agent_inbox.Request.read(pending.value)
            if request is not None:
                opened.append(self._opened(thread, pending.id, request))
        return opened

    def waiting(self, thread: str) -> list[Waiting]:
        """The interrupts that a thread waits with and the desk knows of."""
        found = []
        for pending in self._state(thread).interrupts:
            case_id, request = agent_inbox.case_named(pending.value), None
            if case_id is None and (request := agent_inbox.Request.read(pending.value)) is not None:
                key = _inbox_key(thread, pending.id)
                case_id = self.loop.desk.steps.case_of_key(self.loop.name, key)
            if case_id is not None:
                found.append(Waiting(pending.id, self.loop.look(case_id), request))
        return found

    def _opened(self, thread: str, interrupt: str, request: agent_inbox.Request) -> Case:
        return self.loop.propose(
            action=request.action, args=request.args, rationale=request.description, alternatives=[],
            key=_inbox_key(thread, interrupt), run=thread,
            meta={"framework": "langgraph", "thread": thread, "interrupt": interrupt},
        )  # fmt: skip

    def _configured(self, thread: str) -> dict[str, Any]:
        held = self.config.get("configurable") or {}
        return {**self.config, "configurable": {**held, "thread_id": thread, STRICT: True}}

    def _state(self, thread: str) -> Any:
        return self.graph.get_state(self._configured(thread))

    # What is to be done next

    def _threads(self) -> dict[str, set[str]]:
        """The threads of cases that were decided and have not gone on, and those that somebody died in."""
        threads: dict[str, set[str]] = {}
        for row in self._rows(self.leases.name):
            if row.effect in ("ready", "failed") and row.id not in self._over:
                threads.setdefault(self.leases.look(row.id).run or "", set()).add(row.id)
        for row in self._rows(self.loop.name):
            if row.by is not None and row.id not in self._over:
                threads.setdefault(self.loop.look(row.id).run or "", set()).add(row.id)
        threads.pop("", None)
        return threads

    def _rows(self, loop: str) -> Iterator[Any]:
        cursor: str | None = None
        while True:
            page = self.loop.desk.store.queries.cases(loop=loop, limit=PAGE, cursor=cursor)
            yield from page.rows
            cursor = page.next
            if cursor is None:
                return

    def _next(self, thread: str, broken: bool) -> Step | None:
        """What continues a thread now; None where it waits for people, is at its end, or is at work."""
        waiting = self.waiting(thread)
        decided = [each for each in waiting if each.case.outcome is not None]
        ready = [each for each in decided if each.case.effect.state != "unknown"]
        if ready:
            answers = {each.interrupt: each.answer() for each in ready}
            acts = _acts(each.case for each in ready if each.request is not None)
            return Step(Command(resume=answers), tuple(each.case for each in ready), acts)
        if decided:
            raise _unknown(decided[0].case)
        broken = broken and not waiting and bool(self._state(thread).next)
        return Step(None, (), _acts(self._unfinished(thread))) if broken else None

    def _broke_off(self, thread: str) -> bool:
        """Whether the last continuation of a thread came to no good end: its answers are in the checkpoint by now."""
        before = self._continuations(thread)
        return bool(before) and self.leases.look(before[-1]).effect.state in ("ready", "failed")

    def _unfinished(self, thread: str) -> Iterator[Case]:
        """The Agent Inbox cases whose run was begun and came to no end that anybody knows."""
        for case_id in self.loop.desk.store.queries.of_run(self.loop.control.loop_id, thread):
            case = self.loop.look(case_id)
            if "interrupt" in case.meta and case.concluded is not None:
                if case.effect.state in ("unknown", "started"):
                    raise _unknown(case)
                yield case

    # One at a time

    def _continuations(self, thread: str) -> list[str]:
        return self.loop.desk.store.queries.of_run(self.leases.control.loop_id, thread)

    def _taken(self, thread: str) -> tuple[str, int] | None:
        """The lease on a thread, as case and fence; None while somebody else has it.

        The next continuation is numbered by one reading of those before: two programs then want the same case.
        """
        before = self._continuations(thread)
        last = self.leases.look(before[-1]) if before else None
        if last is None or last.effect.state not in ("ready", "started"):
            last = self.leases.propose(
                action="resume", args={"thread": thread}, run=thread, key=f"resume/{thread}/{len(before) + 1}",
                alternatives=[], effect="ready",
            )  # fmt: skip
        try:
            return last.id, self.leases.start_effect(last.id)
        except EffectTakenError:
            return None

    def _continued(self, thread: str, step: Step, lease: tuple[str, int]) -> Resumed:
        case_ids = tuple(case.id for case in step.cases)
        held: list[tuple[str, int]] = []
        try:
            for case in step.acts:
                held.append((case.id, self.loop.start_effect(case.id, runs=case.resolved_value())))
            result = self.graph.invoke(step.command, self._configured(thread))
        except (Exception, Paused) as error:
            text = described(error) if isinstance(error, Exception) else str(error)
            for case_id, fence in held:
                self.loop.finish_effect(case_id, fence, succeeded=False, error=text)
            self.leases.finish_effect(*lease, succeeded=False, error=text)
            return Resumed(thread, case_ids, error=error)
        for case_id, fence in held:
            self.loop.finish_effect(case_id, fence, succeeded=True, kept=False)
        self.leases.finish_effect(*lease, succeeded=True)
        return Resumed(thread, case_ids, result)

    def _tried(self, thread: str) -> Resumed | None:
        try:
            resumed = self.resume(thread)
        except (DualcontrolError, Pending) as error:
            resumed = Resumed(thread, (), error=error)
        if resumed is None or resumed.error is None:
            self._failures.pop(thread, None)
        else:
            failures = self._failures.get(thread, (0, 0.0))[0] + 1
            self._failures[thread] = (failures, time.monotonic() + min(2.0**failures, LONGEST_REST))
        return resumed

    def _rests(self, thread: str) -> bool:
        """Whether a thread that could not go on is left alone for a while, longer each time."""
        return time.monotonic() < self._failures.get(thread, (0, 0.0))[1]


def _acts(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Those of which a run is the effect, so that it begins once."""
    return tuple(case for case in cases if case.effect.state == "ready")


def _unknown(case: Case) -> EffectUnknownError:
    return EffectUnknownError(
        f"what case {case.id} let begin was cut short, and nobody knows how far it came", case_id=case.id
    )


def _inbox_key(thread: str, interrupt: str) -> str:
    return f"langgraph/{thread}/interrupt/{interrupt}"
