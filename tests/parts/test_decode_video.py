"""The decoder on ordinary video: which pictures come, when, and what they look like."""

from __future__ import annotations

import gc
import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from hashdb.errors import MediaTooLarge
from hashdb.model import MediaKind
from matcher.decode import packets, pyav
from matcher.decode.luma import Turn, luma_of_rgb, turn_of_matrix
from matcher.decode.pace import Picker
from matcher.decode.pyav import PyAvDecoder
from matcher.ports import Frame, Limits, Sampling, Window
from tests import media_maker as make

MEDIA = Path(__file__).parent.parent / "media"
UPLOAD, REFERENCE = Sampling(dense=False), Sampling(dense=True)
DECODER = PyAvDecoder(Limits())


def look(data: bytes, sampling: Sampling = UPLOAD):
    opened = DECODER.open(io.BytesIO(data))
    return opened, list(opened.frames(sampling))


def offsets(frames: list[Frame], track: int = 0) -> list[float]:
    return [f.offset for f in frames if f.track == track]


def alike(luma: np.ndarray, picture: np.ndarray) -> bool:
    """The same picture, but for coding noise."""
    wanted = luma_of_rgb(picture)
    return luma.shape == wanted.shape and np.abs(luma.astype(int) - wanted).mean() < 6


def test_a_picture_is_given_back_at_once():
    """Each is 48 MB in 8K: none may wait for the garbage collection."""

    def pictures() -> int:
        return sum(type(o) is av.VideoFrame for o in gc.get_objects())

    opened = DECODER.open(io.BytesIO((MEDIA / "o554_movie.mp4").read_bytes()))
    gc.collect()
    gc.disable()
    try:
        before = pictures()
        most = max(pictures() for _ in opened.frames(REFERENCE))
    finally:
        gc.enable()
    assert 0 < most - before <= 8


@pytest.mark.parametrize(
    ("name", "pictures", "seconds"),
    [
        ("o079_Shepard_Calais_1906_FrenchGP.ogv", 288, 19.2),
        ("o084_oa4_launch.webm", 194, 8.08),
        ("o554_movie.mp4", 250, 10.0),
        ("o597_bbb.mp4", 480, 20.0),
        ("p555_movie.ogv", 248, 9.92),
    ],
)
def test_real_videos(name: str, pictures: int, seconds: float):
    data = (MEDIA / name).read_bytes()
    opened, frames = look(data)
    assert opened.info.duration == pytest.approx(seconds, abs=0.02)
    assert not opened.truncated
    times = [0.0, *offsets(frames), opened.info.duration]
    assert max(np.diff(times)) <= 2.001
    assert times == sorted(times)
    assert len(look(data, REFERENCE)[1]) == pictures


@pytest.mark.parametrize("name", ["o084_oa4_launch.webm", "o597_bbb.mp4", "p555_movie.ogv"])
def test_packets_that_were_kept_and_those_that_are_read_again_give_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    data = (MEDIA / name).read_bytes()
    opened, first = look(data)
    again = list(opened.frames(UPLOAD))
    monkeypatch.setattr("matcher.decode.packets.KEPT_BYTES", 0)
    _, third = look(data)
    assert offsets(first) == offsets(again) == offsets(third)
    for some in zip(first, again, third, strict=True):
        assert all(np.array_equal(frame.luma, some[0].luma) for frame in some)


