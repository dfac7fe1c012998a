"""Checks of each loop: its queue, staffing, answers not yet used for learning, trainings, model files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dualcontrol.case import Case, ModelRow, Review
from dualcontrol.control import RISK_MODEL, Control
from dualcontrol.doctor.database import OK, PROBLEM, WARNING, Finding, are, wait
from dualcontrol.events import ModelPromoted, ReliefChanged, ScoreChanged
from dualcontrol.layout import some
from dualcontrol.learn.risk import RISK
from dualcontrol.learn.trusted import Recorded, holds, inside, recorded, unlike
from dualcontrol.people import arbiter_of, available
from dualcontrol.route.capacity import LEVELS
from dualcontrol.stop import in_force
from dualcontrol.store import InboxRow, Store

UPGRADE = "Upgrade dualcontrol, or let a program of the newer version finish them."
RESTORE = "Restore the table `models` from a backup, or train again; until then every case goes to a human."
CHANGED = "Restore the table `models` from a backup, and trust no file of this row before it is what the ledger says."
MORE_PEOPLE = "Let more people answer, or ask for less: relief ends by itself when they can keep up."
TRY = "It is tried again by itself; `dualcontrol train {}{}` tries now, and says what is wrong in full."
OPEN = "Once the cause is mended: `dualcontrol resume {} --because …`; until then what is ready waits."
ANSWER = (
    "Answer them: `dualcontrol inbox` lists the most urgent first. What on_timeout declares happens "
    "while `dualcontrol serve` runs; a case that it holds stays overdue until somebody answers."
)


def loops(store: Store, waiting: Mapping[str, Sequence[Review]], models: str | Path | None) -> Iterator[Finding]:
    """Findings on every loop, in the order of their names; `waiting` holds the open reviews of each."""
    unfed = store.queries.unfed()
    of_all = in_force(store)
    if of_all is not None:
        yield Finding("stop", WARNING, f"all loops, later ones as well: {of_all.words}", OPEN.format("--all"))
    for control in store.queries.loops():
        yield from stopped(control)
        yield from queue(store, control, waiting.get(control.loop, ()))
        yield from staffing(store, control)
        yield from feedback(control, unfed.get(control.loop, 0))
        yield from training(control)
        yield from overridden(control)
        yield from files(store, control, models)


def stopped(control: Control) -> Iterator[Finding]:
    """The emergency stop, where it is in force: nothing of the loop runs."""
    if control.stopped is not None:
        what = f"loop {control.loop}: {control.stopped.words}; nothing runs"
        yield Finding("stop", WARNING, what, OPEN.format(control.loop))


def queue(store: Store, control: Control, waiting: Sequence[Review]) -> Iterator[Finding]:
    """Overdue cases, and reviews that nobody is offered: in a group that is not named, or not in the queue."""
    counts = store.queries.counts(control.loop_id)
    mismatches = list(_queue_mismatches(store, control, waiting))
    yield from mismatches
    if counts["overdue"]:
        what = f"loop {control.loop}: {are(counts['overdue'], 'case')} past the response time"
        yield Finding("queue", WARNING, what, ANSWER)
    elif not mismatches:
        yield Finding("queue", OK, f"loop {control.loop}: {some(counts['open'], 'open case')}, none overdue")


def staffing(store: Store, control: Control) -> Iterator[Finding]:
    """Relief that is in force, and how many people lacked when it last changed."""
    if not control.relief:
        return
    entries = store.queries.entries(f"loop/{control.loop_id}", values=False)
    moves = [event for entry in entries for event in entry.events if isinstance(event, ReliefChanged)]
    lacking = f", understaffed by {moves[-1].understaffed}" if moves and moves[-1].understaffed else ""
    name = LEVELS.get(control.relief, str(control.relief))
    yield Finding("queue", WARNING, f"loop {control.loop}: relief {name!r} is in force{lacking}", MORE_PEOPLE)


def _queue_mismatches(store: Store, control: Control, waiting: Sequence[Review]) -> Iterator[Finding]:
    groups = control.pools()
    lost = [review for review in waiting if review.group not in groups]
    if lost:
        waits = wait(len(lost), "review", "reviews")
        what = f"loop {control.loop}: {waits} in a group that it no longer names: {lost[0].group}"
        yield Finding("queue", WARNING, what, "Name the group in the settings again.", lost[0].case_id)
    pools = [(control.loop_id, group) for group in groups]
    page = store.queries.inbox(pools, limit=500)
    rows: list[InboxRow] = list(page.rows)
    while page.next is not None:
        page = store.queries.inbox(pools, limit=500, cursor=page.next)
        rows += page.rows
    newer = [row.review.case_id for row in rows if row.read_only]
    if newer:
        what = f"loop {control.loop}: {are(len(newer), 'review')} passed over: this version cannot change the case"
        yield Finding("queue", WARNING, what, UPGRADE, newer[0])
    offered = {row.review.id for row in rows}
    for review in waiting:
        if review.group in groups and review.id not in offered:
            what = f"review {review.id} of case {review.case_id} is open, and nobody is offered it"
            yield Finding("queue", PROBLEM, what, "Restore the table `reviews` from a backup.", review.case_id)


def feedback(control: Control, unfed: int) -> Iterator[Finding]:
    """Answers that nothing has learned from."""
    feed = control.settings.feedback
    if not unfed:
        return
    what = f"loop {control.loop}: {some(unfed, 'answer')} not yet used"
    if feed is None or feed.trainer == "off":
        hint = 'Set feedback = "export" or a trainer to learn from them.'
        yield Finding("feedback", OK, f"{what}: feedback is off", hint)
        return
    verb = "export {} OUT" if feed.trainer == "export" else "train {}"
    enough = feed.retrain_every is None or unfed >= feed.retrain_every
    yield Finding("feedback", WARNING if enough else OK, what, f"Run `dualcontrol {verb.format(control.loop)}`.")


def training(control: Control) -> Iterator[Finding]:
    """Trainings that came to nothing since one went well."""
    for what, failed in control.untrained.items():
        times = "" if failed.attempt == 1 else f" {failed.attempt} times in a row"
        failure = f"loop {control.loop}: training of its {what} failed{times}: {failed.reason}"
        yield Finding("training", WARNING, failure, TRY.format(control.loop, " --risk" if what == RISK_MODEL else ""))


def overridden(control: Control) -> Iterator[Finding]:
    """What people have laid over the file's settings; none of it is wrong."""
    for key, override in control.overrides.items():
        approved = f", approved by {override.approved_by}" if override.approved_by else ""
        what = f"loop {control.loop}: {key} is {override.value} by {override.by}{approved}, over {override.before}"
        yield Finding("settings", OK, what, f"`dualcontrol policy drop {control.loop} {key}` lets the file count.")


