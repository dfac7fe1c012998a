"""What a file is, by the words in it: naive Bayes (Maron 1961) over a handful of telling words for each kind."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

WORDS = {
    "receipts": "invoice receipt total paid eur vat card cash fare subtotal tip",
    "recipes": "ingredients flour butter sugar eggs bake simmer oven tablespoon chop salt soup kg",
    "letters": "dear sincerely regards yours letter kind confirm appointment",
    "notes": "meeting agenda decided action items todo notes call",
    "logs": "error info warning debug traceback started retry request",
}
TELLING = {name: frozenset(words.split()) for name, words in WORDS.items()}
HIT, MISS = 0.12, 0.02
WORD = re.compile(r"[a-z]+")


class Kind(NamedTuple):
    """The likeliest kind of a file, how sure that is, and the kind that comes second with the same."""

    name: str
    confidence: float
    second: str
    second_confidence: float
    hits: int


def kind_of(text: str) -> Kind:
    """The kind of a text; with no telling word in it all kinds are equally likely."""
    words = WORD.findall(text.lower())
    hits = {name: sum(word in telling for word in words) for name, telling in TELLING.items()}
    logs = {name: count * math.log(HIT / MISS) for name, count in hits.items()}
    top = max(logs.values())
    weights = {name: math.exp(log - top) for name, log in logs.items()}
    ranked = sorted(weights, key=lambda name: -weights[name])
    first, second = (weights[name] / sum(weights.values()) for name in ranked[:2])
    return Kind(ranked[0], round(min(first, 0.99), 4), ranked[1], round(second, 4), max(hits.values()))


def title_of(text: str, otherwise: str) -> str:
    """A file name from the first line that has words."""
    for line in text.splitlines():
        words = WORD.findall(line.lower())
        if words:
            return "-".join(words[:5])
    return otherwise
