"""A loop: propose, wait, gate, run effects, count, export; each verb is a line or two over `step`."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dualcontrol import commands as do
from dualcontrol.apply import overdue
from dualcontrol.batch import Batch, propose_batch
from dualcontrol.case import JSON, Case, Outcome, microseconds
from dualcontrol.certify import Standing, evidence, standing
from dualcontrol.commands import known_as
from dualcontrol.control import Control, LoopSettings
from dualcontrol.errors import Paused, Pending, ProposalError, Rejected, RequestError, UnknownCaseError
from dualcontrol.events import Event
from dualcontrol.gate import OWNER, Gate, described, paused_inside
from dualcontrol.given import case_id_of, patience
from dualcontrol.keys import fingerprint
from dualcontrol.learn.dataset import Row, dataset
from dualcontrol.learn.export import Exported, export, mark
from dualcontrol.propose import command

if TYPE_CHECKING:
    from dualcontrol.desk import Desk

RUNNING: ContextVar[Any] = ContextVar("dualcontrol_run", default=None)
_context: ContextVar[dict[str, dict[str, Any]] | None] = ContextVar("dualcontrol_context", default=None)


class Run:
    """A named run: the n-th equal call in it stands for its own case."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: dict[str, int] = {}

    def key(self, loop: str, print_: str) -> str:
        """The key of the next call with this content."""
        count = self.seen[f"{loop}/{print_}"] = self.seen.get(f"{loop}/{print_}", 0) + 1
        return f"run/{self.name}/{loop}/{print_[:32]}/{count}"


