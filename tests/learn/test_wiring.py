"""Learning goes on by itself: the server trains what is due, and opening a desk looks at its model files."""

from __future__ import annotations

import time
from pathlib import Path

import dualcontrol as dc
from dualcontrol.web import server


def labelled(desk: dc.Desk, count: int) -> dc.Loop:
    """A loop with answers to learn from."""
    feedback = {"retrain_every": 20, "trainer": "sklearn"}
    loop = desk.loop("mail", mode="labels", labels=["spam", "ham"], threshold=0.9, context="minimal", feedback=feedback)
    for n in range(count):
        kind = "spam" if n % 2 else "ham"
        loop.propose(proposal="ham", confidence=0.1, input={"links": float(n % 2) + n / 1000, "length": n % 7})
        claim = desk.claim("ana", "mail")
        assert claim is not None
        claim.label(kind)
    return loop


def test_the_server_trains_and_a_missing_file_closes_autopilot(tmp_path: Path, monkeypatch) -> None:
    """A model is promoted while the server runs; without its file the next start sends everything to humans."""
    monkeypatch.setattr(server, "TRAIN_EVERY", 0.1)
    url = f"sqlite:///{tmp_path}/dc.db"
    with dc.open(url, durability="process") as desk:
        loop = labelled(desk, 60)
        with server.background(desk, port=0):
            deadline = time.monotonic() + 30
            while loop.control.model is None and time.monotonic() < deadline:
                time.sleep(0.1)
        assert loop.control.model is not None
    files = list((tmp_path / "dc.db.models").iterdir())
    assert files
    for file in files:
        file.unlink()
    with dc.open(url, durability="process") as desk:
        case = desk.loop("mail").propose(proposal="ham", confidence=0.99, input={"links": 0.0, "length": 1})
        assert (case.route.to, case.route.by) == ("human", "closed")
        assert "missing" in case.route.reason
