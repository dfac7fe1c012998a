"""A first model is put in force only if it has learned something; numbers without end are no classes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol.errors import ModelError
from dualcontrol.learn import serving
from dualcontrol.learn.training import StartSet, train

FEEDBACK = {"trainer": "sklearn", "retrain_every": 20, "holdout": 0.3}
# Ten ways to say each in scripts without spaces: that a parcel came late or broken, and that somebody is content.
COMPLAINTS = {
    "Chinese": (
        "快递太慢了 包裹破损严重 等了两周还没收到 商品有划痕 客服一直不回复 "
        "东西坏了要求退款 质量很差不推荐 收到的是空盒子 发错货了很生气 用了一天就坏了",
        "非常满意下次再来 物流很快包装完好 质量很好推荐购买 客服态度很好 颜色漂亮很喜欢 "
        "性价比很高很满意 孩子很喜欢谢谢 比想象中好很多 已经第三次购买了很好 做工精细非常喜欢",
    ),
    "Japanese": (
        "荷物が届きません 箱が壊れていました 二週間も待っています 傷がついていて残念です 返金してください "
        "すぐに壊れました 品質が悪いです 違う商品が届きました 返事がなくて困ります 動かないので返品します",
        "とても満足しています 梱包が丁寧でした すぐに届いて嬉しいです 品質が良いです また買いたいです "
        "色がとても綺麗です 子供が喜んでいます おすすめできます 対応が丁寧でした 期待以上で満足です",
    ),
    "Thai": (
        "ของมาช้ามาก กล่องแตกเสียหาย รอสองสัปดาห์แล้วยังไม่ได้ สินค้ามีรอยขีดข่วน ขอคืนเงินด้วย "
        "ใช้วันเดียวก็พัง คุณภาพแย่มาก ส่งของผิดมา ไม่ตอบข้อความเลย เครื่องเสียใช้ไม่ได้",
        "พอใจมากจะซื้ออีก ส่งเร็วแพ็คดีมาก คุณภาพดีแนะนำ บริการดีมาก สีสวยชอบมาก "
        "คุ้มราคามาก ลูกชอบมากขอบคุณ ดีกว่าที่คิดไว้ ซื้อครั้งที่สามแล้วดีมาก งานละเอียดชอบมาก",
    ),
}


def answered(desk: dc.Desk, name: str, rows: list[tuple[Any, Any]], **settings: Any) -> dc.Loop:
    """A loop whose inputs people gave these labels."""
    given = {"context": "minimal", "threshold": 0.9, "feedback": FEEDBACK} | settings
    loop = desk.loop(name, mode="labels", **given)
    for value, label in rows:
        loop.propose(proposal=label, confidence=0.1, input=value)
        claim = desk.claim("ana", loop)
        assert claim is not None
        claim.label(label)
    return loop


def said(language: str, seed: int, count: int) -> list[tuple[str, str]]:
    """What customers wrote: three such sentences in a row with nothing between them, so that no whole text recurs."""
    noise, (bad, good) = random.Random(seed), (each.split() for each in COMPLAINTS[language])
    rows = []
    for step in range(count):
        texts, label = (bad, "complaint") if step % 2 else (good, "praise")
        rows.append(("".join(noise.sample(texts, 3)), label))
    return rows


SHAPES: dict[str, Callable[[str], Any]] = {
    "a text": lambda text: text,
    "a short text in a field": lambda text: {"said": text[:30], "city": "北京" if len(text) % 2 else "上海"},
    "messages": lambda text: [{"role": "user", "content": text}],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("language", COMPLAINTS)
def test_text_without_spaces_is_learned(desk, language, shape):
    rows = [(SHAPES[shape](text), label) for text, label in said(language, 1, 60)]
    loop = answered(desk, "mail", rows, labels=["complaint", "praise"])
    report = train(desk, "mail")
    assert (report.promoted, report.reason) == (True, "the first model of the loop")
    model = serving.current_model(desk, "mail")
    fresh = said(language, 2, 40)
    right = [scored.label for scored in model.score_all([SHAPES[shape](text) for text, _ in fresh])]
    assert sum(a == label for a, (_, label) in zip(right, fresh, strict=True)) >= 36
    assert loop.control.model == report.version


def noise(seed: int, count: int, share: float) -> list[tuple[Any, str]]:
    """Inputs that tell nothing of their labels."""
    drawn = random.Random(seed)
    return [([drawn.random(), drawn.random()], "a" if drawn.random() < share else "b") for _ in range(count)]


@pytest.mark.parametrize("share", [0.5, 0.95])
@pytest.mark.parametrize("kind", ["numbers", "text", "start set"])
def test_a_model_that_learned_nothing_is_not_put_in_force(desk, kind, share):
    """Also where most labels are alike, so that it is sure, and right, most of the time."""
    rows = noise(3, 80, share)
    if kind == "text":
        words = ["快", "慢", "好", "坏", "大", "小"]
        rows = [("".join(random.Random(str(value)).choices(words, k=9)), label) for value, label in rows]
    start = StartSet("before", *map(list, zip(*rows, strict=True))) if kind == "start set" else None
    loop = answered(desk, "noise", [] if start else rows, labels=["a", "b"])
    report = train(desk, "noise", start=start)
    assert not report.promoted
    assert report.reason.startswith("it has learned nothing: its log loss on ")
    assert "where always saying how common each label is gives" in report.reason
    assert serving.current_model(desk, "noise") is None
    entries = desk.store.queries.entries(loop.stream)
    assert type(entries[-1].events[-1]).__name__ == "ModelKept"
    assert [row.state for row in desk.store.queries.models(loop.control.loop_id)] == ["kept"]
    assert desk.store.queries.unfed().get("noise", 0) == 0


def test_the_next_model_that_has_learned_something_is_the_first_in_force(desk):
    answered(desk, "later", noise(3, 60, 0.5), labels=["a", "b"])
    assert not train(desk, "later").promoted
    rows = [([step % 2 + step / 1_000, 0.5], "ab"[step % 2]) for step in range(150)]
    answered(desk, "later", rows, labels=["a", "b"])
    report = train(desk, "later")
    assert (report.promoted, report.incumbent, report.reason) == (True, None, "the first model of the loop")


def test_with_too_few_of_a_kind_nobody_can_tell(desk):
    answered(desk, "few", [], labels=["a", "b"])
    report = train(desk, "few", start=StartSet("one", [[step, step % 3] for step in range(15)], ["a"] * 14 + ["b"]))
    assert not report.promoted
    assert "it has learned nothing" in report.reason


QUANTITIES: dict[str, Callable[[int], Any]] = {
    "all different": lambda step: step * 1.25,
    "whole numbers": lambda step: step % 35,
    "each three times": lambda step: round(step % 25 + 0.1, 1),
    "with a few texts": lambda step: "none" if step % 9 == 0 else step % 30,
}


@pytest.mark.parametrize("kind", QUANTITIES)
def test_a_quantity_is_refused_and_says_what_to_do(desk, kind):
    answered(desk, "prices", [([step % 7, step], QUANTITIES[kind](step)) for step in range(100)])
    with pytest.raises(ModelError, match=r"are a quantity, \d+ different numbers among \d+") as caught:
        train(desk, "prices")
    assert "List the classes in `labels`" in caught.value.hint
    assert serving.current_model(desk, "prices") is None


@pytest.mark.parametrize("label", [lambda s: f"a text of its own {s}", lambda s: {"total": s}, lambda s: [s]])
def test_labels_that_hardly_come_back_are_refused(desk, label):
    answered(desk, "free", [([step % 7, step], label(step)) for step in range(40)])
    with pytest.raises(ModelError, match="hardly any comes back"):
        train(desk, "free")


@pytest.mark.parametrize("settled", [True, False], ids=["a set", "any label"])
def test_numbers_that_are_classes_are_learned(desk, settled):
    """Grades from 1 to 5; and as many as you like where the loop lists them."""
    most = 30 if settled else 5
    rows = [([step % most + step / 10_000], step % most) for step in range(150)]
    answered(desk, "grades", rows, labels=list(range(most)) if settled else None)
    assert train(desk, "grades").promoted
    assert serving.current_model(desk, "grades").score([3.001]).label == 3
