"""Two extractive summaries: Luhn (1958), clusters of frequent words; and TextRank (Mihalcea and Tarau 2004)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise, permutations

import numpy as np

STOP_WORDS = """a an the and or but of to in on for with by from as is are be was were it its this that these those
you your we our can will may has have not no if at into than then so such also when which any all"""
STOP = frozenset(STOP_WORDS.split())
WORD = re.compile(r"[a-z][a-z0-9_-]+")
END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`*\[])")
GAP = 4
DAMPING = 0.85
ROUNDS = 60


def sentences(text: str) -> list[str]:
    """The sentences of a text, each on one line."""
    joined = " ".join(text.split())
    return [sentence.strip() for sentence in END.split(joined) if sentence.strip()]


def words(sentence: str) -> list[str]:
    """The words of a sentence that say something, in order."""
    return [word for word in WORD.findall(sentence.lower()) if word not in STOP]


def luhn(text: Sequence[str], count: int = 2) -> str:
    """The sentences whose best cluster of significant words is the densest.

    Luhn's factor is the number of significant words in a cluster, squared, over its length; a gap of more than four
    words ends a cluster.
    """
    frequency = Counter(word for sentence in text for word in words(sentence))
    factors = []
    for sentence in text:
        places = [place for place, word in enumerate(WORD.findall(sentence.lower())) if frequency[word] >= 2]
        best, start = 0.0, 0
        for end in range(len(places)):
            if end and places[end] - places[end - 1] > GAP:
                start = end
            best = max(best, (end - start + 1) ** 2 / (places[end] - places[start] + 1))
        factors.append(best)
    return _best(text, factors, count)


def textrank(text: Sequence[str], count: int = 2) -> str:
    """The sentences that a walk over shared words visits most."""
    bags = [set(words(sentence)) for sentence in text]
    links = np.zeros((len(bags), len(bags)))
    for (row, a), (column, b) in permutations(enumerate(bags), 2):
        if shared := len(a & b):
            links[row, column] = shared / (math.log(len(a) + 1) + math.log(len(b) + 1))
    out = links.sum(axis=1, keepdims=True)
    step = np.divide(links, out, out=np.full_like(links, 1.0 / max(len(bags), 1)), where=out > 0)
    rank = np.full(len(bags), 1.0 / max(len(bags), 1))
    for _ in range(ROUNDS):
        rank = (1.0 - DAMPING) / len(bags) + DAMPING * (rank @ step)
    return _best(text, rank.tolist(), count)


def _best(text: Sequence[str], scores: Sequence[float], count: int) -> str:
    """The best sentences in the order in which they stand."""
    chosen = sorted(range(len(text)), key=lambda place: (-scores[place], place))[:count]
    return " ".join(text[place] for place in sorted(chosen))


def features(summary: str, section: Sequence[str]) -> list[float]:
    """What a scorer may go by, of about unit spread each: length, how early it stands, coverage, jumps, and code."""
    parts = sentences(summary)
    known = set().union(*(words(sentence) for sentence in section)) or {""}
    covered = known & {word for part in parts for word in words(part)}
    early = [1.0 - section.index(part) / len(section) if part in section else 0.0 for part in parts]
    gaps = [abs(b - a) for a, b in pairwise(early)]
    return [
        len(summary) / 100.0, 3.0 * sum(early) / max(len(early), 1), 5.0 * len(covered) / len(known),
        3.0 * sum(gaps) / max(len(gaps), 1), summary.count("`") / 3.0,
    ]  # fmt: skip
