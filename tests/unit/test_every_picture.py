"""Which moment a copy shows, told by every picture of it: made fire before a camera that stands."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hashdb.model import Motion, Rendering
from matcher import every_picture
from matcher.correlation import Line
from matcher.every_picture import followed
from matcher.features import QUERY_GRID, REFERENCE_GRID
from matcher.motion import compare, laid_by, laid_whole
from tests.standing_camera import PLAIN, WINDOW, Grey, laid, scene, seen, watched

RATE = 30
SPARSE = np.arange(0, 6, 0.4)


def line_by_all(shown, laid, upload, reference) -> Line | None:
    told = every_picture.line_by_all(shown, laid, upload, reference)
    return None if told is None else told.line


def burning(hour: int, moment: float) -> Grey:
    """(64, 64): a place before which something burns: a fifteenth of a second later flames look
    different."""
    picture = scene(0, 0.0)
    frame = moment * RATE
    for step in range(2):
        number = int(frame) - step
        rng = np.random.default_rng((hour, number % 100_000))
        flames = np.kron(rng.normal(0, 1, (6, 6)), np.ones((6, 6)))
        picture[14:50, 14:50] += 40 * (1 - (step + frame % 1) / 2) * flames
    return np.clip(picture, 0, 255)


@pytest.fixture(scope="module")
def reference() -> Motion:
    moments = np.arange(0, 30, 0.25).tolist()
    return watched([(t, burning(1, t)) for t in moments], REFERENCE_GRID)


def uploaded(
    hour: int,
    start: float,
    times: NDArray[np.float64] | None = None,
    *,
    speed: float = 1.0,
    by: NDArray[np.float64] = PLAIN,
    rendering: Rendering = Rendering.PLAIN,
) -> Motion:
    """Every picture of a copy of 6 s, or those at `times`."""
    pictures = []
    for t in (np.arange(6 * RATE) / RATE if times is None else times).tolist():
        picture = burning(hour, start + speed * t)
        picture = picture if by is PLAIN else laid(picture, by)
        picture = 255 - picture if rendering.inverted else picture
        pictures.append((t, picture[:, ::-1] if rendering.mirrored else picture))
    return watched(pictures, QUERY_GRID)


@pytest.mark.parametrize("start", [9.0, 9.11])
def test_what_burns_is_told_by_every_picture_where_some_tell_nothing(
    start: float, reference: Motion
):
    whole = laid_whole()
    some = compare(SPARSE, whole, uploaded(1, start, SPARSE), reference)
    assert start == 9.0 or some is None or some.line is None
    line = line_by_all(SPARSE, whole, uploaded(1, start), reference)
    assert line is not None
    assert line.speed == 1.0
    assert line.offset == pytest.approx(start, abs=0.02)


@pytest.mark.parametrize("rendering", list(Rendering))
def test_wherever_it_lies_in_the_picture(rendering: Rendering, reference: Motion):
    by = laid_by(seen(SPARSE.tolist(), WINDOW, rendering))
    upload = uploaded(1, 9.11, by=WINDOW, rendering=rendering)
    line = line_by_all(SPARSE, by, upload, reference)
    assert line is not None
    assert line.offset == pytest.approx(9.11, abs=0.02)


@pytest.mark.parametrize("hour", range(2, 12))
def test_another_hour_tells_nothing(hour: int, reference: Motion):
    upload = uploaded(hour, 9.0)
    assert line_by_all(SPARSE, laid_whole(), upload, reference) is None


@pytest.mark.parametrize(("speed", "most"), [(1.6, 400_000), (1.017, 2_000_000)])
def test_other_speeds_are_tried_of_references_that_are_not_long(
    speed: float, most: int, reference: Motion, monkeypatch: pytest.MonkeyPatch
):
    wandering = watched([(t, scene(1, t)) for t in np.arange(0, 30, 0.25)], REFERENCE_GRID)
    known = wandering if speed > 1.1 else reference
    times = np.arange(6 * RATE) / RATE
    shown = scene if speed > 1.1 else burning
    upload = watched(
        [(t, shown(1, round((4 + speed * t) * RATE) / RATE)) for t in times], QUERY_GRID
    )
    whole = laid_whole()
    line = line_by_all(SPARSE, whole, upload, known)
    assert line is not None
    assert line.speed == pytest.approx(speed, rel=0.03)
    assert 3 * line.speed + line.offset == pytest.approx(4 + 3 * speed, abs=0.3)
    monkeypatch.setattr(every_picture, "MOST_HELD", most // 100)
    assert line_by_all(SPARSE, whole, upload, known) is None


def test_what_repeats_itself_is_not_told():
    moments = np.arange(0, 30, 0.25)
    again = watched([(t, burning(1, t % 5)) for t in moments.tolist()], REFERENCE_GRID)
    times = np.arange(6 * RATE) / RATE
    upload = watched([(t, burning(1, (10 + t) % 5)) for t in times.tolist()], QUERY_GRID)
    assert line_by_all(SPARSE, laid_whole(), upload, again) is None


def test_a_line_must_lead_what_moves_to_the_reference(reference: Motion):
    """What burns in the upload before the reference's first moment speaks against the line."""
    times = np.arange(6 * RATE) / RATE
    pictures = [(t, burning(1 if t >= 2 else 3, t - 2)) for t in times.tolist()]
    upload = watched(pictures, QUERY_GRID)
    whole = laid_whole()
    assert line_by_all(SPARSE, whole, upload, reference) is None
    calm = [(t, burning(1, t - 2) if t >= 2 else scene(0, 0.0)) for t in times.tolist()]
    line = line_by_all(SPARSE, whole, watched(calm, QUERY_GRID), reference)
    assert line is not None
    assert line.offset == pytest.approx(-2, abs=0.02)


