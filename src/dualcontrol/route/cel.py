"""Reader of CEL expressions for static checks: their words, and what follows from them without evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"})
_WORD = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<string>[rRbB]{0,2}(?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"
                                |'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
      | (?P<number>0[xX][0-9a-fA-F]+[uU]?|\d*\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+[uU]?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>&&|\|\||[<>=!]=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)


class Word(NamedTuple):
    """One word of an expression: its kind (string, number, name or sign), its text and where it stands."""

    kind: str
    text: str
    at: int


def words(source: str) -> list[Word]:
    """The words of an expression without spaces and comments; raises ValueError at a character CEL lacks."""
    listed, at = [], 0
    while at < len(source):
        match = _WORD.match(source, at)
        if match is None:
            raise ValueError(f"unexpected character at {at + 1}")
        if match.lastgroup != "space":
            listed.append(Word(match.lastgroup or "", match.group(), at))
        at = match.end()
    return listed


class Macro(NamedTuple):
    """One use of a comprehension macro: its name, the variable it binds, and how deep it is nested."""

    name: str
    binds: str
    depth: int


def macros(source: str) -> list[Macro]:
    """Every comprehension macro in an expression; depth 1 or more means that it runs inside another."""
    uses: list[Macro] = []
    inside: list[bool] = []
    listed = words(source)
    for place, word in enumerate(listed):
        if word.kind != "sign":
            continue
        if word.text in ("(", "[", "{"):
            name, dot = (listed[place - 1], listed[place - 2]) if place >= 2 else (word, word)
            is_macro = word.text == "(" and name.text in MACROS and dot.text == "."
            if is_macro:
                binds = listed[place + 1] if place + 1 < len(listed) else word
                uses.append(Macro(name.text, binds.text if binds.kind == "name" else "", sum(inside)))
            inside.append(is_macro)
        elif word.text in (")", "]", "}") and inside:
            inside.pop()
    return uses


class Cursor:
    """A place among the words of an expression, for readers by recursive descent; raises ValueError where it ends."""

    def __init__(self, source: str) -> None:
        self.words = words(source)
        self.at = 0

    def next(self) -> str:
        """The sign or name that comes next; empty before a string, a number or the end."""
        word = self.words[self.at] if self.at < len(self.words) else None
        return "" if word is None or word.kind in ("string", "number") else word.text

    def take(self) -> Word:
        """The next word, and go on."""
        if self.at >= len(self.words):
            raise ValueError("it ends early")
        self.at += 1
        return self.words[self.at - 1]

    def skip(self, text: str) -> bool:
        """Whether this comes next; then it is passed."""
        comes = self.next() == text
        self.at += comes
        return comes

    def expect(self, text: str) -> None:
        """Pass what has to come next."""
        if not self.skip(text):
            raise ValueError(f"{text} expected")

    def name(self) -> str:
        """The name that has to come next."""
        word = self.take()
        if word.kind != "name":
            raise ValueError("a name expected")
        return word.text

    def end(self) -> None:
        """Refuse words that are left over: then the reader took the rest for something else."""
        if self.at != len(self.words):
            raise ValueError("more than this reader knows")


# The part of CEL that columns can do: comparisons, membership, presence and logic over flat paths.
#
# `parse` gives a tree, or None for anything else, which is then evaluated row by row by CEL itself.


COMPARISONS = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_NAMED: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_RESERVED = frozenset({"in", *_NAMED})

Constant: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Path:
    """A field such as ``args.amount``."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; `kind` keeps 1, 1.0 and true apart."""

    value: Constant
    kind: str


@dataclass(frozen=True, slots=True)
class Compare:
    """A path compared with a literal or another path."""

    op: str
    left: Path
    right: Path | Literal


@dataclass(frozen=True, slots=True)
class Member:
    """A path in a list of literals."""

    path: Path
    items: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Has:
    """Whether a path of two names is there."""

    path: Path


@dataclass(frozen=True, slots=True)
class Not:
    """The negation of an expression."""

    part: Expression


@dataclass(frozen=True, slots=True)
class Logical:
    """``&&`` or ``||`` over two expressions."""

    op: str
    left: Expression
    right: Expression


Expression: TypeAlias = Path | Literal | Compare | Member | Has | Not | Logical


class UnsupportedError(ValueError):
    """Columns cannot do this expression."""


def literal(value: Constant) -> Literal:
    """A constant with its kind."""
    return Literal(value, type(value).__name__)


