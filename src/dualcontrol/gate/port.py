"""What a gate needs of its loop, and the name under which this process takes effects."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Generator
from typing import Any, Literal, Protocol

from dualcontrol.case import JSON, Case, Outcome

OWNER = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
UNBOUND: Any = object()
Trip = Generator[Any, Any, Any]


class Call(Protocol):
    """A call that asks for a case: what it proposes, and its place among the equal calls of its run."""

    @property
    def note(self) -> str | None:
        """What its caller should know while the case is pending."""
        ...

    def end(self, how: Literal["ended", "refused"]) -> None:
        """It has come to an end."""
        ...

    def give_back(self) -> None:
        """It has come to no end: the next equal call is the same one."""
        ...


class GatedLoop(Protocol):
    """What a gate needs of a loop."""

    name: str

    def call(self, action: str, *, defaults: JSON, formerly: tuple[str, ...], run: str | None, **given: Any) -> Call:
        """A call with these arguments, at its place in the run of the caller; nothing is written."""
        ...

    def enter(self, owner: str, call: Any) -> tuple[Case, int | None]:
        """Open the case of a call or find it again, and take its effect where that is ready and as proposed."""
        ...

    def wait(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """Block until the outcome or raise `Pending`."""
        ...

    async def await_outcome(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """The same for coroutines."""
        ...

    def start(
        self, case_id: str, owner: str, *, runs: JSON = None, asks: dict[str, JSON] | None = None
    ) -> tuple[Case, int | None]:
        """Take the effect: the case and its fence; no fence where the case went back to people."""
        ...

    def recall(self, case_id: str, reason: str) -> None:
        """Let people decide again about what cannot be run."""
        ...

    def finish_effect(
        self, case_id: str, fence: int, *, succeeded: bool, result: JSON = None, kept: bool = True,
        error: str | None = None, ran: bool = True,
    ) -> None:  # fmt: skip
        """Say how it ended."""
        ...

    def look(self, case_id: str) -> Case:
        """The case as it is now, after what is due in it has been done."""
        ...
