"""Composition root: `open` makes a desk of settings, store and steps."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from dualcontrol import changes
from dualcontrol.control import LoopSettings, uuid7
from dualcontrol.desk import Desk
from dualcontrol.errors import Paused, RequestError
from dualcontrol.learn import risk
from dualcontrol.learn.serving import check
from dualcontrol.learn.trainers import optional
from dualcontrol.learn.trusted import FOLDER
from dualcontrol.settings import Settings, laid, load, loop_settings
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
    token: str | None = None,
) -> Desk:
    """A desk on a database: by url, else by ``dualcontrol.toml``, else on ``sqlite:///dualcontrol.db``.

    Every loop of the settings file is in force from here on.  `clock` (microseconds, UTC) and `new_id` are for
    tests and replays.

    With the address of a server (``https://…``) the same desk over HTTP, for whom `token`, or `DUALCONTROL_TOKEN`,
    stands for; its settings are the server's.  This needs the extra ``client``.
    """
    _end_paused_programs()
    if isinstance(url, str) and url.lower().startswith(("https://", "http://")):
        own = {"durability": durability, "settings": settings, "groups": groups, "secret": secret, "clock": clock}
        stated = next((name for name, value in own.items() if value is not None), None)
        if stated is not None:
            raise RequestError(f"{stated} is the server's own, and is not given with its address")
        return cast(Desk, optional("dualcontrol.remote", "client").connect(url, token))
    if token is not None:
        hint = "Give its address, https://HOST, or leave the token out."
        raise RequestError("a token opens the desk of a server, not a database", hint=hint)
    if not isinstance(settings, Settings):
        database = {k: v for k, v in (("url", url), ("durability", durability)) if v is not None}
        overrides: dict[str, Any] = {"database": database or None, "groups": groups, "secret": secret}
        settings = load(settings, **{k: v for k, v in overrides.items() if v is not None})
    in_force = settings

    def settings_for(name: str, **keywords: Any) -> LoopSettings | None:
        """The settings of a loop: the file's, overridden by keywords; None when nobody says anything."""
        base = in_force.loops.get(name)
        return loop_settings(name, base, in_force.groups, **keywords) if keywords else base

    store = open_store(url or in_force.database.url, durability=durability or in_force.database.durability, clock=clock)
    try:
        key = in_force.secret.encode() if in_force.secret else None
        desk = Desk(store, Steps(store, lay=laid, new_id=new_id, secret=key, clock=clock), settings_for, in_force)
        for loop in in_force.loops.values():
            desk.steps.govern(loop)
        if in_force.loops:  # else this program puts nothing in force
            changes.resume(desk)
        # where the model files of this database are where this program can see them, or should be
        if in_force.database.url.startswith("sqlite") or Path(in_force.models or FOLDER).exists():
            check(desk)
            risk.check(desk)
        return desk
    except BaseException:
        store.close()
        raise


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

    def thread_hook(failure: threading.ExceptHookArgs) -> None:
        if isinstance(failure.exc_value, Paused):
            name = failure.thread.name if failure.thread is not None else "a thread"
            print(f"paused in {name}: {failure.exc_value}", file=sys.stderr)
        else:
            in_threads(failure)

    hook.pauses = True  # type: ignore[attr-defined]
    sys.excepthook, threading.excepthook = hook, thread_hook
