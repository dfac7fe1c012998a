"""Invisible and bidirectional characters: those that a screen hides or that change how text is read, and their names.

``invoice\\u202Efdp.exe`` looks like a PDF, and a zero width space like nothing at all.  Where people decide on text,
such characters are shown by name.  What a script needs is left alone: joiners between its letters, joiners and
selectors inside an emoji.  Look-alike letters are out of scope.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

# Control characters have no names of their own in the Unicode database.
_C0 = (
    "NULL", "START OF HEADING", "START OF TEXT", "END OF TEXT", "END OF TRANSMISSION", "ENQUIRY", "ACKNOWLEDGE",
    "BELL", "BACKSPACE", "TAB", "LINE FEED", "VERTICAL TAB", "FORM FEED", "CARRIAGE RETURN", "SHIFT OUT", "SHIFT IN",
    "DATA LINK ESCAPE", "DEVICE CONTROL ONE", "DEVICE CONTROL TWO", "DEVICE CONTROL THREE", "DEVICE CONTROL FOUR",
    "NEGATIVE ACKNOWLEDGE", "SYNCHRONOUS IDLE", "END OF TRANSMISSION BLOCK", "CANCEL", "END OF MEDIUM", "SUBSTITUTE",
    "ESCAPE", "INFORMATION SEPARATOR FOUR", "INFORMATION SEPARATOR THREE", "INFORMATION SEPARATOR TWO",
    "INFORMATION SEPARATOR ONE",
)  # fmt: skip
_C1 = {0x7F: "DELETE", 0x84: "INDEX", 0x85: "NEXT LINE", 0x8D: "REVERSE LINE FEED", 0x90: "DEVICE CONTROL STRING",
       0x9B: "CONTROL SEQUENCE INTRODUCER", 0x9C: "STRING TERMINATOR", 0x9D: "OPERATING SYSTEM COMMAND"}  # fmt: skip
_NAMELESS = {"Cc": "CONTROL", "Co": "PRIVATE USE", "Cs": "LONE SURROGATE", "Cn": "UNASSIGNED"}
_HIDDEN = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}

# Of category Cf, and yet drawn: the number and verse signs of Arabic, Syriac and Kaithi.
_DRAWN = frozenset(map(chr, (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD)))
# Letters, marks and symbols that are drawn as nothing.
_BLANK = frozenset(map(chr, (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, 0xFFFC, 0x16FE4, 0x1BC9D,
                             0x1D159)))  # fmt: skip
_EMOJI_SELECTORS = frozenset("\ufe0e\ufe0f")
_SELECTORS = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), *range(0x180B, 0x1810))))
UNDRAWN = _BLANK | _SELECTORS  # nothing is drawn for these, whatever their category
_JOINERS = frozenset("\u200c\u200d")
_ALWAYS = frozenset("\u200b\u200e\u200f\u2060\ufeff\xad") | _BLANK  # hidden wherever they stand
_KEYCAP = "\u20e3"
_FLAG = re.compile("\U0001f3f4(?:" + "|".join(
    "".join(chr(0xE0000 + ord(letter)) for letter in region) for region in ("gbeng", "gbsct", "gbwls")
) + ")\U000e007f")  # fmt: skip
_JOINING = frozenset({
    "ADLAM", "ARABIC", "BALINESE", "BENGALI", "BRAHMI", "CHAKMA", "CHORASMIAN", "DEVANAGARI", "DOGRA", "EGYPTIAN",
    "GRANTHA", "GUJARATI", "GURMUKHI", "HANIFI", "JAVANESE", "KAITHI", "KANNADA", "KHMER", "KHOJKI", "KHUDAWADI",
    "MALAYALAM", "MANDAIC", "MANICHAEAN", "MODI", "MONGOLIAN", "MYANMAR", "NEWA", "NKO", "ORIYA", "PHAGS-PA",
    "PSALTER", "SHARADA", "SIDDHAM", "SINHALA", "SOGDIAN", "SUNDANESE", "SYRIAC", "TAKRI", "TAMIL", "TELUGU",
    "TIBETAN", "TIRHUTA",
})  # fmt: skip
_SELECTED = {"MYANMAR", "PHAGS-PA", "MANICHAEAN", "EGYPTIAN", "CJK", "HIRAGANA", "KATAKANA", "FULLWIDTH", "IDEOGRAPHIC"}
VIRAMA = 9  # the combining class of signs that join two consonants
PILED = 8  # combining marks on one letter; no script needs as many, and more run over the lines above and below
_PLAIN = re.compile(r"[\n\t\x20-\x7e]*")


class Stretch(NamedTuple):
    """A stretch of a text; of kind ``sign`` where it has to be named, ``space`` where it is an unusual space."""

    text: str
    kind: str = ""

    @property
    def named(self) -> str:
        """What stands here by name, and how often."""
        times = len(self.text)
        return name(self.text[0]) if times == 1 else f"{name(self.text[0])} ×{times:,}"


def parts(text: str) -> Iterator[Stretch]:
    """The text in stretches; a run of one hidden character is a stretch of its own."""
    strange = frozenset() if _PLAIN.fullmatch(text) else frozenset(c for c in frozenset(text) if _strange(c))
    suspects = _suspects(strange) if strange else None
    at = 0
    for suspect in suspects.finditer(text) if suspects else ():
        place, sign = suspect.start(), suspect[0]
        if place < at or not (kind := _kind(text, place)):
            continue
        end = place + 1
        while text.startswith(sign, end) and (sign in _ALWAYS or _kind(text, end) == kind):
            end += 1
        if at < place:
            yield Stretch(text[at:place])
        yield Stretch(text[place:end], kind)
        at = end
    if at < len(text):
        yield Stretch(text[at:])


def visible(text: str) -> str:
    """The text with every hidden character as its name in brackets: ``[U+202E RIGHT-TO-LEFT OVERRIDE]``."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(f"[{part.named}]" if part.kind == "sign" else part.text for part in parts(text))


