"""Which moment a picture within the picture shows, that hashes take for one scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from hashdb.model import Alignment, Fingerprint, FrameMatch, Motion, Orientation, View
from matcher import still_scenes
from matcher.correlation import Line
from matcher.features import QUERY_GRID, REFERENCE_GRID
from matcher.motion import Agreement, Comparison
from matcher.score import STILL, UNSURE, rescore
from matcher.seeking import Budget
from matcher.still_scenes import UNTOLD, Moment, moment_of, still_told, told_in_part
from tests.standing_camera import Grey, scene, watched

TIMES = np.arange(0, 8, 0.4).tolist()
LEFT, SMALLER = (0, 0, 128, 255), (16, 96, 144, 223)
"""Half of the picture, and a quarter of it, in 255ths of its sides."""


@pytest.fixture(scope="module")
def reference() -> Motion:
    at = np.arange(0, 30, 0.25).tolist()
    return watched([(t, scene(1, t)) for t in at], REFERENCE_GRID)


def within(picture: Grey, box: tuple[int, int, int, int], moment: float) -> Grey:
    """In other footage, in which something moves as well."""
    out = scene(77, moment)[::-1].copy()
    left, top, right, bottom = (round(64 * edge / 255) for edge in box)
    rows = np.arange(bottom - top) * 64 // (bottom - top)
    columns = np.arange(right - left) * 64 // (right - left)
    out[top:bottom, left:right] = picture[rows[:, None], columns]
    return out


BACK = {
    Orientation.ORIGINAL: lambda p: p,
    Orientation.ROTATE_90: lambda p: np.rot90(p, -1),
    Orientation.ROTATE_180: lambda p: np.rot90(p, 2),
    Orientation.ROTATE_270: lambda p: np.rot90(p, 1),
    Orientation.FLIP_VERTICAL: np.flipud,
    Orientation.FLIP_HORIZONTAL: np.fliplr,
    Orientation.FLIP_PLUS: lambda p: p.T,
    Orientation.FLIP_MINUS: lambda p: np.rot90(p, 2).T,
}
"""What is the picture once it is placed so (`pdq.hash_dihedral`)."""


def upload(
    hour: int,
    box: tuple[int, int, int, int],
    orientation: Orientation = Orientation.ORIGINAL,
    *,
    inverted: bool = False,
) -> Motion:
    sign = -1 if inverted else 1
    turned = [(t, BACK[orientation](255 * inverted + sign * scene(hour, 9 + t))) for t in TIMES]
    return watched([(t, within(picture, box, t)) for t, picture in turned], QUERY_GRID)


def query(boxes: NDArray[np.uint8] | None) -> Fingerprint:
    count = len(TIMES)
    codes, quality = np.zeros((count, 32), np.uint8), np.full(count, 100, np.uint8)
    offsets, spans = np.array(TIMES), np.zeros(count)
    orientation = Orientation.ORIGINAL
    return Fingerprint(
        "pdq", "made", codes, offsets, spans, quality, 0, View.PANE, orientation, boxes
    )


def at(box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    return np.array([box] * len(TIMES), np.uint8)


def one_scene(orientation: Orientation = Orientation.ORIGINAL, distance: int = 10) -> Alignment:
    frames = [
        FrameMatch(t, 3.0, distance, STILL, 0, View.PANE, before=0.2, after=0.2) for t in TIMES
    ]
    empty = Alignment("ref_1", "pdq", orientation, (), (), 0.0, speed=0.0)
    made = rescore(empty, frames, video=True)
    assert made is not None
    return made


def ask(alignment: Alignment, asked: Fingerprint, moving: Motion, reference: Motion) -> Moment:
    return told_in_part(alignment, asked, moving, reference, Budget(1))


@pytest.mark.parametrize("box", [LEFT, SMALLER], ids=["half", "quarter"])
@pytest.mark.parametrize("orientation", Orientation)
def test_a_copy_gets_its_moment(
    orientation: Orientation, box: tuple[int, int, int, int], reference: Motion
):
    still, moving = one_scene(orientation), upload(1, box, orientation)

    found = ask(still, query(at(box)), moving, reference).alignment

    assert found is not None
    assert found.score > 0.9 > still.score
    (pair,) = found.segments
    assert (pair.reference.start, pair.reference.end) == pytest.approx((9.0, 17.0), abs=0.8)


@pytest.mark.parametrize("orientation", Orientation)
def test_so_does_a_copy_in_the_whole_picture(orientation: Orientation, reference: Motion):
    still = one_scene(orientation)
    whole = replace(still, frames=tuple(replace(f, view=View.FULL) for f in still.frames))
    moving = watched([(t, BACK[orientation](scene(1, 9 + t))) for t in TIMES], QUERY_GRID)
    found = still_told(whole, moving, reference).alignment
    assert found is not None
    (pair,) = found.segments
    assert (pair.reference.start, pair.reference.end) == pytest.approx((9.0, 17.0), abs=0.8)
    for other in set(Orientation) - {orientation}:
        placed = replace(whole, orientation=other)
        assert still_told(placed, moving, reference).alignment is None


@pytest.mark.parametrize("view", [View.FULL, View.PANE])
def test_so_does_a_negative_that_hashes_know_as_one(view: View, reference: Motion):
    asked = replace(query(at(LEFT)), view=view, inverted=True)
    frames = tuple(replace(f, view=view) for f in one_scene().frames)
    some = replace(one_scene(), frames=frames)
    whole = watched([(t, 255 - scene(1, 9 + t)) for t in TIMES], QUERY_GRID)
    moving = upload(1, LEFT, inverted=True) if view.in_part else whole

    found = moment_of(some, asked, [moving], reference, Budget(1)).alignment

    assert found is not None
    (pair,) = found.segments
    assert (pair.reference.start, pair.reference.end) == pytest.approx((9.0, 17.0), abs=0.8)


def test_a_negative_that_hashes_take_for_the_picture_does_not(reference: Motion):
    moving = upload(1, LEFT, inverted=True)
    assert ask(one_scene(), query(at(LEFT)), moving, reference) == UNTOLD


@pytest.mark.parametrize("hour", range(2, 22))
def test_another_hour_gets_none(hour: int, reference: Motion):
    assert ask(one_scene(), query(at(LEFT)), upload(hour, LEFT), reference) == UNTOLD


def test_nor_what_lies_beside_it(reference: Motion):
    beside = (128, 0, 255, 255)
    assert ask(one_scene(), query(at(beside)), upload(1, LEFT), reference) == UNTOLD


@pytest.mark.parametrize("why", ["far", "turned otherwise", "no boxes", "another track"])
def test_what_cannot_be_compared_tells_nothing(why: str, reference: Motion):
    still, asked, moving = one_scene(), query(at(LEFT)), upload(1, LEFT)
    if why == "far":
        still = one_scene(distance=24)
    elif why == "turned otherwise":
        still = one_scene(Orientation.ROTATE_90)
    elif why == "no boxes":
        asked = query(None)
    else:
        moving = replace(moving, track=1)
    assert ask(still, asked, moving, reference) == UNTOLD


@pytest.mark.parametrize(("off", "told"), [(5, True), (6, False)])
def test_what_moves_in_a_pane_that_wanders_is_not_compared(off: int, told: bool, reference: Motion):
    """Of twenty pictures so many lie elsewhere."""
    boxes = at(LEFT)
    boxes[:off, 0] = 60
    found = ask(one_scene(), query(boxes), upload(1, LEFT), reference).alignment
    assert (found is not None) is told
    assert found is None or len(found.frames) == len(TIMES) - off


def test_a_picture_that_is_close_must_be_one_of_those_compared(reference: Motion):
    boxes = at(LEFT)
    boxes[:4, 0] = 60
    still = one_scene()
    frames = [replace(f, distance=10 if i < 4 else 24) for i, f in enumerate(still.frames)]
    assert (
        ask(replace(still, frames=tuple(frames)), query(boxes), upload(1, LEFT), reference)
        == UNTOLD
    )


def test_boxes_are_those_of_the_pictures_that_agree(reference: Motion):
    boxes = at(LEFT)
    boxes[:12] = SMALLER
    still = one_scene()
    some = replace(still, frames=still.frames[12:])
    assert ask(some, query(boxes), upload(1, LEFT), reference).alignment is not None


@pytest.mark.parametrize("why", ["asked", "small", "a moving camera"])
def test_some_are_not_compared(why: str, reference: Motion, monkeypatch: pytest.MonkeyPatch):
    """And of those that are the pictures from the first that agrees to the last."""
    given: list[list[float]] = []

    def certain(offsets: NDArray[np.float64], *_: object) -> Comparison:
        given.append(offsets.tolist())
        return Comparison(Line(1.0, 9.0), 0.9, 0.9)

    monkeypatch.setattr(still_scenes, "compare", certain)
    monkeypatch.setattr(still_scenes, "agreement_on", lambda *_: Agreement(0.9, 0.1))
    monkeypatch.setattr(still_scenes, "stands_still", lambda _: why != "a moving camera")
    box = (0, 0, 60, 255) if why == "small" else LEFT
    still = one_scene()
    some = replace(still, frames=still.frames[3:8])
    found = ask(some, query(at(box)), upload(1, LEFT), reference)
    assert (found.alignment is not None) is (why == "asked")
    assert given == ([TIMES[3:8]] if why == "asked" else [])


def dots(hour: int, moment: float) -> Grey:
    """One that goes by: less than what wanders in `scene`."""
    down, across = np.mgrid[0:64, 0:64]
    picture = 120.0 + 40 * np.sin(across / 5) * np.cos(down / 7)
    rng = np.random.default_rng(hour)
    x, y, radius = rng.uniform(0, 64), rng.uniform(20, 44), rng.uniform(5, 9)
    pace = rng.uniform(-12, 12, 2) * (1, 0.1)
    across_at, down_at = (x + pace[0] * moment) % 64, (y + pace[1] * moment) % 64
    near = (across - across_at) ** 2 + (down - down_at) ** 2 <= radius**2
    picture[near] = rng.uniform(40, 220)
    return picture


@pytest.mark.parametrize(("hour", "other"), [(203, 2), (205, 10), (204, 4)])
def test_somebody_else_who_goes_by_much_alike_is_not_enough(hour: int, other: int):
    """What moves agrees with other moments nearly as well."""
    reference = watched([(t, dots(hour, t)) for t in np.arange(0, 30, 0.25)], REFERENCE_GRID)
    moving = watched([(t, within(dots(other, 9 + t), LEFT, t)) for t in TIMES], QUERY_GRID)
    assert ask(one_scene(), query(at(LEFT)), moving, reference) == UNTOLD


@pytest.mark.parametrize(
    ("speed", "on", "elsewhere", "told"),
    [
        (1.0, 0.6, 0.19, True),
        (1.0, 0.59, 0.1, False),
        (1.0, 0.7, 0.31, False),
        (1.25, 0.9, 0.1, False),
    ],
)
def test_it_must_agree_by_much_and_at_about_the_normal_speed(
    speed: float,
    on: float,
    elsewhere: float,
    told: bool,
    reference: Motion,
    monkeypatch: pytest.MonkeyPatch,
):
    line = Line(speed, 9.0)
    monkeypatch.setattr(still_scenes, "compare", lambda *_: Comparison(line, 0.9, 0.9))
    monkeypatch.setattr(still_scenes, "agreement_on", lambda *_: Agreement(on, elsewhere))
    found = ask(one_scene(), query(at(LEFT)), upload(1, LEFT), reference)
    assert (found.alignment is not None) is told
    assert not found.same


def test_what_is_refused_at_once_costs_nothing(reference: Motion):
    budget, moving = Budget(1), upload(1, LEFT)
    far = one_scene(distance=UNSURE + 1)
    tiny = query(at((0, 0, 60, 255)))
    for some, asked in ((far, query(at(LEFT))), (one_scene(), tiny), (one_scene(), query(None))):
        assert told_in_part(some, asked, moving, reference, budget) == UNTOLD
    assert told_in_part(one_scene(), query(at(LEFT)), moving, reference, budget) != UNTOLD
    assert not budget.affords(1)


def test_parts_are_asked_as_long_as_the_budget_lasts(reference: Motion):
    asked, moving, budget = query(at(LEFT)), [upload(1, LEFT)], Budget(2)
    told = [moment_of(one_scene(), asked, moving, reference, budget) for _ in range(3)]
    assert [one.alignment is not None for one in told] == [True, True, False]
    whole = replace(asked, view=View.FULL)
    still = one_scene()
    frames = tuple(replace(f, view=View.FULL) for f in still.frames)
    full = [watched([(t, scene(1, 9 + t)) for t in TIMES], QUERY_GRID)]
    one = moment_of(replace(still, frames=frames), whole, full, reference, budget)
    assert one.alignment is not None
