"""What the loop's stream says is all there is: folding it gives certificate, monitor and bound again, bit for bit."""

from __future__ import annotations

import json
import random
import runpy
from pathlib import Path

import pytest
from certify_cases import Stream

from dualcontrol.control import Control
from dualcontrol.events import EvidenceCounted, Routed, ThresholdMoved
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.certifier import apply
from dualcontrol.guarantee.evidence import Segment


def folded(stream: Stream) -> dict[str, Segment]:
    found: dict[str, Segment] = {}
    for event in stream.events():
        apply(found, event)
    return found


def state(segment: Segment) -> tuple:
    parts = (segment.certificate.to_dict(), segment.monitor.to_dict(), segment.bound.to_dict())
    return (*parts, segment.upto, segment.since, segment.missing, segment.shared_at, segment.boosted, segment.epoch)


def test_the_stream_folds_to_what_the_desk_holds(make):
    s = make(audit=0.5)
    s.opened().go(200)
    s.desk.sweep()
    assert state(folded(s)[""]) == state(s.desk.certifier.segments(s.loop.control)[""])


def test_a_copy_counts_on_by_itself(stream):
    stream.opened()
    one = folded(stream)[""]
    other, before = one.copied(), state(one)
    other.count((10**9, "0.99", 1, "1.0", 1, 3))
    assert state(one) == before
    assert state(other) != before


@pytest.mark.parametrize("counted", [0, 10, 40, 150, 399])
def test_a_copied_certificate_goes_on_bit_by_bit(counted):
    """In the burn-in, in the full-audit phase and after it; the one that was copied stays as it was."""
    noise, straight, copied = random.Random(7), *(Certificate(0.2, 0.9, bins=10, pilot=20, launch=60) for _ in range(2))
    labels = [{"score": noise.random(), "wrong": noise.random() < 0.05, "inclusion": 1.0} for _ in range(400)]
    for seq, label in enumerate(labels):
        straight.observe(**label, seq=seq)
        straight.tick(seq - 3)
    for seq, label in enumerate(labels):
        if seq == counted:
            before, left = json.dumps(copied.to_dict()), copied
            copied = copied.copied()
        copied.observe(**label, seq=seq)
        copied.tick(seq - 3)
    assert json.dumps(left.to_dict()) == before
    assert json.dumps(copied.to_dict()) == json.dumps(straight.to_dict())
    assert straight.steps


def test_one_more_label_takes_few_calls(monkeypatch):
    """A certificate of 100 regions is not read from its stored form to take one label."""
    script = Path(__file__).parents[2] / "scripts" / "measure_certificate.py"
    monkeypatch.syspath_prepend(script.parent)
    figures = runpy.run_path(str(script))["measured"]()
    assert figures["regions"] == 100
    assert figures["a label's update"] < 190


def test_a_label_that_contradicts_or_comes_again_cannot_enter(stream):
    """Each position counts once; what the stream holds is never counted twice."""
    stream.opened()
    positions = [label[0] for e in stream.events(EvidenceCounted) for label in e.labels]
    assert positions == sorted(set(positions))
    assert [e.upto for e in stream.events(EvidenceCounted)] == sorted(e.upto for e in stream.events(EvidenceCounted))


def test_records_from_before_certificates_are_read(stream):
    """Entries and controls that lack every new field are what they were."""
    routed = {"to": "human", "by": "threshold", "reason": "low", "control": 1, "inclusion": "1.0", "audited": False}
    routed["epoch"] = 0
    assert (Routed.from_dict(routed).score, Routed.from_dict(routed).model) == (None, None)
    moved = ThresholdMoved.from_dict({"version": 2, "at": 1, "segment": "", "threshold": "0.9", "reason": "old"})
    assert (moved.epoch, moved.pos, moved.bin, moved.coverage) == (None, None, None, None)
    control = stream.loop.control.to_dict()
    old = Control.from_dict({k: v for k, v in control.items() if k not in ("audits", "epochs", "models")})
    assert (old.audits, old.epochs, old.models) == ({}, {}, {})
    apply({}, moved)
    apply({}, EvidenceCounted(at=1, segment="", epoch=0, upto=1, labels=()))