def escaped(text: str) -> str:
    """JSON text in which every hidden character is an escape: the same JSON, and nothing that a terminal obeys."""

    def escape(sign: str) -> str:
        return re.sub("....", r"\\u\g<0>", sign.encode("utf-16-be", "surrogatepass").hex())

    return "".join(escape(part.text) if part.kind == "sign" else part.text for part in parts(text))


def burden(text: str) -> int:
    """At most how many characters of the text have to be named; quickly told, and in most scripts far too many."""
    return sum(text.count(c) for c in frozenset(text) if _strange(c))


def hides(text: str) -> bool:
    """Whether the text holds a character that has to be named to be seen."""
    return any(part.kind == "sign" for part in parts(text))


@lru_cache(maxsize=4096)
def name(sign: str) -> str:
    """A character by number and name: ``U+200B ZERO WIDTH SPACE``."""
    number = ord(sign)
    if number < 0x20:
        word = _C0[number]
    else:
        word = unicodedata.name(sign, "") or _C1.get(number) or _NAMELESS.get(unicodedata.category(sign), "CHARACTER")
    if number & 0xFFFE == 0xFFFE or 0xFDD0 <= number <= 0xFDEF:
        word = "NONCHARACTER"
    return f"U+{number:04X} {word}"


@lru_cache(maxsize=256)
def _suspects(signs: frozenset[str]) -> re.Pattern[str]:
    """A pattern for the places to look at in a text in which these characters are strange."""
    suspects = [re.escape(c) for c in signs if _suspect(c)]
    marks = "".join(re.escape(c) for c in signs if not _suspect(c))
    ways = [f"[{''.join(suspects)}]"] if suspects else []
    if marks:  # with nothing to stand on, or too many on one letter
        bare = "".join(re.escape(c) for c in signs if _suspect(c) and c not in _SELECTORS and c not in _JOINERS)
        ways += [rf"(?:(?<=[\s{bare}])|(?<![\s\S]))[{marks}]", f"(?<=[{marks}]{{{PILED}}})[{marks}]"]
    return re.compile("|".join(ways))


@lru_cache(maxsize=65_536)
def _suspect(c: str) -> bool:
    """Whether a character may have to be named, or is a space that looks like another."""
    if "\x20" <= c <= "\x7e" or c in "\n\t":
        return False
    category = unicodedata.category(c)
    return (category in _HIDDEN and c not in _DRAWN) or category == "Zs" or c in _BLANK or c in _SELECTORS


@lru_cache(maxsize=65_536)
def _strange(c: str) -> bool:
    """Whether a character may have to be named: a suspect, or a mark, with nothing to stand on or one too many."""
    return _suspect(c) or unicodedata.category(c) in ("Mn", "Me")


def _kind(text: str, at: int) -> str:
    """``sign`` for what is named, ``space`` for an unusual space, empty for what is right where it stands."""
    c = text[at]
    if unicodedata.category(c) == "Zs":
        return "" if c == " " else "space"
    if c == "\r":
        return "" if text.startswith("\n", at + 1) else "sign"
    joiner = c in _JOINERS or c == "\u180e" or "\U00013430" <= c <= "\U0001345f"
    fine = (joiner and _joins(text, at)) or (c in _SELECTORS and _selects(text, at))
    fine = fine or (c == "\u200d" and _in_emoji(text, at))
    if "\U000e0020" <= c <= "\U000e007f":  # a tag character belongs to the flag of a region that has one
        start = text.rfind("\U0001f3f4", max(at - 6, 0), at)
        flag = _FLAG.match(text, start) if start >= 0 else None
        fine = flag is not None and at < flag.end()
    return "" if fine else "sign"


def _script(c: str) -> str:
    """The first word of a character's name, which for letters is that of its script."""
    return unicodedata.name(c, "").partition(" ")[0]


def _joins(text: str, at: int) -> bool:
    """Whether a joiner stands between two letters of a script that uses it, or behind a sign that joins consonants."""
    before = text[at - 1 : at]
    if not before or unicodedata.category(before)[0] not in "LM" or _script(before) not in _JOINING:
        return False
    if unicodedata.combining(before) == VIRAMA:
        return True
    after = text[at + 1 : at + 2]
    return bool(after) and unicodedata.category(after)[0] in "LM" and _script(after) == _script(before)


def _in_emoji(text: str, at: int) -> bool:
    """Whether a joiner stands between two pictures."""
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if before in _EMOJI_SELECTORS and _selects(text, at - 1):
        before = text[at - 2 : at - 1]
    skins, arrows = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff", "↔↕➡⬛"
    return all(
        c and (c in more or (unicodedata.category(c) == "So" and (c >= "\U0001f000" or "\u2600" <= c <= "\u27bf")))
        for c, more in ((before, skins), (after, arrows))
    )


def _selects(text: str, at: int) -> bool:
    """Whether a variation selector follows a character that has variants, and no other selector."""
    before = text[at - 1 : at]
    if not before or before in _SELECTORS:
        return False
    if text[at] in _EMOJI_SELECTORS:
        if before in "0123456789#*":
            return text.startswith(_KEYCAP, at + 1)
        return before in "‼⁉〰" or (unicodedata.category(before) in ("So", "Sm") and before > "\x7f")
    if "\u180b" <= text[at] <= "\u180f":
        return _script(before) == "MONGOLIAN"
    if text[at] >= "\U000e0100":
        return _script(before) == "CJK"
    return _script(before) in _SELECTED or unicodedata.category(before) == "Sm"
