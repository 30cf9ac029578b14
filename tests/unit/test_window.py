"""Rate limits counted in memory, as the `limits` library counts them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from api.window import MemoryWindow


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@given(
    rate=st.sampled_from(["1/second", "3/minute", "5/10 second"]),
    steps=st.lists(st.tuples(st.sampled_from([0.0, 0.37, 3.1, 25.3]), st.sampled_from("ab"))),
)
@settings(max_examples=50, deadline=None)
def test_as_the_library_counts(rate: str, steps: list[tuple[float, str]]) -> None:
    clock, item = Clock(), parse(rate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limits.storage.memory.time.time", clock)
        oracle: Any = MovingWindowRateLimiter(MemoryStorage())
        ours = MemoryWindow(clock)
        for seconds, name in steps:
            clock.now += seconds
            assert ours.hit(item, "key", name) == oracle.hit(item, "key", name)
            assert ours.get_window_stats(item, "key", name) == oracle.get_window_stats(
                item, "key", name
            )


def test_who_has_gone_is_forgotten() -> None:
    clock, item = Clock(), parse("5/second")
    window = MemoryWindow(clock)
    for n in range(3000):
        clock.now += 0.01
        window.hit(item, "failed", f"10.0.0.{n}")
    assert len(window._hits) < 1300
