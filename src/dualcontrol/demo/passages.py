"""The package's own docs as passages: the sections of the Markdown pages of `docs/`, ready to be quoted.

A page of an error or a decision is one passage, because its sections answer one question together; of the glossary
each row is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

from dualcontrol.errors import NotFoundError

LEFT_OUT = ("README.md", "status.md", "benchmarks.md", "oversight.md")  # links, what is true of one moment, formulas
WHOLE = ("errors", "decisions")
ASIDE = ("Example", "Alternatives")
ROWS = ("glossary.md",)
FENCE = re.compile(r"^\s*(```|~~~)")
HEADING = re.compile(r"^(#{1,6}) +(.+?) *#*$|^\*\*([^*]+)\.\*\*$")  # also a bold line of its own, as in "**Restore.**"
RUN_IN = 7
COMMENT = re.compile(r"<!--.*?-->\n*", re.DOTALL)
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


class Passage(NamedTuple):
    """A piece of a page that can stand alone: the page, the headings above it, and its Markdown."""

    page: str
    headings: tuple[str, ...]
    text: str

    @property
    def place(self) -> str:
        """Page and section, as people name them."""
        return f"docs/{self.page}, “{self.headings[-1]}”"


def passages(package: Traversable | None = None) -> list[Passage]:
    """The passages of all pages that answer questions."""
    folder = docs_of(package or resources.files("dualcontrol"))
    return [passage for page, text in sorted(_pages(folder)) for passage in of_page(page, text)]


def docs_of(package: Traversable) -> Traversable:
    """The folder of pages: shipped inside the package, or beside the `src` of a checkout."""
    places = [package / "docs"]
    if isinstance(package, Path) and package.parent.name == "src":
        places.append(package.parent.parent / "docs")
    for place in places:
        if place.is_dir():
            return place
    raise NotFoundError(
        f"the pages of docs/ are missing; looked for {' and '.join(map(str, places))}",
        hint="Install dualcontrol from its wheel, or run it from a checkout that has docs/ beside src/.",
    )


def _pages(folder: Traversable, above: str = "") -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _pages(entry, f"{above}{entry.name}/")
        elif entry.name.endswith(".md") and entry.name not in LEFT_OUT:
            yield above + entry.name, entry.read_text(encoding="utf-8")


def of_page(page: str, markdown: str) -> list[Passage]:
    """The passages of one page, in order."""
    own = [Passage(page, headings, text) for headings, text in sections(markdown)]
    if page.split("/")[0] in WHOLE:  # the sections as one passage, without examples and figures
        own = [p for p in own if not any(heading.startswith(ASIDE) for heading in p.headings)]
        texts = (p.text if len(p.headings) == 1 else f"**{p.headings[-1]}.**\n{p.text}" for p in own)
        return [Passage(page, own[0].headings[:1], "\n\n".join(texts))] if own else []
    if page not in ROWS:
        return own
    rows = []  # each row of a table is a definition
    for section in own:
        for line in [line for line in section.text.splitlines() if line.startswith("|")][2:]:
            word, *meaning = (cell.strip().strip("*") for cell in line.strip("|").split("|"))
            rows.append(Passage(page, (*section.headings, word), f"**{word}**: {', '.join(meaning)}"))
    return rows


def sections(markdown: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each section that has text of its own, with the headings above it; a `#` in a code block is no heading."""
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    fenced = False
    for line in [*COMMENT.sub("", markdown).splitlines(), None]:  # None ends the last section
        fenced ^= line is not None and bool(FENCE.match(line))
        heading = None if line is None or fenced else HEADING.match(line)
        if line is not None and heading is None:
            lines.append(line if fenced else LINK.sub(r"\1", line))
            continue
        text = "\n".join(lines).strip()
        if path and text:
            yield tuple(title for _, title in path), text
        if heading is not None:
            level = len(heading[1]) if heading[1] else RUN_IN
            title = (heading[2] or heading[3]).replace("`", "")
            path, lines = [*((n, above) for n, above in path if n < level), (level, title)], []