def files(store: Store, control: Control, folder: str | Path | None) -> Iterator[Finding]:
    """Rows of models that are not what the ledger says, and files that are gone or are not what was trained.

    Of risk models, that of the one in force.
    """
    rows = store.queries.models(control.loop_id)
    entries = store.queries.entries(f"loop/{control.loop_id}", values=False)
    if rows and not holds(entries):
        what = f"loop {control.loop}: its hash chain does not hold, so none of its models is trusted"
        yield Finding("models", PROBLEM, what, CHANGED)
        return
    events = recorded(entries)
    for version in {control.model, control.chances_by} - {None, *(row.version for row in rows)}:
        what = f"loop {control.loop}: model {version} is in force, and the database has no row of it"
        yield Finding("models", PROBLEM, what, RESTORE)
    for row in rows:
        yield from _model(control, row, events.get(row.version), folder)


def _model(control: Control, row: ModelRow, event: Recorded | None, folder: str | Path | None) -> Iterator[Finding]:
    live = row.version in (control.model, control.chances_by)
    kind, option = ("risk model", " --risk") if row.state == RISK else ("model", "")
    model, train = f"loop {control.loop}: {kind} {row.version}", f"Train again with `dualcontrol train {control.loop}"
    otherwise = unlike(row, event)
    if otherwise is None and live and not isinstance(event, ModelPromoted | ScoreChanged):
        otherwise = "it is in force, and the ledger does not say that it was put in force"
    if otherwise is not None:
        yield Finding("models", PROBLEM, f"{model}: {otherwise}", CHANGED)
        return
    if not live and row.state != "promoted":
        return
    what = file_fault(row, folder)
    if what:
        level, hint = PROBLEM if live else WARNING, f"{train}{option}`; until then every case goes to a human."
        yield Finding("models", level, f"{model}: {what}", hint)
    elif live and event is not None and event.sha256 is None:
        what = f"{model} was put in force by an older version, which kept its digest in the database alone"
        yield Finding("models", WARNING, what, f"{train}{option}`: the ledger then has the digest of its file.")
    elif live:
        yield Finding("models", OK, f"{model} is there and unchanged")


def file_fault(row: ModelRow, folder: str | Path | None) -> str:
    """What is wrong with a model's file; nothing when it is there and unchanged."""
    whole = Path("." if folder is None else folder)
    path = inside(whole, row.path)
    if path is None:
        return f"its path {whole / row.path} leads to no file in the folder of models"
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"its file {whole / row.path} cannot be read ({error.strerror})"
    return "" if digest == row.sha256 else f"its file {whole / row.path} is not what was trained"


# Stuck cases: no person may take a review of theirs, and no response time will end them


ADD_SOMEBODY = (
    "Add somebody to the group, or withdraw the case: `dualcontrol withdraw CASE`. "
    "For later cases set quorum.arbiter, or respond_within with on_timeout."
)
AGAIN = "Withdraw the case, `dualcontrol withdraw CASE`, and propose it again; a second one gets its reviews."


def stuck(case: Case, control: Control) -> Iterator[Finding]:
    """A case that stays open for ever as things are, such as a dispute among all members of its group."""
    if case.state != "open" or case.kind != "live" or case.read_only or case.leader or ends_by_itself(case, control):
        return
    waiting = [review for review in case.reviews if review.state in ("open", "claimed")]
    if not waiting:
        what = f"case {case.id} is open, and nobody is asked: it has no open review, and nothing is due"
        yield Finding("queue", WARNING, what, AGAIN, case.id)
        return
    for review in waiting:
        excluded = (*review.excludes, *workers(case))
        if review.state == "claimed" or available(case, review.group, control, excluded) != 0:
            return
    groups = " or ".join(dict.fromkeys(review.group for review in waiting))
    what = f"case {case.id} waits for an answer that nobody in {groups} may give: all have worked on it or proposed it"
    yield Finding("queue", WARNING, what, ADD_SOMEBODY, case.id)


def ends_by_itself(case: Case, control: Control) -> bool:
    """Whether the end of the response time will do something about the case."""
    if case.due_at is None or case.route is None:
        return False
    if case.route.on_timeout == "escalate":
        arbiter = arbiter_of(case, control)
        return arbiter is not None and available(case, arbiter, control, workers(case)) != 0
    return case.route.on_timeout != "hold"


def workers(case: Case) -> tuple[str, ...]:
    """Who has a review of the case already; nobody gets a second."""
    return tuple(review.person for review in case.reviews if review.person)
