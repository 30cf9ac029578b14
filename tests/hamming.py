"""What tests of `hashdb.index.hamming` have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hashdb.index import hamming, hamming_filing, hamming_segments
from hashdb.ports import Piece


def always_file(monkeypatch: pytest.MonkeyPatch, *, wide: bool = False) -> None:
    """Segments of any size have tables, of wide layout or of small, and every search asks them, at
    whatever cost."""
    for module in (hamming, hamming_filing, hamming_segments):
        monkeypatch.setattr(module, "FILED", 1)
    monkeypatch.setattr(hamming_filing, "MANY", 1 if wide else 1 << 40)
    monkeypatch.setattr(hamming_segments, "_SCANNED", 10**12)
    monkeypatch.setattr(hamming_segments, "_COMPARED", 1000.0)


def whole(pieces: Iterable[Piece]) -> dict[str, NDArray[Any]]:
    """The arrays that come in pieces."""
    rows: dict[str, list[NDArray[Any]]] = {}
    counts = {}
    for piece in pieces:
        rows.setdefault(piece.name, []).append(piece.rows)
        counts[piece.name] = piece.count
    arrays = {name: np.concatenate(some) for name, some in rows.items()}
    assert {name: len(array) for name, array in arrays.items()} == counts
    return arrays
