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
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

MOST = 32
"""Pieces in one transaction, so that other writers' turn comes soon."""

Work = TypeVar("Work")


@dataclass(slots=True, eq=False)
class _Piece(Generic[Work]):
    work: Work
    done: bool = False
    outcome: Any = None


class Group(Generic[Work]):
    """Gathers what many threads write at a time.

    `commit` does some pieces of work in one transaction, and answers each one's outcome: what it
    gives, or the exception that undid it alone. It raises where nothing was committed.
    """

    def __init__(self, commit: Callable[[Sequence[Work]], Sequence[Any]]) -> None:
        self._commit = commit
        self._waiting: deque[_Piece[Work]] = deque()
        self._turn = threading.Lock()  # held by the thread that commits for all who wait

    def run(self, work: Work) -> Any:
        """What one piece gives, when it is committed; raises what it raised."""
        mine = _Piece(work)
        self._waiting.append(mine)
        while not mine.done:
            with self._turn:
                if not mine.done:
                    self._run_next()
        if isinstance(mine.outcome, BaseException):
            raise mine.outcome
        return mine.outcome

    def _run_next(self) -> None:
        """The lock is held, so that nobody else takes from those who wait."""
        pieces = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        outcomes: Sequence[Any]
        try:
            outcomes = self._commit([p.work for p in pieces])
        except BaseException as error:
            outcomes = [error] * len(pieces)
        for piece, outcome in zip(pieces, outcomes, strict=True):
            piece.outcome, piece.done = outcome, True
