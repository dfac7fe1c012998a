"""The live certificate over a loop's past: the answers that it has counted, put to the very test that it is.

Where the rules of today are those that the answers were counted under, these are the recorded labels of the epoch, each
with the inclusion probability and the least one of then, in clusters as they were counted; where other cases reach the
threshold by now, past cases are routed again and counted as a new epoch would count them.  The certificate has the
promise of the epoch: its part of the chance of being wrong, its bins, its exact test, and what people may miss.

Where two orders count, this is the certificate of confidence, on its half; what the other certifies is only said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from dualcontrol.control import Control
from dualcontrol.desk import Desk
from dualcontrol.events import Entry, EpochBegan, SettingsEvent
from dualcontrol.guarantee import moves, warm_start
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.evidence import Segment, evidence
from dualcontrol.guarantee.offline import Offline
from dualcontrol.question import Asked, asked

CUT = {
    "drift": "autopilot was closed by an alarm, and what was answered before it is no evidence for what comes after",
    "scale": "the scores were others before, so that answers of then are no evidence for those of now",
    "labels": "labels, schema or mode changed, so that answers of before are to another question",
}


class Recorded(NamedTuple):
    """What is recorded of one segment: the promise of its certificate, and the labels as it takes them.

    `why_not` says why there are none; `changed` what today's rules ask that those of the record did not.
    """

    segment: str
    promise: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    threshold: float | None
    missed: float
    why_not: str = ""
    changed: str | None = None

    def certificate(self, max_error: float, confidence: float, missed: float | None = None) -> Certificate:
        """The certificate that counts these labels under this promise."""
        rate = self.missed if missed is None else missed
        promise = {**self.promise, "max_error": max_error, "confidence": confidence, "miss_rate": rate}
        made = Certificate(**promise)
        for row in self.rows:
            made.observe(**row)
        made.tick()
        return made

    def offline(self, max_error: float, confidence: float, missed: float | None = None) -> Offline:
        """What it certifies, or why nothing."""
        made = self.certificate(max_error, confidence, missed)
        wrong, labels = made.errors, len(self.rows)
        if self.why_not:
            return Offline(None, 0.0, None, None, 0, 0, 0, made.labels_needed(), self.why_not, METHOD)
        needed = made.labels_needed()
        more = "more answers like these would not change that" if needed is None else f"it takes about {needed:,} more"
        counted = f"{made.labels:,} answers are evidence, {wrong:,} of them wrong"
        if not made.begun:
            counted = f"{labels:,} answers show how the scores lie, and are no evidence"
        reason = f"{counted}; counted as the live certificate counts them"
        if made.threshold is None:
            reason += f", they certify nothing, and {more}"
        return Offline(made.threshold, made.coverage, None, None, labels, 0, wrong, needed, reason, METHOD)


METHOD = "certificate"


def recorded(desk: Desk, stored: Control, control: Control) -> tuple[Recorded, ...]:
    """What is recorded of each segment of a loop under a guarantee; `stored` is in force, `control` the rules of today.

    None for a loop without a guarantee: nothing was counted there.
    """
    guarantee = control.settings.guarantee
    if guarantee is None or stored.settings.guarantee is None:
        return ()
    segments, entries = desk.certifier.segments(stored), desk.store.queries.entries(stream(stored), values=False)
    names = guarantee.segments or ("",)
    return tuple(_recorded(desk, stored, control, name, segments.get(name), entries) for name in names)


def stream(control: Control) -> str:
    """The stream of a loop."""
    return f"loop/{control.loop_id}"


def _recorded(
    desk: Desk, stored: Control, control: Control, name: str, segment: Segment | None, entries: Sequence[Entry]
) -> Recorded:  # fmt: skip
    fresh = moves.promised(control, segment)
    nothing = Recorded(name, fresh, (), None, fresh["miss_rate"])
    if segment is None:
        return nothing._replace(why_not="no decision was counted yet")
    if control.learned and control.scorer is None:
        return nothing._replace(why_not="no risk model was learned yet, so that no decision has a score that counts")
    change = _change(stored, control, name, segment, entries)
    if change.answers:
        return nothing._replace(why_not=f"{CUT['labels']}: {change.words}", changed=change.words)
    if change.words is not None:  # other cases reach the threshold: as a new epoch would begin
        start = warm_start.recounted(desk.steps, control, name, segment)
        if start.why_not or not start.evidence:
            why = start.why_not or "no recorded case reaches the threshold by today's rules"
            return nothing._replace(why_not=f"{why} ({change.words})", changed=change.words)
        promise = {**fresh, **start.promise(fresh["max_error"])}
        rows = [
            {"seq": pos, "score": float(score), "wrong": wrong, "inclusion": float(chance), "floor": float(floor)}
            for (pos, score, wrong, chance, _, _), floor in zip(start.evidence, start.floors, strict=True)
        ]
        return Recorded(name, promise, rows, None, fresh["miss_rate"], changed=change.words)
    rows = evidence(entries, name)
    promise = json.loads(segment.promise)
    threshold = segment.certificate.threshold
    if rows:
        return Recorded(name, promise, rows, threshold, promise["miss_rate"])
    why = CUT.get(segment.cut or "", "no answer is counted in this epoch yet")
    if segment.shown:
        why = (
            f"{segment.shown:,} answers were given with the proposal shown, which is no evidence: people tend to "
            "approve what they see"
        )
    return Recorded(name, promise, (), threshold, promise["miss_rate"], why_not=why)


def _change(stored: Control, control: Control, name: str, segment: Segment, entries: Sequence[Entry]) -> Asked:
    """What today's rules ask that those did not under which the epoch has counted, in force already or not."""
    change = asked(stored, _unpromised(stored, control).settings)
    if stored.epochs.get(name) == segment.epoch:
        return change
    since: list[SettingsEvent] = []
    for event in (event for entry in entries for event in entry.events):
        if isinstance(event, EpochBegan) and event.segment == name and not event.order:
            since = []
        elif isinstance(event, SettingsEvent):
            since.append(event)
    words = [event.asks for event in since if event.asks] + ([change.words] if change.words else [])
    said = "; ".join(words) or "a new model or promise is in force"
    return Asked(said, change.answers or any(event.relabelled for event in since))


def _unpromised(stored: Control, control: Control) -> Control:
    """The rules of today under the promise of the record, where the same segments share it: the bound is asked for."""
    now, then = control.settings.guarantee, stored.settings.guarantee
    if now is None or then is None or now.segments != then.segments or now.per != then.per:
        return control
    return replace(control, settings=replace(control.settings, guarantee=then))
