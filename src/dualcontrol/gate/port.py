"""What a gate needs of its loop, and the name under which this process takes effects."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Generator
from typing import Any, Protocol

from dualcontrol.case import JSON, Case, Outcome

OWNER = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
UNBOUND: Any = object()
Trip = Generator[Any, Any, Any]


class GatedLoop(Protocol):
    """What a gate needs of a loop."""

    name: str

    def enter(self, owner: str, /, **given: Any) -> tuple[Case, int | None]:
        """Open a case or find it again, and take its effect when that is ready."""
        ...

    def wait(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """Block until the outcome or raise `Pending`."""
        ...

    async def await_outcome(self, case: Case | str, timeout: float | None = None) -> Outcome:
        """The same for coroutines."""
        ...

    def start_effect(self, case_id: str, owner: str) -> int:
        """Take the effect; returns its fence."""
        ...

    def take(self, case_id: str, owner: str, action: str | None = None) -> tuple[Case, int | None]:
        """A decided case with its effect taken, when that is ready and of this action."""
        ...

    def finish_effect(
        self, case_id: str, fence: int, *, succeeded: bool, result: JSON = None, kept: bool = True,
        error: str | None = None,
    ) -> None:  # fmt: skip
        """Say how it ended."""
        ...

    def look(self, case_id: str) -> Case:
        """The case as it is now, after what is due has been done."""
        ...