class Loop:
    """One AI task under human control."""

    def __init__(self, desk: Desk, control: Control) -> None:
        self.desk = desk
        self.name = control.loop
        self._control = control

    @property
    def stream(self) -> str:
        """The name of the loop's own stream in the ledger."""
        return f"loop/{self._control.loop_id}"

    @property
    def control(self) -> Control:
        """What governs this loop now."""
        return self.desk.control(self.name) or self._control

    @property
    def settings(self) -> LoopSettings:
        """The loop's settings as this program opened it."""
        return self._control.settings

    def propose(self, **given: Any) -> Case:
        """Open a case; see `dualcontrol.propose.command` for what may be given."""
        made, print_ = self._command(given)
        return self.desk.steps.propose(made, None, print_)[0]

    def enter(self, owner: str, /, **given: Any) -> tuple[Case, int | None]:
        """Open a case or find it again, and take its effect when that is ready: the case and the fence."""
        start = self._start(owner, given.get("action"))
        made, print_ = self._command({**given, "effect": "ready"}, alternatives=[])
        return self.desk.steps.propose(made, start, print_)

    def take(self, case_id: str, owner: str, action: str | None = None) -> tuple[Case, int | None]:
        """A decided case with its effect taken, when that is ready and of this action: the case and the fence."""
        return self.desk.steps.take(known_as(case_id, UnknownCaseError, "a case"), self._start(owner, action))

    def _start(self, owner: str, action: str | None) -> do.StartEffect:
        lease = microseconds(self.settings.effect_lease) or 0
        known_as(owner, RequestError, "who runs an effect")
        if action is not None:
            known_as(action, ProposalError, "an action")
        return do.StartEffect(case_id="", owner=owner, lease=lease, action=action)

    def propose_batch(self, columns: Mapping[str, Sequence[Any]], *, key: str | None = None) -> Batch:
        """Route rows in columns; cases are opened for those that a human sees: see `dualcontrol.batch`."""
        return propose_batch(self.desk.steps, self.name, columns, key=key)

    def _command(self, given: dict[str, Any], **otherwise: Any) -> tuple[do.Propose, str | None]:
        run = RUNNING.get()
        here = (_context.get() or {}).get(self.name, {})
        made = command(self.settings, **{**otherwise, **here, **given})
        if run is None or made.key is not None:
            return made, None
        print_ = fingerprint(self.desk.steps.secret, made)
        return replace(made, key=run.key(made.loop, print_), run=run.name), print_

    def wait(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """Block until the case has an outcome; raises `Pending` when the caller's patience ends first."""
        if isinstance(case, Case) and case.outcome is not None:
            return case.outcome
        return self.look(case_id_of(case)).outcome or self._waited(case_id_of(case), timeout)

    def _waited(self, case_id: str, timeout: float | None) -> Outcome:
        timeout = patience(timeout)
        if (timeout is not None and timeout <= 0) or not self.desk._waiters.wait(case_id, timeout):
            raise Pending(case_id)
        return self._concluded(case_id)

    async def await_outcome(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """The same for a coroutine; no thread is held while it waits."""
        found = (await asyncio.to_thread(self.look, case_id_of(case))).outcome
        if found is not None:
            return found
        timeout = patience(timeout)
        patient = timeout is None or timeout > 0
        if not (patient and await self.desk._waiters.wait_async(case_id_of(case), timeout)):
            raise Pending(case_id_of(case))
        return await asyncio.to_thread(self._concluded, case_id_of(case))

    def _concluded(self, case_id: str) -> Outcome:
        outcome = self.desk.case(case_id).outcome
        if outcome is None:
            raise Pending(case_id)
        return outcome

    def ask(self, *, timeout: float | None = None, **given: Any) -> Outcome:
        """Propose and wait in one call."""
        return self.wait(self.propose(**given), timeout)

    @contextmanager
    def context(self, **given: Any) -> Iterator[None]:
        """Context (input, rationale, history, alternatives, meta …) for every proposal inside the block."""
        outer = _context.get() or {}
        token = _context.set({**outer, self.name: {**outer.get(self.name, {}), **given}})
        try:
            yield
        finally:
            _context.reset(token)

    def gate(self, fn: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Put a function behind this loop: ``@loop.gate`` or ``@loop.gate(risk="high", timeout=900)``."""
        patience(options.get("timeout"))
        if fn is None:
            return functools.partial(self.gate, **options)
        return Gate(self, fn, **options)

    @contextmanager
    def effect(self, case: Case | str) -> Iterator[JSON]:
        """Run the decided action yourself, once: gives its value, and records how the block ended."""
        outcome = self.look(case_id_of(case)).outcome
        if outcome is not None and outcome.verdict in ("reject", "respond"):
            raise Rejected(f"case {outcome.case_id} was answered with {outcome.verdict}")
        started = self._started(case_id_of(case), OWNER)
        try:
            yield started.resolved_value()
        except Exception as error:
            self.finish_effect(started.id, started.effect.fence, succeeded=False, error=described(error))
            raise
        except Paused as pause:
            refusal = paused_inside(started.id, pause)
            self.finish_effect(started.id, started.effect.fence, succeeded=False, error=described(refusal))
            raise refusal from pause
        self.finish_effect(started.id, started.effect.fence, succeeded=True)

    def start_effect(self, case_id: str, owner: str = OWNER) -> int:
        """Take the effect of a decided case; the fence returned is needed to finish it."""
        return self._started(case_id, owner).effect.fence

    def _started(self, case_id: str, owner: str) -> Case:
        lease = microseconds(self.settings.effect_lease) or 0
        return self.desk.steps.run(do.StartEffect(case_id=case_id, owner=owner, lease=lease))

    def finish_effect(
        self, case_id: str, fence: int, *, succeeded: bool, result: JSON = None, kept: bool = True,
        error: str | None = None,
    ) -> None:  # fmt: skip
        """Say how a started effect ended."""
        self.desk.steps.run(
            do.FinishEffect(case_id=case_id, fence=fence, succeeded=succeeded, result=result, kept=kept, error=error)
        )

    def certify(self) -> list[Event]:
        """Count the evidence that is due now, rather than with the next answers; the events that were written."""
        return self.desk.certifier.run(self.name)

    def guarantee(self) -> list[Standing]:
        """What the loop's guarantee stands at, in numbers and words, for each of its segments."""
        control = self.control
        return standing(control, self.desk.certifier.segments(control))

    def evidence(self, segment: str = "") -> list[dict[str, JSON]]:
        """The labels that the certificate of this epoch has counted, in order, as `Certificate.observe` takes them."""
        return evidence(self.desk.store.queries.entries(self.stream, values=False), segment)

    def examples(self, unused: bool = False) -> list[Row]:
        """Every human decision with what it was about and where it comes from; or those that no model learned from."""
        if not isinstance(unused, bool):
            raise RequestError(f"unused is true or false, not {unused!r:.80}")
        return dataset(self.desk, self.name, unused=unused).rows

    def export(self, path: str | os.PathLike[str], *, format: str | None = None, unused: bool = False) -> Exported:
        """Write the examples to a file; its ending (.csv, .jsonl, .parquet) says what kind, returns how many lines.

        Without a format everything is written; ``labels``, ``trl-preference`` and ``sft`` are what trainers read.
        With ``feedback = "export"`` the examples in the file count as used from then on.
        """
        rows = self.examples(unused)
        lines = export(rows, path, format)
        mark(self.desk, self.name, rows, format, os.path.basename(os.fspath(path)))
        return lines

    def look(self, case_id: str) -> Case:
        """The case as it is now, after what is due in it has been done."""
        case = self.desk.case(case_id)
        if overdue(case, self.desk.steps.now()):
            self.desk.sweep()
            case = self.desk.case(case_id)
        return case
