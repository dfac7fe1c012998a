"""Retrieval of passages by BM25 (Robertson and Zaragoza 2009), with the share of the score that was reached."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import NamedTuple

from dualcontrol.demo.passages import FENCE, Passage
from dualcontrol.demo.summaries import STOP

K1, B = 1.4, 0.5
TITLE = 3  # what a word in the last heading counts for; in those above it and in the text it counts once
WORD = re.compile(r"[a-z][a-z0-9]+")
ENDING = re.compile(r"(?<=\w\w\w)(ations?|ings?|ed|es|e|s|ly)$")
ASKING_WORDS = "what how why who where does do did mean means many much happens happen there me my make get"
ASKING = frozenset(ASKING_WORDS.split())


class Retrieved(NamedTuple):
    """The best passages for a question, each with the share of the highest score that it reached."""

    passages: list[Passage]
    reached: list[float]

    @property
    def confidence(self) -> float:
        """What the first one reached."""
        return self.reached[0] if self.reached else 0.0


def words(text: str) -> list[str]:
    """The words that matter, their endings cut so that plural and singular meet."""
    every = WORD.findall(text.lower())
    return [ENDING.sub("", word) for word in every if word not in STOP and word not in ASKING]


def bag(passage: Passage) -> Counter[str]:
    """A passage by its words, those of its own heading with more weight.

    Code blocks are left out: the names in an example say nothing of what a section is about.
    """
    *above, title = passage.headings
    prose, fenced = [], False
    for line in passage.text.splitlines():
        fenced ^= bool(FENCE.match(line))
        if not fenced:
            prose.append(line)
    return Counter([*words(" ".join(above)), *words(title) * TITLE, *words("\n".join(prose))])


class Index:
    """Passages by their words."""

    def __init__(self, passages: list[Passage]) -> None:
        self.passages, count = passages, len(passages)
        self.bags = [bag(passage) for passage in passages]
        self.length = sum(each.total() for each in self.bags) / max(count, 1)
        known = Counter(word for each in self.bags for word in each)
        self.rarity = {word: math.log(1 + (count - n + 0.5) / (n + 0.5)) for word, n in known.items()}
        self.unknown = math.log(2 * count + 2)

    def ask(self, question: str, count: int = 3) -> Retrieved:
        """The best passages; a word of the question that no passage knows lowers the confidence the most.

        The score is BM25 without its constant factor, so that the score of a word is below its rarity.
        """
        terms, scores = list(dict.fromkeys(words(question))), []
        for each in self.bags:
            scale = K1 * (1 - B + B * each.total() / self.length)
            scores.append(sum(self.rarity[w] * each[w] / (each[w] + scale) for w in terms if w in each))
        best = sorted(range(len(scores)), key=lambda place: (-scores[place], place))[:count]
        highest = sum(self.rarity.get(word, self.unknown) for word in terms)
        reached = [round(scores[place] / highest, 4) if highest else 0.0 for place in best]
        return Retrieved([self.passages[place] for place in best], reached)
