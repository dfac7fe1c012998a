"""Segments: which certificate speaks for a case, and by what name a class goes.

A program may say the segment of a case itself.  With `guarantee.per` it is what the proposal says: the class that is
proposed, or a field of meta.  Only what `guarantee.segments` names becomes a segment: the name stays in the ledger,
where content could not be erased, and a class that nobody has declared has no share of the chance of being wrong.
"""

from __future__ import annotations

from collections.abc import Mapping

from dualcontrol.case import JSON
from dualcontrol.control import CLASS, LoopSettings
from dualcontrol.errors import SignalError
from dualcontrol.labels import label_name


def class_name(settings: LoopSettings, action: str | None, value: JSON) -> str | None:
    """The name of the class that is proposed: the action, or the label; None where nothing is, as in a preference."""
    if settings.mode == "approval" or action:
        return action or None
    if value is None or settings.mode == "preference":
        return None
    return label_name(value)


def at(meta: Mapping[str, JSON] | None, field: str) -> str | None:
    """The value of a field of meta by its dotted path, as text; None where there is none."""
    value: JSON = dict(meta or {})
    for part in field.split(".")[1:]:
        value = value.get(part) if isinstance(value, dict) else None
    return None if value is None else label_name(value)


def segment_of(
    settings: LoopSettings, said: str | None, action: str | None, value: JSON, meta: Mapping[str, JSON] | None
) -> str | None:  # fmt: skip
    """The segment of a proposal; `SignalError` where the program names another one than the guarantee makes."""
    guarantee = settings.guarantee
    if guarantee is None or guarantee.per is None:
        return said
    name = class_name(settings, action, value) if guarantee.per == CLASS else at(meta, guarantee.per)
    segment = name if name in guarantee.segments else None
    if said is not None and said != segment:
        raise SignalError(
            f"the segment is {said!r:.80}, where guarantee.per = {guarantee.per!r} of loop {settings.name!r} makes it "
            f"{'none' if segment is None else repr(segment)}",
            hint="Leave the segment away, or take per out of the guarantee and name the segment of each case.",
        )
    return segment
