"""The thread that hashes pictures while the next ones are decoded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from matcher.helper import AHEAD_BYTES, Helper

WAIT_S = 30.0


def started() -> Helper:
    helper = Helper()
    helper.start()
    return helper


@pytest.mark.parametrize("made", [Helper, started], ids=["at once", "in a thread"])
def test_all_is_done_in_order(made: Callable[[], Helper]) -> None:
    helper, done = made(), list[int]()
    for number in range(50):
        helper.give(lambda number=number: done.append(number), 1 << 20)  # type: ignore[misc]
    helper.finish()
    assert done == list(range(50))


@pytest.mark.parametrize("made", [Helper, started], ids=["at once", "in a thread"])
def test_what_work_raises_is_raised_and_nothing_after_it_is_done(
    made: Callable[[], Helper],
) -> None:
    helper, done = made(), list[str]()

    def fail() -> None:
        done.append("tried")
        raise MemoryError("no room")

    def all_of_it() -> None:
        for work in (fail, lambda: done.append("after")):
            helper.give(work, AHEAD_BYTES)
        helper.finish()

    with pytest.raises(MemoryError, match="no room"):
        all_of_it()
    assert done[:1] == ["tried"]
    helper.give(lambda: done.append("later"), 1)
    helper.finish()
    assert done[-1] == "later"


def test_it_goes_on_in_a_thread_of_its_own_while_little_waits() -> None:
    helper, go, threads = started(), threading.Event(), list[int]()

    def work() -> None:
        go.wait(WAIT_S)
        threads.append(threading.get_ident())

    helper.give(work, AHEAD_BYTES // 2)
    helper.give(work, AHEAD_BYTES // 2)
    assert threads == []  # neither was waited for
    go.set()
    helper.finish()
    assert len(threads) == 2
    assert threading.get_ident() not in threads


def test_the_caller_does_it_after_what_waits() -> None:
    helper, go, done = started(), threading.Event(), list[tuple[str, int]]()

    def work(name: str) -> None:
        go.wait(WAIT_S)
        done.append((name, threading.get_ident()))

    helper.give(lambda: work("given"), 1)
    threading.Timer(0.05, go.set).start()
    helper.do(lambda: work("done"))
    assert [name for name, _ in done] == ["given", "done"]
    assert [thread == threading.get_ident() for _, thread in done] == [False, True]


def test_the_caller_does_nothing_after_what_failed() -> None:
    helper, done = started(), list[int]()

    def fail() -> None:
        raise MemoryError("no room")

    helper.give(fail, 1)
    with pytest.raises(MemoryError, match="no room"):
        helper.do(lambda: done.append(1))
    assert done == []
    helper.do(lambda: done.append(2))
    assert done == [2]


def test_what_is_given_after_a_failure_is_not_done() -> None:
    helper, done = started(), list[str]()

    def fail() -> None:
        raise MemoryError("no room")

    helper.give(fail, 1)
    while not helper.idle:
        time.sleep(0.01)
    with pytest.raises(MemoryError, match="no room"):
        helper.give(lambda: done.append("after"), 1)
    assert helper.idle
    helper.give(lambda: done.append("later"), 1)
    helper.finish()
    assert done == ["later"]


def test_what_is_large_is_waited_for() -> None:
    helper, done = started(), list[int]()
    for number in range(20):
        helper.give(lambda number=number: done.append(number), AHEAD_BYTES + 1)  # type: ignore[misc]
        assert done[-1] == number


def test_no_more_than_the_bound_waits() -> None:
    helper, go, given = started(), threading.Event(), list[int]()

    def giver() -> None:
        for number in range(4):
            helper.give(lambda: None if go.wait(WAIT_S) else None, AHEAD_BYTES // 2)
            given.append(number)

    thread = threading.Thread(target=giver)
    thread.start()
    thread.join(0.2)
    assert given == [0, 1]  # the third waits for the first
    go.set()
    thread.join(WAIT_S)
    assert given == [0, 1, 2, 3]
