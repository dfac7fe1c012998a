"""What an expression can yield, told from its words alone: nothing is evaluated, so fields may hold anything.

A field of `args`, `input` or `meta` may be true or false and is let through; what is refused is a part that stands
where a truth value belongs and can never be one.  What this reader does not know it lets through as well: then the
rule is judged when it runs, and sends the case to a human.
"""

from __future__ import annotations

from typing import NamedTuple

from dualcontrol.route.expression import MACROS, Word, macros, words
from dualcontrol.route.value_kinds import (
    ANY,
    BOOL,
    LIST,
    MAP,
    NUMBER,
    SIGNAL,
    VALUE,
    either,
    is_other,
    of_call,
    of_name,
    of_string,
)

RELATIONS = frozenset({"<", "<=", ">", ">=", "==", "!=", "in"})


class Misfit(NamedTuple):
    """A part that can never be true or false where that is asked for; `part` is empty for the whole expression."""

    part: str
    kind: str


def misfit(source: str) -> Misfit | None:
    """The first part of an expression that can never be the truth value it has to be; None where there is none."""
    try:
        reader = _Reader(source)
        whole = reader.expression()
        reader.end()
    except (ValueError, RecursionError):
        return None
    return reader.found or (Misfit("", whole) if is_other(whole) else None)


class _Reader:
    """Recursive descent over CEL's grammar; each method reads a part and gives its kind."""

    def __init__(self, source: str) -> None:
        self.found: Misfit | None = None
        self._source = source
        self._words = words(source)
        self._bound = {macro.binds for macro in macros(source)}
        self._at = 0

    def _next(self) -> str:
        word = self._words[self._at] if self._at < len(self._words) else None
        return "" if word is None or word.kind in ("string", "number") else word.text

    def _take(self) -> Word:
        if self._at >= len(self._words):
            raise ValueError("it ends early")
        self._at += 1
        return self._words[self._at - 1]

    def _skip(self, text: str) -> bool:
        found = self._next() == text
        self._at += found
        return found

    def _expect(self, text: str) -> None:
        if not self._skip(text):
            raise ValueError(f"{text} expected")

    def end(self) -> None:
        """Refuse words that are left over: then this reader took the rest for something else."""
        if self._at != len(self._words):
            raise ValueError("more than this reader knows")

    def _truth(self, kind: str, start: int) -> None:
        """Note a part read since `start` that has to be a truth value and is none."""
        if is_other(kind) and self.found is None:
            last = self._words[self._at - 1]
            self.found = Misfit(self._source[self._words[start].at : last.at + len(last.text)], kind)

    def expression(self) -> str:
        """``condition ? one : other``, or what stands there without a condition."""
        start = self._at
        kind = self._joined("||")
        if self._next() != "?":
            return kind
        self._truth(kind, start)
        self._at += 1
        one = self._joined("||")
        self._expect(":")
        return either(one, self.expression())

    def _joined(self, op: str) -> str:
        start, read = self._at, self._relation if op == "&&" else lambda: self._joined("&&")
        kind = read()
        while self._next() == op:
            self._truth(kind, start)
            self._at += 1
            start = self._at
            self._truth(read(), start)
            kind = BOOL
        return kind

    def _relation(self) -> str:
        kind = self._sum()
        while self._next() in RELATIONS:
            self._at += 1
            self._sum()
            kind = BOOL
        return kind

    def _sum(self) -> str:
        kind = self._product()
        while self._next() in ("+", "-"):
            self._at += 1
            self._product()
            kind = VALUE
        return kind

    def _product(self) -> str:
        kind = self._signed()
        while self._next() in ("*", "/", "%"):
            self._at += 1
            self._signed()
            kind = NUMBER
        return kind

    def _signed(self) -> str:
        sign, count = self._next(), 0
        if sign not in ("!", "-"):
            return self._member()
        while self._skip(sign):
            count += 1
        start = self._at
        kind = self._member()
        if sign == "!":
            self._truth(kind, start)
        if count % 2 == 0:  # the binding takes two signs for none
            return kind
        return BOOL if sign == "!" else NUMBER

    def _member(self) -> str:
        root = self._next()
        kind = self._primary()
        while True:
            if self._skip("["):
                self.expression()
                self._expect("]")
                kind = ANY
            elif self._skip("."):
                name = self._name()
                if self._skip("("):
                    kind = self._macro(name) if name in MACROS else of_call(name, self._listed(")"))
                else:
                    kind = SIGNAL.get(name, ANY) if root == "signal" else ANY
            else:
                return kind
            root = ""

    def _name(self) -> str:
        word = self._take()
        if word.kind != "name":
            raise ValueError("a name expected")
        return word.text

    def _primary(self) -> str:
        if self._skip("("):
            kind = self.expression()
            self._expect(")")
            return kind
        if self._skip("["):
            self._listed("]")
            return LIST
        if self._skip("{"):
            self._listed("}")
            return MAP
        word = self._take()
        if word.kind == "number":
            return NUMBER
        if word.kind == "string":
            return of_string(word.text)
        if word.kind != "name" or self._next() == "{":
            raise ValueError("more than this reader knows")
        if self._skip("("):
            return of_call(word.text, self._listed(")"))
        return ANY if word.text in self._bound else of_name(word.text)

    def _listed(self, end: str) -> list[str]:
        """What stands in brackets, with commas, or colons in a map."""
        kinds: list[str] = []
        while not self._skip(end):
            kinds.append(self.expression())
            if not self._skip(",") and not (end == "}" and self._skip(":")) and self._next() != end:
                raise ValueError(f"{end} expected")
        return kinds

    def _macro(self, name: str) -> str:
        """A comprehension: its predicate is a truth value for each element; `map` has one only before a transform."""
        self._name()
        self._expect(",")
        start = self._at
        kind = self.expression()
        if name != "map" or self._next() == ",":
            self._truth(kind, start)
        if self._skip(","):
            self.expression()
        self._expect(")")
        return LIST if name in ("map", "filter") else BOOL
