"""What every command knows: where the settings and the database are, and how to print."""

from __future__ import annotations

import getpass


class State:
    """The options that hold for the whole call; given before the command or after it."""

    def __init__(self) -> None:
        self.as_json = False
        self.database: str | None = None
        self.settings: str | None = None

    def take(self, as_json: bool, database: str | None, settings: str | None) -> None:
        """Lay options over those that were given before; what is not given stays."""
        self.as_json = self.as_json or as_json
        self.database = database or self.database
        self.settings = settings or self.settings


def os_user() -> str:
    """The name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no entry for the user id, as in a bare container
        return "unknown"
