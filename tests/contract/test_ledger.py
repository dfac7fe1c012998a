"""Positions without gaps behind concurrent writers, the feed, hints."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import pytest
from store_cases import concluded, define, new_id, opening, propose, step

from dualcontrol.store import Conflict, Store
from dualcontrol.store.sql import open_store


def test_positions_are_dense_and_in_commit_order(store: Store) -> None:
    define(store)
    first, second = propose(store), propose(store)
    assert store.sequence() == 3
    assert store.sequence() == 0
    step(store, first.id, concluded())
    assert store.sequence() == 1
    feed = store.feed(0)
    assert [e.pos for e in feed] == [1, 2, 3, 4]
    assert [e.stream for e in feed[1:]] == [f"case/{first.id}", f"case/{second.id}", f"case/{first.id}"]
    assert feed[3].prev == feed[1].hash
    assert [e.pos for e in store.queries.entries(f"case/{first.id}")] == [2, 4]


def test_the_feed_is_read_in_pages_and_by_loop(store: Store) -> None:
    define(store)
    define(store, "second")
    cases = [propose(store, loop=loop) for loop in ("refunds", "second", "refunds")]
    assert store.sequence(limit=2) == 2
    assert store.sequence(limit=100) == 3
    assert [e.pos for e in store.feed(1, limit=3)] == [2, 3, 4]
    assert store.feed(5) == []
    assert [e.pos for e in store.feed(0, loop="second")] == [2, 4]
    assert [e.stream for e in store.feed(2, loop="refunds")] == [f"case/{cases[0].id}", f"case/{cases[2].id}"]
    assert store.feed(0, loop="nowhere") == []


def test_streams_are_all_listed(store: Store) -> None:
    define(store)
    cases = [propose(store, groups=()).id for _ in range(3)]
    assert sorted(store.queries.streams()) == sorted([*(f"case/{c}" for c in cases), "loop/1"])


def test_concurrent_writers_and_sequencers_leave_no_gap(store: Store) -> None:
    define(store)
    writing = threading.Event()
    writing.set()
    failures: list[BaseException] = []

    def guarded(work: object) -> threading.Thread:
        def run() -> None:
            try:
                work()  # type: ignore[operator]
            except BaseException as error:
                failures.append(error)

        return threading.Thread(target=run)

    def write() -> None:
        for number in range(25):
            if number % 5 == 4:
                with suppress(ZeroDivisionError), store.transaction() as tx:
                    tx.save(None, *opening(groups=()))
                    raise ZeroDivisionError
            else:
                propose(store, groups=())

    def sequence() -> None:
        while writing.is_set():
            store.sequence(7)

    seen: list[int | None] = []

    def follow() -> None:
        last = 0
        while writing.is_set():
            for entry in store.feed(last, limit=10):
                seen.append(entry.pos)
                last = entry.pos or last

    writers = [guarded(write) for _ in range(4)]
    others = [guarded(sequence), guarded(sequence), guarded(follow)]
    for thread in writers + others:
        thread.start()
    for thread in writers:
        thread.join()
    writing.clear()
    for thread in others:
        thread.join()
    while store.sequence():
        pass
    assert failures == []
    assert [e.pos for e in store.feed(0, limit=1000)] == list(range(1, 82))
    assert len({e.stream for e in store.feed(0, limit=1000)}) == 81
    assert seen == list(range(1, len(seen) + 1))


@pytest.mark.postgres
def test_an_entry_committed_late_is_neither_lost_nor_moved_before_others(postgres_url: str) -> None:
    store = open_store(postgres_url)
    define(store)
    assert store.sequence() == 1
    with store.transaction() as tx:
        slow, first = opening(groups=())
        tx.save(None, slow, first)
        quick = propose(store, groups=())
        assert store.sequence() == 0
        assert store.feed(1) == []
    assert store.sequence() == 2
    assert [e.stream for e in store.feed(1)] == [f"case/{slow.id}", f"case/{quick.id}"]
    store.close()


@pytest.mark.postgres
def test_entries_restored_from_another_server_are_sequenced_and_new_ones_too(postgres_url: str) -> None:
    """A dump keeps transaction ids that a new server has not reached yet."""
    import psycopg

    store = open_store(postgres_url)
    define(store)
    propose(store, groups=())
    store.sequence()
    propose(store, groups=())
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("UPDATE entries SET xid = (xid::text::bigint + 1000000000)::text::xid8")
    assert store.sequence() == 1
    propose(store, groups=())
    assert store.sequence() == 1
    propose(store, groups=())
    assert store.sequence() == 1
    assert [e.pos for e in store.feed(0)] == [1, 2, 3, 4, 5]
    store.close()


# hints


def next_hint(store: Store) -> list[str] | None:
    """The next hint that says anything."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = store.listen(0.5)
        if found is None or found:
            return found
    return []


def test_a_hint_wakes_the_listener_of_the_same_process(store: Store) -> None:
    while store.listen(0.05) != []:
        pass
    ids = [new_id() for _ in range(500)]
    timer = threading.Timer(0.1, lambda: store.publish(ids))
    timer.start()
    heard: list[str] = []
    while len(heard) < 500:
        heard += next_hint(store) or []
    timer.join()
    assert heard == ids
    store.publish([])
    assert store.listen(0.0) == []


def test_a_commit_in_another_process_wakes_the_listener(lasting_url: str) -> None:
    store, other = open_store(lasting_url), open_store(lasting_url)
    define(store)
    while store.listen(0.05) != []:
        pass
    case = propose(store)
    assert store.listen(0.1) == []
    step(other, case.id, concluded())
    other.publish([case.id])
    hints = next_hint(store)  # one hint may be heard twice
    assert hints is None or set(hints) == {case.id}
    other.close()
    store.close()


def test_too_many_hints_count_as_lost() -> None:
    store = open_store("sqlite://")
    store.publish([new_id() for _ in range(10_001)])
    assert store.listen(0.1) is None
    assert store.listen(0.0) == []
    store.close()


def test_a_conflict_shows_who_was_first(store: Store) -> None:
    define(store)
    case, first = opening()
    with store.transaction() as tx:
        tx.save(None, case, first)
    with pytest.raises(Conflict), store.transaction() as tx:
        tx.save(None, case, first)