def test_packets_are_kept_only_where_they_are_few_and_small(monkeypatch: pytest.MonkeyPatch):
    data = (MEDIA / "o554_movie.mp4").read_bytes()
    with av.open(io.BytesIO(data)) as container:
        sizes = [p.size for p in container.demux(video=0) if p.size]
    whole = sum(sizes) + packets._PACKET_BYTES * len(sizes)
    for room, kept in ((whole, True), (whole - 1, False), (sum(sizes), False)):
        monkeypatch.setattr(packets, "KEPT_BYTES", room)
        opened = DECODER.open(io.BytesIO(data))
        assert (opened._kept is not None) is kept
        opened.close()


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("mp4", "libx264", {}),
        ("matroska", "libx264", {"bf": "3"}),
        ("mpegts", "libx264", {"bf": "2"}),
        ("avi", "mpeg4", {}),
        ("avi", "mpeg4", {"bf": "2"}),
        ("mov", "prores_ks", {}),
        ("webm", "libvpx", {"deadline": "realtime", "cpu-used": "8"}),
        ("webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
        ("ivf", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
        ("mpeg", "mpeg2video", {"bf": "2"}),
        ("flv", "flv", {}),
        ("asf", "msmpeg4", {}),
        ("mjpeg", "mjpeg", {}),
        ("matroska", "ffv1", {}),
    ],
)
def test_formats(container: str, codec: str, options: dict[str, str]):
    pictures = make.scenes(4, rate=25)
    fmt = {"prores_ks": "yuv422p10le", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    data = make.video(pictures, container=container, codec=codec, pix_fmt=fmt, options=options)
    for sampling in (UPLOAD, REFERENCE):
        opened, frames = look(data, sampling)
        assert opened.info.kind is MediaKind.VIDEO
        assert opened.info.duration == pytest.approx(4.0, abs=0.15)
        assert not opened.truncated
        assert len(frames) >= (96 if sampling.dense else 8)
        for frame in frames[:: max(1, len(frames) // 8)]:
            near = round(frame.offset * 25)
            assert any(
                alike(frame.luma, pictures[i]) for i in (near - 1, near, near + 1) if 0 <= i < 100
            )


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("mp4", "libx264", {"bf": "3", "preset": "fast"}),
        ("mpegts", "libx264", {"bf": "1"}),
        ("mp4", "libx265", {"x265-params": "log-level=none:pools=none:frame-threads=1"}),
        ("avi", "mpeg4", {"bf": "2"}),
        ("webm", "libvpx", {"deadline": "realtime", "cpu-used": "8"}),
    ],
)
@pytest.mark.parametrize(
    "sampling",
    [UPLOAD, REFERENCE, Sampling(dense=False, windows=(Window(2.0, 3.5), Window(6.1, 6.3)))],
    ids=["upload", "reference", "windows"],
)
@pytest.mark.parametrize("gop", [1000, 80])
def test_pictures_that_nobody_needs_are_not_decoded_and_the_others_stay_the_same(
    container: str, codec: str, options: dict[str, str], gop: int, sampling: Sampling, monkeypatch
):
    pictures = make.scenes(24 if gop == 80 else 8)
    data = make.video(pictures, container=container, codec=codec, options=options, gop=gop)
    _, some = look(data, sampling)
    monkeypatch.setattr(Picker, "is_due", lambda *_: True)
    _, every = look(data, sampling)
    assert offsets(some) == offsets(every)
    assert len(some) >= 8
    for one, other in zip(some, every, strict=True):
        assert np.array_equal(one.luma, other.luma)


def test_of_a_group_nothing_is_decoded_beyond_two_seconds_before_the_next(monkeypatch):
    data = make.video(make.scenes(25.2), gop=210, options={"bf": "0"})
    decoded = []
    take = pyav._Track._take
    monkeypatch.setattr(
        pyav._Track, "_take", lambda self, picture: decoded.append(picture) or take(self, picture)
    )
    _, frames = look(data)
    assert max(np.diff(offsets(frames))) == pytest.approx(2.0)
    assert len(decoded) <= 2 * (6.4 * 25 + 2) + 7.4 * 25 + 2


def test_of_frames_that_refer_to_each_other_every_other_one_need_not_be_decoded(monkeypatch):
    data = make.video(make.scenes(8), gop=1000, options={"bf": "3", "preset": "fast"})
    decoded = []
    take = pyav._Track._take
    monkeypatch.setattr(
        pyav._Track, "_take", lambda self, picture: decoded.append(picture) or take(self, picture)
    )
    _, frames = look(data)
    assert len(frames) >= 8
    assert len(decoded) < 0.75 * 200


@pytest.mark.parametrize(("seconds", "least"), [(1.0, 8), (2.0, 8), (10.0, 10), (60.0, 30)])
def test_uploads_are_sampled_without_gaps(seconds: float, least: int):
    data = make.video([make.scene(1)] * int(seconds * 10), rate=10, gop=1000)
    _, frames = look(data)
    assert len(frames) >= least
    assert max(np.diff([*offsets(frames), seconds])) <= 2.001


@pytest.mark.parametrize(("pictures", "rate"), [(2, 25), (3, 50), (20, 24)])
def test_of_a_brief_video_every_picture_is_looked_at(pictures: int, rate: int):
    """Players stand on the last one."""
    shown = [make.scene(seed) for seed in range(1, pictures + 1)]
    _, frames = look(make.video(shown, rate=rate))
    assert len(frames) == pictures
    assert alike(frames[-1].luma, shown[-1])


def test_only_keyframes_are_decoded_where_they_are_close():
    data = make.video(make.scenes(29.6), gop=40)  # a keyframe every 1.6 s
    opened, frames = look(data)
    off = np.array(offsets(frames)) - np.arange(0, 30, 1.6)
    behind = np.flatnonzero(off > 0.01)  # one in four is a little behind its keyframe, in turn
    assert behind.tolist() == [1, 5, 9, 13, 17]
    assert off[behind] == pytest.approx([0.08, 0.16, 0.04, 0.08, 0.16])
    assert not opened.truncated
    assert all(f.apart is (i not in behind) for i, f in enumerate(frames))
    _, frames = look(make.video(make.scenes(6), gop=1000, options={"bf": "3"}), REFERENCE)
    assert not any(frame.apart for frame in frames)


@pytest.mark.parametrize("run", [1, 2, 3])
def test_who_puts_something_else_into_each_keyframe_hides_nothing(run):
    """One to three pictures of each fifty are others, keyframes among them."""
    pictures = list(make.scenes(30))
    for first in range(0, len(pictures), 50):
        pictures[first : first + run] = [make.scene(99)] * len(pictures[first : first + run])
    _, frames = look(make.video(pictures, gop=50))
    shown = [f.offset for f in frames if not alike(f.luma, make.scene(99))]
    behind = [at for at in shown if at < 27]
    assert len(behind) >= 9  # from where it was noticed on, of every keyframe
    assert len({int(at / 2) for at in behind}) == len(behind)


def test_a_keyframe_that_shows_something_else_than_what_follows_is_seen_as_well():
    """Who knows what is noticed cannot hide in keyframes either."""
    pictures = [make.scene(n // 50) for n in range(775)]
    for first in range(0, 775, 50):
        pictures[first + 1 : first + 9] = [make.scene(99)] * 8
    _, frames = look(make.video(pictures, gop=50))
    seen = {round(f.offset) for f in frames if not alike(f.luma, make.scene(99))}
    assert seen == set(range(0, 32, 2))


@pytest.mark.parametrize("options", [{"bf": "16", "b-adapt": "0"}, {"bf": "6"}, {"bf": "0"}])
def test_what_is_looked_at_in_its_place_lies_close_behind_a_keyframe(options):
    """However far ahead frames refer, and whether it was distrusted or not."""
    for first in ([], [make.scene(99)]):
        pictures = list(make.scenes(31))
        for start in range(0, len(pictures), 50) if first else ():
            pictures[start : start + 1] = first
        for draw in range(1, 5):
            sampling = Sampling(dense=False, draw=draw)
            _, frames = look(make.video(pictures, gop=50, options=options), sampling)
            at = np.array(offsets(frames))
            assert (np.diff(at) > 0).all()
            assert (at % 2 <= 0.3).all()
            assert set((at // 2).astype(int)) == set(range(16))


def test_which_picture_behind_a_keyframe_is_drawn_where_frames_refer_ahead():
    """Nobody knows the two that would have to be spoiled."""
    data, found = make.video(make.scenes(31), gop=50, options={"bf": "4", "b-adapt": "0"}), set()
    for draw in range(1, 13):
        _, frames = look(data, Sampling(dense=False, draw=draw))
        found |= {round(at % 2, 2) for at in offsets(frames)}
    assert len(found) >= 5


def test_of_frames_that_refer_ahead_few_more_than_the_keyframe_are_decoded(monkeypatch):
    decoded = []
    take = pyav._Track._take
    monkeypatch.setattr(
        pyav._Track, "_take", lambda self, picture: decoded.append(picture) or take(self, picture)
    )
    options = {"bf": "3", "b-adapt": "0", "preset": "fast"}
    _, frames = look(make.video(make.scenes(31), gop=50, options=options))
    assert len(frames) == 16
    assert len(decoded) <= 16 + 4 * 3


@pytest.mark.parametrize("held_ms", [10, 1900], ids=["right behind it", "far behind it"])
def test_a_keyframe_is_seen_where_no_picture_is_a_little_behind_it(held_ms):
    """A slide show with one picture more for each slide."""
    times = [at for n in range(20) for at in (2000 * n, 2000 * n + held_ms)]
    pictures = [make.scene(n // 2 if n % 2 == 0 else 99) for n in range(40)]
    _, frames = look(make.video(pictures, gop=2, times_ms=times))
    seen = [f.offset for f in frames if not alike(f.luma, make.scene(99))]
    assert seen == pytest.approx(np.arange(0, 40, 2).tolist(), abs=0.01)


def test_a_keyframe_is_seen_where_what_follows_is_damaged():
    data = make.damaged_packets(make.video(make.scenes(40), gop=50), 1.0)
    _, frames = look(data)
    assert [f.offset for f in frames] == pytest.approx(np.arange(0, 40, 2).tolist(), abs=0.01)


def test_ten_keyframes_of_a_short_video_are_enough():
    _, frames = look(make.video(make.scenes(18.8), gop=50))  # a keyframe every 2 s
    assert offsets(frames) == pytest.approx(np.arange(0, 18.8, 2).tolist(), abs=0.2)
    _, frames = look(make.video(make.scenes(17), gop=50))  # nine of them
    assert len(frames) > 15


def test_keyframes_that_are_none_are_decoded_with_what_follows():
    """Every packet marked as a keyframe, as some muxers do."""
    pictures = make.scenes(6)
    plain = make.video(pictures, gop=1000)
    _, frames = look(make.restamped(plain, lambda n, ms: ms, mark=True))
    assert len(frames) >= 8
    for frame in frames:
        assert alike(frame.luma, pictures[round(frame.offset * 25)])


def test_what_lies_behind_more_packets_than_are_read_is_refused(monkeypatch: pytest.MonkeyPatch):
    data = make.video(make.scenes(1, rate=10), rate=10)
    monkeypatch.setattr(packets, "_MOST_PACKETS", 10)
    assert look(data)[0].info.duration == pytest.approx(1.0)
    monkeypatch.setattr(packets, "_MOST_PACKETS", 9)
    with pytest.raises(MediaTooLarge):
        look(data)


def test_a_track_that_begins_late_is_whole():
    """A piece of a stream, as DASH cuts them: the time before it counts as the track's."""
    file = io.BytesIO()
    flags = {"movflags": "frag_keyframe+empty_moov+frag_discont", "use_editlist": "0"}
    with av.open(file, "w", format="mp4", options=flags) as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number, picture in enumerate(make.scenes(6)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = 200 + number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    opened, frames = look(file.getvalue())
    assert opened.info.duration == pytest.approx(6.0, abs=0.1)
    assert not opened.truncated
    assert offsets(frames)[0] == 0.0


def test_every_track_is_looked_at():
    first, second = make.scenes(3, seed=1), make.scenes(3, seed=2)
    opened, frames = look(make.two_tracks(first, second))
    assert opened.info.tracks == 2
    for track, pictures in ((0, first), (1, second)):
        mine = [f for f in frames if f.track == track]
        assert len(mine) >= 8
        assert offsets(mine, track) == sorted(offsets(mine, track))
        assert all(alike(f.luma, pictures[round(f.offset * 25)]) for f in mine)


def test_tracks_beyond_the_limit_are_owned_up_to():
    opened = PyAvDecoder(Limits(max_tracks=1)).open(
        io.BytesIO(make.two_tracks(make.scenes(1), make.scenes(1, seed=2)))
    )
    frames = list(opened.frames(UPLOAD))
    assert {f.track for f in frames} == {0}
    assert opened.truncated


def test_windows_are_looked_at_closely():
    data = make.video(make.scenes(20), gop=25)
    _, frames = look(data, Sampling(dense=True, windows=(Window(3.5, 5.0), Window(12.0, 12.5))))
    times = offsets(frames)
    assert all(3.5 <= t <= 5.0 or 12.0 <= t <= 12.5 for t in times)
    inside = [t for t in times if t <= 5.0]
    assert len(inside) >= 12
    assert max(np.diff(inside)) <= 0.13


def test_a_picture_that_stands_still_is_given_again():
    data = make.video([make.scene(1), make.scene(2), make.scene(3)], times_ms=[0, 9000, 9100])
    opened, frames = look(data)
    assert offsets(frames)[:5] == pytest.approx([0, 2, 4, 6, 8])
    assert [alike(f.luma, make.scene(1)) for f in frames[:5]] == [True] * 5


def test_the_budget_thins_a_video_instead_of_cutting_it_off():
    data = make.video(make.scenes(120, rate=10), rate=10, gop=50)
    opened, frames = look(data, Sampling(dense=True, max_frames=100))
    times = offsets(frames)
    assert opened.truncated
    assert len(times) <= 100
    assert times[-1] > 100
    assert max(np.diff(times)) < 20


# --- what the pictures look like ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "container", "pix_fmt"),
    [
        ("ffv1", "matroska", "yuv420p10le"),
        ("ffv1", "matroska", "yuv444p12le"),
        ("ffv1", "matroska", "gray"),
        ("ffv1", "matroska", "gray10le"),
        ("ffv1", "matroska", "bgr0"),
        ("ffv1", "matroska", "gbrp10le"),
        ("libx264", "mp4", "yuv444p"),
        ("libx264", "mp4", "yuvj420p"),
        ("qtrle", "mov", "rgb24"),
        ("rawvideo", "avi", "yuyv422"),
        ("rawvideo", "avi", "bgr24"),
        ("rawvideo", "matroska", "nv12"),
        ("png", "mov", "rgb24"),
    ],
)
def test_pixel_formats(codec: str, container: str, pix_fmt: str):
    pictures = make.scenes(0.4)
    _, frames = look(make.video(pictures, codec=codec, container=container, pix_fmt=pix_fmt))
    assert frames
    assert all(alike(f.luma, pictures[round(f.offset * 25)]) for f in frames)


@pytest.mark.parametrize(
    ("codec", "container", "pix_fmt"),
    [("ffv1", "matroska", "yuva420p"), ("qtrle", "mov", "argb"), ("ffv1", "matroska", "bgra")],
)
def test_what_is_transparent_lies_over_black(codec: str, container: str, pix_fmt: str):
    clear = np.zeros((120, 160, 1), dtype=np.uint8)
    clear[:, :80] = 255
    pictures = [np.dstack([p, clear]) for p in make.scenes(0.4)]
    _, frames = look(make.video(pictures, codec=codec, container=container, pix_fmt=pix_fmt))
    luma = frames[0].luma
    assert luma[:, 82:].max() <= 2
    assert alike(luma[:, :78], pictures[0][:, :78, :3])


@pytest.mark.parametrize(("of", "track"), [(1, 2), (2, 1)])
def test_a_track_that_is_named_as_pictures_of_chapters_is_looked_at(of: int, track: int):
    """Browsers play the first track, and others lay all of them over each other, whatever it is
    named."""
    films = (make.scenes(3, seed=1), make.scenes(3, seed=2))
    opened, frames = look(make.chapters(make.two_tracks(*films), of=of, track=track))
    assert opened.info.track_durations == (3.0, 3.0)
    assert not opened.truncated
    for number, film in enumerate(films):
        first = next(f for f in frames if f.track == number)
        assert alike(first.luma, film[0])


def test_a_film_that_announces_itself_as_a_picture_is_looked_at():
    """Players go by its tracks."""
    film = make.scenes(3)
    opened, frames = look(make.behind_avif(make.scene(5), make.video(film)))
    assert opened.info.kind is MediaKind.VIDEO
    assert alike(frames[0].luma, make.scene(5)) or alike(frames[0].luma, film[0])
    shown = [f for f in frames if alike(f.luma, film[round(f.offset * 25)])]
    assert len(shown) >= 8
    assert not opened.truncated


def only_over_white(picture: np.ndarray) -> np.ndarray:
    """Black, and as transparent as the picture is bright."""
    return np.dstack([np.zeros_like(picture), 255 - luma_of_rgb(picture)])


@pytest.mark.parametrize(
    ("codec", "container", "options"),
    [
        ("libvpx", "webm", {"auto-alt-ref": "0", "deadline": "realtime", "cpu-used": "8"}),
        ("libvpx-vp9", "webm", {"deadline": "realtime", "cpu-used": "8"}),
        ("ffv1", "matroska", {}),
    ],
)
def test_what_shows_something_else_over_white_is_looked_at_over_both(
    codec: str, container: str, options: dict[str, str]
):
    pictures = make.scenes(3)
    shown = [only_over_white(p) for p in pictures]
    data = make.video(shown, codec=codec, container=container, pix_fmt="yuva420p", options=options)
    opened, frames = look(data)
    assert opened.info.tracks == 1
    assert not opened.truncated
    black, white = ([f for f in frames if f.track == track] for track in (0, 1))
    assert [f.offset for f in black] == [f.offset for f in white]
    assert all(f.luma.max() <= 2 for f in black)
    for frame in white:
        grey = np.dstack([luma_of_rgb(pictures[round(frame.offset * 25)])] * 3)
        assert alike(frame.luma, grey)


def test_hdr_is_read_by_its_luma():
    pictures = make.scenes(1)
    data = make.video(
        pictures,
        codec="libx265",
        container="mp4",
        pix_fmt="yuv420p10le",
        options={
            "preset": "ultrafast",
            "x265-params": "log-level=none:colorprim=9:transfer=16:colormatrix=9",
        },
    )
    _, frames = look(data)
    assert len(frames) >= 5
    assert all(alike(f.luma, pictures[round(f.offset * 25)]) for f in frames)


def test_limited_and_full_range_are_the_same_picture():
    pictures = make.scenes(0.4)
    narrow = look(make.video(pictures, pix_fmt="yuv420p"))[1][0].luma.astype(int)
    full = look(make.video(pictures, pix_fmt="yuvj420p"))[1][0].luma.astype(int)
    assert np.abs(narrow - full).mean() < 2


@pytest.mark.parametrize(
    "turn",
    [
        (0.0, False, False),
        (90.0, False, False),
        (180.0, False, False),
        (270.0, False, False),
        (0.0, True, False),
        (0.0, False, True),
    ],
)
def test_display_matrices_are_applied(turn: tuple[float, bool, bool]):
    """As ffmpeg's own filters show them: counter-clockwise, then mirrored."""
    picture = make.scene(5)
    _, frames = look(make.video([picture] * 10, turn=turn))
    shown = np.rot90(picture, round(turn[0] / 90))
    shown = shown[:, ::-1] if turn[1] else shown
    shown = shown[::-1] if turn[2] else shown
    assert alike(frames[0].luma, shown)
    small = frames[0].picture(32)
    assert small.shape == (32, 32, 3)
    assert np.abs(luma_of_rgb(small).mean() - luma_of_rgb(shown).mean()) < 4


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((1, 0, 0, 1), lambda p: p),
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),  # what a phone held upright writes
        ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
        ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
        ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
        ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    ],
)
def test_matrices_written_by_others(matrix, shown):
    picture = make.scene(5)
    data = make.turned_by_matrix(make.video([picture] * 10), matrix)
    _, frames = look(data)
    assert alike(frames[0].luma, shown(picture))


def test_no_matrix_is_upright():
    assert turn_of_matrix(b"") == Turn()
    assert turn_of_matrix(bytes(36)) == Turn()


def test_pixels_that_are_not_square_stay_as_stored():
    from fractions import Fraction

    picture = make.scene(5)
    _, frames = look(make.video([picture] * 10, aspect=Fraction(16, 11)))
    assert alike(frames[0].luma, picture)


def test_turning_agrees_with_ffmpeg():
    """PyAV's own rotation of the frame says the same as our reading of its matrix."""
    data = make.video([make.scene(5)] * 3, turn=(90.0, False, False))
    with av.open(io.BytesIO(data)) as container:
        frame = next(container.decode(video=0))
    assert abs(frame.rotation) == 90
