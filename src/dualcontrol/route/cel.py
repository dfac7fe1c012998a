"""The words of a CEL expression, and what can be said about them without evaluating anything."""

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
    found, at = [], 0
    while at < len(source):
        match = _WORD.match(source, at)
        if match is None:
            raise ValueError(f"unexpected character at {at + 1}")
        if match.lastgroup != "space":
            found.append(Word(match.lastgroup or "", match.group(), at))
        at = match.end()
    return found


class Macro(NamedTuple):
    """One use of a comprehension macro: its name, the variable it binds, and how deep it is nested."""

    name: str
    binds: str
    depth: int


def macros(source: str) -> list[Macro]:
    """Every comprehension macro in an expression; depth 1 or more means that it runs inside another."""
    found: list[Macro] = []
    inside: list[bool] = []
    listed = words(source)
    for place, word in enumerate(listed):
        if word.text in ("(", "[", "{") and word.kind == "sign":
            opens = word.text == "(" and _is_macro(listed, place - 1)
            if opens:
                found.append(Macro(listed[place - 1].text, _bound(listed, place + 1), sum(inside)))
            inside.append(opens)
        elif word.text in (")", "]", "}") and word.kind == "sign" and inside:
            inside.pop()
    return found


def _is_macro(listed: list[Word], place: int) -> bool:
    return place >= 1 and listed[place].text in MACROS and listed[place - 1].text == "."


def _bound(listed: list[Word], place: int) -> str:
    return listed[place].text if place < len(listed) and listed[place].kind == "name" else ""


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
        reader = _Reader(words(source))
        tree = reader.joined("||")
        reader.end()
    except (UnsupportedError, ValueError, RecursionError):
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


class _Reader:
    """Recursive descent over the words of one expression."""

    def __init__(self, listed: list[Word]) -> None:
        self._words = listed
        self._at = 0

    def _next(self) -> str:
        word = self._words[self._at] if self._at < len(self._words) else None
        return "" if word is None or word.kind in ("string", "number") else word.text

    def _take(self) -> Word:
        if self._at >= len(self._words):
            raise UnsupportedError("it ends early")
        self._at += 1
        return self._words[self._at - 1]

    def _expect(self, text: str) -> None:
        if self._next() != text:
            raise UnsupportedError(f"{text} expected")
        self._at += 1

    def end(self) -> None:
        """Refuse words that are left over."""
        if self._at != len(self._words):
            raise UnsupportedError("more than columns can do")

    def joined(self, op: str) -> Expression | _List:
        """Expressions joined by ``||``, which joins those joined by ``&&``, which joins relations."""
        left = self.joined("&&") if op == "||" else self._relation()
        while self._next() == op:
            self._at += 1
            right = self.joined("&&") if op == "||" else self._relation()
            left = Logical(op, _truth(left), _truth(right))
        return left

    def _relation(self) -> Expression | _List:
        left = self._unary()
        op = self._next()
        if op != "in" and op not in COMPARISONS:
            return left
        self._at += 1
        right = self._unary()
        if self._next() == "in" or self._next() in COMPARISONS:
            raise UnsupportedError("a chain of comparisons")
        return _member(left, right) if op == "in" else _compare(op, left, right)

    def _unary(self) -> Expression | _List:
        if self._next() == "!":
            self._at += 1
            return Not(_truth(self._unary()))
        if self._next() == "-":
            self._at += 1
            return self._number(self._take(), "-")
        return self._primary()

    def _primary(self) -> Expression | _List:
        if self._next() == "(":
            self._at += 1
            inside = self.joined("||")
            self._expect(")")
            if isinstance(inside, Path | Literal):
                raise UnsupportedError("a value in parentheses")
            return inside
        if self._next() == "[":
            return self._list()
        word = self._take()
        if word.kind == "string":
            return literal(_text(word.text))
        if word.kind == "number":
            return self._number(word)
        if word.text in _NAMED:
            return literal(_NAMED[word.text])
        return self._path(word)

    def _list(self) -> _List:
        self._expect("[")
        items: list[Literal] = []
        while self._next() != "]":
            item = self._unary()
            if not isinstance(item, Literal):
                raise UnsupportedError("a list of more than literals")
            items.append(item)
            if self._next() != "]":
                self._expect(",")
        self._expect("]")
        return _List(tuple(items))

    def _number(self, word: Word, sign: str = "") -> Literal:
        if word.kind != "number" or word.text[-1] in "uU":
            raise UnsupportedError("not a number that columns know")
        if word.text[:2] in ("0x", "0X"):
            return literal(int(sign + word.text, 16))
        return literal(int(sign + word.text) if word.text.isdigit() else float(sign + word.text))

    def _path(self, word: Word) -> Path | Has:
        if word.kind != "name" or word.text in _RESERVED:
            raise UnsupportedError("a name expected")
        if word.text == "has" and self._next() == "(":
            return self._has()
        names = [word.text]
        while self._next() == ".":
            self._at += 1
            part = self._take()
            if part.kind != "name" or part.text in _RESERVED:
                raise UnsupportedError("a name expected")
            names.append(part.text)
        if self._next() in ("(", "["):
            raise UnsupportedError("a call or an index")
        return Path(".".join(names))

    def _has(self) -> Has:
        self._expect("(")
        path = self._path(self._take())
        self._expect(")")
        if not isinstance(path, Path) or path.name.count(".") != 1:
            raise UnsupportedError("presence of more than one field")
        return Has(path)


def _truth(part: Expression | _List) -> Expression:
    if isinstance(part, _List):
        raise UnsupportedError("a list is not a truth value")
    return part


def _compare(op: str, left: Expression | _List, right: Expression | _List) -> Compare:
    if isinstance(left, Literal) and isinstance(right, Path):
        left, right, op = right, left, COMPARISONS[op]
    if isinstance(left, Path) and isinstance(right, Path | Literal):
        return Compare(op, left, right)
    raise UnsupportedError("a comparison of more than a path and a literal")


def _member(left: Expression | _List, right: Expression | _List) -> Member:
    if isinstance(left, Path) and isinstance(right, _List):
        return Member(left, right.items)
    raise UnsupportedError("membership in more than a list of literals")


def _text(word: str) -> str:
    """The value of a string without escapes; a NUL would not survive in a column of fixed width."""
    body = word.lstrip("rR")
    if body[0] not in "\"'" or "\\" in body or "\0" in body or body[:3] in ('"""', "'''"):
        raise UnsupportedError("an escape or a special string")
    return body[1:-1]
