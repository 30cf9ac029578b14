"""Which moment a fixed camera's copy shows, with made footage: dots that wander before a place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from hashdb.model import Alignment, FrameMatch, Motion, Orientation, Rendering, View
from matcher import motion, still_scenes
from matcher.correlation import Laid, Line, cells_of
from matcher.features import QUERY_GRID, REFERENCE_GRID, MotionWatch
from matcher.motion import (
    UNLIKE,
    Agreement,
    Comparison,
    agreement_on,
    compare,
    confirmed,
    laid_by,
    laid_whole,
    leads_to,
    of_pictures,
    stands_still,
)
from matcher.score import STILL, rescore
from matcher.still_scenes import UNTOLD, Moment, still_told
from tests.standing_camera import PLAIN, WINDOW, Grey, laid, scene, seen, watched


@pytest.fixture(scope="module")
def reference() -> Motion:
    at = np.arange(0, 30, 0.25).tolist()
    return watched([(t, scene(1, t)) for t in at], REFERENCE_GRID)


def asked(
    reference: Motion,
    *,
    hour: int = 1,
    speed: float = 1.0,
    start: float = 9.0,
    by: NDArray[np.float64] = PLAIN,
    rendering: Rendering = Rendering.PLAIN,
    noise: float = 0.0,
) -> tuple[float, float] | None:
    """Speed and offset that are told of a copy of 6 s."""
    times = np.arange(0, 6 / speed, 0.4 / speed).tolist()
    rng = np.random.default_rng(3)
    pictures = []
    for t in times:
        picture = laid(scene(hour, start + speed * t), by) + rng.normal(0, 1, (64, 64)) * noise
        picture = 255 - picture if rendering.inverted else picture
        picture = picture[:, ::-1] if rendering.mirrored else picture
        pictures.append((t, np.clip(picture, 0, 255)))
    found = seen(times, by, rendering)
    line = line_of(np.array(times), laid_by(found), watched(pictures, QUERY_GRID), reference)
    return None if line is None else (line.speed, line.offset)


def line_of(
    times: NDArray[np.float64], laid: Laid, upload: Motion, reference: Motion
) -> Line | None:
    compared = compare(times, laid, upload, reference)
    return None if compared is None else compared.line


@pytest.mark.parametrize("rendering", list(Rendering))
@pytest.mark.parametrize("by", [PLAIN, WINDOW], ids=["whole", "a window"])
def test_the_moment_is_told(by: NDArray[np.float64], rendering: Rendering, reference: Motion):
    told = asked(reference, by=by, rendering=rendering)
    assert told is not None
    speed, offset = told
    assert speed * 3 + offset == pytest.approx(12.0, abs=0.3)
    assert speed == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.25, 2.0])
def test_the_speed_is_told(speed: float, reference: Motion):
    told = asked(reference, speed=speed, start=4.0)
    assert told is not None
    assert told[0] == pytest.approx(speed, rel=0.08)
    assert told[0] * 3 / speed + told[1] == pytest.approx(7.0, abs=0.4)


def test_noise_does_not_hide_it(reference: Motion):
    told = asked(reference, noise=25.0)
    assert told is not None
    assert told[0] * 3 + told[1] == pytest.approx(12.0, abs=0.4)


@pytest.mark.parametrize("hour", range(2, 22))
def test_another_hour_tells_nothing(hour: int, reference: Motion):
    assert asked(reference, hour=hour) is None


def test_where_nothing_moves_nothing_is_told(reference: Motion):
    still = [(t, scene(1, 0.0)) for t in np.arange(0, 6, 0.4).tolist()]
    times, laid = np.array([t for t, _ in still]), laid_whole()
    assert line_of(times, laid, watched(still, QUERY_GRID), reference) is None
    frozen = watched([(t, scene(1, 0.0)) for t in np.arange(0, 30, 0.25).tolist()], REFERENCE_GRID)
    moving = watched([(t, scene(1, t)) for t, _ in still], QUERY_GRID)
    assert line_of(times, laid, moving, frozen) is None
    line = line_of(times, laid, moving, reference)
    assert line is not None
    assert line.offset == pytest.approx(0.0, abs=0.4)


def test_a_reference_too_short_to_compare_tells_nothing():
    short = watched([(t, scene(1, t)) for t in np.arange(0, 1, 0.25).tolist()], REFERENCE_GRID)
    assert asked(short, start=0.0) is None


def test_a_line_that_was_found_otherwise_is_asked_about(reference: Motion):
    times = np.arange(0, 6, 0.4)
    upload = watched([(t, scene(1, 9 + t)) for t in times.tolist()], QUERY_GRID)
    whole = laid_whole()
    right = agreement_on(Line(0.95, 9.2), times, whole, upload, reference)
    assert right is not None
    assert right.on > 0.8 > right.elsewhere
    wrong = agreement_on(Line(1.0, 16.0), times, whole, upload, reference)
    assert wrong is not None
    assert wrong.on < UNLIKE
    assert wrong.elsewhere == pytest.approx(right.on, abs=0.1)
    stands = agreement_on(Line(0.0, 12.0), times, whole, upload, reference)
    assert stands is not None
    assert stands.on == pytest.approx(right.on, abs=0.1)
    frozen = watched([(t, scene(1, 9.0)) for t in times.tolist()], QUERY_GRID)
    assert agreement_on(Line(1.0, 9.0), times, whole, frozen, reference) is None
    assert agreement_on(Line(1.0, 9.0), times[:3], whole, upload, reference) is None


def test_too_few_pictures_tell_nothing(reference: Motion):
    times = [0.0, 0.4, 0.8]
    upload = watched([(t, scene(1, 9 + t)) for t in times], QUERY_GRID)
    assert line_of(np.array(times), laid_whole(), upload, reference) is None


def test_pictures_without_motion_are_passed_over(reference: Motion):
    times = np.arange(0, 6, 0.4)
    upload = watched([(t, scene(1, 9 + t)) for t in times.tolist()], QUERY_GRID)
    laid = laid_whole()
    line = line_of(np.concatenate([times, times + 0.1]), laid, upload, reference)
    assert line is not None
    assert line.offset == pytest.approx(9.0, abs=0.4)
    assert line_of(times + 0.1, laid, upload, reference) is None


def test_grids_are_means_above_the_usual_cut_at_what_a_byte_holds():
    dark, light = np.zeros((64, 64)), np.full((64, 64), 255.0)
    pictures = [(0.0, dark), (1.0, dark), (2.0, light), (2.1, light), (3.0, dark)]
    watch = MotionWatch(REFERENCE_GRID)
    for offset, picture in pictures:
        watch.see(offset, picture, gap=0.25)
    motion = watch.motion(4)
    assert motion is not None
    assert motion.track == 4
    assert motion.offsets.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert motion.grids.dtype == np.int8
    assert motion.grids[:, 0, 0].tolist() == [0, 0, 127, 0]
    assert MotionWatch(16).motion(0) is None


def still_alignment(
    times: list[float], orientation: Orientation, view: View, *, distance: int = 40
) -> Alignment:
    """A still scene by PDQ: every picture looks like any moment."""
    frames = [
        FrameMatch(
            offset=t,
            reference_offset=3.0,
            distance=distance,
            group=STILL,
            track=0,
            view=view,
            line=0,
            before=0.2,
            after=0.2,
        )
        for t in times
    ]
    empty = Alignment("ref_1", "pdq", orientation, (), (), 0.0, speed=0.0)
    made = rescore(empty, frames, video=True)
    assert made is not None
    return made


@pytest.mark.parametrize("orientation", [Orientation.ORIGINAL, Orientation.FLIP_HORIZONTAL])
def test_a_still_scene_by_hashes_gets_its_moment(orientation: Orientation, reference: Motion):
    times = np.arange(0, 6, 0.4).tolist()
    mirrored = orientation is Orientation.FLIP_HORIZONTAL
    step = -1 if mirrored else 1
    upload = watched([(t, scene(1, 9 + t)[:, ::step]) for t in times], QUERY_GRID)
    still = still_alignment(times, orientation, View.FULL)
    told = still_told(still, upload, reference).alignment
    assert told is not None
    assert told.score > 0.9 > still.score
    (pair,) = told.segments
    assert (pair.reference.start, pair.reference.end) == pytest.approx((9.0, 15.0), abs=0.6)
    other = watched([(t, scene(2, 9 + t)[:, ::step]) for t in times], QUERY_GRID)
    moment = still_told(still, other, reference)
    assert moment.alignment is None
    assert moment.other


def test_a_picture_in_which_nothing_moves_is_of_no_other_moment(reference: Motion):
    times = np.arange(0, 6, 0.4).tolist()
    frozen = watched([(t, scene(1, 9.0)) for t in times], QUERY_GRID)
    still = still_alignment(times, Orientation.ORIGINAL, View.FULL)
    assert still_told(still, frozen, reference) == UNTOLD


def test_what_repeats_itself_is_told_without_its_moment():
    again = watched([(t, scene(1, t % 5)) for t in np.arange(0, 30, 0.25)], REFERENCE_GRID)
    times = np.arange(0, 6, 0.4).tolist()
    upload = watched([(t, scene(1, (10 + t) % 5)) for t in times], QUERY_GRID)
    still = still_alignment(times, Orientation.ORIGINAL, View.FULL)
    assert line_of(np.array(times), laid_whole(), upload, again) is None
    assert still_told(still, upload, again) == Moment(still, other=False, same=True)


def test_a_camera_that_moves_tells_nothing_of_pictures_that_are_far():
    """It passes the same place again."""
    wide = np.random.default_rng(5).uniform(0, 255, (64, 400))
    times = np.arange(0, 6, 0.4).tolist()

    def panned(moments: list[float], side: int) -> Motion:
        left = [(t, int(m * 10)) for t, m in zip(times, moments, strict=False)]
        return watched([(t, wide[:, x : x + 64]) for t, x in left], side)

    pan = watched(
        [(t, wide[:, int(t * 10) : int(t * 10) + 64]) for t in np.arange(0, 30, 0.25)],
        REFERENCE_GRID,
    )
    upload = panned([9 + t for t in times], QUERY_GRID)
    far = still_alignment(times, Orientation.ORIGINAL, View.FULL)
    assert still_told(far, upload, pan) == UNTOLD
    close = still_alignment(times, Orientation.ORIGINAL, View.FULL, distance=10)
    assert still_told(close, upload, pan).alignment is not None


def levels_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes tell nothing."""
    monkeypatch.setattr(motion, "CHANGES_CLEARLY", 1e9)
    monkeypatch.setattr(motion, "CHANGES_FAINT", 1e9)
    monkeypatch.setattr(motion, "BOTH_CLEARLY", 1e9)


