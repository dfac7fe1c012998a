"""Stage 3, review: view, lease, answers, quorum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dualcontrol import commands
from dualcontrol.events import Event
from dualcontrol.review import answer, joined, lease, rows

HANDLERS: dict[Any, Callable[..., list[Event]]] = {
    commands.TakeClaim: lease.claim,
    commands.Release: lease.release,
    commands.Extend: lease.extend,
    commands.Expire: lease.expire,
    commands.Commit: answer.commit,
    commands.GiveAnswer: answer.answer,
    commands.Retract: answer.retract,
    commands.Reseat: rows.reseated,
    commands.JoinCase: joined.join,
    commands.Follow: joined.follow,
}
