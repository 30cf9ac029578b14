"""Two halves of a look-up at a time."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hashdb.index import side_by_side
from hashdb.index.side_by_side import both


@pytest.fixture(params=[1, 2])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(side_by_side, "CORES", request.param)
    return int(request.param)


def test_each_answer_stands_in_its_place(cores: int) -> None:
    assert both(lambda: "one", lambda: "other") == ("one", "other")


def test_the_other_runs_while_the_first_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "CORES", 2)
    begun = threading.Event()

    def other() -> bool:
        begun.set()
        return True

    assert both(lambda: begun.wait(30), other) == (True, True)


def test_what_nobody_has_begun_is_done_by_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "CORES", 2)
    free = threading.Event()
    pool = side_by_side._pool
    busy = [pool.submit(free.wait, 30) for _ in range(pool._max_workers)]
    try:
        names = both(*[lambda: threading.current_thread().name] * 2)
        assert names == (threading.current_thread().name,) * 2
    finally:
        free.set()
    assert all(each.result() for each in busy)


def test_what_is_in_hand_when_the_process_ends_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = ThreadPoolExecutor(1)
    ended.shutdown()
    monkeypatch.setattr(side_by_side, "CORES", 2)
    monkeypatch.setattr(side_by_side, "_pool", ended)
    assert both(lambda: 1, lambda: 2) == (1, 2)


def test_an_error_of_either_is_raised(cores: int) -> None:
    def fails() -> str:
        raise MemoryError

    with pytest.raises(MemoryError):
        both(fails, lambda: "other")
    with pytest.raises(MemoryError):
        both(lambda: "one", fails)


def _in_child(answers: "multiprocessing.SimpleQueue[tuple[int, int]]") -> None:
    answers.put(both(lambda: 1, lambda: 2))


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="needs forked processes"
)
def test_a_forked_child_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "CORES", 2)
    both(lambda: 1, lambda: 2)  # so that this process has a thread that the child has not
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.SimpleQueue[tuple[int, int]] = context.SimpleQueue()
    child = context.Process(target=_in_child, args=(answers,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert answers.get() == (1, 2)
