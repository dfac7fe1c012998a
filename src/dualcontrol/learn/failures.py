"""Trainings that fail: each is recorded in its loop's stream, and tried again later; the other loops go on.

What a trainer raises may hold what people wrote, so that only our own words are recorded, and of anything else its
type and where it was raised.
"""

from __future__ import annotations

import logging
import traceback

from dualcontrol.control import Control, Untrained
from dualcontrol.errors import DualcontrolError, MissingExtraError, ModelError, StoreUnavailableError
from dualcontrol.events import Event, TrainingFailed
from dualcontrol.learn.trainers import DeskPort

log = logging.getLogger("dualcontrol.learn")
MINUTE = 60_000_000
FIRST, LONGEST = 10 * MINUTE, 24 * 60 * MINUTE  # until it is tried again: twice as long each time
MORE = 10  # answers after which it is tried again at once, where the loop names no number


def may_try(last: Untrained | None, waiting: int, enough: int | None, now: int) -> bool:
    """Whether to try after a failure: once its time has come, or when so many more answers wait as a training takes."""
    if last is None or now >= last.retry_at:
        return True
    return waiting >= last.waiting + max(enough or MORE, MORE)


def record(desk: DeskPort, control: Control, what: str, trainer: str, error: BaseException) -> None:
    """Write down why a training came to nothing, unless another program has just done so.

    Where that cannot be written though the database is there, the log alone has it.
    """
    code, reason = described(error)
    log.warning("training of the %s of loop %s failed: %s", what, control.loop, reason)
    log.debug("in full", exc_info=error)
    before, waiting = control.untrained.get(what), desk.store.queries.unfed().get(control.loop, 0)
    attempt = 1 if before is None else before.attempt + 1
    pause = min(FIRST * 2 ** min(attempt - 1, 30), LONGEST)

    def make(now: Control, at: int) -> list[Event]:
        if now.untrained.get(what) != before:
            return []
        return [TrainingFailed(at=at, what=what, trainer=trainer, code=code, reason=reason, attempt=attempt,
                               retry_at=at + pause, waiting=waiting)]  # fmt: skip

    try:
        desk.steps.move(control.loop, make)
    except StoreUnavailableError:
        raise
    except DualcontrolError as lost:
        log.warning("that the %s of loop %s was not trained is not recorded: %s", what, control.loop, lost.message)


def described(error: BaseException) -> tuple[str, str]:
    """Code and reason of a failure, without content."""
    frames = list(traceback.walk_tb(error.__traceback__))
    module = frames[-1][0].f_globals.get("__name__", "?") if frames else "?"
    if isinstance(error, ModelError | MissingExtraError) and module.partition(".")[0] == "dualcontrol":
        return error.code, f"{error.message}. {error.hint}" if "hint" in vars(error) else error.message
    code = error.code if isinstance(error, DualcontrolError) else ModelError.code
    return code, f"{type(error).__name__} in {module}, line {frames[-1][1] if frames else '?'}"
