"""What the certificate costs: a label, and its state."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
from streams import BINS, EDGES, drawn

from dualcontrol.guarantee.certificate import FRACTIONS, Certificate

SINGLY = 100_000
OPEN = 65


def costs(seed: int) -> dict[str, Any]:
    """The figures, on a stream with audits of many probabilities."""
    columns = labels(SINGLY, seed)
    certificate, seconds = singly(columns, SINGLY)
    return {
        "us_per_label": seconds / SINGLY * 1e6,
        "state_bytes": state_bytes(certificate),
        "json_bytes": len(json.dumps(certificate.to_dict())),
        "steps": len(certificate.steps),
    }


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
