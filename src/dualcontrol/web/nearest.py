"""The field that was most likely meant."""

from __future__ import annotations

from fastapi.routing import APIRoute
from pydantic import BaseModel

from dualcontrol.settings import nearest


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
