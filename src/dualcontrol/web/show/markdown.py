"""Markdown to safe HTML: no raw HTML, no images from elsewhere, links that tell nothing about the reader.

Only a text that is read in short time is rendered; any other is shown as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from dualcontrol.web.show.literal import literal

LONGEST = 8_000  # characters; some texts cost the square of their length
CELLS = 2_000  # of a table: a short row is filled up to the width of the head
DEEPEST = 18  # lists and quotes in each other; what is deeper, the parser leaves out
TAGS = {
    "a", "b", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s",
    "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
OURS = {"a": {"href"}, "b": {"class"}, "span": {"class", "title"}, "ol": {"start"}}
BLOCK = "<pre><code>{}</code></pre>\n"
HEADINGS = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "h6": "h6"}
_PARSER = (
    MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True})
    .enable(["table", "strikethrough"])
    .disable("image")
)


def rendered(text: str) -> Markup | None:
    """A markdown text as clean HTML, its headings below the page's own; None where it is shown as text."""
    lines = text.split("\n")
    if len(text) > LONGEST or len(lines) * max(line.count("|") for line in lines) > CELLS:
        return None
    tokens = _PARSER.parse(text)
    if any(token.level > DEEPEST for token in tokens):
        return None
    for token in tokens:
        token.tag = HEADINGS.get(token.tag, token.tag)
    html = _PARSER.renderer.render(tokens, _PARSER.options, {})
    return Markup(nh3.clean(
        html, tags=TAGS, attributes=OURS, url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    ))  # fmt: skip


def _rule(form: str) -> Callable[..., str]:
    """How a kind of token is rendered: as it was written, with the characters that hide by their names."""

    def render(self: Any, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        return form.format(literal(tokens[place].content))

    return render


for _kind, _form in (("text", "{}"), ("code_inline", "<code>{}</code>"), ("code_block", BLOCK), ("fence", BLOCK)):
    _PARSER.add_render_rule(_kind, _rule(_form))
