"""What learning needs of a desk: the ledger's read side, transactions, and the one way to change a control."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any, Protocol

from dualcontrol.case import Case
from dualcontrol.control import Control
from dualcontrol.events import Event

Move = Callable[[Control, int], Sequence[Event]]


class StepsPort(Protocol):
    """Time, ids, the secret of the draws, and changes of control."""

    @property
    def now(self) -> Callable[[], int]:
        """The time in microseconds, UTC."""
        ...

    @property
    def new_id(self) -> Callable[[], str]:
        """A new id."""
        ...

    @property
    def secret(self) -> bytes:
        """The secret of the draws."""
        ...

    def move(self, loop: str, make: Move) -> Control:
        """Change a loop's control by events."""
        ...


class DeskPort(Protocol):
    """A desk as learning sees it."""

    @property
    def steps(self) -> StepsPort:
        """The one mechanism."""
        ...

    @property
    def store(self) -> Any:
        """The store: its transactions and its read side."""
        ...

    @property
    def settings(self) -> Any:
        """The program's settings; None when the desk was made without."""
        ...

    @property
    def trainers(self) -> Container[str]:
        """The trainers that this program's own settings name."""
        ...

    def control(self, name: str) -> Control | None:
        """What governs a loop now."""
        ...

    def case(self, case_id: str) -> Case:
        """A case with its content."""
        ...

    def objection(self, control: Control, model: Any) -> str | None:
        """Why a better model should not take over yet; None when nothing speaks against it."""
        ...
