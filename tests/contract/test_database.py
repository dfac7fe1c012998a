"""The database around the store: schema, durability, full disks, lost servers, copies."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from postgres_server import OwnServer, Server
from store_cases import concluded, define, propose, step

from dualcontrol.errors import (
    MissingExtraError,
    SchemaError,
    SettingsError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)
from dualcontrol.store import Store
from dualcontrol.store.sql import open_store, upgrade
from dualcontrol.store.sql.schema import HEAD, REVISIONS, VERSION_TABLE


def run_python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def execute(url: str, statement: str) -> None:
    """Change a database behind the store's back."""
    if url.startswith("sqlite"):
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    else:
        import psycopg

        connection = psycopg.connect(url, autocommit=True)
    connection.execute(statement)
    connection.close()


# schema


def test_a_database_is_created_once_and_keeps_its_secret(lasting_url: str) -> None:
    first = open_store(lasting_url)
    second = open_store(lasting_url)
    assert first.secret() == second.secret()
    assert len(first.secret()) == 32
    first.close()
    second.close()
    third = open_store(lasting_url)
    assert third.describe()["revision"] == HEAD
    third.close()


def test_processes_that_open_a_new_database_at_once_share_it(lasting_url: str) -> None:
    stores: list[Store] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            stores.append(open_store(lasting_url))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len({store.secret() for store in stores}) == 1
    for store in stores:
        store.close()


