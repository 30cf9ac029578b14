"""What judging may cost, and how many lie within it."""

from dataclasses import replace
from pathlib import Path

from bench.cost import Cost, plot, summary

SMALL = Cost("a", 480, 30.0, 5.0, True, 0.4, 0.7, 0.7, 1.1)
LARGE = Cost("b", 720, 30.0, 2.0, False, 2.0, 0.5, 0.5, 1.5)


def test_small_videos_may_cost_seconds_and_large_ones_a_decode() -> None:
    assert SMALL.bar_s == 1.0
    assert LARGE.bar_s == 2.0


def test_what_lies_within_is_counted_by_how_far_keyframes_lie_apart(tmp_path: Path) -> None:
    costs = (SMALL, LARGE, replace(LARGE, first_pass_s=0.6))
    assert list(summary(costs)) == [
        "all signals: 2 of 3 within 1 of the bar; median 0.75, most 1.10, together 0.82",
        "first pass, keyframes close: 1 of 2 within 0.25 of the bar; "
        "median 0.28, most 0.30, together 0.28",
        "first pass, gaps filled: 1 of 1 within 0.8 of the bar; "
        "median 0.70, most 0.70, together 0.70",
    ]
    assert list(summary(())) == []
    plot(costs, tmp_path / "cost.svg")
    assert (tmp_path / "cost.svg").read_text().count("30 s") >= 1
