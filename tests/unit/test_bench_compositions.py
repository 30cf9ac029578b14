"""The benchmark of compositions: what is put into one picture, and how it is told."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np

from bench import compositions as c
from bench.robustness.pictures import Scene
from bench.robustness.video import Coding, facts, read, write
from hashdb.model import Action

SIZE = (180, 320, 3)


def video(path: Path, level: int) -> Path:
    """Two seconds of one shade."""
    frames = (np.full(SIZE, level, np.uint8) for _ in range(50))
    write(path, frames, 25, Coding())
    return path


def levels(path: Path) -> list[int]:
    """The shades that fill more than a twentieth of a frame, in tens."""
    frame = next(read(path, 1.0, 1.0, 25))
    shades, counts = np.unique(np.round(frame[..., 0] / 10).astype(int) * 10, return_counts=True)
    return [int(s) for s, n in zip(shades, counts, strict=True) if n > frame[..., 0].size / 20]


def test_each_layout_shows_both(tmp_path: Path) -> None:
    videos = {
        name: video(tmp_path / f"{name}.mp4", level)
        for name, level in (("banned", 200), ("film", 50), ("second", 100))
    }
    for number, layout in enumerate(c.COMPOSED):
        path = c.compose(layout, videos, tmp_path / f"{number}.mp4", Random(number))
        shown = levels(path)
        if layout.edit is c.BLENDED:
            assert [60 < level < 190 for level in shown] == [True], layout.name
        else:
            expected = {"banned": 200, "film": 50, "second": 100}
            assert {expected[layout.main], expected[layout.other]} <= set(shown), layout.name
        assert facts(path).seconds > 1.5


def test_the_same_seed_makes_the_same_and_what_is_there_is_kept(tmp_path: Path) -> None:
    videos = {"banned": video(tmp_path / "b.mp4", 200), "film": video(tmp_path / "f.mp4", 50)}
    layout = c.REPORTS[1]
    one, other = (c.compose(layout, videos, tmp_path / n, Random(3)) for n in ("1.mp4", "2.mp4"))
    assert one.read_bytes() == other.read_bytes()
    one.write_bytes(b"kept")
    assert c.compose(layout, videos, one, Random(3)).read_bytes() == b"kept"


def test_half_transparent_is_a_mixture() -> None:
    class Constant(Scene):
        def other(self, number=0, start=0.0):
            while True:
                yield np.full(SIZE, 100, np.uint8)

    edit = c.BLENDED.build({"part": 0.75, "from": 0.0}, Constant(25, 2.0))
    assert np.abs(edit(np.full(SIZE, 200, np.uint8), 0.0).astype(int) - 175).max() <= 1


def test_rows_are_counted_by_action() -> None:
    cases = [
        c.Case("halves", Path("a"), Action.BLOCK),
        c.Case("halves", Path("b"), Action.BLOCK),
        c.Case("copies", Path("c"), Action.ALLOW),
    ]
    alone = [Action.BLOCK, Action.REVIEW, Action.BLOCK]
    listed = [Action.BLOCK, Action.ALLOW, Action.ALLOW]
    text = c.table(cases, alone, listed).splitlines()
    assert text[2] == "| halves | 2 | 0 / 1 / 1 | 1 / 0 / 1 | block |"
    assert text[3] == "| copies | 1 | 0 / 0 / 1 | 1 / 0 / 0 | allow |"
    assert c.hidden(cases, alone, listed) == cases[1:2]
    assert c.hidden(cases, alone, alone) == []
