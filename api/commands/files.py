"""Many files at once: found, worked on side by side, answered in order."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from api.commands import output
from api.files import must_be_file
from hashdb.errors import BadArgument, NotFound, SeawallError

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """One file's result, or the error that it ended with."""

    file: str
    result: T | None
    error: Exception | None


def find(paths: Iterable[str]) -> Iterator[str]:
    """The files that are meant: files as they were named, folders with all that is in them, sorted
    by name. Hidden files and folders within a folder are passed over; nothing else is, whatever
    its name ends in. What is not there, or cannot be read, is passed on for that to be told."""
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        empty = True
        for file in _within(path):
            empty = False
            yield file
        if empty:
            output.note(f"seawall: {path}: there is nothing in it")


def _within(folder: str) -> Iterator[str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        yield folder
        return
    paths = [os.path.join(folder, name) for name in names if not name.startswith(".")]
    within = {p for p in paths if os.path.isdir(p) and not os.path.islink(p)}
    yield from (p for p in paths if p not in within)
    for path in sorted(within):
        yield from _within(path)


def each(files: Iterable[str], work: Callable[[str], T], *, at_once: int) -> Iterator[Done[T]]:
    """Works on `at_once` files side by side and gives the results in the files' order.

    A file's error ends that file only. Holds at most twice `at_once` results, so that one slow
    file does not let those after it fill the memory.
    """
    waiting: deque[Future[Done[T]]] = deque()
    remaining = iter(files)
    pool = ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="file")
    try:
        for file in islice(remaining, 2 * at_once):
            waiting.append(pool.submit(_one, file, work))
        while waiting:
            done = waiting.popleft().result()
            for file in islice(remaining, 1):
                waiting.append(pool.submit(_one, file, work))
            yield done
    finally:
        # Where the run is ended early, nobody waits for the files that are being worked on.
        pool.shutdown(wait=False, cancel_futures=True)


def run(
    found: Sequence[str],
    work: Callable[[str], T],
    show: Callable[[str, T, bool], None],
    *,
    at_once: int,
    as_json: bool,
) -> int:
    """Works on the files, shows each result or problem as soon as its turn has come, and returns
    the exit code: 1 where a file failed."""
    failed = 0
    for done in output.progress(each(found, work, at_once=at_once), unit="files", total=len(found)):
        if done.result is None:
            failed += 1
            output.file_problem(done.file, done.error, as_json=as_json)
        else:
            show(done.file, done.result, as_json)
    if failed and not as_json:
        output.note(f"seawall: {failed} of {len(found)} files failed")
    return 1 if failed else 0


def _one(file: str, work: Callable[[str], T]) -> Done[T]:
    try:
        must_be_file(file)
        return Done(file, work(file), None)
    except (SeawallError, OSError) as error:
        return Done(file, None, _as_ours(error))
    except Exception as error:
        # One file's unforeseen failure must not end the thousands beside it; it is told as one.
        log.exception("%s: unforeseen failure", file)
        return Done(file, None, error)


def _as_ours(error: SeawallError | OSError) -> SeawallError:
    if isinstance(error, SeawallError):
        return error
    if isinstance(error, FileNotFoundError):
        return NotFound("there is no such file")
    return BadArgument(error.strerror or str(error))