SPOTS = ((14, 20), (30, 44), (50, 28), (46, 50))


def swings(hour: int, moment: float) -> Grey:
    """(64, 64): things that sway to and fro, never twice in the same way, but over the same places
    again and again."""
    down, across = np.mgrid[0:64, 0:64]
    rng = np.random.default_rng(hour)
    picture = np.full((64, 64), 120.0)
    for y, x in SPOTS[:3]:
        paces, starts = rng.uniform(0.5, 2.5, (2, 4)), rng.uniform(0, 6, (2, 4))
        aside, up = 2.5 * np.sin(moment * paces + starts).sum(axis=1)
        picture += 60 * np.exp(-((across - x - aside) ** 2 + (down - y - up) ** 2) / 60)
    return picture


def of_swings(hour: int, start: float) -> Motion:
    rng = np.random.default_rng(hour)
    times = np.arange(0, 8, 0.45).tolist()
    pictures = [(t, swings(hour, start + t) + rng.normal(0, 6, (64, 64))) for t in times]
    return watched(pictures, QUERY_GRID)


@pytest.fixture(scope="module")
def swaying() -> Motion:
    moments = np.arange(0, 60, 0.25).tolist()
    return watched([(t, swings(1, t)) for t in moments], REFERENCE_GRID)


def test_what_sways_is_told_by_its_changes(swaying: Motion, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(motion, "ALIKE", 1.1)
    monkeypatch.setattr(motion, "CLEARLY", 1e9)
    monkeypatch.setattr(motion, "BOTH_CLEARLY", 1e9)
    upload = of_swings(1, 20.0)
    whole = laid_whole()
    line = line_of(upload.offsets, whole, upload, swaying)
    assert line is not None
    assert line.speed * 4 + line.offset == pytest.approx(24.0, abs=0.3)
    levels_alone(monkeypatch)
    assert line_of(upload.offsets, whole, upload, swaying) is None


@pytest.mark.parametrize("hour", range(2, 14))
def test_what_sways_at_another_hour_is_not(hour: int, swaying: Motion):
    upload = of_swings(hour, 20.0)
    assert line_of(upload.offsets, laid_whole(), upload, swaying) is None


@pytest.mark.parametrize(
    ("best", "by", "tells"),
    [
        (0.19, 9.0, False),
        (0.25, 4.4, False),
        (0.25, 4.6, True),
        (0.31, 2.9, False),
        (0.31, 3.1, True),
    ],
)
def test_a_faint_correlation_of_changes_must_stand_out_by_more(best: float, by: float, tells: bool):
    clear = motion._Clear(Line(1.0, 0.0), best, above=best / 2, by=by)
    assert motion._changes_tell(clear) == tells


def test_two_that_tell_one_line_are_believed_where_neither_is_alone(
    reference: Motion, monkeypatch: pytest.MonkeyPatch
):
    upload = watched([(t, scene(1, 5 + t)) for t in np.arange(0, 10, 0.5)], QUERY_GRID)
    whole = laid_whole()
    for name, value in (("ALIKE", 1.1), ("CLEARLY", 1e9), ("CHANGES_CLEARLY", 1e9)):
        monkeypatch.setattr(motion, name, value)
    line = line_of(upload.offsets, whole, upload, reference)
    assert line is not None
    assert line.offset == pytest.approx(5.0, abs=0.3)
    monkeypatch.setattr(motion, "BOTH_CLEARLY", 1e9)  # others agree as well
    assert line_of(upload.offsets, whole, upload, reference) is None


def test_a_line_is_confirmed_by_the_changes_of_that_line_only(reference: Motion):
    upload = watched([(t, scene(1, 5 + t)) for t in np.arange(0, 10, 0.5)], QUERY_GRID)
    other = watched([(t, scene(2, 5 + t)) for t in np.arange(0, 10, 0.5)], QUERY_GRID)
    whole = laid_whole()
    assert confirmed(Line(1.0, 5.2), upload.offsets, whole, upload, reference)
    assert not confirmed(Line(1.0, 7.0), upload.offsets, whole, upload, reference)
    assert not confirmed(Line(1.0, 5.2), other.offsets, whole, other, reference)
    assert not confirmed(Line(1.0, 5.2), upload.offsets[:3], whole, upload, reference)


def test_where_the_camera_stands_a_line_is_confirmed_by_all_that_tells_one(
    swaying: Motion, monkeypatch: pytest.MonkeyPatch
):
    """Of a faint copy the changes correlate less than a camera that moves is believed by."""
    monkeypatch.setattr(motion, "CHANGES_ALIKE", 1.1)
    upload, whole = of_swings(1, 20.0), laid_whole()
    assert confirmed(Line(1.0, 20.2), upload.offsets, whole, upload, swaying)
    assert not confirmed(Line(1.0, 22.0), upload.offsets, whole, upload, swaying)
    other = of_swings(2, 20.0)
    assert not confirmed(Line(1.0, 20.2), other.offsets, whole, other, swaying)
    monkeypatch.setattr(motion, "CHANGES_FAINT", 1e9)
    assert confirmed(Line(1.0, 20.2), upload.offsets, whole, upload, swaying)
    monkeypatch.setattr(motion, "STILL_PART", 1.1)
    assert not confirmed(Line(1.0, 20.2), upload.offsets, whole, upload, swaying)


def test_a_line_is_confirmed_by_fainter_changes_that_stand_out_by_more(
    reference: Motion, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(motion, "CHANGES_ALIKE", 1.1)
    monkeypatch.setattr(motion, "STILL_PART", 1.1)
    upload = watched([(t, scene(1, 5 + t)) for t in np.arange(0, 10, 0.5)], QUERY_GRID)
    whole = laid_whole()
    assert confirmed(Line(1.0, 5.2), upload.offsets, whole, upload, reference)
    monkeypatch.setattr(motion, "CHANGES_FAINT", 1e9)
    assert not confirmed(Line(1.0, 5.2), upload.offsets, whole, upload, reference)


@pytest.mark.parametrize(
    ("levels", "steps", "agrees"),
    [
        ((1.0, 9.0, 0.1, 0.0, 0.0), (1.0, 5.1, 0.13, 0.1, 3.1), True),  # faint, and clear
        ((1.0, 9.0, 0.1, 0.0, 0.0), (1.0, 5.1, 0.11, 0.1, 3.1), False),
        ((1.0, 9.0, 0.1, 0.0, 0.0), (1.0, 9.0, 0.13, 0.1, 3.1), False),  # another line
        ((1.0, 5.2, 0.4, 0.0, 0.1), (1.0, 5.1, 0.4, 0.1, 1.1), True),  # all three
        ((1.0, 5.2, 0.4, 0.0, 0.1), (1.0, 5.1, 0.4, 0.1, 0.9), False),
        ((1.0, 9.0, 0.4, 0.0, 0.1), (1.0, 5.1, 0.4, 0.1, 1.1), False),
        ((1.0, 5.2, 0.2, 0.0, 0.1), (1.0, 5.1, 0.4, 0.1, 1.1), False),
    ],
)
def test_where_features_have_found_the_line_less_is_enough(
    levels: tuple[float, ...],
    steps: tuple[float, ...],
    agrees: bool,
    reference: Motion,
    monkeypatch: pytest.MonkeyPatch,
):
    upload = watched([(t, scene(1, 5 + t)) for t in np.arange(0, 10, 0.5)], QUERY_GRID)
    clear = {
        motion.of_levels: motion._Clear(Line(*levels[:2]), *levels[2:]),
        motion.of_steps: motion._Clear(Line(*steps[:2]), *steps[2:]),
    }
    monkeypatch.setattr(motion, "_clearest", lambda *given: clear[given[-1]])
    given = (upload.offsets, laid_whole(), upload, reference)
    assert motion.coincides(Line(1.0, 5.0), *given) is agrees
    assert not motion.coincides(Line(1.0, 5.0), upload.offsets[:2], *given[1:])


def test_changes_lead_to_a_line_however_faint(swaying: Motion, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(motion, "CHANGES_LEAST", 1.1)
    upload, whole = of_swings(1, 20.0), laid_whole()
    assert leads_to(Line(1.0, 20.2), upload.offsets, whole, upload, swaying)
    assert not leads_to(Line(1.0, 22.0), upload.offsets, whole, upload, swaying)
    assert not leads_to(Line(1.0, 20.2), upload.offsets[:3], whole, upload, swaying)


def test_changes_between_pictures_far_apart_tell_nothing(
    reference: Motion, monkeypatch: pytest.MonkeyPatch
):
    """Each of a pair of pictures may be of another shot."""
    monkeypatch.setattr(motion, "STILL_PART", 1.1)  # so that nothing else tells
    upload = watched([(t, scene(1, 5 + t)) for t in np.arange(0, 20, 2.5)], QUERY_GRID)
    whole = laid_whole()
    assert not confirmed(Line(1.0, 5.0), upload.offsets, whole, upload, reference)


def test_a_faint_correlation_must_stand_out_by_more(
    reference: Motion, monkeypatch: pytest.MonkeyPatch
):
    moments = np.arange(5.0, 15.0, 0.5)
    upload = watched([(t - 5.0, scene(1, t)) for t in moments], QUERY_GRID)
    whole = laid_whole()
    levels_alone(monkeypatch)
    monkeypatch.setattr(motion, "ALIKE", 1.1)
    monkeypatch.setattr(motion, "FAINT_CLEARLY", 1e9)
    assert line_of(upload.offsets, whole, upload, reference) is not None
    monkeypatch.setattr(motion, "UNLIKE", 1.1)
    assert line_of(upload.offsets, whole, upload, reference) is None


def test_a_trimmed_scene_does_not_nor_one_that_is_placed_otherwise(reference: Motion):
    times = np.arange(0, 6, 0.4).tolist()
    upload = watched([(t, scene(1, 9 + t)) for t in times], QUERY_GRID)
    trimmed = still_alignment(times, Orientation.ORIGINAL, View.TRIMMED)
    assert still_told(trimmed, upload, reference) == UNTOLD
    turned = still_told(still_alignment(times, Orientation.ROTATE_90, View.FULL), upload, reference)
    assert turned == Moment(None, other=True)


def test_a_camera_that_stands_still_is_told_from_one_that_pans(reference: Motion):
    assert stands_still(reference)
    dimmed = np.rint(30 * np.sin(reference.offsets))[:, None, None].astype(np.int8)
    assert stands_still(replace(reference, grids=reference.grids // 2 + dimmed))  # its exposure
    wide = np.random.default_rng(5).uniform(0, 255, (64, 400))
    pan = watched([(t, wide[:, int(t * 10) : int(t * 10) + 64]) for t in range(30)], REFERENCE_GRID)
    assert not stands_still(pan)


def test_a_line_that_agrees_far_better_than_any_other_is_clear_however_these_scatter(
    reference: Motion, monkeypatch: pytest.MonkeyPatch
):
    moments = np.arange(5.0, 15.0, 0.5)
    upload = watched([(t - 5.0, scene(1, t)) for t in moments], QUERY_GRID)
    levels_alone(monkeypatch)
    monkeypatch.setattr(motion, "CLEARLY", 1e9)
    line = line_of(upload.offsets, laid_whole(), upload, reference)
    assert line is not None
    assert line.offset == pytest.approx(5.0, abs=0.2)
    monkeypatch.setattr(motion, "ALIKE", 1.1)
    assert line_of(upload.offsets, laid_whole(), upload, reference) is None


@pytest.mark.parametrize(
    ("levels", "steps", "told"),
    [
        ((0.72, 15.4, 0.8, 0.3, 1.6), (0.59, 18.0, 0.9, 0.5, 3.4), None),  # a dialogue, twice
        ((0.72, 15.4, 0.8, 0.3, 1.6), (0.72, 15.3, 0.3, 0.0, 0.1), 0.72),
        ((1.0, 15.4, 0.8, 0.3, 1.6), (0.59, 16.0, 0.9, 0.5, 3.4), 1.0),
        ((0.9, 2.0, 0.4, 0.0, 0.1), (0.59, 16.0, 0.9, 0.5, 3.4), None),
        ((0.59, 16.1, 0.6, 0.0, 0.1), (0.59, 16.0, 0.9, 0.5, 3.4), 0.59),
        ((0.59, 16.1, 0.4, 0.1, 0.1), (0.59, 16.0, 0.9, 0.5, 3.4), None),  # others come and go
        ((0.59, 16.1, 0.4, 0.2, 0.1), (0.59, 16.0, 0.9, 0.5, 3.4), 0.59),
        ((0.9, 2.0, 0.4, 0.0, 0.1), (1.0, 16.0, 0.9, 0.5, 3.4), 1.0),
    ],
)
def test_a_line_of_an_odd_speed_must_be_the_best_by_both(
    levels: tuple[float, ...],
    steps: tuple[float, ...],
    told: float | None,
    reference: Motion,
    monkeypatch: pytest.MonkeyPatch,
):
    """Of one event another event of the same make leads to it, at some speed or other."""
    upload = watched([(t, scene(1, 5 + t)) for t in np.arange(0, 10, 0.5)], QUERY_GRID)
    cells = cells_of(upload.offsets, laid_whole(), upload, reference)
    assert cells is not None
    one, other = (motion._Clear(Line(*some[:2]), *some[2:]) for some in (levels, steps))
    monkeypatch.setattr(motion, "_clearest", lambda *_: other)
    found = motion._told(cells, one, motion.LEAST)
    assert (found[0].line.speed if found is not None and found[1] else None) == told


@pytest.mark.parametrize(("alike", "other"), [(0.6, False), (0.4, True)])
def test_a_still_scene_by_hashes_is_of_another_event_where_only_changes_agree(
    alike: float, other: bool, reference: Motion, monkeypatch: pytest.MonkeyPatch
):
    """Others come and go, in half the time."""
    moments = np.arange(5.0, 15.0, 0.5)
    upload = watched([(t - 5.0, scene(2, t)) for t in moments], QUERY_GRID)
    clear = {
        motion.of_levels: motion._Clear(Line(0.5, 5.0), alike, 0.05, 1.0),
        motion.of_steps: motion._Clear(Line(0.5, 5.0), 0.77, 0.4, 9.0),
    }
    monkeypatch.setattr(motion, "_clearest", lambda *given: clear[given[-1]])
    still = still_alignment(upload.offsets.tolist(), Orientation.ORIGINAL, View.FULL)
    moment = still_told(still, upload, reference)
    assert (moment.alignment is None, moment.other) == (other, other)


CARS = [(4.0, 30.0), (5.5, 12.0), (6.0, 50.0), (7.5, 30.0)]


def road(cars: list[tuple[float, float]], moment: float) -> Grey:
    """(64, 64): a road, and cars that enter it at a time in a lane; each takes 3 s."""
    down, across = np.mgrid[0:64, 0:64]
    picture = 100.0 + 10 * np.sin(across / 5) * np.cos(down / 7)
    for enters, lane in cars:
        at = 64 - (moment - enters) / 3 * 80
        picture[(np.abs(down - at) <= 8) & (np.abs(across - lane) <= 5)] = 220
    return picture


@pytest.mark.parametrize(
    ("later", "told"),
    [
        pytest.param([], True, id="these cars alone"),
        pytest.param(
            [(15.2 + i / 2, 12.0 + 19 * (i % 3)) for i in range(6)], False, id="others come"
        ),
    ],
)
def test_what_moves_where_a_line_leads_nowhere_speaks_against_it(
    later: list[tuple[float, float]], told: bool
):
    """Cars that leave as others did are one event; after the reference has ended come more."""
    moments = np.arange(0, 15, 0.25).tolist()
    reference = watched([(t, road(CARS, t)) for t in moments], REFERENCE_GRID)
    times = np.arange(0, 12, 0.5)
    upload = watched([(t, road(CARS + later, 6.5 + t)) for t in times.tolist()], QUERY_GRID)
    line = line_of(times, laid_whole(), upload, reference)
    assert (line is not None and line.offset == pytest.approx(6.5, abs=0.5)) is told


@pytest.mark.parametrize(
    ("line", "on", "best", "same"),
    [
        pytest.param(Line(1.0, 4.0), 0.9, 0.9, True, id="told by changes that correlate less"),
        pytest.param(Line(1.0, 4.0), 0.5, 0.9, False, id="the same is elsewhere"),
        pytest.param(None, None, 0.8, True, id="no line is told, and it is the same"),
        pytest.param(None, None, 0.6, False, id="it is alike"),
    ],
)
def test_the_same_moves_where_what_differs_agrees(
    line: Line | None,
    on: float | None,
    best: float,
    same: bool,
    reference: Motion,
    monkeypatch: pytest.MonkeyPatch,
):
    compared = Comparison(line, 0.5 if line else 0.0, best)
    monkeypatch.setattr(still_scenes, "compare", lambda *_: compared)
    agreement = None if on is None else Agreement(on, 0.1)
    monkeypatch.setattr(still_scenes, "agreement_on", lambda *_: agreement)
    times = np.arange(0, 6, 0.4).tolist()
    upload = watched([(t, scene(1, 4.0 + t)) for t in times], QUERY_GRID)
    still = still_alignment(times, Orientation.ORIGINAL, View.FULL)
    moment = still_told(still, upload, reference)
    assert moment.alignment is not None
    assert moment.same is same


def test_of_several_looks_the_one_that_has_the_pictures_tells_what_moves() -> None:
    def looked(track: int, *offsets: float) -> Motion:
        grids = np.zeros((len(offsets), 16, 16), np.int8)
        return Motion(np.array(offsets), grids, track)

    wide, closer, other = looked(0, 0, 2, 4, 6), looked(0, 3, 3.5, 4, 4.5), looked(1, 0, 1)
    some = (wide, closer, other)
    assert of_pictures(some, np.array([0.0, 2.0, 6.0]))[0] is wide
    assert of_pictures(some, np.array([3.0, 3.5, 4.5]))[0] is closer
    assert of_pictures(some, np.array([4.0]))[0] is wide
    assert of_pictures(some, np.array([4.0]))[1] is other
    assert 2 not in of_pictures(some, np.array([4.0]))
