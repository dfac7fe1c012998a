"""Loops of every mode with cases worth looking at: what the console's tests and screenshots show."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from typing import Any

import dualcontrol as dc

SCHEMA = {
    "type": "object",
    "required": ["order", "amount", "to"],
    "additionalProperties": False,
    "properties": {
        "order": {"type": "string", "title": "Order"},
        "amount": {"type": "number", "title": "Amount", "description": "In euro, taxes included."},
        "account": {"type": "integer", "title": "Account"},
        "to": {"enum": ["card", "voucher", "bank"], "title": "Pay out to"},
        "notify": {"type": "boolean", "title": "Notify the customer"},
        "memo": {"type": "string", "title": "Memo"},
        "lines": {"type": "array", "title": "Lines"},
    },
}
ARGS = {
    "order": "A-1207", "amount": 420.0, "account": 9007199254740993, "to": "card", "notify": True,
    "memo": "Parcel lost in transit; the carrier confirmed on 14 November.",
    "lines": [{"sku": "KB-88", "quantity": 1, "price": 389.0}, {"sku": "SHIP", "quantity": 1, "price": 31.0}],
}  # fmt: skip
MAIL = """\
Hello,

my keyboard never came. The tracking page says **delivered** since 9 November, but my neighbours have nothing either.

- order A-1207
- paid by card, 420.00 EUR

Please refund it.
Jana"""
HISTORY = [
    {"role": "user", "content": "Where is my order A-1207?"},
    {"role": "assistant", "content": "I asked the carrier for an investigation."},
    {"role": "tool", "name": "carrier.trace", "content": "status=LOST, confirmed 2026-11-14T09:12Z"},
]


REFUNDS: dict[str, Any] = {
    "mode": "approval", "threshold": 0.9, "risk_ceiling": "medium", "respond_within": "15m", "on_timeout": "reject",
    "rationale": "required", "context": "standard", "group": "support", "quorum": {"arbiter": "leads"},
}  # fmt: skip


def define(desk: dc.Desk, undo: str | int = "30s") -> None:
    """One loop a mode."""
    desk.loop("refunds", **REFUNDS, undo=undo)
    desk.loop("digits", mode="labels", labels=list(range(10)), threshold=0.95, context="minimal", audit=0.1)
    desk.loop("spam", mode="labels", labels=["spam", "ham", "phishing"], threshold=0.97, context="minimal")
    desk.loop("summaries", mode="preference", context="minimal")
    desk.loop("helpdesk", mode="fallback", context="minimal", threshold=0.8, respond_within="2h")


def refund(desk: dc.Desk, **given: Any) -> dc.Case:
    """A refund that a human has to look at."""
    return desk.loop("refunds").propose(**{
        "action": "refund", "args": ARGS, "schema": SCHEMA,
        "input": {"mail": MAIL, "customer": "Jana Novak", "since": 2019},
        "confidence": 0.62, "risk": "medium", "history": HISTORY,
        "rationale": "The carrier confirmed the loss, and the customer has **no earlier refunds**.",
        "alternatives": [
            {"action": "resend", "args": {"order": "A-1207", "express": True}, "score": 0.31,
             "rationale": "Possible, but the customer asked for money."},
            {"action": "ask_carrier", "args": {"order": "A-1207"}, "score": 0.07},
        ],
        "meta": {"agent": "support-bot", "run": "01JD2"}, **given,
    })  # fmt: skip


def digit(desk: dc.Desk, **given: Any) -> dc.Case:
    """A picture of a three to label."""
    scores = {3: 0.54, 8: 0.31, 5: 0.09, 9: 0.06}
    return desk.loop("digits").propose(
        **{"input": {"$image": picture(), "alt": "a handwritten digit"}, "proposal": 3, "scores": scores, **given}
    )


def spam(desk: dc.Desk, **given: Any) -> dc.Case:
    """A mail to label."""
    text = "Dear user, your mailbox is full. Confirm your password at http://mail-upgrade.example within 24 hours."
    return desk.loop("spam").propose(
        **{"input": text, "proposal": "phishing", "scores": {"phishing": 0.66, "spam": 0.3, "ham": 0.04}, **given}
    )


def summary(desk: dc.Desk, **given: Any) -> dc.Case:
    """Two summaries to compare."""
    long = (
        "The board met on Tuesday. It approved the budget for 2027 with two votes against, postponed the move to the "
        "new building until the lease is signed, and asked for a report on the outage of 3 November."
    )
    short = "Budget 2027 approved (two against). Move postponed. Report on the outage requested."
    return desk.loop("summaries").propose(
        **{"input": "Summarise the minutes of the board meeting for the newsletter.", "candidates": [
            {"value": long, "source": {"model": "large"}}, {"value": short, "source": {"model": "small"}},
        ], **given}
    )  # fmt: skip


def question(desk: dc.Desk, **given: Any) -> dc.Case:
    """A conversation in which the AI is not sure what to say."""
    talk = [
        {"role": "user", "content": "I was charged twice this month. Can you cancel the second one?"},
        {"role": "assistant", "content": "I see two charges of 19.00 EUR on 3 and 4 November."},
        {"role": "user", "content": "Yes, exactly. The one on the 4th is wrong."},
    ]
    return desk.loop("helpdesk").propose(
        **{"input": talk, "proposal": "I will ask my colleagues in billing to look at it.", "confidence": 0.41, **given}
    )


def fill(desk: dc.Desk) -> dict[str, dc.Case]:
    """One open case of each kind, and a few that autopilot took."""
    define(desk)
    for n in range(6):
        refund(desk, confidence=0.97, risk="low", args={**ARGS, "order": f"B-{n}", "amount": 12.5 + n})
        digit(desk, scores={n: 0.99, 8: 0.01}, proposal=n)
    return {"refund": refund(desk), "digit": digit(desk), "spam": spam(desk), "summary": summary(desk),
            "question": question(desk)}  # fmt: skip


def seen(web: Any, address: str) -> dict[str, str]:
    """What the forms of a review's page bring back from a browser that has looked at it for a minute."""
    access, desk = web.app.state.access, web.app.state.desk
    visitor = access.session(web.cookies[access.cookie])
    served = access.stamp(visitor, f"served/{address.split('/')[2]}", desk.steps.now() - 60_000_000)
    return {"csrf": access.csrf(visitor), "served": served}


def picture() -> str:
    """A small grey picture of a three as a PNG in an address of its own."""
    rows = ["........", "..####..", ".....#..", "...##...", ".....#..", ".....#..", "..###...", "........"]
    size = 8
    lines = [
        b"\x00" + b"".join(bytes([235 if rows[y // size][x // size] == "#" else 20]) for x in range(8 * size))
        for y in range(8 * size)
    ]
    head = struct.pack(">IIBBBBB", 8 * size, 8 * size, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b"")]
    body = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)
    return f"data:image/png;base64,{b64encode(body).decode()}"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
