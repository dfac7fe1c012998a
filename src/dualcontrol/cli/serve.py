"""``serve`` and ``openapi``: the web console with its HTTP API, and the description of that API."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Annotated

import typer

from dualcontrol.cli.command import State, group, verb
from dualcontrol.cli.open import desk_of, settings_of
from dualcontrol.cli.read import write
from dualcontrol.cli.screen import document
from dualcontrol.compose import open as open_desk
from dualcontrol.errors import SettingsError
from dualcontrol.layout import visible
from dualcontrol.settings import Oidc
from dualcontrol.web.access import Provider
from dualcontrol.web.app import create_app
from dualcontrol.web.server import Serving
from dualcontrol.web.shapes import describe

app = group("serve", "Serve.")


@verb(app, "serve", "dualcontrol serve --port 8765", "dualcontrol serve --host 0.0.0.0 --allow-host review.example.org")
def serve(
    state: State,
    host: Annotated[str | None, typer.Option(metavar="HOST", help="Listen here; web.host if not given.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, metavar="PORT", help="Listen there; web.port if not given, 0 any.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="The API token. Better in web.token: others see a command's arguments."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A name this server is reached by; may be repeated.")
    ] = None,
) -> None:
    """Serve the web console and the HTTP API until interrupted; prints the address to open."""
    web = settings_of(state, web={"host": host, "port": port, "token": token}).web
    with desk_of(state, create=True) as desk:
        serving = Serving(
            desk, host=web.host, port=web.port, token=web.token, allowed_hosts=tuple(allow_host or ()),
            provider=None if web.oidc is None else provider_of(web.oidc), url=web.url,
        )  # fmt: skip
        if state.as_json:
            document({"url": serving.url, "entry_url": serving.entry_url, "host": serving.host, "port": serving.port})
        typer.echo(visible(serving.notice()), err=state.as_json)
        with suppress(KeyboardInterrupt):  # how a server is stopped
            serving.run()


def provider_of(settings: Oidc) -> Provider:
    """The provider of the settings; its packages come with an extra, and are read only where one is set."""
    try:
        from dualcontrol.adapters.oidc import Provider as OpenId
    except ImportError as error:
        raise SettingsError(
            f"web.oidc needs a package that is not installed: {error.name}", hint="pip install 'dualcontrol[oidc]'"
        ) from error
    return OpenId(settings)


@verb(app, "openapi", "dualcontrol openapi openapi.json")
def openapi(
    state: State,
    out: Annotated[str, typer.Argument(metavar="[OUT]", help="The file; - is stdout.")] = "-",
) -> None:
    """Write the OpenAPI 3.1 description of the HTTP API."""
    with open_desk("sqlite:///:memory:", durability="process") as desk:
        description = describe(create_app(desk))
    if out == "-":
        return document(description)
    return write(out, json.dumps(description, indent=2, ensure_ascii=False) + "\n")
