"""What all pages share: templates, the visitor, the counts in the top bar, the JSON twin."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from msgspec.structs import asdict
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dualcontrol.case import JSON
from dualcontrol.desk import Desk
from dualcontrol.people import may
from dualcontrol.stop import stops
from dualcontrol.web.access import Access, Visitor
from dualcontrol.web.pages.waiting import Waiting, summed
from dualcontrol.web.reply import reply, wants_json
from dualcontrol.web.shapes import Shape
from dualcontrol.web.show import literal, words
from dualcontrol.web.show.content import Look
from dualcontrol.web.show.history import history

STATIC = Path(__file__).parent.parent / "static"
# How many of each stand on a page; what is beyond them is counted, and linked.
LIMITS = {"most_panes": 24, "most_ranked": 24, "most_alternatives": 24, "most_answers": 40}

FIRST = ("base.html", "sign_in.html", "front.html", "inbox.html")


@functools.cache
def environment() -> Environment:
    """The templates of this process with what they call, compiled once however many servers it runs."""
    env = Environment(
        loader=PackageLoader("dualcontrol.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, extensions=["jinja2.ext.do"], finalize=literal.finalize,
    )  # fmt: skip
    release = hashlib.sha256()  # of all static files, so that browsers fetch a new release at once
    for path in sorted(STATIC.iterdir()):
        release.update(path.read_bytes())
    env.filters.update(inline=literal.inline, exact=literal.exact)
    env.globals.update(
        words=words, named=literal.named, story=history, icon=icon, static=release.hexdigest()[:10], **LIMITS
    )
    return env


class Pages:
    """Renders templates and twins for one desk."""

    def __init__(self, desk: Desk, access: Access) -> None:
        self.desk = desk
        self.access = access
        self.waiting = Waiting(desk)
        self.env = environment()

    def warm(self) -> None:
        """Compile the templates that people meet first, so that nobody waits for it on their first page."""
        names = sorted(self.env.list_templates(), key=lambda name: name not in FIRST)
        for name in names:
            self.env.get_template(name)

    def show(
        self, request: Request, template: str, data: dict[str, JSON] | Shape, *, status: int = 200,
        nav: dict[str, int] | None = None, **extra: Any,
    ) -> Response:  # fmt: skip
        """A page from what it shows, or that as JSON; `extra` is for the template only.

        `nav` are the counts in the top bar, where the page has counted already.
        """
        if wants_json(request.scope):
            return reply(data, status)
        visitor: Visitor | None = request.scope["state"].get("visitor")
        around = {
            "visitor": visitor,
            "permits": permits(visitor),
            "demo_people": self.access.people,
            "csrf": self.access.csrf(visitor) if visitor and visitor.session else "",
            "nav": (nav or summed(self.waiting.by_loop(visitor.person))) if visitor else {},
            "now": self.desk.steps.now(),
            "here": request.url.path,
            "person": visitor.person if visitor else "",
            "look": Look(),
            "banner": stops(self.desk.store) if visitor else None,
        }
        fields = asdict(data) if isinstance(data, Shape) else data
        body = self.env.get_template(template).render({**around, **fields, **extra})
        return HTMLResponse(body, status_code=status, headers={"Vary": "Accept, Cookie"})


def permits(visitor: Visitor | None) -> dict[str, bool]:
    """What the menu offers a visitor: cases and the accounts of others, where their roles include them."""
    if visitor is None or visitor.sets_up:
        return {"read": False, "people": False}
    return {
        "read": may(visitor.principal, "read") is None, "people": may(visitor.principal, "people") is None
    }  # fmt: skip


def icon(name: str) -> Markup:
    """An inline icon by name; decorative, the words stand beside it."""
    return Markup(
        '<svg class="icon" aria-hidden="true" width="16" height="16"><use href="/static/icons.svg#{0}"/></svg>'
    ).format(name)


def pages_of(request: Request) -> Pages:
    """The pages of this server."""
    pages: Pages = request.app.state.pages
    return pages


def go(address: str) -> Response:
    """Send a browser on after a form was taken."""
    return RedirectResponse(address, status_code=303)
