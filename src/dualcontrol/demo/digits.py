"""Digits: scans stream past a model that starts on 60 labels; answers retrain it, and human load falls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dualcontrol.case import Case
from dualcontrol.demo import scans
from dualcontrol.desk import Desk, Loop
from dualcontrol.learn.report import Report
from dualcontrol.learn.serving import ModelOutput, current_model
from dualcontrol.learn.training import StartSet, train, train_if_due

NAME = "digits"
THRESHOLD = 0.90
AUDIT = 0.05
RETRAIN_EVERY = 100
SETTINGS: dict[str, Any] = {
    "mode": "labels",
    "threshold": THRESHOLD,
    "audit": AUDIT,
    "labels": list(range(10)),
    "dead_time": "150ms",
    "feedback": {"retrain_every": RETRAIN_EVERY, "trainer": "sklearn", "holdout": 0.2},
}

# one order: a model of its own confidence, and too few scans for another to be worth half of the chance of being wrong
GUARANTEE: dict[str, Any] = {
    "max_error": 0.05, "confidence": 0.95, "pilot": 60, "launch": 0, "evidence": 0.4, "score": "confidence",
}  # fmt: skip


def guaranteed(*, adjudicate: bool) -> dict[str, Any]:
    """The settings with a guarantee in the place of the threshold."""
    return {"threshold": None, "guarantee": {**GUARANTEE, "adjudicate": adjudicate}}


def open_loop(desk: Desk, **more: Any) -> Loop:
    """The loop with its settings in force."""
    return desk.loop(NAME, **{**SETTINGS, **more})


def learn(desk: Desk, seed: int) -> Report | None:
    """The first model when there is none, and another when enough answers wait.

    Every model trains on the 60 start labels too; its row in the database names them.
    """
    control = desk.control(NAME)
    if control is None or control.model is not None:
        return train_if_due(desk, NAME, seed=seed)
    samples = scans.order(seed).starters
    source = "scikit-learn load_digits(), rows " + " ".join(map(str, samples))
    start = StartSet(source, [scans.scan(sample) for sample in samples], [scans.truth(sample) for sample in samples])
    return train(desk, NAME, seed=seed, start=start)


def propose(loop: Loop, sample: int, output: ModelOutput | None, version: str | None) -> Case:
    """Open the case of a scan; without a model there is no confidence, and it goes to a human."""
    scan: dict[str, Any] = {"input": scans.scan(sample), "meta": {"sample": sample}}
    if output is None:
        return loop.propose(
            **scan, candidates=list(range(10)), rationale="no model is in force, so nothing is proposed"
        )
    first, second = sorted(output.scores.items(), key=lambda item: -item[1])[:2]
    return loop.propose(
        **scan, proposal=output.label, scores=output.scores, source={"model": NAME, "version": version},
        rationale=f"model {version}: {first[0]} at {first[1]:.1%}, then {second[0]} at {second[1]:.1%}",
    )  # fmt: skip


def scored_stream(desk: Desk, samples: Sequence[int]) -> Iterator[tuple[int, ModelOutput | None, str | None]]:
    """Each sample with what the model in force says of it; scored in one go after each change of model."""
    version: str | None = None
    outputs: dict[int, ModelOutput] = {}
    for place, sample in enumerate(samples):
        model = current_model(desk, NAME)
        if model is not None and model.version != version:
            ahead, version = samples[place:], model.version
            outputs = dict(zip(ahead, model.score_all([scans.scan(s) for s in ahead]), strict=True))
        yield (sample, None, None) if model is None else (sample, outputs[sample], version)
