"""What the certificate costs: a label, its state, and the update of a desk by one."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
from streams import BINS, EDGES, ERRORS, drawn

import dualcontrol as dc
from dualcontrol.guarantee.certificate import FRACTIONS, Certificate
from dualcontrol.testing import FakeClock, seeded_ids

SINGLY = 100_000
DECISIONS, TEAM = 1_000, ("ana", "ben", "cal")
SECONDS = 10.0  # from one decision to the next
OPEN = 65


def costs(seed: int) -> dict[str, Any]:
    """The figures, on a stream with audits of many probabilities."""
    columns = labels(SINGLY, seed)
    certificate, seconds = singly(columns, SINGLY)
    return {
        "us_per_label": seconds / SINGLY * 1e6,
        "state_bytes": state_bytes(certificate),
        "json_bytes": len(json.dumps(certificate.to_dict())),
        "steps": len(certificate.steps), "ms_per_update": 1e3 * float(np.median(updates(seed))),
    }  # fmt: skip


def labels(count: int, seed: int) -> dict[str, Any]:
    """Stored labels in columns: all of them reviewed below a bin, some sixty audit probabilities above it."""
    stream = drawn("cal_light", count, seed)
    shares = np.where(np.arange(BINS) < OPEN, 1.0, np.round(np.linspace(0.2, 0.05, BINS), 4))
    inclusions = np.where(np.arange(count) < 2_000, 1.0, shares[stream.places])
    return {"seqs": np.arange(count), "scores": stream.scores, "wrongs": stream.wrong, "inclusions": inclusions}


def singly(columns: dict[str, Any], count: int) -> tuple[Certificate, float]:
    """The certificate told label by label, counted every fifty, and the seconds it took."""
    seqs, scores, wrongs, inclusions = (columns[name][:count].tolist() for name in columns)
    certificate = Certificate(0.05, edges=EDGES, launch=2_000)
    start = time.perf_counter()
    for seq, score, wrong, inclusion in zip(seqs, scores, wrongs, inclusions, strict=True):
        certificate.observe(score=score, wrong=wrong, inclusion=inclusion, seq=seq)
        if seq % 50 == 49:
            certificate.tick(seq)
    certificate.tick()
    return certificate, time.perf_counter() - start


def state_bytes(certificate: Certificate) -> int:
    """Eight bytes for each number that the certificate keeps, its steps included."""
    held = certificate.to_dict()
    bins = len(certificate.edges) + 1
    return 8 * (bins * (FRACTIONS + 4) + len(certificate.edges) + FRACTIONS + 4 * len(held["steps"]) + 20)


def updates(seed: int) -> list[float]:
    """The seconds in which a desk counts what is new, after each decision of a loop with probes that three review.

    From reading the feed to the written event, on SQLite in memory; reviewers answer at once, and miss nothing.
    """
    rng, taken, truths, clock = np.random.default_rng(seed), [], {}, FakeClock()
    with dc.open("sqlite:///:memory:", clock=clock, new_id=seeded_ids(seed), secret="5eed" * 16) as desk:
        loop = desk.loop("mail", mode="labels", labels=["yes", "no"], context="minimal", guarantee={"max_error": 0.05})
        certify = desk.certifier.answered
        desk.certifier.answered = lambda case: None  # type: ignore[method-assign]
        for number in range(DECISIONS):
            clock.tick(SECONDS)
            place = int(rng.integers(BINS))
            truths[number] = "no" if rng.random() < ERRORS["cal_light"][place] else "yes"
            loop.propose(proposal="yes", input=number, confidence=(place + 0.5) / BINS)
            for person in rng.permutation(TEAM).tolist():
                while (claim := desk.claim(person, "mail")) is not None:
                    claim.label(truths[claim.view["input"]])
            start = time.perf_counter()
            loop.certify()
            taken.append(time.perf_counter() - start)
        desk.certifier.answered = certify  # type: ignore[method-assign]
    return taken[DECISIONS // 2 :]
