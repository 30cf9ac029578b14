"""Pieces of writing that wait for the same commit: one transaction for all who wait for a turn.

A commit is flushed to the disk, and SQLite lets one writer work at a time. So while one group is
being committed the next one gathers, and its members share one flush (group commit: DeWitt et al.,
"Implementation techniques for main memory database systems", 1984). Nobody is answered before the
commit that holds his piece.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

MOST = 32
"""Pieces in one transaction, so that other writers' turn comes soon."""

Work = TypeVar("Work")


class _Piece(Generic[Work]):
    def __init__(self, work: Work) -> None:
        self.work = work
        self.done = False
        self.outcome: Any = None
        self.called = threading.Event()  # it is done, or its thread is to lead


class Group(Generic[Work]):
    """Gathers what many threads write at a time.

    `commit` does some pieces of work in one transaction, and answers each one's outcome: what it
    gives, or the exception that undid it alone. It raises where nothing was committed.

    One thread at a time leads: it commits for all who wait, then calls them, and the first of those
    who have come meanwhile, to lead. Whose piece is committed waits for no other commit.
    """

    def __init__(self, commit: Callable[[Sequence[Work]], Sequence[Any]]) -> None:
        self._commit = commit
        self._waiting: deque[_Piece[Work]] = deque()
        self._guard = threading.Lock()  # of who waits and whether anybody leads
        self._led = False

    def run(self, work: Work) -> Any:
        """What one piece gives, when it is committed; raises what it raised."""
        mine = _Piece(work)
        with self._guard:
            self._waiting.append(mine)
            leads, self._led = not self._led, True
        if not leads:
            mine.called.wait()
        if not mine.done:
            self._lead()
        if isinstance(mine.outcome, BaseException):
            raise mine.outcome
        return mine.outcome

    def _lead(self) -> None:
        """Commit for those who wait; the caller is the first of them."""
        with self._guard:
            pieces = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        outcomes: Sequence[Any]
        try:
            outcomes = self._commit([p.work for p in pieces])
        except BaseException as error:
            outcomes = [error] * len(pieces)
        for piece, outcome in zip(pieces, outcomes, strict=True):
            piece.outcome, piece.done = outcome, True
        with self._guard:
            self._led = bool(self._waiting)
            following = [self._waiting[0]] if self._led else []
        for piece in following + pieces[1:]:
            piece.called.set()
