"""The context contract: a case that lacks what its loop requires is refused at the door, the fields named."""

from __future__ import annotations

from dualcontrol.case import JSON
from dualcontrol.commands import Propose
from dualcontrol.control import LoopSettings
from dualcontrol.errors import ContextError

LEVELS: dict[str, tuple[str, ...]] = {
    "minimal": ("input", "proposal"),
    "standard": ("input", "proposal", "rationale", "alternatives"),
    "full": ("input", "proposal", "rationale", "alternatives", "history"),
}


def required(settings: LoopSettings) -> tuple[str, ...]:
    """The fields that a loop requires of every case."""
    fields = LEVELS[settings.context] if isinstance(settings.context, str) else settings.context
    if settings.mode == "fallback":
        return tuple(f for f in fields if f != "proposal")
    return fields


def missing(command: Propose, settings: LoopSettings) -> tuple[str, ...]:
    """The required fields that a proposal does not give."""
    lacking = []
    for field in required(settings):
        head, _, path = field.partition(".")
        if head == "alternatives":
            present = "alternatives" in command.given
        elif head != "proposal":
            present = counts(dig(getattr(command, head, None), path))
        elif command.proposed is None:
            present = len(command.candidates) >= 2
        else:
            candidate = command.candidates[command.proposed]
            present = bool(candidate.get("action")) or counts(candidate.get("value"))
        if not present:
            lacking.append(field)
    return tuple(lacking)


def admit(command: Propose, settings: LoopSettings) -> None:
    """Refuse a proposal that lacks required context: `ContextError` names the fields."""
    lacking = missing(command, settings)
    if lacking:
        names = ", ".join(lacking)
        raise ContextError(
            f"loop {settings.name!r} requires context that is missing: {names}",
            fields=list(lacking),
            loop=settings.name,
        )


def counts(value: JSON) -> bool:
    """Whether a value is context at all: an explicit empty list counts, an empty text or object does not."""
    if isinstance(value, str):
        return bool(value.strip())
    return value is not None and not (isinstance(value, dict) and not value)


def dig(value: JSON, path: str) -> JSON:
    """What lies at a path of names below a value; None where there is nothing."""
    for name in path.split(".") if path else ():
        value = value.get(name) if isinstance(value, dict) else None
    return value
