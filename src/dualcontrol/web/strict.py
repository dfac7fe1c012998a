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

    def refuse(name: str) -> NoReturn:
        raise json.JSONDecodeError(f"{name} is not a JSON value", "", 0)

    try:
        text = body.decode()
        value = json.loads(text, parse_constant=refuse, object_pairs_hook=once)
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


class StrictRequest(Request):
    """A request whose JSON is read strictly."""

    async def json(self) -> Any:
        """The body as JSON."""
        return parse(await self.body())


class StrictRoute(APIRoute):
    """A route that reads its body through `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual handler, given the strict request; 415 where a body does not say that it is JSON in UTF-8."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            strictly = StrictRequest(request.scope, request.receive)
            if self.body_field is None or not await strictly.body():
                return await handler(strictly)
            header = request.headers.get("content-type", "")
            if not header.strip():
                raise HTTPException(415, f"the request has a body, and has no Content-Type that says what it is; {SAY}")
            media = Message()
            media["Content-Type"] = header
            kind = media.get_content_type()
            is_json = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
            if media.get_params([])[0][0].casefold() != kind or not is_json:
                raise HTTPException(415, f"the body is said to be {header[:80]!r}, and only JSON is read here; {SAY}")
            charset = str(media.get_param("charset", "utf-8")).casefold()
            if charset not in ("utf-8", "utf8"):
                raise HTTPException(415, f"JSON is read as UTF-8, not as {charset[:40]!r}; {SAY}")
            return await handler(strictly)

        return strict


def nearest_field(name: str, route: object) -> str | None:
    """The field of a route's body that an unknown one was most likely meant to be."""
    if not isinstance(route, APIRoute) or route.body_field is None:
        return None
    annotation = route.body_field.field_info.annotation
    names: list[str] = []
    for kind in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += [field.alias or name for name, field in kind.model_fields.items()]
    return nearest(name, names)
