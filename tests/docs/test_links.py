"""Every link between pages leads somewhere, and every page is reached from the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def links(page: Path) -> list[tuple[Path, str]]:
    """The pages and anchors that a page points to; what lies elsewhere on the net is left out."""
    targets = re.findall(r"(?<!!)\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    parts = [target.partition("#") for target in targets if not re.match(r"[a-z]+:", target)]
    return [((page.parent / name).resolve() if name else page, anchor) for name, _, anchor in parts]


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere(page: Path) -> None:
    for found, anchor in links(page):
        assert found.exists(), found
        assert not anchor or anchor in anchors(found), f"{found}#{anchor}"


def test_every_page_is_reached_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [DOCS / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            waiting += [found for found, _ in links(page) if found.suffix == ".md" and DOCS in found.parents]
    assert reached >= set(PAGES)