def opening(hour: int, at: float, last: float) -> list[tuple[float, Grey]]:
    """A door that opens in half a second, before a camera that is not quite still."""
    rng = np.random.default_rng(hour)
    pictures = []
    for t in np.arange(0, last, 1 / RATE).tolist():
        picture = scene(0, 0.0) + rng.normal(0, 1, (64, 64))
        picture[16:48, 16 : 16 + int(np.clip((t - at) / 0.5, 0, 1) * 24)] = 30
        pictures.append((t, picture))
    return pictures


def test_a_door_that_opens_alike_at_another_hour_is_one_event(
    reference: Motion, monkeypatch: pytest.MonkeyPatch
):
    known = watched([p for i, p in enumerate(opening(1, 9.0, 20)) if i % 7 == 0], REFERENCE_GRID)
    upload = watched(opening(2, 3.0, 6), QUERY_GRID)
    whole = laid_whole()
    assert line_by_all(SPARSE, whole, upload, known) is None
    monkeypatch.setattr(every_picture, "EVENTS", 0.0)
    told = every_picture.line_by_all(SPARSE, whole, upload, known)
    assert told is not None
    assert told.events < 3
    assert told.correlation > 0.8
    burns = every_picture.line_by_all(SPARSE, whole, uploaded(1, 9.0), reference)
    assert burns is not None
    assert burns.events > 8


