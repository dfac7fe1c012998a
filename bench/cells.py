"""Cells of bench/guarantee.py: so many runs of one policy on one stream, and what came of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import sqrt
from multiprocessing import get_context
from typing import Any

import numpy as np
from delays import delayed
from drifting import miscovered
from product import Promise, Run, governed
from rescored import second_epoch
from rich.console import Console
from rich.progress import track
from rivals import rival
from streams import drawn

PATHS = ("constant", "jump", "sine")
FIGURES = (
    "final", "coverage", "average", "violated", "reviews", "error", "error_after", "alarms", "miscovered", "tries",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One cell of a table; `delay` are the mean decisions until a wrong and a right answer, `order` how they count."""

    stream: str
    policy: str = "product"
    decisions: int = 20_000
    promise: Promise = field(default_factory=Promise)
    drift: float = 1.0
    noise: float = 0.0
    delay: tuple[float, float] | None = None
    order: str = "decisions"


def once(cell: Cell, seed: int) -> Run:
    """One run of a cell."""
    if cell.stream in PATHS:
        return Run(miscovered=miscovered(cell.stream, cell.decisions, cell.promise, seed))
    if cell.policy == "risk model":
        return governed(second_epoch(cell.stream, cell.decisions, seed), cell.promise)
    stream = drawn(cell.stream, cell.decisions, seed, cell.drift, cell.noise)
    if cell.delay is not None:
        return delayed(stream, cell.promise, cell.order, cell.delay, seed)
    if cell.policy == "product":
        return governed(stream, cell.promise)
    return rival(cell.policy, stream, cell.promise)


def _once(task: tuple[Cell, int]) -> Run:
    return once(*task)


class Bench:
    """Runs cells, each once, on so many processes; a bar on the error output says how far it is."""

    def __init__(self, runs: int, seed: int, jobs: int) -> None:
        self.runs, self.seed, self.jobs = runs, seed, jobs
        self._found: dict[Cell, list[Run]] = {}
        self._console = Console(stderr=True)

    def runs_of(self, cell: Cell) -> list[Run]:
        """The runs of a cell, with seeds from `seed` up."""
        if cell not in self._found:
            tasks = [(cell, self.seed + number) for number in range(self.runs)]
            with get_context("fork").Pool(self.jobs) as pool:
                done = pool.imap(_once, tasks, chunksize=max(1, min(8, self.runs // self.jobs)))
                self._found[cell] = list(self._watched(done, _title(cell)))
        return self._found[cell]

    def _watched(self, done: Iterable[Run], title: str) -> Iterable[Run]:
        return track(
            done, title, self.runs, console=self._console, transient=True, disable=not self._console.is_terminal
        )  # fmt: skip

    def mean(self, cell: Cell, figure: str) -> float:
        """The mean of one figure over the runs."""
        return float(np.mean([getattr(run, figure) for run in self.runs_of(cell)]))

    def delays(self, cell: Cell) -> list[int]:
        """Decisions from the moment the live region went bad to the alarm, where there was one."""
        return [run.delay for run in self.runs_of(cell) if run.delay >= 0]

    def slack(self, delta: float) -> float:
        """What a share of violations may be: delta and 1.65 standard errors."""
        return delta + 1.65 * sqrt(delta * (1.0 - delta) / self.runs)

    def row(self, cell: Cell) -> dict[str, Any]:
        """The figures of a cell, for the table."""
        return {"stream": cell.stream, "policy": cell.policy, "cell": _special(cell)} | {
            figure: round(self.mean(cell, figure), 3) for figure in FIGURES
        }

    def rows(self) -> list[dict[str, Any]]:
        """The figures of every cell that has been run, but for the running bound alone."""
        return [self.row(cell) for cell in self._found if cell.stream not in PATHS]


def _title(cell: Cell) -> str:
    return f"{cell.stream}, {cell.policy}, {_special(cell)}"


def _special(cell: Cell) -> str:
    """What sets a cell apart."""
    said = [f"n={cell.decisions:,}", f"alpha={cell.promise.max_error:g}"]
    said += [f"drift={cell.drift:g}"] if cell.drift != 1.0 else []
    said += [f"noise={cell.noise:g}"] if cell.noise else []
    said += [f"miss_rate={cell.promise.miss_rate:g}"] if cell.promise.miss_rate else []
    said += [f"delay={cell.delay[0]:g}/{cell.delay[1]:g} by {cell.order}"] if cell.delay else []
    return " ".join(said)
