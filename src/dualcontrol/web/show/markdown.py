"""Markdown to safe HTML: no raw HTML, no images from elsewhere, links that tell nothing about the reader."""

from __future__ import annotations

import re

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

CUES = (
    re.compile(r"^#{1,4} \S", re.MULTILINE),
    re.compile(r"^```", re.MULTILINE),
    re.compile(r"(?:^[-*] \S.*\n){2,}", re.MULTILINE),
    re.compile(r"(?:^\d+\. \S.*\n){2,}", re.MULTILINE),
    re.compile(r"\*\*\S[^*\n]*\*\*"),
    re.compile(r"(?<![`\w])(`{1,2})[^`\n]+\1(?![`\w])"),
    re.compile(r"\[[^\]\n]+\]\(https?://[^)\s]+\)"),
    re.compile(r"^\|.+\|\n\|[-: |]+\|", re.MULTILINE),
)
TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
HEADINGS = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "h6": "h6"}
_PARSER = (
    MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True})
    .enable(["table", "strikethrough"])
    .disable("image")
)


def looks_like_markdown(text: str) -> bool:
    """Whether a text was written as markdown; a plain one is shown as it is."""
    return any(cue.search(f"{text}\n") for cue in CUES)


def to_html(text: str) -> Markup:
    """A markdown text as clean HTML, its headings below the page's own."""
    tokens = _PARSER.parse(text)
    for token in tokens:
        token.tag = HEADINGS.get(token.tag, token.tag)
    html = _PARSER.renderer.render(tokens, _PARSER.options, {})
    return Markup(nh3.clean(
        html, tags=TAGS, attributes={"a": {"href"}, "th": set(), "td": set()},
        url_schemes={"http", "https", "mailto"}, link_rel="noopener noreferrer nofollow",
    ))  # fmt: skip
