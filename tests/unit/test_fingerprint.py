"""Frames into fingerprints: placings, views, spans, what was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashdb.errors import CorruptMedia, MediaTimeout
from hashdb.model import Fingerprint, MediaFingerprints, MediaKind, Orientation, View
from hashdb.signals import CARD
from matcher.features import QUERY_GRID
from matcher.fingerprint import fingerprint
from matcher.hashers import panes, pdq, phash
from matcher.ports import Frame, MediaInfo, Sampling, Window
from matcher.rows import MERGE_BITS
from tests.films import BOTH, PARTS, REFERENCE, UPLOAD, Film, Luma, boxed, film, halves, look, scene
from tests.golden.pictures import flat, hills

UPRIGHT = (Orientation.ORIGINAL,)


def pick(
    found: MediaFingerprints,
    signal_type: str = "pdq",
    view: View = View.FULL,
    orientation: Orientation = Orientation.ORIGINAL,
    track: int = 0,
) -> Fingerprint:
    (one,) = (
        f
        for f in found.fingerprints
        if (f.signal_type, f.view, f.orientation, f.track)
        == (signal_type, view, orientation, track)
    )
    return one


def test_an_upload_gives_every_placing_of_every_frame() -> None:
    pictures = [scene(i) for i in range(4)]
    found = look(film(*pictures))
    for row, orientation in enumerate(Orientation):
        one = pick(found, orientation=orientation)
        assert one.offsets.tolist() == [0.0, 1.0, 2.0, 3.0]
        assert one.spans.tolist() == [0.0] * 4
        for at, picture in enumerate(pictures):
            codes, quality = pdq.hash_dihedral(picture)
            assert np.array_equal(one.codes[at], codes[row])
            assert one.quality[at] == quality
    assert pick(found, "phash").codes[2].tobytes() == phash.hash(pictures[2])
    assert sum(f.view is View.FULL for f in found.fingerprints) == 9
    assert found.coverage.frames == 4
    assert found.coverage.flat_frames == 0


def test_only_the_signal_types_that_were_asked_for() -> None:
    found = look(film(scene(1)), types=("phash",))
    assert {f.signal_type for f in found.fingerprints} == {"phash"}
    assert look(film(scene(1)), types=("sha256",)).fingerprints == ()
    assert look(film(scene(1)), types=("sha256",)).coverage.flat_frames == 0


def test_a_look_at_motion_gives_nothing_else() -> None:
    sampling = Sampling(dense=False, windows=(Window(0.0, 4.0),), motion=True)
    found = look(film(*(scene(i) for i in range(4))), sampling, types=())
    assert (found.fingerprints, found.local, found.coverage.flat_frames) == ((), (), 0)
    (motion,) = found.motion
    assert motion.offsets.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert motion.grids.shape == (4, QUERY_GRID, QUERY_GRID)
    assert look(film(scene(1)), sampling, types=()).motion == ()


def test_flat_frames_give_no_codes_and_are_counted() -> None:
    dark = halves(120, 160, 3)
    found = look(film(dark, scene(1), dark, scene(2)))
    assert pick(found).offsets.tolist() == [1.0, 3.0]
    assert found.coverage.frames == 4
    assert found.coverage.flat_frames == 2


def test_title_cards_are_hashed_apart() -> None:
    parts = replace(PARTS, hashers=(*PARTS.hashers, pdq.Hasher(CARD, orientations=UPRIGHT)))
    card = np.full((120, 160), 250, np.uint8)
    card[40:60, 30:130] = scene(3)[40:60, 30:130]
    pictures = (card, card, scene(1), card, flat(120, 160, 0))
    upload = fingerprint(film(*pictures), parts, UPLOAD, (*BOTH, CARD))
    assert pick(upload).offsets.tolist() == [2.0]
    (found,) = (f for f in upload.fingerprints if f.signal_type == CARD)
    assert found.offsets.tolist() == [0.0, 1.0, 3.0]
    assert np.array_equal(found.codes[0], pdq.hash_dihedral(card)[0][0])
    known = pick(fingerprint(film(*pictures), parts, REFERENCE, (*BOTH, CARD)), CARD)
    assert (known.offsets.tolist(), known.spans.tolist()) == ([0.0, 3.0], [1.0, 0.0])


def test_media_of_flat_frames_alone_has_no_fingerprints() -> None:
    found = look(film(*[halves(120, 160, g) for g in (0, 100, 200)]))
    assert found.fingerprints == ()
    assert found.coverage.flat_frames == found.coverage.frames == 3


@pytest.mark.parametrize(("cuts", "flat_frames"), [(0, 0), (2, 0), (6, 2)])
def test_bars_of_a_video_are_judged_and_what_is_cut_more_often_is_not(
    cuts: int, flat_frames: int
) -> None:
    bars = np.tile(np.repeat(np.array([100, 120, 140, 110, 130, 100], np.uint8), 30), (180, 1))
    for cut in range(cuts):
        bars[20 + 20 * cut :, : 30 * (cut + 1)] = 100  # a strip of another pattern
    for picture in (bars, bars.T.copy()):
        found = look(film(picture, picture))
        assert found.fingerprints == ()
        assert found.coverage.flat_frames == flat_frames


def test_blank_frames_of_a_video_are_judged_and_those_of_an_image_are_not() -> None:
    blanks = [flat(120, 160, g) for g in (0, 100, 255)]
    assert look(film(*blanks)).fingerprints == ()
    assert look(film(*blanks)).coverage.flat_frames == 0
    assert look(film(blanks[0], kind=MediaKind.IMAGE)).coverage.flat_frames == 1


@pytest.mark.parametrize(
    ("ground", "side", "flat_frames"), [(160, 12, 0), (160, 24, 1), (20, 12, 1)]
)
def test_one_shade_with_a_logo_was_judged(ground: int, side: int, flat_frames: int) -> None:
    """Not so with a small picture in a corner, nor with a light in the night."""
    picture = np.full((120, 160), ground, np.uint8)
    picture[-side:, -side:] = 255 * (np.indices((side, side)).sum(axis=0) // 3 % 2)
    found = look(film(picture))
    assert found.fingerprints == ()
    assert found.coverage.flat_frames == flat_frames
    assert look(film(picture, kind=MediaKind.IMAGE)).coverage.flat_frames == 1


def test_a_boxed_upload_is_also_hashed_within_its_borders() -> None:
    picture = scene(5)
    found = look(film(boxed(picture)))
    inside = pick(found, view=View.TRIMMED)
    assert inside.codes[0].tobytes() == pdq.hash(picture)[0]
    assert pick(found, view=View.FULL).codes[0].tobytes() == pdq.hash(boxed(picture))[0]
    assert pick(found, "phash", View.TRIMMED).codes[0].tobytes() == phash.hash(picture)
    turned = pick(found, view=View.TRIMMED, orientation=Orientation.FLIP_HORIZONTAL)
    assert np.array_equal(turned.codes[0], pdq.hash_dihedral(picture)[0][5])


def test_a_picture_without_borders_has_no_trimmed_view() -> None:
    assert {f.view for f in look(film(scene(5))).fingerprints} == {View.FULL}


def test_a_reference_merges_neighbours_that_look_alike() -> None:
    still, other = scene(1), scene(2)
    found = look(film(still, still, still, other, still, still, step=0.5), REFERENCE)
    one = pick(found)
    assert one.offsets.tolist() == [0.0, 1.5, 2.0]
    assert one.spans.tolist() == [1.0, 0.0, 0.5]
    assert {f.orientation for f in found.fingerprints} == {Orientation.ORIGINAL}


def test_a_flat_frame_ends_a_span() -> None:
    still = scene(1)
    found = look(film(still, still, flat(120, 160, 0), still), REFERENCE)
    assert pick(found).offsets.tolist() == [0.0, 3.0]
    assert pick(found).spans.tolist() == [1.0, 0.0]


def test_a_boxed_reference_is_hashed_both_ways() -> None:
    found = look(film(boxed(scene(1)), boxed(scene(1))), REFERENCE)
    assert pick(found, view=View.TRIMMED).spans.tolist() == [1.0]
    assert pick(found, view=View.FULL).spans.tolist() == [1.0]


def test_a_dense_look_at_windows_is_laid_out_as_an_upload() -> None:
    still = scene(1)
    windows = Sampling(dense=True, windows=(Window(0.0, 2.0),))
    found = look(film(still, still, still), windows)
    assert len(pick(found, orientation=Orientation.ROTATE_90)) == 3
    assert look(film(), windows).fingerprints == ()


def drifting(seed: int, frames: int) -> list[Luma]:
    """A scene that changes a little with every frame."""
    random = np.random.RandomState(seed)
    picture = scene(seed).astype(np.int64)
    shown = []
    for _ in range(frames):
        top, left = random.randint(0, 100), random.randint(0, 130)
        picture[top : top + 20, left : left + 30] += random.randint(-9, 10)
        shown.append(picture.clip(0, 255).astype(np.uint8))
    return shown


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000))
def test_every_frame_of_a_span_stands_near_its_code(seed: int) -> None:
    pictures = drifting(seed, 30)
    found = look(film(*pictures, duration=30.0), REFERENCE)
    for signal_type in ("pdq", "phash"):
        limit = MERGE_BITS[signal_type]
        one = pick(found, signal_type)
        for at, picture in enumerate(pictures):
            row = int(np.searchsorted(one.offsets, float(at), side="right")) - 1
            assert one.offsets[row] <= at <= one.offsets[row] + one.spans[row]
            code = pdq.hash(picture)[0] if signal_type == "pdq" else phash.hash(picture)
            own = np.frombuffer(code, dtype=np.uint8)
            assert int(np.bitwise_count(one.codes[row] ^ own).sum()) <= limit


def test_a_drift_does_not_end_in_one_span() -> None:
    pictures = drifting(4, 120)
    first, last = (np.frombuffer(pdq.hash(p)[0], np.uint8) for p in (pictures[0], pictures[-1]))
    assert np.bitwise_count(first ^ last).sum() > 3 * MERGE_BITS["pdq"]
    assert len(pick(look(film(*pictures, duration=120.0), REFERENCE))) > 2


@pytest.mark.parametrize(
    ("offsets", "duration", "judged"),
    [
        ([0.0, 1.0, 2.0], 3.0, 3.0),
        ([0.0], 10.0, 1.0),
        ([5.0], 10.0, 2.0),
        ([0.0, 2.0, 4.0, 10.0], 10.0, 6.0),
        ([9.9], 10.0, 1.1),
    ],
)
def test_what_was_looked_at(offsets: list[float], duration: float, judged: float) -> None:
    shown = [Frame(t, scene(1)) for t in offsets]
    found = look(Film(shown, MediaInfo(MediaKind.VIDEO, duration, 1)))
    assert found.coverage.judged_s == pytest.approx(judged)
    assert found.coverage.total_s == duration


def test_an_image_has_no_seconds_and_counts_as_looked_at() -> None:
    found = look(Film([Frame(0.0, scene(1))], MediaInfo(MediaKind.IMAGE, 0.0, 1)))
    assert found.kind is MediaKind.IMAGE
    assert (found.coverage.judged_s, found.coverage.total_s) == (0.0, 0.0)
    assert found.coverage.fraction == 1.0


def two_tracks(second: Sequence[float], durations: tuple[float, ...] = ()) -> Film:
    shown = [Frame(float(t), scene(1)) for t in range(10)]
    shown += [Frame(t, scene(2), track=1) for t in second]
    return Film(shown, MediaInfo(MediaKind.VIDEO, 10.0, 2, durations))


def test_the_track_that_was_looked_at_least_counts() -> None:
    found = look(two_tracks([0.0, 5.0]))
    assert found.coverage.judged_s == pytest.approx(3.0)
    assert pick(found, track=1).offsets.tolist() == [0.0, 5.0]
    assert look(two_tracks([])).coverage.judged_s == 0.0


def test_a_short_second_track_that_was_seen_whole_costs_nothing() -> None:
    found = look(two_tracks([0.0, 1.0], durations=(10.0, 2.0)))
    assert found.coverage.judged_s == pytest.approx(10.0)


def test_limits_end_the_look() -> None:
    pictures = [scene(i) for i in range(5)]
    found = look(film(*pictures), Sampling(dense=False, max_frames=2))
    assert (found.coverage.frames, found.coverage.truncated) == (2, True)
    late = look(film(*pictures), Sampling(dense=False, seconds=0.0))
    assert (late.coverage.frames, late.coverage.truncated) == (1, True)
    by_clock = look(film(*pictures), Sampling(dense=False, clock_s=0.0))
    assert (by_clock.coverage.frames, by_clock.coverage.truncated) == (1, True)
    assert not look(film(*pictures)).coverage.truncated


def test_the_decoders_word_that_it_was_cut_short_is_passed_on() -> None:
    assert look(Film([Frame(0.0, scene(1))], truncated=True)).coverage.truncated


def test_media_without_a_frame_is_refused() -> None:
    with pytest.raises(CorruptMedia):
        look(film())
    with pytest.raises(MediaTimeout):
        look(film(), Sampling(dense=False, seconds=0.0))


@pytest.mark.parametrize(("frames", "wanted"), [(1, 4), (3, 4), (8, 4), (9, 4), (500, 4), (7, 1)])
def test_pictures_for_classifiers_are_spread(frames: int, wanted: int) -> None:
    def numbered(number: int) -> Frame:
        def picture(side: int) -> Luma:
            return np.full((side, side, 3), number % 256, dtype=np.uint8)

        return Frame(float(number), flat(16, 16, 0), picture=picture)

    opened = Film([numbered(i) for i in range(frames)])
    found = look(opened, Sampling(dense=False, pictures=wanted), types=())
    assert [p.shape for p in found.pictures] == [(224, 224, 3)] * min(frames, wanted)
    shown = [int(p[0, 0, 0]) for p in found.pictures] if frames < 256 else []
    assert shown == sorted(set(shown))
    if frames == 9:
        assert shown[-1] - shown[0] >= 4


def test_no_pictures_are_made_where_none_are_wanted() -> None:
    def never(side: int) -> Luma:
        raise AssertionError("nobody wanted a picture")

    look(Film([Frame(0.0, scene(1), picture=never)]))


def described(
    seconds: int, sampling: Sampling, luma: Luma | None = None, **info: object
) -> list[float]:
    """When the pictures were taken that a descriptor model is given, of four frames a second."""

    def numbered(number: int) -> Frame:
        def picture(side: int) -> Luma:
            return np.full((side, side, 3), number % 256, dtype=np.uint8)

        return Frame(number / 4, scene(1) if luma is None else luma, picture=picture)

    kind = info.get("kind", MediaKind.VIDEO)
    assert isinstance(kind, MediaKind)
    opened = Film([numbered(i) for i in range(4 * seconds)], MediaInfo(kind, float(seconds), 1))
    found = look(opened, sampling, types=())
    if not found.to_describe:
        return []
    (shown,) = found.to_describe
    assert shown.pixels.shape == (len(shown), sampling.describe, sampling.describe, 3)
    assert shown.pixels[:, 0, 0, 0].tolist() == [int(4 * t) % 256 for t in shown.offsets]
    return [float(t) for t in shown.offsets]


def test_a_descriptor_model_is_given_a_picture_a_second() -> None:
    reference, upload = (Sampling(dense=d, describe=16) for d in (True, False))
    assert described(30, reference) == list(range(30))
    assert described(30, upload) == list(range(30))
    assert described(5, reference) == list(range(5))
    assert described(5, upload) == [n / 2 for n in range(10)]


def test_long_media_are_described_at_longer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matcher.shown.REFERENCE_BYTES", 20 * 16 * 16 * 3)
    monkeypatch.setattr("matcher.shown.UPLOAD_BYTES", 10 * 16 * 16 * 3)
    assert described(70, Sampling(dense=True, describe=16)) == list(range(0, 70, 4))
    assert described(70, Sampling(dense=False, describe=16)) == list(range(0, 70, 8))


def test_what_is_flat_not_wanted_or_no_video_is_not_described() -> None:
    reference = Sampling(dense=True, describe=16)
    assert described(5, Sampling(dense=True)) == []
    assert described(5, reference, halves(120, 160, 0)) == []
    assert described(5, reference, flat(120, 160, 90)) == []
    assert described(1, reference, kind=MediaKind.IMAGE) == []
    windows = Sampling(dense=False, windows=(Window(0.0, 3.0),), describe=16)
    assert described(5, windows) == []


def test_pictures_within_the_picture_are_hashed_each() -> None:
    parts = replace(PARTS, panes=panes.PaneFinder)
    halves = [(hills(240, 160, seed), hills(240, 160, seed + 50)) for seed in range(5)]
    shown = film(*[np.hstack(both) for both in halves])
    found = fingerprint(shown, parts, UPLOAD, BOTH)
    views = {f.view for f in found.fingerprints if f.signal_type == "pdq"}
    assert not any(f.view.in_part for f in found.fingerprints if f.signal_type == "phash")
    assert View.FULL in views
    assert any(view.in_part for view in views)
    codes = [f.codes for f in found.fingerprints if f.view.in_part and len(f.codes)]
    for one in found.fingerprints:
        assert (one.boxes is not None) is one.view.in_part
        assert one.boxes is None or one.boxes.shape == (len(one), 4)
    for both in halves:
        for half in both:
            wanted = np.frombuffer(pdq.hash(half)[0], np.uint8)
            told = min(int(np.bitwise_count(c ^ wanted).sum(axis=1).min()) for c in codes)
            assert told <= 46
    assert not any(f.view.in_part for f in fingerprint(shown, parts, REFERENCE, BOTH).fingerprints)


def test_so_is_an_image() -> None:
    parts = replace(PARTS, panes=panes.PaneFinder)
    image = film(np.hstack([scene(1, 240, 160), scene(2, 240, 160)]), kind=MediaKind.IMAGE)
    views = {f.view for f in fingerprint(image, parts, UPLOAD, BOTH).fingerprints}
    assert View.FULL in views
    assert any(view.in_part for view in views)
    reference = fingerprint(image, parts, Sampling(dense=True), BOTH)
    assert {f.view for f in reference.fingerprints} == {View.FULL}
