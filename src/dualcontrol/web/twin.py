"""Every page has a JSON twin: the same address with ``.json``, or with ``Accept: application/json``."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers

SUFFIX = ".json"
API = "/api/"


def strip_suffix(scope: MutableMapping[str, Any]) -> None:
    """Take ``.json`` off a page's path and remember that its twin was asked for."""
    path: str = scope["path"]
    if path.endswith(SUFFIX) and not path.startswith((API, "/static/")):
        scope["path"] = path.removesuffix(SUFFIX) or "/"
        scope["raw_path"] = scope["path"].encode()
        scope["state"]["twin"] = True


def wants_json(scope: Any) -> bool:
    """Whether this request is answered with JSON: the API, a twin's address, or a client that accepts no page."""
    if scope["path"].startswith(API) or scope.get("state", {}).get("twin"):
        return True
    accept = Headers(scope=scope).get("accept", "")
    return "application/json" in accept and "text/html" not in accept
