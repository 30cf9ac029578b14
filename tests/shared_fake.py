"""A `SharedCodes` without a server, under the same tests as the real one. As slow to see as one may
be: each client sees what was there when it last caught up."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np

from hashdb.errors import IndexUnavailable
from hashdb.index.exact import ExactIndex
from hashdb.model import Codes, Ints
from hashdb.ports import Mark, PlacedCodes, PlacedHits


def no_codes(bits: int) -> PlacedCodes:
    none = np.empty(0)
    codes = np.empty((0, bits // 8), dtype=np.uint8)
    return PlacedCodes(none.astype(np.int64), codes, none, none, none.astype(np.int32))


@dataclass
class FakeServer:
    """What clients share. `away`: it does not answer. `puts`: codes that it was given, by name.
    `fail_after`: it goes away after so many more writes."""

    rows: dict[str, PlacedCodes] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    puts: dict[str, int] = field(default_factory=dict)
    away: bool = False
    fail_after: int | None = None

    def check(self, *, writes: bool = False) -> None:
        if self.fail_after is not None and writes:
            self.away = self.away or self.fail_after <= 0
            self.fail_after -= 1
        if self.away:
            raise IndexUnavailable("the fake is away")

    def copy(self) -> FakeServer:
        """As it stands; what it holds is never changed, only replaced."""
        return FakeServer(dict(self.rows), dict(self.marks))

    def put_back(self, old: FakeServer) -> None:
        self.rows, self.marks = dict(old.rows), dict(old.marks)


class FakeCodes:
    """One client's view of a collection."""

    def __init__(self, bits: int, server: FakeServer, name: str) -> None:
        self.bits, self._server, self._name = bits, server, name
        self._seen: tuple[PlacedCodes, Mark | None] = (no_codes(bits), None)
        self._look()

    def __len__(self) -> int:
        self._server.check()
        return len(self._seen[0])

    def catch_up(self) -> None:
        self._server.check()
        self._look()

    def put(self, rows: PlacedCodes) -> None:
        self._server.check(writes=True)
        server, name = self._server, self._name
        server.puts[name] = server.puts.get(name, 0) + len(rows)
        old = server.rows.get(name, no_codes(self.bits))
        columns = [
            np.concatenate([getattr(old, f.name), getattr(rows, f.name)])
            for f in fields(PlacedCodes)
        ]
        joined = PlacedCodes(*columns)
        server.rows[name] = joined.take(np.argsort(joined.ids))

    def remove(self, ids: Ints) -> None:
        self._server.check(writes=True)
        old = self._server.rows.get(self._name, no_codes(self.bits))
        self._server.rows[self._name] = old.take(~np.isin(old.ids, ids))

    def within(self, low: int, end: int) -> PlacedCodes:
        self._server.check()
        rows = self._seen[0]
        return rows.take((rows.ids >= low) & (rows.ids < end))

    def find(self, codes: Codes, radius: int, most: int | None = None) -> PlacedHits:
        self._server.check()
        rows = self._seen[0]
        index = ExactIndex(self.bits)
        index.add(rows.codes, rows.ids)
        hits = index.search(codes, radius, most)
        at = np.searchsorted(rows.ids, hits.ids)
        return PlacedHits(hits, rows.offsets[at], rows.spans[at], rows.tracks[at])

    def mark(self) -> Mark | None:
        self._server.check()
        return self._seen[1]

    def set_mark(self, mark: Mark) -> None:
        self._server.check(writes=True)
        self._server.marks[self._name] = mark
        self._look()

    def settle(self) -> None:
        self._server.check()

    def _look(self) -> None:
        rows = self._server.rows.get(self._name, no_codes(self.bits))
        self._seen = (rows, self._server.marks.get(self._name))
