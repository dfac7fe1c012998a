"""Running the console: a port, uvicorn, a sweeper beside it, and the address to open."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from dualcontrol import __version__
from dualcontrol.desk import Desk
from dualcontrol.doctor.database import LagLog
from dualcontrol.errors import ServeError, StoreError
from dualcontrol.learn.training import train_all_due
from dualcontrol.store import Store
from dualcontrol.web.access import Access, Provider, address, bracketed
from dualcontrol.web.app import create_app
from dualcontrol.web.settler import Settler

log = logging.getLogger("dualcontrol.web")
SWEEP_EVERY = 1.0
TRAIN_EVERY = 10.0
GRACE = 2


class Serving:
    """A console on a port: its app, its addresses, and how to run and stop it.

    `ServeError` when the port is taken, unless `any_port` will do.
    """

    def __init__(
        self, desk: Desk, *, host: str = "127.0.0.1", port: int = 8765, token: str | None = None,
        allowed_hosts: Sequence[str] = (), any_port: bool = False, trains: bool = True, people: Sequence[str] = (),
        provider: Provider | None = None, url: str | None = None,
    ) -> None:  # fmt: skip
        self.desk = desk
        self.trains = trains
        self.configured = token is not None
        self.socket = listening(host, port, any_port=any_port)
        self.host, self.port = host, int(self.socket.getsockname()[1])
        self.app: FastAPI = create_app(
            desk, token=token, host=host, port=self.port, allowed_hosts=allowed_hosts, people=people, provider=provider,
            url=url,
        )  # fmt: skip
        self.access: Access = self.app.state.access
        logging.getLogger("uvicorn.access").addFilter(without_query)
        self._server = uvicorn.Server(uvicorn.Config(
            self.app, log_level="warning", server_header=False, date_header=True, timeout_graceful_shutdown=GRACE,
            lifespan="off", ws="none",
        ))  # fmt: skip
        self._stopped = threading.Event()
        self.after_sequence: list[Callable[[Store], None]] = [LagLog()]  # called once a second, in the background

    @property
    def url(self) -> str:
        """The address of the front page."""
        return address(self.host, self.port) if self.access.url is None else f"{self.access.url}/"

    @property
    def entry_url(self) -> str:
        """The address that lets one browser in, once."""
        return f"{self.url}?token={self.access.entry}"

    def notice(self) -> str:
        """What a person who started the server reads first."""
        token = "the one you configured" if self.configured else self.access.token
        ways = (f"  sign in             {self.url}sign-in", "")
        if self.access.people:
            ways = (f"  open in a browser   {self.entry_url}", "works once; a restart prints a new one")
        elif not self.access.begun:
            ways = (
                f"  set it up           {self.entry_url}",
                "makes the first admin; works once, a restart prints a new one",
            )
        lines = [f"dualcontrol {__version__} serves {self.url}", ways[0]]
        lines += [f"{'':22}({ways[1]})"] if ways[1] else []
        lines += [f"  API token           {token}", f"{'':22}(proposes and reads; it decides nothing)"]
        if self.desk.store.durability == "process":
            lines.append('  durability          "process": what was acknowledged survives a crash, not a power cut')
        return "\n".join(lines)

    def run(self) -> None:
        """Serve until a signal or `stop`; meanwhile sweeps every second and trains the loops that are due."""
        settler: Settler = self.app.state.settler
        beside = [
            threading.Thread(target=self._sweep, name="dualcontrol-sweeper", daemon=True),
            threading.Thread(target=settler.run, name="dualcontrol-settler", daemon=True),
        ]
        if self.trains:
            beside.append(threading.Thread(target=self._train, name="dualcontrol-trainer", daemon=True))
        for thread in beside:
            thread.start()
        warm = threading.Thread(target=self.app.state.pages.warm, name="dualcontrol-templates", daemon=True)
        warm.start()  # nobody waits for it at the end
        try:
            self._server.run(sockets=[self.socket])
        finally:
            self._stopped.set()
            settler.stop()
            for thread in beside:
                thread.join(timeout=5)
            self.socket.close()

    def stop(self) -> None:
        """Ask the server to end."""
        self._server.should_exit = True

    @property
    def started(self) -> bool:
        """Whether requests are answered by now."""
        return bool(self._server.started)

    def _train(self) -> None:
        while not self._stopped.wait(TRAIN_EVERY):
            try:
                for report in train_all_due(self.desk):
                    log.info("%s", report)
            except StoreError as error:
                log.warning("nothing trained this time: %s", error.message)
            except Exception as error:  # the next round may do better; its words may hold what people wrote
                log.warning("nothing trained this time: %s", type(error).__name__)

    def _sweep(self) -> None:
        rest = SWEEP_EVERY
        while not self._stopped.wait(rest):
            begun = time.monotonic()
            try:
                self.desk.sweep(seconds=SWEEP_EVERY)
                while self.desk.store.sequence() and not self._stopped.is_set():
                    pass  # what was swept may be more than one call takes
                for hook in self.after_sequence:
                    try:
                        hook(self.desk.store)
                    except Exception:  # neither the next hook nor the next sweep waits for it
                        log.exception("what is called after the sequencer failed: %r", hook)
            except StoreError as error:
                log.warning("nothing swept this time: %s", error.message)
            except Exception:  # a sweeper that ended would leave all later cases undone
                log.exception("nothing swept this time")
            rest = max(0.0, SWEEP_EVERY - (time.monotonic() - begun))


@contextmanager
def background(desk: Desk, **options: object) -> Iterator[Serving]:
    """A server in a thread of its own while the block runs (demo, tests, notebooks)."""
    serving = Serving(desk, **options)  # type: ignore[arg-type]
    thread = threading.Thread(target=serving.run, name="dualcontrol-server", daemon=True)
    thread.start()
    try:
        while not serving.started and thread.is_alive():
            thread.join(0.02)
        yield serving
    finally:
        serving.stop()
        thread.join(timeout=10)


def listening(host: str, port: int, *, any_port: bool = False) -> socket.socket:
    """A listening socket; when the port is taken another is tried only where any will do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address = (host.strip("[]"), port)
    try:
        return socket.create_server(address, family=family, backlog=2048)
    except OSError as error:
        if any_port and port:
            return listening(host, 0)
        raise ServeError(f"cannot listen on {bracketed(host)}:{port}: {error.strerror or error}") from error


def without_query(record: logging.LogRecord) -> bool:
    """A log filter: the query string of a request may hold a token and is never written."""
    if isinstance(record.args, tuple):
        record.args = tuple(a.partition("?")[0] if isinstance(a, str) and "?" in a else a for a in record.args)
    return True
