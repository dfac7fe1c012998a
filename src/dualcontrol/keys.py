"""Keyed hashes of proposals: idempotency keys, likeness of questions, and what makes cases one piece of evidence."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence

from dualcontrol.case import ENCODER, JSON
from dualcontrol.commands import Propose
from dualcontrol.control import QUESTION, RUN, Control
from dualcontrol.errors import KeyFormatError, PayloadError

MAX_KEY = 65_536


def check_key(key: str | None) -> None:
    """Refuse a key that cannot name a case."""
    if key is None:
        return
    if not key or len(key) > MAX_KEY:
        raise KeyFormatError
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise KeyFormatError("the key holds text that UTF-8 cannot carry") from error


def fingerprint(secret: bytes, command: Propose) -> str:
    """HMAC of what a key stands for: action, args and input (all candidates where nothing is proposed)."""
    return content_print(secret, command.candidates, command.proposed, command.input)


def content_print(
    secret: bytes, candidates: Sequence[Mapping[str, JSON]], proposed: int | None, input: JSON
) -> str:  # fmt: skip
    """The fingerprint of content, as it is proposed or as it was kept."""
    relevant = candidates if proposed is None else (candidates[proposed],)
    content = [[c.get("action"), c.get("value")] for c in relevant]
    return hmac.digest(secret, json_text([content, input]), "sha256").hex()


def likeness(secret: bytes, command: Propose, mode: str) -> str:
    """HMAC of the question that a proposal asks a human, and of who proposed it: equal for duplicates.

    What tells how sure the AI is, and why, is left out: it is about the answer, not the question.
    """
    candidates = [[c.get(part) for part in ("id", "action", "value", "schema")] for c in command.candidates]
    question = [candidates, command.proposed, command.input, command.history, command.meta or {}]
    origin = [command.segment, command.requires_approval, command.risk, command.owner, command.parent]
    return hmac.digest(secret, json_text(["likeness", mode, question, origin]), "sha256").hex()


def together(secret: bytes, command: Propose, control: Control) -> str | None:
    """HMAC of what a proposal has in common with those that it is one piece of evidence with.

    None where this one does not say.  Each certificate has clusters of its own, since each counts its own cases.  Where
    each case is taken to stand by itself it is the question, so that bursts are noticed.
    """
    by = control.settings.together or (QUESTION if control.settings.guarantee is not None else None)
    live = (command.kind, command.origin) == ("live", "live") and control.settings.start != "shadow"
    if by is None or not live:
        return None
    if by == QUESTION:
        value: JSON = likeness(secret, command, control.settings.mode)
    else:
        value = command.run if by == RUN else _at(by, {"input": command.input, "meta": command.meta})
    if value is None:
        return None
    common = ["cluster", control.loop, control.certificate_for(command.segment), by, value]
    return hmac.digest(secret, json_text(common), "sha256").hex()


def _at(path: str, content: Mapping[str, JSON]) -> JSON:
    """What lies at a dotted path; None where there is nothing."""
    value: JSON = dict(content)
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def json_text(value: JSON) -> bytes:
    """Content as JSON bytes with sorted keys; `PayloadError` when it is not JSON."""
    try:
        return ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"the content is not JSON: {error}") from error


def short(key: str) -> str:
    """A key as it is quoted in a message."""
    return repr(key if len(key) <= 60 else key[:57] + "…")
