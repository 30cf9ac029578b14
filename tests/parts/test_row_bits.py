"""Marks on rows, in blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashdb.index import row_bits
from hashdb.index.row_bits import RowBits


@given(
    n=st.integers(1, 100),
    marks=st.lists(st.lists(st.integers(0, 99), max_size=12), max_size=6),
    ends=st.tuples(st.integers(0, 100), st.integers(0, 100)),
    block=st.sampled_from([8, 16, 64, 1 << 22]),
)
@settings(max_examples=200, deadline=None)
def test_as_a_set_of_rows(
    n: int, marks: list[list[int]], ends: tuple[int, int], block: int
) -> None:
    begin, end = sorted(min(e, n) for e in ends)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_bits, "BLOCK", block)
        bits, known = RowBits.none(n), set[int]()
        for some in marks:
            before, had = bits, sorted(known)
            rows = np.unique(np.array([r for r in some if r < n], dtype=np.int64))
            bits = bits.marked(rows)
            known.update(rows.tolist())
            assert np.flatnonzero(before.has(np.arange(n))).tolist() == had
        every = np.arange(n)
        assert np.flatnonzero(bits.has(every)).tolist() == sorted(known)
        assert bits.unmarked(begin, end).tolist() == [
            r for r in range(begin, end) if r not in known
        ]


def test_one_mark_copies_one_block() -> None:
    none = RowBits.none(5 * row_bits.BLOCK)
    one = none.marked(np.array([3 * row_bits.BLOCK + 7]))
    assert [a is b for a, b in zip(none.blocks, one.blocks, strict=True)] == [
        True, True, True, False, True,
    ]  # fmt: skip
    assert one.nbytes == 2 * none.nbytes
