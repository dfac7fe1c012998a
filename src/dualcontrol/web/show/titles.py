"""Titles of cases: a short line that a human would say, never image data, lists of numbers or JSON."""

from __future__ import annotations

import json
import re
from itertools import islice

from dualcontrol.case import JSON, Case
from dualcontrol.web.show.content import content_of, image_bytes, is_chat
from dualcontrol.web.show.words import brief

LONGEST = 70
SHORT = 60
SMALL = 8_000
ASKERS = {"user", "human", "customer"}
DEEPEST = 6
LOOKED_AT = 40  # of the items of a list or an object
VALUE = re.compile(r'"((?:[^"\\]|\\.)*)("\s*:|"|\Z)', re.DOTALL)
UNNAMED = {
    "approval": "Decide this", "labels": "Label this", "preference": "Which is better?", "fallback": "Answer this",
}  # fmt: skip


def title(case: Case, start: str = "") -> str:
    """The action, else the first text of what a human is asked about, as the caller wrote it.

    `start` is how the JSON of an input begins that is too large to be read for a list.
    """
    if case.action:
        return case.action
    line = spoken(case.input) or begun(start) or UNNAMED[case.mode]
    return f"Which is better: {line}" if case.mode == "preference" and line not in UNNAMED.values() else line


def subject(case: Case, most: int = 110) -> str:
    """What the action would act on, or the label that is proposed; nothing where the title says what there is."""
    proposal = case.proposed_value()
    if case.mode == "labels" and case.proposal is not None:
        return f"proposed: {brief(proposal, most)}"
    args = proposal["args"] if case.action and isinstance(proposal, dict) else None
    return brief(args, most) if args else ""


def picture(value: JSON) -> str:
    """The small picture that a value is, or holds, to stand beside its title; empty when there is none."""
    for item in [value, *islice(value.values(), LOOKED_AT)] if isinstance(value, dict) else [value]:
        address = item["$image"] if _is_picture(item) else item
        is_small = isinstance(address, str) and address.startswith("data:image/") and len(address) <= SMALL
        if is_small and image_bytes(address):
            return "".join(address.split())
    return ""


def spoken(value: JSON, depth: int = 0) -> str:
    """One line that names a value; empty when it holds no text.

    A talk is named by what was said last, before all else by whoever asks; a picture by its words; an object by the
    talk or picture in it, its short texts, its long ones.
    """
    if isinstance(value, str):
        return "" if value.startswith("data:") else brief(value, LONGEST)
    if depth > DEEPEST or not isinstance(value, list | dict):
        return ""
    few = LOOKED_AT // (depth + 1) ** 2 + 1  # fewer with each level, so that no shape of a value takes long
    if isinstance(value, list):
        last = value[-LOOKED_AT:]
        if not is_chat(last):
            return _first(value[:few], depth)
        asking = [turn for turn in last if str(turn["role"]).casefold() in ASKERS]
        return _first([content_of(turn) for turn in reversed([*last, *asking])], depth)
    if "$image" in value:
        return brief(value.get("alt") or "Image", LONGEST)
    items = list(islice(value.values(), few))
    telling = [v for v in items if _is_picture(v) or (isinstance(v, list) and v and is_chat(v[-LOOKED_AT:]))]
    texts = [v for v in items if isinstance(v, str) and v.strip() and not v.startswith("data:")]
    short = " · ".join(brief(v, LONGEST) for v in texts if len(v) <= SHORT and "\n" not in v)
    inner = [v for v in items if isinstance(v, dict | list)]
    return _first(telling, depth) or brief(short, LONGEST) or _first([*texts, *inner], depth)


def begun(start: str) -> str:
    """One line out of the beginning of a JSON text: its first text that is more than a word."""
    texts: list[str] = []
    for match in VALUE.finditer(start):
        if not match[2].endswith(":"):
            text = _text(match[1])
            if text.strip() and not text.startswith("data:"):
                texts.append(text)
    return brief(next((text for text in texts if " " in text.strip()), next(iter(texts), "")), LONGEST)


def _text(body: str) -> str:
    """The text of a JSON string that may have been cut off in an escape."""
    for end in range(len(body), max(len(body) - 12, -1), -1):
        try:
            return str(json.loads(f'"{body[:end]}"'))
        except json.JSONDecodeError:
            continue
    return ""


def _is_picture(value: JSON) -> bool:
    return isinstance(value, dict) and isinstance(value.get("$image"), str)


def _first(values: list[JSON], depth: int) -> str:
    return next((line for value in values if (line := spoken(value, depth + 1))), "")
