"""One engine for few codes, and another from so many codes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from hashdb.model import Codes, Ints
from hashdb.ports import CodeHits, IndexBackend, Piece

log = logging.getLogger(__name__)


class GrowingIndex:
    """An `IndexBackend` that begins as `small(bits)` and becomes `large(bits)` with the addition
    that brings it to `many` codes; it stays that, whatever is removed.

    That addition takes as long as making the large engine of all codes. Searches go on beside it.
    """

    def __init__(
        self,
        bits: int,
        *,
        small: Callable[[int], IndexBackend],
        large: Callable[[int], IndexBackend],
        many: int,
    ) -> None:
        self._small, self._large, self._many = small, large, many
        self._write = threading.Lock()
        self.engine = small(bits)
        self._grown = False

    @property
    def bits(self) -> int:
        return self.engine.bits

    def __len__(self) -> int:
        return len(self.engine)

    def add(self, codes: Codes, ids: Ints) -> None:
        """As `IndexBackend.add`."""
        with self._write:
            if self._grown or len(self.engine) + len(ids) < self._many:
                self.engine.add(codes, ids)
                return
            grown = self._large(self.bits)
            grown.add(*self.engine.arrays())
            grown.add(codes, ids)
            self.engine, self._grown = grown, True
        log.info("the index of %d bits has %d codes: another engine", self.bits, len(self))

    def remove(self, ids: Ints) -> None:
        """As `IndexBackend.remove`."""
        with self._write:
            self.engine.remove(ids)

    def search(self, codes: Codes, radius: int, most: int | None = None) -> CodeHits:
        """As `IndexBackend.search`."""
        return self.engine.search(codes, radius, most)

    def may_hit(self, codes: Codes, radius: int) -> bool:
        """As `IndexBackend.may_hit`."""
        return self.engine.may_hit(codes, radius)

    def arrays(self) -> tuple[Codes, Ints]:
        """As `IndexBackend.arrays`."""
        return self.engine.arrays()

    def parts(self) -> tuple[int, Iterator[tuple[Codes, Ints]]]:
        """As `IndexBackend.parts`."""
        return self.engine.parts()

    @property
    def shares(self) -> bool:
        """Of few codes each process has its own; but it may become many."""
        return True

    def tables(self, codes: Codes) -> Iterator[Piece]:
        """As `IndexBackend.tables`: those of the engine that so many codes are loaded into."""
        engine = self._large if len(codes) >= self._many else self._small
        return engine(self.bits).tables(codes)

    def load(self, codes: Codes, tables: Mapping[str, NDArray[Any]]) -> None:
        """As `IndexBackend.load`."""
        with self._write:
            if len(codes) >= self._many:
                self.engine, self._grown = self._large(self.bits), True
            self.engine.load(codes, tables)
