"""The nearest codes, by both ways, against what a person would write."""

from __future__ import annotations

import numpy as np
import pytest

from hashdb.model import Codes
from matcher import nearest


def made(seed: int, n: int, kinds: int | None = None) -> Codes:
    """`kinds`: so few different codes, so that many are equally near."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (kinds or n, 32), dtype=np.uint8)
    return codes if kinds is None else codes[rng.integers(0, kinds, n)]


WAYS = [nearest.by_table] + ([nearest.by_loops] if nearest.COMPILED else [])


@pytest.mark.parametrize("find", WAYS)
@pytest.mark.parametrize(
    ("n", "m", "kinds"), [(1, 1, None), (1, 7, None), (7, 1, None), (40, 50, None), (60, 50, 6)]
)
def test_the_nearest_and_the_next(find, n: int, m: int, kinds: int | None):
    query, reference = made(n, n, kinds), made(m + 100, m, kinds)
    reference[: min(n, m) // 2] = query[: min(n, m) // 2]
    found = find(nearest.words(query), nearest.words(reference))
    bits = np.unpackbits(query, axis=1)[:, None, :] != np.unpackbits(reference, axis=1)[None]
    table = bits.sum(axis=2)
    for row in range(n):
        ordered = sorted(table[row].tolist())
        assert found.bits[row] == ordered[0]
        assert found.rows[row] == table[row].tolist().index(ordered[0])
        assert found.next_bits[row] == (ordered[1] if m > 1 else ordered[0] + 256)
    for column in range(m):
        mine = table[:, column].tolist()
        assert found.back[column] == mine.index(min(mine))


def test_both_ways_are_tested_where_numba_is_installed():
    pytest.importorskip("numba")
    assert len(WAYS) == 2
    nearest.warm()


@pytest.mark.parametrize("pixels", [0.0, 3.5, 500.0])
@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0), (1, 1), (80, 120)])
def test_alike_at_about_the_same_place(
    monkeypatch: pytest.MonkeyPatch, n: int, m: int, pixels: float
):
    rng = np.random.default_rng(n + m)
    one, other = made(1, max(n, 1), 12)[:n], made(1, max(m, 1), 12)[:m]
    other = other ^ (rng.random(other.shape) < 0.05).astype(np.uint8)
    at, places = (rng.uniform(0, 20, (k, 2)).astype(np.float32) for k in (n, m))
    places[: min(n, m) // 4] = at[: min(n, m) // 4]
    wanted = np.zeros(n, bool)
    for row in range(n):
        for column in range(m):
            near = (np.abs(at[row] - places[column]) <= pixels).all()
            bits = np.unpackbits(one[row] ^ other[column]).sum()
            wanted[row] |= bool(near and bits <= 4)
    for compiled in {nearest.COMPILED, False}:
        monkeypatch.setattr(nearest, "COMPILED", compiled)
        assert np.array_equal(nearest.beside(one, at, other, places, pixels, 4), wanted)
    assert n < 80 or not pixels or wanted.any()


def test_codes_need_not_lie_in_one_piece():
    codes = made(1, 20)
    whole = nearest.nearest(codes[::2].copy(), codes)
    parts = nearest.nearest(codes[::2], codes)
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))
    assert whole.rows.tolist() == list(range(0, 20, 2))
