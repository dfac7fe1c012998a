"""A control and a proposal to route, each from the few knobs that a test is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dualcontrol.commands import Propose, checked
from dualcontrol.control import Control, Env, LoopSettings
from dualcontrol.events import Opened, Routed
from dualcontrol.route import HANDLERS

Router = Callable[..., Routed]


MOVED = ("thresholds", "closed", "epoch", "relief", "audits", "scorer")


def control_of(version: int = 7, **knobs: Any) -> Control:
    """A control whose settings are the given knobs; thresholds and closed segments may be given as well."""
    moved = {name: knobs.pop(name) for name in MOVED if name in knobs}
    settings = LoopSettings(name="refunds", **knobs)
    return Control(loop="refunds", loop_id=1, version=version, settings=settings, **moved)


def command_of(action: str | None = "refund", args: Any = None, **fields: Any) -> Propose:
    """A proposal of one action; other fields as in Propose."""
    candidate = {"id": "a", "value": {} if args is None else args}
    if action is not None:
        candidate["action"] = action
    fields.setdefault("candidates", (candidate,))
    fields.setdefault("proposed", 0)
    return checked(Propose(loop="refunds", **fields))


def env_of(case_id: str = "case-1", now: int = 1_000, secret: bytes = b"secret") -> Env:
    """A world with one time, one id and one secret."""
    return Env(now=now, new_id=lambda: case_id, secret=secret)


def propose(control: Control, command: Propose, env: Env | None = None) -> tuple[Opened, Routed]:
    """The two events of a proposal."""
    opened, routed = HANDLERS[Propose](None, command, control, env or env_of())
    assert isinstance(opened, Opened)
    assert isinstance(routed, Routed)
    return opened, routed


@pytest.fixture
def make() -> Any:
    """The makers above by name, for tests that need a control, a command or both events."""

    class Make:
        control = staticmethod(control_of)
        command = staticmethod(command_of)
        env = staticmethod(env_of)
        propose = staticmethod(propose)

    return Make


@pytest.fixture
def routed() -> Router:
    """Route one action under the given settings: ``routed({knobs}, action=…, args=…, confidence=…)``."""

    def route(knobs: dict[str, Any], **fields: Any) -> Routed:
        return propose(control_of(**knobs), command_of(**fields))[1]

    return route
