"""Tidy: an agent that tidies a real folder through gates: it reads alone, renames when sure, and asks to delete.

The agent never waits: a call whose case is open raises `Pending`, and the next pass over the folder makes the same
call again.  Inside the named run equal calls find their own cases, so that a killed agent goes on where it was,
and each effect happens once, with the arguments that were decided.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from dualcontrol.case import JSON
from dualcontrol.desk import Desk
from dualcontrol.errors import EffectError, Pending, Rejected, TimedOut

NAME = "tidy"
MOST_OPEN = 5
EXCERPT = 600
SETTINGS: dict[str, Any] = {
    "mode": "approval",
    "threshold": 0.95,
    "risk_ceiling": "medium",
    "audit": 0.1,
    "autopilot_actions": ["list_files", "read_file"],
    "human_actions": ["delete"],
    "respond_within": "4h",
    "on_timeout": "reject",  # a file that nobody decided on stays where it is
}
# Only in the schema: what an answer says is refused at once; the folder looks again when it happens.
REST = r"[^/\\\0]*"
DOTTED = rf"\.([^./\\\0]{REST})?|\.\.[^/\\\0\n]{REST}"  # a name that begins with a dot and is not ".."
FIRST = rf"([A-Za-z]([^:/\\\0]{REST})?|[^A-Za-z./\\\0]{REST}|{DOTTED})"
NEXT = rf"([^./\\\0]{REST}|{DOTTED})"
INSIDE = {"pattern": rf"^{FIRST}(/+{NEXT})*/*$"}
HELP = "Relative to the folder: no .. in it, no / or drive at its start, no backslash."
Inside = Annotated[str, Field(description=HELP, json_schema_extra=INSIDE)]
WAITS: Any = object()
OVER: Any = object()


class Agent:
    """Tidies one folder in passes; `finished` holds the files it is done with."""

    def __init__(self, desk: Desk, folder: Folder, *, run: str = NAME, most_open: int = MOST_OPEN) -> None:
        self.desk, self.folder, self.run, self.most_open = desk, folder, run, most_open
        gate, task = partial(desk.loop(NAME, **SETTINGS).gate, timeout=0), "tidy the folder"
        # what is behind the gates, and what a reviewer is shown
        self.list_files = gate(
            folder.names, action="list_files",
            context=lambda: {"input": {"task": task}, "rationale": "to see what there is to tidy"},
        )  # fmt: skip
        self.read_file = gate(
            folder.read, action="read_file",
            context=lambda path: {"input": {"task": task, "path": path}, "rationale": "to see what the file is"},
        )  # fmt: skip
        self.rename = gate(folder.rename, action="rename", context=self._about_renaming)
        self.delete = gate(
            folder.delete, action="delete", risk="high", rationale=self._useless,
            context=lambda path: {"input": {"path": path, "text": self.texts[path][:EXCERPT]}},
        )  # fmt: skip
        self.texts: dict[str, str] = {}
        self.names: list[str] | None = None
        self.finished: set[str] = set()
        self.errors: dict[str, str] = {}

    def tidy(self) -> int:
        """One pass: read everything, then act file by file; returns how many files wait for a human."""
        with self.desk.run(self.run):
            if self.names is None:
                names = self._ask("", self.list_files)
                if not isinstance(names, list):
                    return 1
                self.names = names
            waiting = 0
            for name in self.names:
                if name not in self.texts and name not in self.finished:
                    text = self._ask(name, self.read_file, name)
                    if isinstance(text, str):
                        self.texts[name] = text
                    elif text is OVER:
                        self.finished.add(name)
                    waiting += text is WAITS
            if waiting:  # what to do with a file depends on all of them, so that a restart decides the same
                return waiting
            for name in self.names:
                if waiting < self.most_open and name not in self.finished:
                    if self._useless(name) is not None:
                        result = self._ask(name, self.delete, name)
                    else:
                        result = self._ask(name, self.rename, name, target_of(name, self.texts[name]))
                    if result is WAITS:
                        waiting += 1
                    else:
                        self.finished.add(name)
            return waiting

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.names is not None and self.finished >= set(self.names)

    def _ask(self, name: str, gate: Callable[..., Any], *args: str) -> Any:
        try:
            return gate(*args)
        except Pending:
            return WAITS
        except (Rejected, TimedOut):
            return OVER
        except (EffectError, ValueError, OSError) as error:
            self.errors[name] = str(error)
            return OVER

    def _about_renaming(self, path: str, to: str) -> dict[str, JSON]:
        text = self.texts[path]
        kind = kind_of(text)
        words = "one telling word" if kind.hits == 1 else f"{kind.hits} telling words"
        other = {"path": path, "to": f"{kind.second}/{os.path.basename(to)}"}
        return {
            "input": {"path": path, "text": text[:EXCERPT]},
            "rationale": f"{words} of {kind.name}; next likely: {kind.second}",
            "confidence": kind.confidence,
            "alternatives": [{"action": "rename", "args": other, "score": kind.second_confidence}],
        }

    def _useless(self, path: str) -> str | None:
        """Why a file may go, or None when it is worth keeping."""
        text = self.texts[path]
        if not text.strip():
            return "the file is empty"
        same = [other for other in self.texts if self.texts[other] == text]
        first = min(same, key=lambda other: (other.startswith("copy of "), other))
        if first != path:
            return f"it holds the same as {first}"
        return "nothing in it says what it is for" if kind_of(text).hits == 0 else None


def target_of(name: str, text: str) -> str:
    """Where a file belongs: in the folder of its kind, named by the first line that has words."""
    title, suffix = os.path.splitext(os.path.basename(name))
    lines = (WORD.findall(line.lower()) for line in text.splitlines())
    words = next(filter(None, lines), None)
    return f"{kind_of(text).name}/{'-'.join(words[:5]) if words else title}{suffix}"


# What a file is, by the words in it: naive Bayes (Maron 1961) over a handful of telling words for each kind.


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
    most = max(hits.values())
    weights = {name: (HIT / MISS) ** (count - most) for name, count in hits.items()}
    ranked = sorted(weights, key=lambda name: -weights[name])
    first, second = (weights[name] / sum(weights.values()) for name in ranked[:2])
    return Kind(ranked[0], round(min(first, 0.99), 4), ranked[1], round(second, 4), most)


# A folder that an agent may work in: every path is checked on the way, and none leads outside or through a link.


LONGEST = 4_000


class OutsideError(ValueError):
    """A path that leads outside the folder, or through a link."""


class Folder:
    """Files by their path relative to the folder, with forward slashes."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).resolve()

    def inside(self, name: str) -> Path:
        """The place of a relative path, each part of which has been looked at; `OutsideError` otherwise."""
        parts = PurePosixPath(name).parts
        strange = "\x00" in name or "\\" in name or bool(PureWindowsPath(name).drive)
        if not parts or strange or PurePosixPath(name).is_absolute() or ".." in parts:
            raise OutsideError(f"{name!r} leads outside the folder")
        place = self.root
        for part in parts:
            place = place / part
            if place.is_symlink():
                raise OutsideError(f"{name!r} leads through a link")
        return place

    def names(self) -> list[str]:
        """Every file, sorted; links and hidden files are left out."""
        files = (p.relative_to(self.root) for p in self.root.rglob("*") if p.is_file() and not p.is_symlink())
        return sorted(p.as_posix() for p in files if not any(part.startswith(".") for part in p.parts))

    def read(self, path: Inside) -> str:
        """The beginning of a file as text."""
        with self._file(path).open("rb") as file:
            return file.read(LONGEST).decode("utf-8", "replace")

    def rename(self, path: Inside, to: Inside) -> str:
        """Move a file to a path that is free; returns that path."""
        source, target = self._file(path), self.inside(to)
        if target.exists():
            raise FileExistsError(f"{to!r} is there already")
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        return to

    def delete(self, path: Inside) -> str:
        """Delete a file; returns its path."""
        self._file(path).unlink()
        return path

    def _file(self, name: str) -> Path:
        place = self.inside(name)
        if not place.is_file():
            raise FileNotFoundError(f"there is no file {name!r}")
        return place


def copy_samples(root: str | os.PathLike[str]) -> Folder:
    """A folder with a copy of the files that the package ships; one that is there already stays as it is."""
    target = Path(root).absolute()
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".files-") as partial:
            whole = Path(partial) / "files"
            with resources.as_file(resources.files("dualcontrol.demo") / "files") as samples:
                shutil.copytree(samples, whole, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
            whole.rename(target)
    return Folder(target)