def test_of_a_reference_that_is_too_long_nothing_is_asked(
    reference: Motion, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(every_picture, "MOST_HELD", 1000)
    assert line_by_all(SPARSE, laid_whole(), uploaded(1, 9.0), reference) is None


def test_too_few_lines_that_lead_elsewhere_tell_nothing(monkeypatch: pytest.MonkeyPatch):
    short = watched([(t, burning(1, t)) for t in np.arange(0, 8, 0.25).tolist()], REFERENCE_GRID)
    whole = laid_whole()
    monkeypatch.setattr(every_picture, "MOST_HELD", 20_000)  # the normal speed alone
    upload = uploaded(1, 1.0)
    monkeypatch.setattr(every_picture, "ELSEWHERE_S", 1.0)
    assert line_by_all(SPARSE, whole, upload, short) is not None
    monkeypatch.setattr(every_picture, "ELSEWHERE_S", 8.0)
    assert line_by_all(SPARSE, whole, upload, short) is None


def test_where_too_little_is_to_compare_nothing_is_told(reference: Motion):
    whole = laid_whole()
    still = watched([(t, scene(0, 0.0)) for t in np.arange(0, 6, 1 / RATE)], QUERY_GRID)
    assert line_by_all(SPARSE, whole, still, reference) is None
    short = watched([(t, burning(1, t)) for t in np.arange(0, 1, 0.25)], REFERENCE_GRID)
    assert line_by_all(SPARSE, whole, uploaded(1, 0.0), short) is None
    few = uploaded(1, 9.0, np.array([0.0, 0.4, 0.8]))
    assert line_by_all(SPARSE, whole, few, reference) is None
    frozen = watched([(t, scene(0, 0.0)) for t in np.arange(0, 30, 0.25)], REFERENCE_GRID)
    assert line_by_all(SPARSE, whole, uploaded(1, 9.0), frozen) is None


def test_a_line_is_followed_for_as_long_as_the_same_moves(reference: Motion):
    times = np.arange(12 * RATE) / RATE
    pictures = [(t, burning(1 if t < 6 else 2, 9 + t)) for t in times.tolist()]
    upload = watched(pictures, QUERY_GRID)
    whole = laid_whole()
    at = np.arange(0.5, 12, 0.5)
    there = followed(Line(1.0, 9.0), at, whole, upload, reference)
    assert there[at <= 5].all()
    assert not there[at >= 7].any()
    assert not followed(Line(1.0, 9.1), at, whole, upload, reference).any()
    assert not followed(Line(1.0, 9.0), at, whole, uploaded(1, 9.0, SPARSE[:3]), reference).any()


@pytest.mark.parametrize(("gap", "told"), [(0.5, True), (0.7, False)])
def test_moments_that_lie_far_apart_have_no_change(gap: float, told: bool):
    kept = watched([(t, burning(1, t)) for t in np.arange(0, 30, gap).tolist()], REFERENCE_GRID)
    line = line_by_all(SPARSE, laid_whole(), uploaded(1, 9.0), kept)
    assert (line is not None) == told


@pytest.mark.parametrize(("gap", "told"), [(1.1, True), (1.5, False)])
def test_four_changes_tell_nothing(gap: float, told: bool):
    """A reference of which two pictures are kept now and then: six seconds lead to five or four."""
    moments = (np.arange(0, 60, gap)[:, None] + (0.0, 0.25)).ravel()
    kept = watched([(t, burning(1, t)) for t in moments.tolist()], REFERENCE_GRID)
    line = line_by_all(SPARSE, laid_whole(), uploaded(1, 9.0), kept)
    assert (line is not None) == told


@pytest.mark.parametrize(("grain", "told"), [(5, True), (7, False)])
def test_a_line_of_an_odd_speed_must_be_clearer(
    grain: float, told: bool, monkeypatch: pytest.MonkeyPatch
):
    known = watched([(t, scene(1, t)) for t in np.arange(0, 30, 0.25).tolist()], REFERENCE_GRID)
    rng, pictures = np.random.default_rng(5), []
    for t in (np.arange(6 * RATE) / RATE).tolist():
        coarse = np.kron(rng.normal(0, grain, (16, 16)), np.ones((4, 4)))
        pictures.append((t, scene(1, round((4 + 1.6 * t) * RATE) / RATE) + coarse))
    upload, whole = watched(pictures, QUERY_GRID), laid_whole()
    assert (line_by_all(SPARSE, whole, upload, known) is not None) == told
    monkeypatch.setattr(every_picture, "ODD_LEAST", 0.4)
    assert line_by_all(SPARSE, whole, upload, known) is not None


@pytest.mark.parametrize("there", [True, False])
def test_two_changes_follow_nothing(there: bool):
    """Of a reference three or four pictures are kept within a second and a half of a moment."""
    run = [11.625, 11.875, 12.125, 12.375] if there else [11.75, 12.0, 12.25]
    moments = [*np.arange(0, 10.5, 0.25), *run, *np.arange(13.5, 30, 0.25)]
    kept = watched([(float(t), burning(1, t)) for t in moments], REFERENCE_GRID)
    whole = laid_whole()
    alike = followed(Line(1.0, 9.0), np.array([3.0]), whole, uploaded(1, 9.0), kept)
    assert alike.tolist() == [there]
