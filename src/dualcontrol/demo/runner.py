"""``dualcontrol demo``: four loops with simulated proposals, and the console to review them in."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from dualcontrol import compose
from dualcontrol.demo import start
from dualcontrol.desk import Desk
from dualcontrol.settings import Database, Settings
from dualcontrol.settings.place import model_folder

DATABASE = "sqlite:///dualcontrol-demo.db"
FILES = "dualcontrol-demo-files"
PATIENCE = 20.0


def run_demo(
    database: str | None = None, host: str = "127.0.0.1", port: int = 8765, seed: int = 0, *,
    say: Callable[[str], None] = print,
) -> None:  # fmt: skip
    """Open the demo's database, start its four loops and serve the console until interrupted."""
    url = database or DATABASE
    folder = files_folder(url)
    try:  # who reviews in this browser, unless they say otherwise: the system's user
        person = getpass.getuser()
    except (KeyError, OSError, ImportError):
        person = "reviewer"
    with open_desk(url) as desk:
        # the app is built before the feeders' threads begin: both silence warnings, which is one switch for all threads
        server = import_module("dualcontrol.web.server")
        serving = server.Serving(desk, host=host, port=port, person=person, any_port=True, trains=False)
        feeders = start(desk, folder, seed)
        try:
            say(f"The demo keeps its records in {url.rpartition('@')[2]} and tidies {folder}; stop it, and it goes on.")
            feeders.wait_ready(PATIENCE)
            say(serving.notice())
            serving.run()
        except KeyboardInterrupt:  # how a demo is stopped
            return
        finally:
            feeders.stop()


def open_desk(url: str) -> Desk:
    """A desk for the demo; no settings file is read."""
    settings = Settings(database=Database(url=url, durability="process"), models=model_folder(url))
    return compose.open(settings=settings)


def files_folder(url: str) -> Path:
    """The folder that the tidy loop works in: beside a SQLite file, else in the working directory."""
    models = model_folder(url)
    return Path(models.removesuffix(".db.models") + "-files") if models.endswith(".db.models") else Path(FILES)
