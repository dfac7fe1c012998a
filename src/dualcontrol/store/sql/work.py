"""One transaction on what machines do: jobs, models, examples used, browsers' sessions, and what is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Integer, bindparam, delete, literal_column, null, select, update

from dualcontrol.case import ENCODER, JSON
from dualcontrol.control import uuid7
from dualcontrol.store import ModelRow
from dualcontrol.store.sql.dialect import Write
from dualcontrol.store.sql.hot import Statements, given, literal
from dualcontrol.store.sql.schema import cases, examples, jobs, models, reviews, sessions
from dualcontrol.store.sql.unit import Unit

MODEL = ("id", "loop_id", "version", "path", "sha256", "state", "examples", "metrics", "created_at")


class WorkStatements(Statements):
    """What the worker and the sweep run."""

    def _compile(self) -> None:
        self.due = {
            "lease": self._lease_due(),
            "case": self._case_due(cases.c.due_at, cases.c.state == literal("open")),
            "settle": self._case_due(
                cases.c.effective_at, (cases.c.state == literal("decided")) & cases.c.by.is_(None)
            ),
            "effect": self._case_due(cases.c.effect_until, cases.c.effect == literal("started")),
            "follow": self._follow_due(),
        }
        self._jobs()
        self.new_model = self._insert(models, MODEL)
        statement = (
            update(models).where(models.c.id == bindparam("model_id")).ordered_values(*given(models, MODEL[1:]).items())
        )
        self.move_model = self._add(statement, *(f"new_{name}" for name in MODEL[1:]), "model_id")
        used = update(examples).where(examples.c.loop_id == bindparam("loop"), examples.c.id == bindparam("example"))
        self.mark_used = self._add(used.values(used_by=bindparam("model")), "model", "loop", "example")
        self.new_session = self._insert(sessions, ("digest", "person_id", "created_at", "expires_at"))
        self.end_session = self._add(delete(sessions).where(sessions.c.digest == bindparam("session")), "session")
        over = sessions.c.expires_at <= bindparam("now", type_=BigInteger)
        self.forget_sessions = self._add(delete(sessions).where(over), "now")

    def _lease_due(self) -> str:
        statement = (
            select(reviews.c.case_id, reviews.c.id)
            .join(cases, cases.c.id == reviews.c.case_id)
            .where(reviews.c.state == literal("claimed"), reviews.c.lease_until <= bindparam("now", type_=BigInteger))
            .order_by(reviews.c.lease_until)
        )
        return self._limited(statement)

    def _case_due(self, column: Any, where: Any) -> str:
        statement = select(cases.c.id, null()).where(where, column <= bindparam("now", type_=BigInteger))
        return self._limited(statement.order_by(column))

    def _follow_due(self) -> str:
        leader = cases.alias("leader")
        statement = select(cases.c.id, cases.c.leader_id).join(leader, leader.c.id == cases.c.leader_id)
        waiting = (cases.c.state == literal("open"), cases.c.leader_id.is_not(None), leader.c.by.is_not(None))
        return self._limited(statement.where(*waiting).order_by(cases.c.leader_id, cases.c.id), "rows")

    def _limited(self, statement: Any, *order: str) -> str:
        limited = statement.limit(bindparam("rows", type_=Integer)).offset(literal_column("0"))
        return self._add(limited.with_for_update(of=cases, skip_locked=True), *(order or ("now", "rows")))

    def _jobs(self) -> None:
        ready = (jobs.c.state == literal("ready")) & (jobs.c.run_at <= bindparam("now", type_=BigInteger))
        lapsed = (jobs.c.state == literal("leased")) & (jobs.c.until <= bindparam("now", type_=BigInteger))
        columns = (jobs.c.id, jobs.c.kind, jobs.c.ref, jobs.c.run_at, jobs.c.attempts)
        self.next_job = [self._next_job(columns, ready), self._next_job(columns, lapsed)]
        self.new_job = self._insert(jobs, ("id", "kind", "ref", "run_at", "state"))
        by_id = jobs.c.id == bindparam("job_id")
        taken = (
            update(jobs)
            .where(by_id)
            .ordered_values(
                (jobs.c.state, literal("leased")),
                (jobs.c.owner, bindparam("new_owner")),
                (jobs.c.until, bindparam("new_until")),
                (jobs.c.attempts, jobs.c.attempts + literal_column("1")),
            )
        )
        self.lease_job = self._add(taken, "new_owner", "new_until", "job_id")
        held = update(jobs).where(by_id, jobs.c.owner == bindparam("held_by"), jobs.c.state == literal("leased"))
        done = held.ordered_values((jobs.c.state, literal("done")), (jobs.c.result, bindparam("new_result")))
        self.end_job = self._add(done, "new_result", "job_id", "held_by")

    def _next_job(self, columns: Any, where: Any) -> str:
        statement = select(*columns).where(jobs.c.kind == bindparam("job_kind"), where).order_by(jobs.c.run_at)
        limited = statement.limit(literal_column("1")).offset(literal_column("0"))
        return self._add(limited.with_for_update(skip_locked=True), "job_kind", "now")


class WorkTx(Unit):
    """Jobs, models, which examples were used, and who is signed in."""

    def begin_session(self, digest: str, person: str, life: int) -> None:
        """Let a browser's session live for so many microseconds; forgets those that are over."""
        work, now = self._shared.work, self._session.now
        row = (digest, person, now, now + life)
        self._write(Write(work.forget_sessions, ((now,),)), Write(work.new_session, (row,)))

    def end_session(self, digest: str) -> None:
        """End a session, whoever still holds its cookie."""
        self._write(Write(self._shared.work.end_session, ((digest,),)))

    def add_job(self, kind: str, ref: str, run_at: int) -> str:
        """Queue a job; returns its id."""
        job_id = uuid7()
        self._write(Write(self._shared.work.new_job, ((job_id, kind, ref, run_at, "ready"),)))
        return job_id

    def take_job(self, kinds: Sequence[str], owner: str, now: int, until: int) -> dict[str, JSON] | None:
        """Lease the next ready job of these kinds, or one whose holder's time ran out."""
        work = self._shared.work
        for statement in work.next_job:
            found = [row for kind in kinds if (row := self._session.one(statement, (kind, now))) is not None]
            if found:
                job_id, kind, ref, run_at, attempts = min(found, key=lambda row: (row[3], row[0]))
                self._write(Write(work.lease_job, ((owner, until, job_id),)))
                return {
                    "id": job_id, "kind": kind, "ref": ref, "run_at": run_at, "attempts": attempts + 1,
                    "owner": owner, "until": until,
                }  # fmt: skip
        return None

    def finish_job(self, job_id: str, owner: str, result: str) -> bool:
        """End a job that `owner` still holds."""
        return self._write(Write(self._shared.work.end_job, ((result, job_id, owner),))) == 1

    def mark_used(self, loop_id: int, example_ids: Sequence[int], model: str) -> int:
        """Say which model learned from these examples."""
        if not example_ids:
            return 0
        marks = [(model, loop_id, example_id) for example_id in example_ids]
        return self._write(Write(self._shared.work.mark_used, marks))

    def save_model(self, model: ModelRow) -> None:
        """Insert or update a model's row."""
        work, metrics = self._shared.work, ENCODER.encode(model.metrics).decode()
        row = (
            model.id, model.loop_id, model.version, model.path, model.sha256, model.state, model.examples, metrics,
            model.created_at,
        )  # fmt: skip
        if self._write(Write(work.move_model, ((*row[1:], model.id),))) == 0:
            self._write(Write(work.new_model, (row,)))