def test_a_newer_schema_is_refused_by_name(lasting_url: str) -> None:
    open_store(lasting_url).close()
    execute(lasting_url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    for attempt in (open_store, upgrade):
        with pytest.raises(SchemaError, match="9999") as refused:
            attempt(lasting_url)
        assert "Upgrade dualcontrol" in refused.value.hint


def test_an_older_schema_asks_for_the_upgrade(lasting_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(lasting_url).close()
    monkeypatch.setattr("dualcontrol.store.sql.engine.HEAD", "9998")
    monkeypatch.setattr("dualcontrol.store.sql.engine.REVISIONS", (*REVISIONS, "9998"))
    with pytest.raises(SchemaError, match=HEAD) as refused:
        open_store(lasting_url)
    assert "dualcontrol db upgrade" in refused.value.hint


def test_an_upgrade_from_nothing_ends_at_the_newest_revision(lasting_url: str) -> None:
    from alembic.script import ScriptDirectory

    from dualcontrol.store.sql.migrations import configuration

    scripts = ScriptDirectory.from_config(configuration())
    assert [script.revision for script in scripts.walk_revisions()] == [*reversed(REVISIONS)]
    assert upgrade(lasting_url) == HEAD
    assert upgrade(lasting_url) == HEAD
    store = open_store(lasting_url)
    define(store)
    assert len(store.secret()) == 32
    assert propose(store, key="k").seq == 1
    store.close()


def test_a_database_of_the_first_revision_is_brought_to_this_one(lasting_url: str) -> None:
    store = open_store(lasting_url)
    define(store)
    case = propose(store, key="k")
    store.close()
    downgrade(lasting_url, "0001")
    with pytest.raises(SchemaError, match="0001") as refused:
        open_store(lasting_url)
    assert "dualcontrol db upgrade" in refused.value.hint
    assert upgrade(lasting_url) == HEAD
    store = open_store(lasting_url)
    assert store.queries.case(case.id) == case
    assert propose(store, likeness="a").seq == 1
    store.close()


def downgrade(url: str, revision: str) -> None:
    """Take a database back to an older revision."""
    from alembic import command

    from dualcontrol.store.sql.dialect import open_dialect
    from dualcontrol.store.sql.migrations import configuration

    dialect = open_dialect(url, "process", None)
    with dialect.engine().begin() as connection:
        settings = configuration()
        settings.attributes["connection"] = connection
        command.downgrade(settings, revision)
    dialect.close()


def schema_of(url: str) -> list[str]:
    """Every table, column and index, as the database describes it."""
    if url.startswith("sqlite"):
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"))
        queries = [
            "SELECT t.name || ' ' || t.wr || ' ' || c.cid || ' ' || c.name || ' ' || c.type || ' ' || c.\"notnull\" "
            "|| ' ' || coalesce(c.dflt_value, '') || ' ' || c.pk FROM pragma_table_list t, pragma_table_info(t.name) c",
            "SELECT name || ' ' || coalesce(sql, '') FROM sqlite_master WHERE type = 'index'",
        ]
    else:
        import psycopg

        connection = psycopg.connect(url)
        queries = [
            "SELECT concat_ws(' ', table_name, ordinal_position, column_name, data_type, is_nullable, column_default) "
            "FROM information_schema.columns WHERE table_schema = 'public'",
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
        ]
    found = [row[0] for query in queries for row in connection.execute(query).fetchall()]
    connection.close()
    return sorted(" ".join(text.split()).replace("( ", "(").replace(" )", ")") for text in found)


def test_both_ways_to_a_sqlite_schema_meet(tmp_path: Path) -> None:
    created, migrated = (f"sqlite:///{tmp_path}/{name}.db" for name in ("created", "migrated"))
    open_store(created).close()
    upgrade(migrated)
    assert schema_of(created) == schema_of(migrated)
    assert len(schema_of(created)) > 40


@pytest.mark.postgres
def test_both_ways_to_a_postgresql_schema_meet(postgres_server: Server) -> None:
    created, migrated = postgres_server.new_database(), postgres_server.new_database()
    open_store(created).close()
    upgrade(migrated)
    assert schema_of(created) == schema_of(migrated)
    assert len(schema_of(created)) > 100
    for url in (created, migrated):
        postgres_server.drop_database(url)


def test_a_failed_migration_leaves_nothing_behind(lasting_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        upgrade(lasting_url)
    monkeypatch.undo()
    open_store(lasting_url).close()


def test_opening_imports_neither_alembic_nor_psycopg_for_sqlite(tmp_path: Path) -> None:
    code = (
        "import sys; from dualcontrol.store.sql import open_store; "
        f"open_store('sqlite:///{tmp_path}/a.db').close(); open_store('sqlite:///{tmp_path}/a.db').close(); "
        "print([m for m in ('alembic', 'psycopg', 'sqlalchemy.orm') if m in sys.modules])"
    )
    assert run_python(code) == "[]"


def test_without_psycopg_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from dualcontrol.store.sql import open_store\n"
        "from dualcontrol.errors import MissingExtraError\n"
        "try: open_store('postgresql://localhost/x')\n"
        "except MissingExtraError as error: print(error.hint)"
    )
    assert "dualcontrol[postgres]" in run_python(code)
    assert issubclass(MissingExtraError, Exception)


# addresses


@pytest.mark.parametrize("url", ["mysql://x", "dualcontrol.db", "", "sqlit:///x"])
def test_addresses_of_other_kinds_are_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        open_store(url)
    with pytest.raises(SettingsError):
        open_store("sqlite://", durability="hope")


def test_addresses_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_store("sqlite:///relative.db").close()
    open_store(f"sqlite:///{tmp_path}/with%20space.db").close()
    assert sorted(p.name for p in tmp_path.glob("*.db")) == ["relative.db", "with space.db"]
    for url in ("sqlite://", "sqlite:///:memory:"):
        store = open_store(url)
        assert store.describe()["dialect"] == "sqlite"
        store.close()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.postgres
def test_a_driver_in_the_address_changes_nothing(postgres_url: str) -> None:
    store = open_store(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    assert store.describe()["dialect"] == "postgresql"
    store.close()


def test_a_place_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        open_store(f"sqlite:///{tmp_path}/no/such/folder.db")
    (tmp_path / "text.db").write_text("this is no database, " * 100)
    with pytest.raises(StoreError):
        open_store(f"sqlite:///{tmp_path}/text.db")
    with pytest.raises(StoreUnavailableError):
        open_store("postgresql://nobody@127.0.0.1:1/nothing")


# durability and time


@pytest.mark.parametrize("durability", ["power", "process"])
def test_durability_is_read_back(lasting_url: str, durability: str) -> None:
    store = open_store(lasting_url, durability=durability)
    found = store.describe()
    if found["dialect"] == "sqlite":
        assert found["journal_mode"] == "wal"
        assert found["synchronous"] == {"power": 2, "process": 1}[durability]
    else:
        assert found["synchronous_commit"] == {"power": "on", "process": "off"}[durability]
        assert found["fsync"] == "on"
    store.close()


def test_a_claim_may_be_written_with_less(lasting_url: str) -> None:
    store = open_store(lasting_url)
    define(store)
    case = propose(store)
    with store.transaction(durable=False) as tx:
        found = tx.load(case.id)
        assert found == case
    described = store.describe()
    assert described.get("synchronous", described.get("synchronous_commit")) in (2, "on")
    store.close()


def test_time_is_the_databases_or_the_injected_clocks(database_url: str) -> None:
    store = open_store(database_url)
    with store.transaction() as tx:
        assert abs(tx.now - time.time_ns() // 1000) < 60_000_000
        assert isinstance(tx.now, int)
        assert tx.now == tx.now
    store.close()
    ticks = iter(range(1000, 2000))
    if database_url != "sqlite:///:memory:":
        store = open_store(database_url, clock=lambda: next(ticks))
        with store.transaction() as tx:
            first = tx.now
        with store.transaction() as tx:
            assert tx.now == first + 1
        store.close()


# trouble


def test_a_full_database_is_said_to_be_full_and_recovers(tmp_path: Path) -> None:
    store: Any = open_store(f"sqlite:///{tmp_path}/full.db")
    define(store)
    case = propose(store)
    limit = store._dialect._writer.execute("PRAGMA page_count").fetchone()[0] + 2
    store._dialect._writer.execute(f"PRAGMA max_page_count={limit}")
    with pytest.raises(StoreFullError):
        propose(store, content={"input": "x" * 100_000})
    assert store.queries.case(case.id) == case
    store._dialect._writer.execute("PRAGMA max_page_count=1000000")
    assert propose(store, content={"input": "x" * 100_000}).seq == 1
    assert store.integrity() == []
    store.close()


def test_a_lock_of_another_process_is_waited_for_then_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dualcontrol.store.sql import sqlite as adapter

    quick = tuple(s.replace("30000", "200") for s in adapter.SETTINGS)
    monkeypatch.setattr(adapter, "SETTINGS", quick)
    store = open_store(f"sqlite:///{tmp_path}/locked.db")
    define(store)
    other = sqlite3.connect(tmp_path / "locked.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="locked"), store.transaction():
        pass
    assert len(store.queries.loops()) == 1
    other.execute("ROLLBACK")
    other.close()
    assert propose(store).seq == 1
    store.close()


def test_a_transaction_inside_a_transaction_is_refused_not_waited_for(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    define(store)
    with store.transaction():
        with pytest.raises(RuntimeError, match="already open"), store.transaction():
            pass
        assert len(store.queries.loops()) == 1
    store.close()


def test_a_closed_store_is_unavailable(database_url: str) -> None:
    store = open_store(database_url)
    store.close()
    store.close()
    with pytest.raises(StoreUnavailableError), store.transaction():
        pass


def test_readers_and_writers_in_threads(store: Store) -> None:
    define(store)
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)

        return threading.Thread(target=run)

    def write() -> None:
        for _ in range(15):
            step(store, propose(store).id, concluded())

    def read() -> None:
        for _ in range(15):
            for row in store.queries.cases(limit=5).rows:
                found = store.queries.case(row.id)
                assert found is not None
                assert found.input is not None

    threads = [guarded(write) for _ in range(3)] + [guarded(read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.queries.counts(1)["closed"] == 45


def recovered(action: Callable[[], object]) -> list[str]:
    """Repeat until it works; what was raised meanwhile."""
    raised: list[str] = []
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            action()
            return raised
        except StoreUnavailableError as error:
            raised.append(type(error).__name__)
    raise AssertionError(f"never came back: {raised}")


@pytest.mark.postgres
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_restarts_costs_one_error_at_most(postgres_server: Server, postgres_url: str, mode: Any) -> None:
    if not isinstance(postgres_server, OwnServer):
        pytest.skip("not our server to restart")
    store = open_store(postgres_url)
    define(store)
    kept = propose(store)
    threads = [threading.Thread(target=lambda: propose(store)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.publish([kept.id])
    assert store.listen(0.1) is None
    postgres_server.restart(mode)
    assert recovered(lambda: propose(store)) == []
    assert store.queries.case(kept.id) == kept

    def cut_off() -> None:
        with store.transaction() as tx:
            tx.load(kept.id)
            postgres_server.restart(mode)
            tx.load(kept.id)

    with pytest.raises(StoreUnavailableError):
        cut_off()
    assert recovered(lambda: step(store, kept.id, concluded())) == []
    store.publish([kept.id])
    assert store.listen(0.1) is None
    deadline = time.monotonic() + 10
    heard: list[str] = []
    while kept.id not in heard and time.monotonic() < deadline:
        store.publish([kept.id])
        heard += store.listen(0.5) or []
    assert kept.id in heard
    store.close()


@pytest.mark.postgres
def test_a_server_that_is_down_is_unavailable(postgres_server: Server, postgres_url: str) -> None:
    if not isinstance(postgres_server, OwnServer):
        pytest.skip("not our server to stop")
    store = open_store(postgres_url)
    postgres_server.stop("immediate")
    try:
        with pytest.raises(StoreUnavailableError), store.transaction():
            pass
        with pytest.raises(StoreUnavailableError):
            store.queries.loops()
        assert store.listen(0.1) is None
    finally:
        postgres_server.start()
    define(store)
    store.close()


# care


def test_a_sound_database_has_nothing_to_say(store: Store) -> None:
    define(store)
    propose(store)
    assert store.integrity() == []


def test_a_backup_is_a_database(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    define(store)
    case = propose(store)
    store.backup(str(tmp_path / "copy.db"))
    with pytest.raises(StoreError):
        store.backup(str(tmp_path / "a.db"))
    copy = open_store(f"sqlite:///{tmp_path}/copy.db")
    assert copy.queries.case(case.id) == case
    assert copy.secret() == store.secret()
    assert sorted(p.name for p in tmp_path.glob("copy.db*"))[0] == "copy.db"
    assert not (tmp_path / "copy.db.part").exists()
    copy.close()
    store.close()


def test_a_backup_needs_a_file_in_a_folder_that_there_is(lasting_url: str, tmp_path: Path) -> None:
    store = open_store(lasting_url)
    for path in (tmp_path / "nowhere" / "copy", tmp_path):
        with pytest.raises(StoreError, match="cannot be written") as refused:
            store.backup(str(path))
        assert "Name a file" in refused.value.hint
    store.close()


def test_erased_text_is_not_left_in_the_file(tmp_path: Path) -> None:
    store: Any = open_store(f"sqlite:///{tmp_path}/a.db")
    define(store)
    case = propose(store, content={"input": "zanzibar-sentinel"})
    with store.transaction() as tx:
        tx.erase(case)
    store.close()
    assert b"zanzibar" not in (tmp_path / "a.db").read_bytes()


def test_a_dump_of_an_address_that_cannot_be_read_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres = pytest.importorskip("dualcontrol.store.sql.postgres")
    monkeypatch.setattr(postgres, "_pg_dump", lambda *arguments, **secret: "pg_dump (x) 18.0")
    with pytest.raises(StoreError, match="cannot be read"):
        postgres.dump("postgresql://[::1/x", 18, str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []
