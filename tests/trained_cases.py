"""A loop with a model of its own: trained from answers, kept in a file, and certified."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

from certify_cases import EASY, SECRET

from dualcontrol import compose
from dualcontrol.learn import serving, training
from dualcontrol.settings import Database, Settings
from dualcontrol.testing import FakeClock, seeded_ids

FEEDBACK = {"trainer": "sklearn", "holdout": 0.3}
PROMISE = EASY | {"evidence": 0.4, "pilot": 0, "max_error": 0.3}


class Sides:
    """A loop whose trained model says on which side of zero a point lies."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.new_id, self.folder, self.seen = FakeClock(), seeded_ids(3), folder, 0
        self.guarantee: dict[str, Any] = dict(PROMISE)
        self.start()

    def start(self) -> None:
        database = Database(url=f"sqlite:///{self.folder}/dc.db", durability="process")
        settings = Settings(database=database, models=str(self.folder / "models"), secret=SECRET)
        self.desk = compose.open(settings=settings, clock=self.clock, new_id=self.new_id)
        self.settle()

    def settle(self) -> None:
        self.loop = self.desk.loop(
            "sides", mode="labels", labels=["left", "right"], context=["input"], audit=0.3, guarantee=self.guarantee,
            feedback=FEEDBACK,
        )  # fmt: skip

    def propose(self) -> Any:
        self.clock.tick(1)
        self.seen += 1
        x = ((self.seen * 37) % 101) / 50.5 - 1
        model = serving.current_model(self.desk, "sides")
        said = model.score({"x": x}) if model else None
        label, confidence = (said.label, said.confidence) if said else ("left", 0.5)
        source = {"model": "sides", "version": model.version} if model else None
        case = self.loop.propose(input={"x": x}, proposal=label, confidence=confidence, source=source)
        return case, "right" if x > 0 else "left"

    def go(self, count: int) -> None:
        for _ in range(count):
            case, truth = self.propose()
            if case.route.to == "human" or case.route.audited:
                self.desk.claim("ana", case=case).label(truth)

    def events(self, *kinds: type) -> list[Any]:
        entries = self.desk.store.queries.entries(self.loop.stream)
        return [e for entry in entries for e in entry.events if isinstance(e, kinds)]


class Trained:
    """A loop whose own model, with its file, has a certificate."""

    def __init__(self, folder: Path) -> None:
        self.sides, self.models, self.away = Sides(folder), folder / "models", folder / "away"
        self.folder = folder

    def opened(self) -> Trained:
        self.sides.go(150)
        self.version = training.train(self.sides.desk, "sides").version
        self.sides.go(60)
        assert self.control.thresholds
        return self

    @property
    def control(self) -> Any:
        return self.sides.loop.control

    @property
    def stands(self) -> Any:
        return self.sides.loop.guarantee()[0]

    def surest(self) -> Any:
        said = {"model": "sides", "version": self.version}
        return self.sides.loop.propose(input={"x": 0.9}, proposal="right", confidence=0.999, source=said)

    def restart(self) -> None:
        self.sides.desk.close()
        self.sides.start()

    def harm(self, how: str) -> None:
        """Take the model away while the program is down, in one of three ways."""
        self.sides.desk.close()
        if how == "row":
            shutil.copy(self.folder / "dc.db", self.away)
            with sqlite3.connect(self.folder / "dc.db") as database:
                database.execute("DELETE FROM models")
        else:
            shutil.move(self.models, self.away)
            self.models.mkdir()
            for file in self.away.iterdir() if how == "altered" else ():
                (self.models / file.name).write_bytes(b"another model")
        self.sides.start()

    def mend(self, how: str) -> None:
        """Put back what was taken, and start again."""
        self.sides.desk.close()
        if how == "row":
            rows = sqlite3.connect(self.away).execute("SELECT * FROM models").fetchall()
            with sqlite3.connect(self.folder / "dc.db") as database:
                database.executemany(f"INSERT INTO models VALUES ({', '.join('?' * len(rows[0]))})", rows)
        else:
            shutil.rmtree(self.models)
            shutil.move(self.away, self.models)
        self.sides.start()
