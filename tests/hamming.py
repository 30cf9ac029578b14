"""What tests of `hashdb.index.hamming` have in common."""

from __future__ import annotations

import pytest

from hashdb.index import hamming, hamming_segments


def always_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of any size have tables, and every search asks them, at whatever cost."""
    for module in (hamming, hamming_segments):
        monkeypatch.setattr(module, "FILED", 1)
    monkeypatch.setattr(hamming_segments, "_SCANNED", 10**12)
    monkeypatch.setattr(hamming_segments, "_COMPARED", 1000.0)
