"""Names of people, groups and actions: the stored form, and the identity by which two of them are the same.

"Ana", "ana " and a spelling with combining accents are one person, who counts once in a quorum.  Look-alikes of other
scripts are not: telling those apart is for accounts.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from dualcontrol.characters import UNDRAWN

_JOINERS = "\u200c\u200d"
_SPACES = re.compile(r"\s+")


def written(name: str) -> str:
    """A name as it is kept: composed, without what cannot be seen, single spaces inside and none around it.

    Joiners stay between letters, where some scripts need them.
    """
    if name.isascii() and name.isprintable():
        return " ".join(name.split()) if "  " in name or name != name.strip() else name
    text = unicodedata.normalize("NFC", name)
    signs = [sign for place, sign in enumerate(text) if _is_visible(sign) or _joins(text, place)]
    return _SPACES.sub(" ", "".join(signs)).strip()


@lru_cache(maxsize=4096)
def identity(name: str) -> str:
    """What two spellings of one name have in common: NFKC, case folded, without joiners and invisible characters."""
    if name.isascii() and name.isprintable():
        return " ".join(name.split()).casefold()
    folded = unicodedata.normalize("NFKC", name).casefold()  # folding can decompose, composing again can fold
    text = unicodedata.normalize("NFKC", "".join(sign for sign in folded if _is_visible(sign)))
    return _SPACES.sub(" ", text).strip()


def same(one: str | None, other: str | None) -> bool:
    """Whether two names are of one person, group or action."""
    return one == other or (one is not None and other is not None and identity(one) == identity(other))


def own_pool(person: str) -> str:
    """The pool of reviews meant for one person alone; a group's name holds no control character."""
    return f"\x1f{identity(person)}"


def is_own(pool: str) -> bool:
    """Whether a pool is one person's alone."""
    return pool.startswith("\x1f")


def among(name: str | None, names: Iterable[str]) -> bool:
    """Whether a name is in a list, however it is spelled there."""
    key = identity(name or "")
    return bool(key) and key in identities(tuple(names))


@lru_cache(maxsize=256)
def identities(names: tuple[str, ...]) -> frozenset[str]:
    """The identities of names."""
    return frozenset(map(identity, names))


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once, as it was spelled first."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(identity(name), name)
    return tuple(first.values())


def _is_visible(sign: str) -> bool:
    if sign.isspace():
        return True
    return unicodedata.category(sign) not in ("Cf", "Cc", "Cn", "Co", "Cs") and sign not in UNDRAWN


def _joins(text: str, place: int) -> bool:
    """Whether a joiner stands between two letters."""
    beside = text[max(place - 1, 0) : place] + text[place + 1 : place + 2]
    return text[place] in _JOINERS and len(beside) == 2 and all(unicodedata.category(s)[0] in "LM" for s in beside)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The known name that this one most likely was meant to be, or None when nothing is near."""
    known = {n.casefold(): n for n in names}
    cutoff = 0.5 if len(name) <= 4 else 0.6
    matches = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=cutoff)
    return known[matches[0]] if matches else None
