"""The oversight certificate: valid at every look for reviewers who drift, and open about probes that are too easy."""

from __future__ import annotations

import json
import random

import pytest

from dualcontrol.errors import GuaranteeError
from dualcontrol.guarantee import binomial
from dualcontrol.oversight.certificate import OversightCertificate


def counted(missed: int, probes: int, wrong: int = 0, labels: int = 0, passed: int = 0, audits: int = 0,
            **options: float) -> OversightCertificate:  # fmt: skip
    certificate = OversightCertificate(**options)
    for number in range(probes):
        certificate.probe(missed=number < missed)
    for number in range(labels):
        certificate.label(wrong=number < wrong)
    for number in range(audits):
        certificate.audit(passed_wrong=number < passed)
    return certificate


def test_the_worked_example_lies_above_one_look_by_less_than_a_half() -> None:
    """104 of 120 caught, 60 of 1,000 wrong, 2 of 300 audits; one look gives .805, .077, 1.6 % and 2.1 %."""
    said = counted(16, 120, 60, 1_000, 2, 300).figures()
    once = 1.0 - binomial.upper(16, 120, 0.95)
    assert once == pytest.approx(0.805, abs=0.001)
    assert 0.74 < said.caught_at_least < once
    assert 0.077 < said.wrong_at_most < 0.09
    assert 0.016 < said.residual_at_most < 0.023
    assert said.residual_at_most == pytest.approx(said.wrong_at_most * (1.0 - said.caught_at_least))
    assert 0.021 < said.direct_at_most < 0.031
    assert (said.caught, said.wrong, said.residual, said.direct) == pytest.approx((104 / 120, 0.06, 0.008, 2 / 300))
    assert (said.disagreement, said.probes) == (None, 120)
    assert said.words == (
        "the human step catches at least 74.7 % of wrong proposals, confidence 95 %; a mean over 120 probes so far"
    )


def test_nothing_seen_means_nothing_claimed() -> None:
    said = OversightCertificate().figures()
    assert (said.caught, said.caught_at_least, said.residual_at_most, said.direct_at_most) == (None, 0.0, 1.0, 1.0)
    assert said.disagreement is None
    assert "no probe has been answered yet" in said.words


def chance(kind: str, number: int, past: int) -> float:
    """Of missing the next probe."""
    if kind == "fatigue":
        return 0.05 + 0.55 * (number % 200) / 200
    if kind == "warned":
        return 0.02 if past else 0.5  # more careful as long as the last probe was missed and told
    return 0.2


def overclaims(kind: str, seed: int, probes: int = 250) -> bool:
    """Whether the certificate ever claims more than the mean catch rate so far."""
    rng, certificate, total, past = random.Random(seed), OversightCertificate(0.9), 0.0, 0
    for number in range(probes):
        total += (p := chance(kind, number, past))
        past = rng.random() < p
        certificate.probe(missed=past)
        if certificate.caught_at_least > 1.0 - total / (number + 1):
            return True
    return False


@pytest.mark.parametrize("kind", ["steady", "fatigue", "warned"])
def test_it_claims_no_more_than_the_mean_so_far(kind: str) -> None:
    """Half of a tenth may fail: of sixty desks eight would be one in a hundred runs."""
    assert sum(overclaims(kind, seed) for seed in range(60)) <= 7


def disagreed(seed: int, *, real: float, probed: float, cases: int = 1_500) -> str | None:
    """The first disagreement of a desk whose reviewers miss the share `real` of errors and `probed` of probes."""
    rng, certificate = random.Random(seed), OversightCertificate()
    for number in range(cases):
        certificate.label(wrong=rng.random() < 0.3)
        certificate.audit(passed_wrong=rng.random() < 0.3 * real)
        if number % 4 == 0:
            certificate.probe(missed=rng.random() < probed)
        if number % 50 == 49 and (word := certificate.disagreement):
            return word
    return None


def test_probes_that_are_easier_or_harder_than_real_errors_raise_an_alarm() -> None:
    assert {disagreed(seed, real=0.5, probed=0.1) for seed in range(5)} == {"more gets through"}
    assert {disagreed(seed, real=0.05, probed=0.5) for seed in range(5)} == {"less gets through"}


def test_probes_as_hard_as_real_errors_raise_none() -> None:
    assert [disagreed(seed, real=0.2, probed=0.2, cases=400) for seed in range(30)] == [None] * 30


def test_errors_that_blind_labels_miss_are_allowed_for() -> None:
    """Labels that find half of the errors stand for twice as many."""
    plain, noisy = counted(10, 100, 30, 300, 3, 300), counted(10, 100, 30, 300, 3, 300, blind_miss=0.5)
    assert noisy.residual_at_most == pytest.approx(2 * plain.residual_at_most)
    assert noisy.direct_at_most == pytest.approx(2 * plain.direct_at_most)
    assert noisy.caught_at_least == plain.caught_at_least
    assert counted(100, 100, 300, 300, blind_miss=0.5).residual_at_most == 1.0


def test_a_probe_counts_by_the_work_of_its_reviewer() -> None:
    """A stamper with nine tenths of the work gets half of the probes."""
    rng, plain, weighted = random.Random(1), OversightCertificate(), OversightCertificate(largest=1.8)
    for number in range(600):
        stamper = number % 2 == 0
        missed = rng.random() < (0.9 if stamper else 0.05)
        plain.probe(missed=missed)
        weighted.probe(missed=missed, weight=1.8 if stamper else 0.2)
    assert plain.caught_at_least > 0.3 > 1.0 - (0.9 * 0.9 + 0.1 * 0.05) > weighted.caught_at_least > 0.05


def test_stored_it_goes_on() -> None:
    certificate = counted(3, 20, 5, 60, 1, 40, blind_miss=0.1, largest=2.0)
    back = OversightCertificate.from_dict(json.loads(json.dumps(certificate.to_dict())))
    for one in (certificate, back):
        one.probe(missed=True, weight=1.5)
        one.label(wrong=True)
    assert back.to_dict() == certificate.to_dict()
    assert back.figures() == certificate.figures()


@pytest.mark.parametrize("part", ["missed", "wrong", "passed", "confidence", "blind_miss"])
def test_a_damaged_certificate_is_refused(part: str) -> None:
    stored = counted(3, 20).to_dict()
    with pytest.raises(GuaranteeError, match="no stored oversight certificate"):
        OversightCertificate.from_dict(stored | {part: "x"})
    with pytest.raises(GuaranteeError, match="share of delta"):
        OversightCertificate.from_dict(stored | {"wrong": stored["wrong"] | {"delta": 0.5}})


@pytest.mark.parametrize("options", [{"confidence": 1.0}, {"confidence": None}, {"blind_miss": 1.0}, {"largest": 0.0}])
def test_a_certificate_without_sense_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(GuaranteeError):
        OversightCertificate(**options)


def test_what_is_no_answer_is_refused_and_nothing_counted() -> None:
    certificate = counted(1, 3)
    before = certificate.to_dict()
    for count in (
        lambda: certificate.probe(missed=None),  # type: ignore[arg-type]
        lambda: certificate.label(wrong=0.5),  # type: ignore[arg-type]
        lambda: certificate.audit(passed_wrong="no"),  # type: ignore[arg-type]
    ):
        with pytest.raises(GuaranteeError):
            count()
    assert certificate.to_dict() == before
