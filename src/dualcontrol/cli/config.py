"""Command ``config show``: every setting in force, and where it came from."""

from __future__ import annotations

import json

from dualcontrol.cli.command import State, group, verb
from dualcontrol.cli.open import settings_of
from dualcontrol.cli.screen import document, show, table
from dualcontrol.layout import written
from dualcontrol.settings import masked

config_app = group("config", "Show the settings in force.")


@verb(config_app, "show", "dualcontrol config show --json")
def show_settings(state: State) -> None:
    """Show every key with its value and where it came from; secrets are masked."""
    rows = masked(settings_of(state))
    if state.as_json:
        plain = json.loads(json.dumps({key: {"value": value, "origin": origin} for key, value, origin in rows}))
        return document(plain)
    cells = [[key, "" if value is None else written(value), origin] for key, value, origin in rows]
    return show(table(("key", "value", "from"), cells))
