"""Some of many things, spread evenly."""

from __future__ import annotations

import pytest

from matcher.spread import Spread


@pytest.mark.parametrize("count", [0, 1, 5, 8, 9, 31, 32, 1000])
def test_some_are_kept_evenly_and_no_more_are_made(count: int):
    made: list[int] = []
    some: Spread[int] = Spread(4)
    for number in range(count):
        some.offer(lambda: made.append(number) or number)  # type: ignore[func-returns-value] # noqa: B023
    assert len(some.kept) == count if count < 8 else 4 <= len(some.kept) < 8
    steps = {b - a for a, b in zip(some.kept, some.kept[1:], strict=False)}
    assert len(steps) <= 1
    assert some.kept[:1] == list(range(count))[:1]
    assert len(made) <= 4 * 10


def test_nothing_is_kept_where_nothing_is_wanted():
    some: Spread[int] = Spread(0)
    some.offer(lambda: 1)
    assert some.kept == []
