"""`open` puts settings, store, steps and desk together."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from dualcontrol.control import LoopSettings, uuid7
from dualcontrol.desk import Desk
from dualcontrol.errors import Paused
from dualcontrol.learn import risk
from dualcontrol.learn.serving import check
from dualcontrol.learn.trusted import FOLDER
from dualcontrol.settings import Settings, load, loop_settings
from dualcontrol.step import Steps
from dualcontrol.store.sql import open_store


def open(
    url: str | None = None,
    *,
    durability: str | None = None,
    settings: str | os.PathLike[str] | Settings | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    secret: str | None = None,
    clock: Callable[[], int] | None = None,
    new_id: Callable[[], str] = uuid7,
) -> Desk:
    """A desk on a database: by url, else by ``dualcontrol.toml``, else on ``sqlite:///dualcontrol.db``.

    Every loop of the settings file is in force from here on.  `clock` (microseconds, UTC) and `new_id` are for
    tests and replays.
    """
    _end_paused_programs()
    given = settings if isinstance(settings, Settings) else _load(settings, url, durability, groups, secret)
    store = open_store(url or given.database.url, durability=durability or given.database.durability, clock=clock)
    try:
        key = given.secret.encode() if given.secret else None
        desk = Desk(store, Steps(store, new_id=new_id, secret=key, clock=clock), _Settle(given), given)
        for loop in given.loops.values():
            desk.steps.govern(loop)
        if _keeps_models(given):
            check(desk)
            risk.check(desk)
        return desk
    except BaseException:
        store.close()
        raise


def _load(
    path: str | os.PathLike[str] | None, url: str | None, durability: str | None,
    groups: Mapping[str, Sequence[str]] | None, secret: str | None,
) -> Settings:  # fmt: skip
    database = {k: v for k, v in (("url", url), ("durability", durability)) if v is not None}
    given: dict[str, Any] = {"database": database or None, "groups": groups, "secret": secret}
    return load(path, **{k: v for k, v in given.items() if v is not None})


def _keeps_models(settings: Settings) -> bool:
    """Whether the model files of this database are where this program can see them, or should be."""
    return settings.database.url.startswith("sqlite") or Path(settings.models or FOLDER).exists()


def _end_paused_programs() -> None:
    """Let a pause that nobody caught end the program with one line and exit status 5: it is no defect.

    Every other exception goes to the hook that was there before.
    """
    before, in_threads = sys.excepthook, threading.excepthook
    if getattr(before, "pauses", False):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, Paused):
            print(f"paused: {error}", file=sys.stderr)
            raise SystemExit(error.exit_code)
        before(kind, error, trace)

    def thread_hook(given: Any) -> None:
        if isinstance(given.exc_value, Paused):
            name = given.thread.name if given.thread is not None else "a thread"
            print(f"paused in {name}: {given.exc_value}", file=sys.stderr)
        else:
            in_threads(given)

    hook.pauses = True  # type: ignore[attr-defined]
    sys.excepthook, threading.excepthook = hook, thread_hook


class _Settle:
    """The settings of a loop: the file's, overridden by keywords; None when nobody says anything."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, name: str, **keywords: Any) -> LoopSettings | None:
        base = self._settings.loops.get(name)
        if not keywords:
            return base
        return loop_settings(name, base, self._settings.groups, **keywords)
