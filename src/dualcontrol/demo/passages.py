"""The package's own docs as passages, and retrieval over them by BM25 (Robertson and Zaragoza 2009)."""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from typing import NamedTuple

from dualcontrol.demo.summaries import STOP

K1, B = 1.4, 0.75
SHORTEST = 40
WORD = re.compile(r"[a-z][a-z0-9]+")
ASKING = frozenset(["what", "how", "why", "who", "does", "do", "happens", "there", "where", "mean", "many", "much"])
MODULES = ("case", "control", "desk", "errors", "events", "gate", "apply", "wait", "sweep", "step", "propose")


class Passage(NamedTuple):
    """One docstring: where it stands and what it says."""

    place: str
    text: str


class Found(NamedTuple):
    """The best passage for a question, the next ones, and how much of the question it covers."""

    passages: list[Passage]
    confidence: float


def words(text: str) -> list[str]:
    """The words that matter, their endings cut so that plural and singular meet."""
    found = WORD.findall(text.lower())
    return [re.sub(r"(ing|ed|es|s)$", "", word) for word in found if word not in STOP and word not in ASKING]


def passages() -> list[Passage]:
    """The docstrings of the modules that users meet."""
    return [passage for name in MODULES for source in _sources(name) for passage in _of(name, source)]


def _sources(name: str) -> Iterator[str]:
    """The source of a module, or of each file of a package."""
    place = resources.files("dualcontrol")
    if (place / f"{name}.py").is_file():
        yield (place / f"{name}.py").read_text(encoding="utf-8")
    elif (place / name).is_dir():
        files = sorted((place / name).iterdir(), key=lambda file: file.name)
        yield from (file.read_text(encoding="utf-8") for file in files if file.name.endswith(".py"))


def _of(name: str, source: str) -> Iterator[Passage]:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        text = ast.get_docstring(node) or ""
        own = "" if isinstance(node, ast.Module) else f".{node.name}"
        if len(text) >= SHORTEST and "──" not in text and not getattr(node, "name", "").startswith("_"):
            yield Passage(f"dualcontrol.{name.replace(chr(47), chr(46))}{own}", " ".join(text.split()))


class Index:
    """Passages by their words."""

    def __init__(self, found: list[Passage]) -> None:
        self.passages = found
        self.bags = [Counter(words(f"{p.place.replace('.', ' ')} {p.text}")) for p in found]
        self.length = sum(sum(bag.values()) for bag in self.bags) / max(len(self.bags), 1)
        known = Counter(word for bag in self.bags for word in bag)
        self.rarity = {w: math.log(1 + (len(found) - n + 0.5) / (n + 0.5)) for w, n in known.items()}
        self.unknown = math.log(2 * len(found) + 2)

    def ask(self, question: str, count: int = 3) -> Found:
        """The best passages, and the share of what the question asks, by rarity, that the best one speaks of."""
        asked = list(dict.fromkeys(words(question)))
        scores = [self._score(asked, bag) for bag in self.bags]
        best = sorted(range(len(scores)), key=lambda place: (-scores[place], place))[:count]
        whole = sum(self.rarity.get(word, self.unknown) for word in asked)
        covered = sum(self.rarity[word] for word in asked if best and word in self.bags[best[0]])
        return Found([self.passages[place] for place in best], round(covered / whole, 4) if whole else 0.0)

    def _score(self, asked: list[str], bag: Counter[str]) -> float:
        scale = K1 * (1 - B + B * sum(bag.values()) / self.length)
        return sum(self.rarity[w] * bag[w] * (K1 + 1) / (bag[w] + scale) for w in asked if w in bag)
