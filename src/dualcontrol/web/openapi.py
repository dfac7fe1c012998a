"""The OpenAPI 3.1 description, completed with the reply shapes of the core's own values."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from dualcontrol import __version__
from dualcontrol.web.shapes import components

ABOUT = """\
Propose, route, review, apply: the whole trip of a case over HTTP.

Errors are problem+json (RFC 9457) with a `code`, which is also a page, and a `hint`.
Times are integer microseconds, UTC.
Integers of any size survive in both directions.
"""


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of this server's API."""
    if app.openapi_schema is None:
        told = get_openapi(
            title="dualcontrol", version=__version__, openapi_version="3.1.0", description=ABOUT, routes=app.routes,
        )  # fmt: skip
        known = told.setdefault("components", {}).setdefault("schemas", {})
        told["components"]["schemas"] = {**components(), **known}
        app.openapi_schema = told
    return app.openapi_schema
