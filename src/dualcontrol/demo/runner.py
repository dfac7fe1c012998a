"""``dualcontrol demo``: four loops with simulated proposals, and the console to review them in."""

from __future__ import annotations

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
COLLEAGUES = ("Ana", "Ben", "Cleo")


def run_demo(
    database: str | None = None, host: str = "127.0.0.1", port: int = 8765, seed: int = 0, *,
    say: Callable[[str], None] = print,
) -> None:  # fmt: skip
    """Open the demo's database, start its four loops and serve the console until interrupted."""
    url = database or DATABASE
    folder = files_folder(url)
    with open_desk(url) as desk:
        # the app is built before the feeders' threads begin: both silence warnings, which is one switch for all threads
        server = import_module("dualcontrol.web.server")
        serving = server.Serving(desk, host=host, port=port, people=people(), any_port=True, trains=False)
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


def people() -> tuple[str, ...]:
    """Who may review in the demo: the system's user, and colleagues to switch to, for what takes two."""
    you = import_module("dualcontrol.web.access").default_person()
    return tuple(dict.fromkeys((you, *COLLEAGUES)))


def open_desk(url: str) -> Desk:
    """A desk for the demo; no settings file is read."""
    settings = Settings(database=Database(url=url, durability="process"), models=model_folder(url))
    return compose.open(settings=settings)


def files_folder(url: str) -> Path:
    """The folder that the tidy loop works in: beside a SQLite file, else in the working directory."""
    models = model_folder(url)
    return Path(models.removesuffix(".db.models") + "-files") if models.endswith(".db.models") else Path(FILES)
