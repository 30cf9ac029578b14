"""When pictures are shown, however odd their stamps; and which of them are looked at."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from matcher.decode.pace import Look, Pace, Picker
from matcher.decode.timeline import Timeline, timeline
from matcher.ports import Sampling, Window

NAN = float("nan")


def line(
    pts: list[float], *, keys: list[int] | None = None, rate: float | None = None, gap: float = 3600
) -> Timeline:
    count = len(pts)
    marks = np.zeros(count, dtype=bool)
    marks[keys if keys is not None else [0]] = True
    hidden = np.zeros(count, dtype=bool)
    return timeline(
        np.array(pts), np.full(count, NAN), marks, hidden, rate, tail=0.0, longest_gap=gap
    )


def test_offsets_count_from_the_first_picture():
    assert line([10.0, 10.5, 11.0]).offsets.tolist() == [0.0, 0.5, 1.0]


def test_duration_reaches_to_the_end_of_the_last_picture():
    assert line([10.0, 10.5, 11.0], rate=2).duration == pytest.approx(1.5)


def test_pictures_stored_out_of_order_keep_their_times():
    assert line([0.0, 0.12, 0.04, 0.08], rate=25).offsets.tolist() == [0.0, 0.12, 0.04, 0.08]


def test_variable_rates_stay_as_they_are():
    times = [0.0, 0.1, 0.5, 4.0, 4.01, 30.0]
    assert line(times, rate=25).offsets.tolist() == pytest.approx(times)


def test_missing_stamps_are_counted_on():
    assert line([0.0, NAN, NAN, 0.3], rate=10).offsets.tolist() == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("stamps", [[NAN] * 6, [0.0] * 6, [5.0, NAN, NAN, NAN, NAN, NAN]])
def test_without_stamps_pictures_are_counted(stamps):
    found = line(stamps, rate=10)
    assert found.by_count
    assert found.offsets.tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_a_jump_back_goes_on_where_the_time_stood():
    found = line([0.0, 0.1, 0.2, -900.0, -899.9], rate=10)
    assert found.offsets.tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_an_absurd_stamp_in_the_middle_is_closed_on_both_sides():
    found = line([0.0, 0.1, 1e9, 0.3, 0.4], rate=10)
    assert found.offsets.tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert found.duration == pytest.approx(0.5)


def test_a_spliced_stream_may_not_jump_as_far_as_a_file():
    stamps = [0.0, 0.1, 100.0, 100.1]
    assert line(stamps, rate=10).duration == pytest.approx(100.2)
    assert line(stamps, rate=10, gap=10).duration == pytest.approx(0.4)


@pytest.mark.parametrize("rate", [None, 0.0, 1e9, NAN, -25.0])
def test_an_absurd_rate_is_measured_instead(rate):
    assert line([0.0, 0.5, 1.0, 1.5], rate=rate).step == pytest.approx(0.5)


def test_what_an_edit_list_hides_comes_before_the_start():
    hidden = np.array([True, True, False, False])
    found = timeline(
        np.array([-0.2, -0.1, 0.0, 0.1]),
        np.full(4, NAN),
        np.array([True, False, False, False]),
        hidden,
        10.0,
    )
    assert found.offsets.tolist() == pytest.approx([-0.2, -0.1, 0, 0.1])
    assert found.duration == pytest.approx(0.2)


def test_the_first_packet_starts_a_group_even_unmarked():
    assert line([0.0, 0.1, 0.2, 0.3], keys=[2]).keys.tolist() == [0, 2]


def test_a_group_ends_where_the_next_keyframe_is_shown():
    found = line([0.0, 0.3, 0.1, 0.2, 0.5, 0.4], keys=[0, 4], rate=10)
    assert [found.group_end(t)[0] for t in (0.0, 0.2, 0.4)] == pytest.approx([0.5] * 3)
    assert not found.group_end(0.4)[1]
    assert found.group_end(0.5) == (pytest.approx(0.6), True)
    assert [found.is_key(t) for t in (0.0, 0.4, 0.5)] == [True, False, True]


def test_a_keyframe_that_is_not_shown_ends_no_group():
    pts, keys = np.arange(6) / 10, np.array([1, 0, 0, 0, 1, 0], dtype=bool)
    hidden = np.array([0, 0, 0, 0, 1, 1], dtype=bool)
    found = timeline(pts, pts, keys, hidden, 10.0)
    assert found.group_end(0.1) == (pytest.approx(0.4), True)


def test_a_picture_is_held_until_the_next_or_the_end():
    found = line([0.0, 5.0, 5.1], rate=10)
    assert found.held_until(0.0) == pytest.approx(5.0)
    assert found.held_until(5.1) == pytest.approx(5.2)


# --- which pictures ----------------------------------------------------------------------------


def upload(duration: float) -> Picker:
    return Picker.of(Sampling(dense=False), duration)


def test_close_keyframes_are_enough():
    assert upload(60).look(10, 12, 8, final=False) is Look.KEYFRAME


def test_longer_gaps_are_filled():
    assert upload(60).look(10, 12.1, 8, final=False) is Look.FORWARD


def test_the_last_group_has_nothing_after_it():
    assert upload(60).look(58.5, 60, 57, final=True) is Look.FORWARD
    assert upload(60).look(59.5, 60, 57, final=True) is Look.KEYFRAME


def test_keyframes_that_crowd_are_thinned():
    assert upload(60).look(10.04, 10.08, 10.0, final=False) is Look.SKIP


def taken(line: Timeline, picker: Picker | None = None) -> list[float]:
    """What is taken of an upload whose every picture is decoded."""
    picker, found = picker or upload(line.duration), [0.0]
    for offset in line.shown[1:]:
        end, final = line.group_end(float(offset))
        step = picker.pause(found[-1], end, final=final)
        step = picker.key_pause(found[-1]) if line.is_key(float(offset)) else step
        if picker.takes(float(offset), found[-1], step):
            found.append(float(offset))
    return found


def groups(*seconds: float, rate: float = 30) -> Timeline:
    """Groups of pictures of so many seconds."""
    starts = np.rint(np.cumsum([0.0, *seconds]) * rate).astype(int)
    pts = np.arange(starts[-1]) / rate
    return line(pts.tolist(), keys=starts[:-1].tolist(), rate=rate)


@pytest.mark.parametrize("duration", [0.9, 2.0, 5.0, 19.0, 20.5, 3600.0])
def test_a_group_decoded_forward_leaves_no_gap_longer_than_two_seconds(duration):
    found = taken(groups(duration, rate=25))
    assert len(found) >= 8
    assert max(np.diff([*found, duration])) <= min(2.0, max(0.15, duration / 10)) + 0.05


@pytest.mark.parametrize("rate", [9.7, 24000 / 1001, 25.0, 30.0, 59.94])
def test_groups_of_any_length_leave_no_gap_longer_than_two_seconds(rate: float):
    rng = np.random.default_rng(1)
    for _ in range(20):
        long = groups(*rng.uniform(0.3, 12.0, 6), 20.0, rate=rate)
        found = taken(long)
        assert max(np.diff([*found, long.duration])) <= 2.001
        between = [b - a for a, b in zip(found, found[1:], strict=False) if not long.is_key(b)]
        assert min(between) >= 0.999  # local features are wanted of each of them


def test_of_a_group_nothing_is_wanted_beyond_two_seconds_before_the_next():
    found = taken(groups(*[250 / 30] * 4))
    assert max(t for t in found if t < 8.3) == pytest.approx(250 / 30 - 2)
    assert [len([t for t in found if 0 <= t - k * 250 / 30 < 8.3]) for k in range(3)] == [7] * 3
    assert max(np.diff([t for t in found if t < 8.3])) < 1.1


def test_steps_grow_by_a_quarter_at_most():
    for seconds in np.arange(2.1, 12.0, 0.1):
        found = taken(groups(float(seconds), 20.0))
        before = [t for t in found if t < seconds - 0.01]
        assert max(np.diff(before)) <= 1.25 + 1 / 30


@pytest.mark.parametrize("first", [3.1, 8.3, 9.9])
def test_of_short_uploads_every_picture_counts(first: float):
    """At least twenty are wanted: they are taken a twentieth apart, as far as that gets."""
    found = taken(groups(first, 15.0 - first, rate=100))
    assert len(found) >= 19
    assert np.diff([t for t in found if t < first - 0.01]) == pytest.approx(0.75)


@pytest.mark.parametrize(("every", "count", "apart"), [(0.3, 40, 0.6), (0.5, 100, 0.5)])
def test_keyframes_of_short_uploads_are_taken_as_far_apart_as_what_lies_between(
    every: float, count: int, apart: float
):
    """A twentieth of its length; of long ones half of that."""
    assert np.diff(taken(groups(*[every] * count))) == pytest.approx(apart)


@pytest.mark.parametrize("draw", [0, 7])
@pytest.mark.parametrize("seconds", [(250 / 30,) * 4, (3.3, 0.3, 0.6, 7.7, 2.6, 11.0), (6.0, 6.0)])
def test_what_will_be_taken_is_known_before(seconds: tuple[float, ...], draw: int):
    """Whichever picture was the last one that came out of the decoder."""
    line = groups(*seconds)
    picker = drawn(draw, line.duration)
    found = taken(line, picker)
    for offset in line.shown[1:].tolist():
        for last in [t for t in found if offset - 3 < t < offset]:
            assert picker.is_due(offset, last, line) == (offset in found)


# --- drawn by a secret -------------------------------------------------------------------------


def drawn(draw: int, duration: float) -> Picker:
    return Picker.of(Sampling(dense=False, draw=draw), duration)


@pytest.mark.parametrize("seconds", [(30.0,), (8.4,) * 4, (0.12,) * 300, (12.0,), (0.12,) * 100])
def test_which_pictures_are_taken_only_who_knows_the_draw_can_tell(seconds: tuple[float, ...]):
    line = groups(*seconds, rate=50)
    each = [set(taken(line, drawn(draw, line.duration))) for draw in range(1, 9)]
    assert each[0] == set(taken(line, drawn(1, line.duration)))
    always = set.intersection(*each)
    assert len(always) < 0.4 * len(each[0])


@pytest.mark.parametrize("draw", [1, 2, 3])
def test_however_they_are_drawn_there_are_as_many_and_no_gaps(draw: int):
    rng = np.random.default_rng(draw)
    few = even = 0
    for _ in range(20):
        long = groups(*rng.uniform(0.3, 12.0, 6), 20.0, rate=25)
        found = taken(long, drawn(draw, long.duration))
        assert max(np.diff([*found, long.duration])) <= 2.001
        few, even = few + len(found), even + len(taken(long))
    assert few == pytest.approx(even, rel=0.04)


@pytest.mark.parametrize("rate", [1, 2, 5])
def test_where_pictures_lie_far_apart_none_is_left_out(rate: int):
    line = groups(60.0, rate=rate)
    picker = Picker.of(Sampling(dense=False, draw=7), 60.0, picture_s=1 / rate)
    assert taken(line, picker) == taken(line)
    keyframes = groups(*[0.5] * 120, rate=max(2, rate))
    assert len(taken(keyframes, drawn(7, 60.0))) >= len(taken(keyframes))


def test_nothing_is_drawn_of_references_and_of_windows():
    for more in ({"dense": True}, {"dense": False, "windows": (Window(10, 12),)}):
        assert not Picker.of(Sampling(**more, draw=7), 60).draws
    assert not drawn(7, 0.9).draws


def test_of_each_four_keyframes_one_is_drawn_behind_which_something_is_looked_at():
    places = []
    for draw in range(1, 30):
        behind = [drawn(draw, 60).behind(n, distrusted=False) for n in range(16)]
        found = np.flatnonzero(behind)
        assert (found // 4).tolist() == [0, 1, 2, 3]
        places += (found % 4).tolist()
    assert set(places) == {0, 1, 2, 3}
    assert all(drawn(5, 60).behind(n, distrusted=True) for n in range(16))
    assert all(upload(60).behind(n, distrusted=True) for n in range(16))


def test_references_are_looked_at_picture_by_picture_up_to_30_a_second():
    picker = Picker.of(Sampling(dense=True), 60)
    assert picker.look(0, 0.5, -math.inf, final=False) is Look.FORWARD
    assert picker.takes(1 / 30, 0.0, picker.step)
    assert picker.takes(0.04, 0.0, picker.step)
    assert not picker.takes(1 / 60, 0.0, picker.step)


def test_windows_are_looked_at_and_nothing_else():
    picker = Picker.of(Sampling(dense=True, windows=(Window(10, 12), Window(30, 31))), 60)
    looks = [picker.look(s, s + 5, -math.inf, final=False) for s in range(0, 60, 5)]
    assert [i * 5 for i, found in enumerate(looks) if found is Look.FORWARD] == [10, 30]
    assert picker.takes(11.0, 10.9, picker.step)
    assert not picker.takes(11.0, 10.95, picker.step)
    assert not picker.takes(12.5, 11.0, picker.step)
    assert picker.is_done(15, 12.04, final=False)
    assert not picker.is_done(15, 11.0, final=False)


@pytest.mark.parametrize("more", [{"motion": True}, {"strands": True}])
def test_some_windows_are_looked_at_picture_by_picture(more):
    picker = Picker.of(Sampling(dense=False, windows=(Window(10, 12),), **more), 60)
    assert picker.takes(11.0, 11.0 - 1 / 30, picker.step)
    assert not picker.takes(12.5, 11.0, picker.step)


def test_gaps_are_filled_with_two_pictures_a_second():
    picker = Picker.of(Sampling(dense=False, windows=(Window(10, 12),), filling=True), 60)
    assert picker.takes(11.0, 10.5, picker.step)
    assert not picker.takes(11.0, 10.54, picker.step)
    assert not picker.takes(12.5, 11.0, picker.step)


def test_of_windows_the_budget_is_spread_over_them():
    whole = Picker.of(Sampling(dense=False), 60)
    assert [whole.progress(at, 60.0) for at in (0, 30, 60)] == [0, 0.5, 1]
    windows = Picker.of(Sampling(dense=False, windows=(Window(10, 20), Window(40, 50))), 60)
    assert [windows.progress(at, 60.0) for at in (0, 10, 15, 30, 45, 60)] == [
        0,
        0,
        0.25,
        0.5,
        0.75,
        1,
    ]


# --- the budget --------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_budget_goes_with_the_progress():
    clock = Clock()
    pace = Pace(Sampling(dense=False, seconds=100), clock)
    clock.now += 30
    assert not pace.affords(Look.FORWARD, 0.1)
    assert pace.affords(Look.FORWARD, 0.5)


def test_keyframes_are_left_out_last():
    clock = Clock()
    pace = Pace(Sampling(dense=False, seconds=100), clock)
    clock.now += 50
    assert not pace.affords(Look.FORWARD, 0.5)
    assert pace.affords(Look.KEYFRAME, 0.5)
    clock.now += 10
    assert not pace.affords(Look.KEYFRAME, 0.5)


def test_the_clock_counts_like_cpu_seconds(monkeypatch: pytest.MonkeyPatch):
    now = 500.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pace = Pace(Sampling(dense=False, seconds=100, clock_s=300), Clock())
    now += 150
    assert not pace.affords(Look.FORWARD, 0.5)
    assert pace.affords(Look.KEYFRAME, 0.5)
    assert not pace.exhausted
    now += 150
    assert pace.exhausted


def test_pictures_count_like_seconds():
    pace = Pace(Sampling(dense=False, max_frames=10), Clock())
    pace.frames = 9
    assert not pace.exhausted
    pace.frames = 10
    assert pace.exhausted
