"""Strict JSON bodies: what they are must be said, each key stands once, integers stay exact.

NaN, infinities, lone surrogates and runaway nesting are refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any, NoReturn

from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dualcontrol.case import once
from dualcontrol.names import nearest

SAY = "send it with Content-Type: application/json"


def parse(body: bytes) -> Any:
    """The JSON value of a body; `json.JSONDecodeError` says what is not JSON in it."""
    try:
        text = body.decode()
        value = json.loads(text, parse_constant=_refuse, object_pairs_hook=once)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deeply", "", 0) from error
    except UnicodeError as error:
        raise json.JSONDecodeError("text that UTF-8 cannot carry", "", 0) from error
    except ValueError as error:
        raise json.JSONDecodeError(str(error), "", 0) from error
    return value


def _refuse(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is not a JSON value", "", 0)


class StrictRequest(Request):
    """A request whose JSON is read strictly."""

    async def json(self) -> Any:
        """The body as JSON."""
        return parse(await self.body())


def check_media(header: str) -> None:
    """Refuse a body that does not say that it is JSON in UTF-8: a form or a text that looks like it is none."""
    if not header.strip():
        raise HTTPException(415, f"the request has a body, and has no Content-Type that says what it is; {SAY}")
    media = Message()
    media["Content-Type"] = header
    kind = media.get_content_type()
    if media.get_params([])[0][0].casefold() != kind or not (kind == "application/json" or _is_json_suffix(kind)):
        raise HTTPException(415, f"the body is said to be {header[:80]!r}, and only JSON is read here; {SAY}")
    charset = str(media.get_param("charset", "utf-8")).casefold()
    if charset not in ("utf-8", "utf8"):
        raise HTTPException(415, f"JSON is read as UTF-8, not as {charset[:40]!r}; {SAY}")


def _is_json_suffix(kind: str) -> bool:
    return kind.startswith("application/") and kind.endswith("+json")


class StrictRoute(APIRoute):
    """A route that reads its body through `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual handler, given the strict request."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            strictly = StrictRequest(request.scope, request.receive)
            if self.body_field is not None and await strictly.body():
                check_media(request.headers.get("content-type", ""))
            return await handler(strictly)

        return strict


# The field that was most likely meant.


def field(name: str, route: object) -> str | None:
    """The nearest known name to an unknown field of a route's body."""
    if not isinstance(route, APIRoute) or route.body_field is None:
        return None
    names: list[str] = []
    for kind in _models(route.body_field.field_info.annotation):
        names += [f.alias or n for n, f in kind.model_fields.items()]
    return nearest(name, names)


def _models(annotation: object) -> list[type[BaseModel]]:
    parts = (annotation, *getattr(annotation, "__args__", ()))
    return [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
