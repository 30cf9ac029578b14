"""Which hits agree in time, in lines of numbers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashdb.model import Alignment, Fingerprint, Floats, Segment, SegmentPair
from matcher.align import SPEEDS, FrameHits, _best_offsets, align, best_line, group_alike
from matcher.score import TOLERANCE, as_match, evidence, rescore
from tests.rulings import reference

RNG = np.random.default_rng(20190315)


def query(offsets, signal_type="pdq", codes=None):
    n = len(offsets)
    if codes is None:
        codes = RNG.integers(0, 256, (n, 8 if signal_type == "phash" else 32), dtype=np.uint8)
    return Fingerprint(
        signal_type,
        "test",
        codes,
        np.array(offsets, dtype=float),
        np.zeros(n),
        np.full(n, 100, np.uint8),
    )


def hits(*rows):
    """(query row, reference offset, distance[, span]) each."""
    rows = [(*r, 0.0) if len(r) == 3 else r for r in rows]
    q, offsets, distances, spans = (np.array(c) for c in zip(*rows, strict=True))
    return FrameHits(q, offsets.astype(float), spans.astype(float), distances)


def found(offsets, *rows, total_s=None, still=False, **kwargs):
    total = offsets[-1] + 1 if total_s is None else total_s
    return align("ref", query(offsets, **kwargs), hits(*rows), still=still, total_s=total)


def near(segment, start, end, tolerance=0.3):
    return abs(segment.start - start) <= tolerance and abs(segment.end - end) <= tolerance


def test_a_straight_copy_is_one_segment():
    a = found([0, 1, 2, 3, 4], (0, 10, 8), (1, 11, 8), (2, 12, 8), (3, 13, 8), (4, 14, 8))
    (pair,) = a.segments
    assert near(pair.query, 0, 5)
    assert near(pair.reference, 10, 15)
    assert a.speed == pytest.approx(1.0, abs=0.02)
    assert a.score > 0.99


@pytest.mark.parametrize("speed", [0.5, 0.75, 0.9, 1.1, 1.5, 2.0])
def test_a_copy_at_another_speed(speed):
    times = np.arange(0, 20, 0.5)
    a = found(times, *[(i, 5 + speed * t, 12) for i, t in enumerate(times)])
    assert len(a.frames) == len(times)
    (pair,) = a.segments
    assert near(pair.reference, 5, 5 + speed * 20.5)
    assert a.speed == pytest.approx(speed, rel=0.03)


def test_a_long_copy_that_drifts_is_followed_to_its_end():
    times = np.arange(0, 600, 2.0)
    a = found(times, *[(i, 3 + 1.013 * t, 16) for i, t in enumerate(times)])
    assert len(a.frames) == len(times)
    assert len(a.segments) == 1


def test_footage_spliced_into_other_footage():
    a = found(range(20), *[(i, 30 + i, 10) for i in (8, 9, 10, 11)])
    (pair,) = a.segments
    assert near(pair.query, 7.5, 11.5)
    assert near(pair.reference, 37.5, 41.5)


def test_a_segment_ends_where_other_frames_were_looked_at():
    inside = np.array([5.0, 6.0, 7.0])
    rows = hits(*[(i, 30 + i, 10) for i in range(3)])
    every = np.arange(0, 12, 0.25)
    a = align("ref", query(inside), rows, still=False, total_s=12, samples=every)
    assert near(a.segments[0].query, 4.875, 7.125, 0.01)


def test_two_excerpts_in_another_order_are_two_segments():
    a = found(
        range(12),
        *[(i, 40 + i, 10) for i in range(4)],
        *[(i, i - 8, 10) for i in range(8, 12)],
    )
    assert [round(p.query.start) for p in a.segments] == [0, 8]
    assert {round(p.reference.start) for p in a.segments} == {40, 0}


def test_reversed_footage():
    a = found(range(8), *[(i, 20 - i, 10) for i in range(8)])
    assert len(a.frames) == 8
    assert a.speed == pytest.approx(-1.0)
    (pair,) = a.segments
    assert near(pair.reference, 12, 20)
    assert pair.backwards
    assert not found(range(8), *[(i, 20 + i, 10) for i in range(8)]).segments[0].backwards


def test_hits_that_agree_on_no_time_stay_weak():
    scattered = [(i, float(m), 28) for i, m in enumerate([90, 3, 55, 20, 71, 8, 120, 33])]
    ordered = [(i, 10.0 + i, 28) for i in range(8)]
    assert found(range(8), *scattered).score < 0.6 < found(range(8), *ordered).score


def test_a_still_scene_cannot_vote_for_itself():
    code = RNG.integers(0, 256, (1, 32), dtype=np.uint8)
    still = np.repeat(code, 30, axis=0)
    rows = [(i, 7, 24, 30.0) for i in range(30)]
    a = found(range(30), *rows, codes=still)
    one = found([0], (0, 7, 24))
    assert a.score == pytest.approx(one.score)
    assert near(a.segments[0].query, 0, 30)


def test_an_image_has_one_segment_without_length():
    a = found([0], (0, 4.5, 2), total_s=0)
    (pair,) = a.segments
    assert (pair.query.start, pair.query.end) == (0, 0)
    assert (pair.reference.start, pair.reference.end) == (4.5, 4.5)
    assert a.score > 0.8


def test_an_image_shown_in_a_video_counts_once():
    a = found(range(6), *[(i, 0, 6) for i in range(6)], still=True)
    assert near(a.segments[0].query, 0, 6)
    assert a.segments[0].reference.end == 0


def test_a_frozen_reference_frame_counts_once():
    a = found(range(6), *[(i, 12, 20) for i in range(6)])
    assert a.score == pytest.approx(found([0], (0, 12, 20)).score, abs=0.01)
    assert near(a.segments[0].query, 0, 6)


def test_closer_pictures_say_more_and_more_pictures_say_more():
    assert score_of(2) > score_of(12) > score_of(24) > score_of(31)
    assert score_of(24, 24, 24) > score_of(24, 24) > score_of(24)


def score_of(*distances):
    rows = [(i, float(i), d) for i, d in enumerate(distances)]
    return found(range(len(rows)), *rows).score


def test_one_phash_alone_never_reaches_a_threshold():
    assert found([0], (0, 3, 0), signal_type="phash").score < 0.5
    assert found(range(4), *[(i, i, 2) for i in range(4)], signal_type="phash").score > 0.5


def test_without_a_part_of_its_evidence():
    a = found(range(10), *[(i, i, 10) for i in range(10)])
    b = rescore(a, a.frames[:3], video=True)
    assert near(b.segments[0].query, 0, 2.5)
    assert b.score <= a.score
    assert rescore(a, (), video=True) is None
    assert evidence("pdq", a.frames) == a.evidence


def test_a_flat_gap_inside_a_copy_does_not_cut_it():
    a = found([0, 1, 2, 4, 5, 6], *[(i, t, 8) for i, t in enumerate([0, 1, 2, 4, 5, 6])])
    assert len(a.segments) == 1


def test_look_alike_groups():
    base = RNG.integers(0, 256, 32, dtype=np.uint8)
    other = ~base
    assert group_alike(np.stack([base, base, other, base]), "pdq") == [0, 0, 1, 0]


def test_a_match_takes_other_alignments_segments_where_they_speak_of_other_times():
    class Reference:
        id = "ref"
        duration_s = None

    early = found(range(4), *[(i, i, 5) for i in range(4)], total_s=30)
    beside = found(range(1, 5), *[(i, i + 40, 20) for i in range(4)], total_s=30)
    late = found(range(20, 24), *[(i, i, 20) for i in range(4)], total_s=30)
    match = as_match(Reference(), [late, beside, early], exact=("md5",))
    starts = [round(p.query.start) for p in match.segments]
    assert starts == [0, 19]
    assert match.score == 1.0
    assert [s.signal_type for s in match.signals] == ["md5", "pdq"]


@pytest.mark.parametrize(("seconds", "shown"), [(None, 44.0), (43.0, 43.0), (60.0, 44.0)])
def test_what_a_match_shows_of_a_reference_ends_with_it(seconds: float | None, shown: float):
    found_in = pieces((0.0, 4.0, 40.0))
    match = as_match(replace(reference("r", "attacks"), duration_s=seconds), [found_in])
    (pair,) = match.segments
    assert (pair.query, pair.reference) == (Segment(0.0, 4.0), Segment(40.0, shown))


def pieces(
    *spans: tuple[float, float, float], signal_type: str = "pdq", backwards: bool = False
) -> Alignment:
    """A sure alignment of (start, end, first in the reference), each at the normal speed."""
    one = found(range(4), *[(i, i, 5) for i in range(4)], total_s=30)
    segments = tuple(
        SegmentPair(
            Segment(a, b),
            Segment(at - b + a, at) if backwards else Segment(at, at + b - a),
            backwards,
        )
        for a, b, at in spans
    )
    return replace(one, signal_type=signal_type, segments=segments)


def test_pieces_are_joined_by_what_goes_on_between_them():
    """As where a camera stands still: hashes tell the moment of some pictures only."""
    told = pieces((4, 9, 4), (14, 18, 14), (25, 28, 25))
    followed = pieces((0, 30, 0.2), signal_type="local")
    [whole] = as_match(reference("r", "b"), [followed, told]).segments
    assert whole == SegmentPair(Segment(0, 30), Segment(0, 30))  # on the line that is told


def test_pieces_that_are_played_backwards_are_joined_backwards():
    told = pieces((4, 9, 36), (14, 18, 26), backwards=True)
    followed = pieces((0, 30, 40.2), signal_type="local", backwards=True)
    [whole] = as_match(reference("r", "b"), [followed, told]).segments
    assert whole == SegmentPair(Segment(0, 30), Segment(10, 40), backwards=True)


def test_what_is_played_forwards_does_not_go_on_backwards():
    """Both lead over the same seconds of the reference."""
    told, other = pieces((4, 9, 4)), pieces((4, 9, 9), signal_type="local", backwards=True)
    assert as_match(reference("r", "b"), [told, other]).segments == told.segments
    turned = pieces((9, 13, 9), signal_type="local", backwards=True)
    assert as_match(reference("r", "b"), [told, turned]).segments == (
        *told.segments,
        *turned.segments,
    )


def test_pieces_of_other_moments_are_not_joined():
    told = pieces((4, 9, 4), (14, 18, 40))
    followed = pieces((0, 30, 0), signal_type="local")
    assert as_match(reference("r", "b"), [followed, told]).segments == told.segments


@pytest.mark.parametrize(
    ("signal_type", "score"), [("local", 0.9), ("phash", 0.1), ("sound", 1.0), ("neural", 1.0)]
)
def test_pieces_are_not_joined_by_what_is_not_sure_or_not_seen(
    signal_type: str, score: float
) -> None:
    """Sound goes on under other footage."""
    told = pieces((0, 5, 0), (25, 30, 25))
    beside = replace(pieces((0, 30, 0), signal_type=signal_type), score=score)
    assert as_match(reference("r", "b"), [told, beside]).segments == told.segments


def one_offset(lows: Floats, spans: Floats, weights: Floats) -> tuple[float, float]:
    """The sweep of one speed."""
    edges = np.concatenate([lows - TOLERANCE, lows + spans + TOLERANCE])
    order = np.argsort(edges, kind="stable")
    depth = np.cumsum(np.concatenate([weights, -weights])[order])
    at = int(np.argmax(depth))
    right = edges[order[at + 1]] if at + 1 < len(order) else edges[order[at]]
    return float(depth[at]), float((edges[order[at]] + right) / 2)


@given(
    seed=st.integers(0, 2**32),
    k=st.integers(1, 40),
    grid=st.sampled_from([0.0, 0.25, 1.0]),
    spans=st.sampled_from([0.0, 0.5, 20.0]),
)
@settings(max_examples=200, deadline=None)
def test_all_speeds_at_once_as_one_by_one(seed: int, k: int, grid: float, spans: float) -> None:
    """To the last bit; on a grid of times, where ends coincide, too."""
    rng = np.random.default_rng(seed)
    moments, t = rng.uniform(0, 60, k), rng.uniform(0, 60, k)
    if grid:
        moments, t = np.round(moments / grid) * grid, np.round(t / grid) * grid
    lengths, weights = rng.uniform(0, spans, k), rng.choice([0.001, 1.0, 6.5], k)
    votes, offsets = _best_offsets(moments - SPEEDS[:, None] * t, lengths, weights)
    for speed, vote, offset in zip(SPEEDS, votes, offsets, strict=True):
        assert (vote, offset) == one_offset(moments - speed * t, lengths, weights)


def test_more_hits_than_are_counted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    times, n = np.arange(30) * 1.0, 300
    hits = FrameHits(
        rng.integers(0, 30, n), rng.uniform(0, 60, n), np.full(n, 0.5), rng.integers(0, 46, n)
    )
    whole = best_line(times, hits, "pdq", still=False)
    for at_once in (1, 7 * n, 1000 * n):
        monkeypatch.setattr("matcher.align._AT_ONCE", at_once)
        line = best_line(times, hits, "pdq", still=False)
        assert line.speed == whole.speed
        assert (line.moments == whole.moments).all()
        assert (line.hits.queries == whole.hits.queries).all()


class TestTitleCards:
    def test_all_are_one_scene(self):
        rows = [(i, 10 + i, 20) for i in range(8)]
        a = found(range(8), *rows, signal_type="card")
        assert a.score == found([0], (0, 10, 20), signal_type="card").score
        assert a.score < found(range(8), *rows).score

    @pytest.mark.parametrize(("had", "any_"), [(3, False), (4, True)])
    def test_half_of_an_uploads_must_be_had(self, had, any_):
        a = found(range(8), *[(i, 10 + i, 4) for i in range(had)], signal_type="card")
        assert (a is not None) == any_
