"""The app factory: one FastAPI application over a desk, for `server.Serving` or to be mounted into one's own."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.staticfiles import StaticFiles

from dualcontrol import __version__
from dualcontrol.desk import Desk
from dualcontrol.people import Verb
from dualcontrol.web import problem, shapes
from dualcontrol.web.access import Access, Provider
from dualcontrol.web.api import (
    cases,
    claims,
    effects,
    events,
    guarantee,
    inbox,
    loops,
    oversight,
    people,
    settings,
    stop,
)
from dualcontrol.web.deps import Here, asks, authorised, check_query
from dualcontrol.web.guard import Guard
from dualcontrol.web.pages import account, case, entry, front, review, value
from dualcontrol.web.pages import guarantee as guarantee_page
from dualcontrol.web.pages import inbox as inbox_page
from dualcontrol.web.pages import oversight as oversight_page
from dualcontrol.web.pages import people as people_page
from dualcontrol.web.pages import provider as provider_page
from dualcontrol.web.pages import settings as settings_page
from dualcontrol.web.pages import stop as stop_page
from dualcontrol.web.pages.site import STATIC, Pages
from dualcontrol.web.reply import Head, reply
from dualcontrol.web.settler import Settler

PAGES = (
    front, inbox_page, review, case, guarantee_page, oversight_page, settings_page, stop_page, people_page, account,
    entry, provider_page, value,
)  # fmt: skip
API = "/api/v1"
RESOURCES = (
    cases.router, claims.router, claims.answers, effects.router, inbox.router, loops.router, guarantee.router,
    oversight.router, settings.router, events.router, stop.router, people.router,
)  # fmt: skip


def create_app(
    desk: Desk, *, token: str | None = None, host: str = "127.0.0.1", port: int = 8765,
    allowed_hosts: Sequence[str] = (), people: Sequence[str] = (), provider: Provider | None = None,
    url: str | None = None,
) -> FastAPI:  # fmt: skip
    """The console and the API of a desk; `app.state.access` holds the tokens (`token` None: one is drawn).

    `host` and `port` are where it will be reached.  With `people` it is a demo, which has no accounts and listens on
    this machine only: whoever comes in by the printed address may switch between these names.  `provider` is who
    vouches for people besides their passwords, `url` where they reach this server, if that is not what they ask for.
    """
    access = Access(
        desk, token=token, host=host, port=port, allowed=allowed_hosts, people=people, provider=provider, url=url
    )
    app = FastAPI(
        title="dualcontrol", version=__version__, docs_url=None, redoc_url=None, openapi_url=f"{API}/openapi.json",
        redirect_slashes=False, dependencies=[Depends(authorised)],  # of what is added later as well
    )  # fmt: skip
    app.state.desk = desk
    app.state.access = access
    app.state.courses = guarantee.Courses(desk)
    app.state.settler = Settler(desk)
    app.state.pages = Pages(desk, access)
    app.router.routes.extend(routes())
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    problem.install(app)
    app.openapi = lambda: shapes.describe(app)  # type: ignore[method-assign]
    app.add_middleware(Guard, access=access)
    app.add_middleware(Head)
    return app


@functools.cache
def routes() -> list[BaseRoute]:
    """The routes of API and pages, each behind the question who may; the same for every server of this process.

    FastAPI works out what each route takes when the route is first asked for, which is half a second for all of them.
    """
    bearer: Any = Security(HTTPBearer(auto_error=False, description="The API token that `dualcontrol serve` prints."))
    every = APIRouter(dependencies=[Depends(authorised)])
    api = APIRouter(prefix=API, default_response_class=Response)
    for resource in RESOURCES:
        api.include_router(resource, dependencies=[bearer, Depends(check_query)])
    api.add_api_route("/health", health, tags=["health"], openapi_extra={"security": []}, responses={
        status: described for status, described in shapes.replies(shapes.Health).items() if status in (200, 421, 503)
    })  # fmt: skip
    every.include_router(api)
    for page in PAGES:
        every.include_router(page.router)
    return every.routes


class Address(NamedTuple):
    """One address of the server, and what it asks of a visitor: a verb of `people.may`, or None: nothing."""

    method: str
    path: str
    asks: Verb | None


def addresses() -> list[Address]:
    """Every address of API and pages, in the order of the code: the rows of the role matrix."""
    routers = [(API, router) for router in RESOURCES] + [("", page.router) for page in PAGES]
    listed = [Address("GET", f"{API}/health", None)]
    for prefix, router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                asked: Any = route.endpoint
                listed += [Address(m, prefix + route.path, asked.asks) for m in sorted(route.methods or ())]
    return listed


@asks(None)
def health(desk: Here) -> Response:
    """Whether the server answers and its database does."""
    desk.loops()
    return reply(shapes.Health(status="ok", version=__version__))
