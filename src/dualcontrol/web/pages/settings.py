"""The settings of a loop: each in force beside the file's, who laid what over it, and a form to do so."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from dualcontrol.control import Control
from dualcontrol.desk import Loop
from dualcontrol.errors import DualcontrolError, NotFoundError, Pending, RequestError
from dualcontrol.layout import json_line
from dualcontrol.overrides import SettingRow, settings_of_loop
from dualcontrol.spelling import loose, parsed
from dualcontrol.web.api.settings import as_settings
from dualcontrol.web.deps import Form, Here, LoopName, Who, asks
from dualcontrol.web.pages.site import go, pages_of

router = APIRouter(include_in_schema=False)
KeyName = Annotated[str | None, Query(max_length=200)]
CaseFilter = Annotated[str | None, Query(max_length=80)]


@router.get("/loops/{loop}/settings")
@asks("overview")
def settings(request: Request, loop: LoopName, desk: Here, key: KeyName = None, case: CaseFilter = None) -> Response:
    """The whole page; with a key in the address, the form that changes it; `case` was just opened for a change."""
    control = desk.governing(loop)
    chosen = None if key is None else _row(control, key)
    typed = "" if chosen is None else _typed(chosen)
    return _shown(request, control, chosen, typed, waiting=None if case is None else desk.case(case).id)


@router.post("/loops/{loop}/settings")
@asks("configure")
def change(request: Request, loop: LoopName, desk: Here, visitor: Who, form: Form) -> Response:
    """Lay the value of the form over the file's, or drop what lies there; what is refused stays in the form."""
    opened = Loop(desk, desk.governing(loop))
    key, typed, address = (
        str(form.get("key", "")),
        str(form.get("value", "")),
        f"/loops/{quote(loop, safe='')}/settings",
    )
    try:
        if form.get("act") == "drop":
            opened.drop_override(key, visitor.person)
        else:
            value, seen = _value(typed), parsed(str(form.get("seen", "null")))
            opened.override(key, value, visitor.person, instead_of=seen)
    except Pending as waits:
        return go(f"{address}?{urlencode({'case': waits.case_id})}")
    except DualcontrolError as error:
        chosen = next((row for row in settings_of_loop(opened.control) if row.key == key), None)
        return _shown(request, opened.control, chosen, typed, wrong=error)
    return go(address)


def _shown(
    request: Request, control: Control, chosen: SettingRow | None, typed: str, wrong: DualcontrolError | None = None,
    waiting: str | None = None,
) -> Response:  # fmt: skip
    extra: dict[str, Any] = {"rows": settings_of_loop(control), "chosen": chosen, "typed": typed, "waiting": waiting}
    refusal = None if wrong is None else (wrong.message.removeprefix("argument: "), wrong.hint)
    return pages_of(request).show(
        request, "settings.html", as_settings(control, waiting), control=control, refusal=refusal, line=json_line,
        status=200 if wrong is None else wrong.status, **extra,
    )  # fmt: skip


def _row(control: Control, key: str) -> SettingRow:
    row = next((row for row in settings_of_loop(control) if row.key == key), None)
    if row is None:
        raise NotFoundError(f"loop {control.loop!r} has no setting {key[:80]!r}", hint="Choose one of its page.")
    return row


def _typed(row: SettingRow) -> str:
    """A value as the form holds it: text as it is, unless it could be read as something else; JSON otherwise."""
    value = row.value
    return value if isinstance(value, str) and loose(value) == value else json_line(value)


def _value(text: str) -> Any:
    """The value that a form means: JSON where it is, else the text itself."""
    stripped = text.strip()
    if not stripped:
        raise RequestError("say what the value is to be", hint="null is the default of a setting.")
    if stripped[:1] not in ("{", "[", '"'):
        return loose(stripped)
    try:
        return parsed(stripped)
    except ValueError as error:
        raise RequestError(f"the value is not JSON: {error}", hint="Correct it, and send the form again.") from error
