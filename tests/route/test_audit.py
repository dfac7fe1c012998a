"""Audits: the probability is recorded before the draw, and the draw can be repeated but not steered."""

from __future__ import annotations

from typing import Any

import pytest

from dualcontrol.control import draw


@pytest.mark.parametrize(("share", "audited"), [(0.0, False), (1.0, True)])
def test_never_and_always(routed: Any, share: float, audited: bool) -> None:
    found = routed({"threshold": 0.5, "audit": share}, confidence=0.9)
    assert (found.to, found.inclusion, found.audited) == ("autopilot", repr(share), audited)


def test_a_human_sees_every_case_that_comes_to_one(routed: Any) -> None:
    found = routed({"threshold": 0.5, "audit": 0.01}, confidence=0.1)
    assert (found.to, found.inclusion, found.audited) == ("human", "1.0", False)


def test_the_draw_is_the_hmac_of_secret_purpose_and_case(make: Any) -> None:
    control = make.control(threshold=0.5, audit=0.3)
    for n in range(50):
        env = make.env(case_id=f"case-{n}", secret=b"k")
        _, routed = make.propose(control, make.command(confidence=0.9), env)
        assert routed.audited is (draw(b"k", "audit", f"case-{n}") < 0.3)


def test_the_share_is_kept(make: Any) -> None:
    control = make.control(threshold=0.5, audit=0.2)
    command = make.command(confidence=0.9)
    drawn = [make.propose(control, command, make.env(case_id=str(n)))[1].audited for n in range(4_000)]
    assert 700 < sum(drawn) < 900


def test_the_probability_does_not_depend_on_the_draw(make: Any) -> None:
    control = make.control(threshold=0.5, audit=0.5)
    command = make.command(confidence=0.9)
    found = {make.propose(control, command, make.env(case_id=str(n)))[1].inclusion for n in range(50)}
    assert found == {"0.5"}
