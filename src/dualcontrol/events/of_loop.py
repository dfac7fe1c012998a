"""The events of a loop's stream, in past tense."""

from __future__ import annotations

from dualcontrol.case import Content
from dualcontrol.events.event import Event


class PolicyChanged(Event, frozen=True, kw_only=True):
    """The loop's settings changed; `settings` is their canonical JSON text.

    `relabelled` says that the set of labels is another, so that nothing certified before holds.
    """

    version: int
    at: int
    digest: str
    settings: str
    relabelled: bool = False


class ThresholdMoved(Event, frozen=True, kw_only=True):
    """The confidence from which autopilot may act moved, and why."""

    version: int
    at: int
    segment: str
    threshold: str | None
    reason: str
    epoch: int | None = None
    pos: int | None = None
    bin: int | None = None
    coverage: str | None = None


class EpochBegan(Event, frozen=True, kw_only=True):
    """A certificate began with nothing certified: for a new model, a new promise, or after an alarm.

    `promise` is what the certificate was made with, as JSON text; `after` the position that evidence comes after.
    `cut` says why what was decided until then is no evidence: the code of an alarm, or "labels" for another set.
    """

    version: int
    at: int
    segment: str
    epoch: int
    reason: str
    promise: str
    model: str | None = None
    scorer: str | None = None
    after: int = 0
    cut: str | None = None


class EvidenceCounted(Event, frozen=True, kw_only=True):
    """Labels were counted by a certificate, in the order of decisions, up to and with position `upto`.

    A label is (position, score, wrong, inclusion, autopilot, unseen before it): `unseen` autopilot cases that nobody
    reviewed came between it and the label before, and `unseen` of the event after the last.  `stale` labels are of an
    earlier epoch and count for the running bound alone; `missing` are the positions that nobody answered in time.
    Labels older than the epoch bring `floors`: the least inclusion that any decision could have had then.
    """

    at: int
    segment: str
    epoch: int
    upto: int
    labels: tuple[tuple[int, str, int, str, int, int], ...]
    unseen: int = 0
    stale: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    floors: tuple[str, ...] = ()


class AuditsChanged(Event, frozen=True, kw_only=True):
    """How often autopilot cases of each score bin are reviewed too; `edges` are the lower scores of bin 1 and up."""

    version: int
    at: int
    segment: str
    edges: tuple[str, ...]
    shares: tuple[str, ...]
    reason: str
    floor: str | None = None


class AutopilotClosed(Event, frozen=True, kw_only=True):
    """A segment ("" for the whole loop) goes to humans from here on.

    `cause` says what closed it, for programs, and `model` which model's file where it was one: see `control.Cause`.
    """

    version: int
    at: int
    segment: str
    cause: str
    reason: str
    model: str | None = None


class AutopilotOpened(Event, frozen=True, kw_only=True):
    """A closed segment is open again."""

    version: int
    at: int
    segment: str
    reason: str


class ReliefChanged(Event, frozen=True, kw_only=True):
    """People are asked for less, or for all again; demand and capacity are reviews an hour."""

    version: int
    at: int
    level: int
    name: str
    demand: str
    capacity: str
    understaffed: int
    reason: str


class ModelPromoted(Event, frozen=True, kw_only=True):
    """A trained model took over: it was better on held-out human decisions.

    `file` and `sha256` are its file's name in the folder of models and digest; older versions recorded neither.
    """

    version: int
    at: int
    model: str
    examples: int
    metric: str
    score: str
    incumbent: str | None = None
    file: str | None = None
    sha256: str | None = None


class ModelKept(Event, frozen=True, kw_only=True):
    """A trained model was not better; the incumbent stays."""

    at: int
    model: str
    examples: int
    metric: str
    score: str
    incumbent: str | None = None
    file: str | None = None
    sha256: str | None = None


class TrainingFailed(Event, frozen=True, kw_only=True):
    """A training that was due came to nothing; `reason` holds no content, whatever the trainer said.

    `what` is "model" or "risk model", `attempt` counts failures in a row, and `waiting` the answers that no model has
    learned from.
    """

    at: int
    what: str
    trainer: str
    code: str
    reason: str
    attempt: int
    retry_at: int
    waiting: int = 0


class ScoreChanged(Event, frozen=True, kw_only=True):
    """A risk model was learned from people's decisions: its score is compared from here on, and nothing is certified.

    Only decisions from here on are evidence for it.
    """

    version: int
    at: int
    model: str
    examples: int
    reason: str
    file: str | None = None
    sha256: str | None = None


class BatchRouted(Event, frozen=True, kw_only=True):
    """A chunk of rows was routed in one go; rows for humans opened cases of their own.

    Under a guarantee `unseen` counts, by certificate, the rows that it let run and that nobody reviews.  Audits were
    drawn by the id `drawn`; where there is none, by batch and chunk.
    """

    at: int
    batch: str
    chunk: int
    rows: int
    autopilot: int
    human: int
    blocked: int
    audited: int
    control: int
    digest: str
    fingerprint: str = ""
    content: Content = Content()
    unseen: dict[str, int] = {}
    drawn: str = ""


LOOP_EVENTS: tuple[type[Event], ...] = (
    PolicyChanged, EpochBegan, EvidenceCounted, ThresholdMoved, AuditsChanged, AutopilotClosed, AutopilotOpened,
    ReliefChanged, ModelPromoted, ModelKept, TrainingFailed, ScoreChanged, BatchRouted,
)  # fmt: skip