def parse(source: str) -> Expression | None:
    """The tree of an expression, or None where it says more than columns can do."""
    try:
        reader = _TreeReader(source)
        tree = reader.joined("||")
        reader.end()
    except (ValueError, RecursionError):
        return None
    return None if isinstance(tree, _List) else tree


def paths(tree: Expression) -> Iterator[Path]:
    """Every path in an expression."""
    if isinstance(tree, Path):
        yield tree
    elif isinstance(tree, Logical | Compare):
        yield from paths(tree.left)
        yield from paths(tree.right)
    elif isinstance(tree, Not):
        yield from paths(tree.part)
    elif isinstance(tree, Member | Has):
        yield tree.path


@dataclass(frozen=True, slots=True)
class _List:
    items: tuple[Literal, ...]


class _TreeReader(Cursor):
    """Recursive descent over the part of CEL's grammar that columns can do."""

    def joined(self, op: str) -> Expression | _List:
        """Expressions joined by ``||``, which joins those joined by ``&&``, which joins relations."""
        left = self.joined("&&") if op == "||" else self._relation()
        while self.skip(op):
            right = self.joined("&&") if op == "||" else self._relation()
            left = Logical(op, _truth(left), _truth(right))
        return left

    def _relation(self) -> Expression | _List:
        """A comparison or a membership, its path on the left; or what stands there without one."""
        left = self._unary()
        op = self.next()
        if op != "in" and op not in COMPARISONS:
            return left
        self.at += 1
        right = self._unary()
        if self.next() == "in" or self.next() in COMPARISONS:
            raise UnsupportedError("a chain of comparisons")
        if op == "in" and isinstance(left, Path) and isinstance(right, _List):
            return Member(left, right.items)
        if isinstance(left, Literal) and isinstance(right, Path) and op != "in":
            left, right, op = right, left, COMPARISONS[op]
        if op != "in" and isinstance(left, Path) and isinstance(right, Path | Literal):
            return Compare(op, left, right)
        raise UnsupportedError("more than a path with a literal, a path or a list of literals")

    def _unary(self) -> Expression | _List:
        if self.skip("!"):
            return Not(_truth(self._unary()))
        if self.skip("-"):
            return _number(self.take(), "-")
        if self.skip("("):
            inside = self.joined("||")
            self.expect(")")
            if isinstance(inside, Path | Literal):
                raise UnsupportedError("a value in parentheses")
            return inside
        if self.skip("["):
            items: list[Literal] = []
            while not self.skip("]"):
                item = self._unary()
                if not isinstance(item, Literal):
                    raise UnsupportedError("a list of more than literals")
                items.append(item)
                if self.next() != "]":
                    self.expect(",")
            return _List(tuple(items))
        return self._value()

    def _value(self) -> Path | Has | Literal:
        """A literal, a path or the presence of one; neither has a call or an index in it."""
        word = self.take()
        if word.kind == "string":
            return literal(_text(word.text))
        if word.kind == "number":
            return _number(word)
        if word.text in _NAMED:
            return literal(_NAMED[word.text])
        if word.text == "has" and self.skip("("):
            path = self._value()
            self.expect(")")
            if not isinstance(path, Path) or path.name.count(".") != 1:
                raise UnsupportedError("presence of more than one field")
            return Has(path)
        self.at -= 1
        names = [self.name()]
        while self.skip("."):
            names.append(self.name())
        if not _RESERVED.isdisjoint(names) or self.next() in ("(", "["):
            raise UnsupportedError("a call, an index or a reserved name")
        return Path(".".join(names))


def _truth(part: Expression | _List) -> Expression:
    if isinstance(part, _List):
        raise UnsupportedError("a list is not a truth value")
    return part


def _number(word: Word, sign: str = "") -> Literal:
    if word.kind != "number" or word.text[-1] in "uU":
        raise UnsupportedError("not a number that columns know")
    if word.text[:2] in ("0x", "0X"):
        return literal(int(sign + word.text, 16))
    return literal(int(sign + word.text) if word.text.isdigit() else float(sign + word.text))


def _text(word: str) -> str:
    """The value of a string without escapes; a NUL would not survive in a column of fixed width."""
    body = word.lstrip("rR")
    if body[0] not in "\"'" or "\\" in body or "\0" in body or body[:3] in ('"""', "'''"):
        raise UnsupportedError("an escape or a special string")
    return body[1:-1]
