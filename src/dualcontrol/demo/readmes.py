"""Sections of the READMEs of installed packages, as plain sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message
from importlib.metadata import distributions
from typing import NamedTuple, cast

from dualcontrol.demo.summaries import sentences

LEAST, MOST = 5, 30
LONGEST = 320
HEADING = re.compile(r"^#{1,3}\s+(.+?)\s*#*$", re.MULTILINE)
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
NOISE = re.compile(r"<[^>]*>|!\[[^\]]*\]\([^)]*\)|^\s*(\[[^\]]+\]:|\||[-=]{3,}).*$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]*)\](\([^)]*\)|\[[^\]]*\])")
VERSION = re.compile(r"v?\d")  # the heading of a changelog's entry
ITEM = re.compile(r"^\s*([*+-]|\d+\.)\s+", re.MULTILINE)


class Section(NamedTuple):
    """One section of a package's README."""

    package: str
    heading: str
    sentences: list[str]

    @property
    def key(self) -> str:
        """A name that the section keeps over restarts."""
        return f"{self.package}/{self.heading}"[:200]


def sections() -> list[Section]:
    """Sections worth summarising, by package and in order; the same for the same installed packages."""
    installed = {d.name.lower(): d for d in distributions() if d.name}
    by_heading: dict[tuple[str, str], Section] = {}
    for package in sorted(installed):
        metadata = cast(Message, installed[package].metadata)
        if "markdown" not in str(metadata.get("Description-Content-Type", "")):
            continue
        # the README is the body of the metadata, or a field of old ones
        for heading, body in parts(str(metadata.get_payload() or metadata.get("Description") or "")):
            text = [s for s in sentences(body) if 30 <= len(s) <= LONGEST and s[-1] in ".!?"]
            if LEAST <= len(text) <= MOST and not VERSION.match(heading):
                by_heading.setdefault((package, heading), Section(package, heading, text))
    return list(by_heading.values())


def parts(markdown: str) -> Iterator[tuple[str, str]]:
    """Headings of a Markdown text with the prose below each."""
    text = NOISE.sub("", FENCED.sub("", markdown))
    pieces = HEADING.split(text)
    for heading, body in zip(pieces[1::2], pieces[2::2], strict=True):
        yield plain(heading), plain(ITEM.sub("", body))


def plain(text: str) -> str:
    """Prose without links and emphasis."""
    return LINK.sub(r"\1", text).replace("**", "").replace("__", "").strip()
