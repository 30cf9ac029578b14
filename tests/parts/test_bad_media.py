"""Bad input: each piece either fingerprints properly, or gets a problem with a clear type and
text, within the time limit. Decoded and hashed with the real parts, here without the sandbox;
`test_sandbox.py` sends some of it through a child."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import numpy as np
import pytest

from hashdb.errors import (
    BadMedia,
    CorruptMedia,
    EmptyMedia,
    MediaTooLarge,
    NoPicture,
    UnsupportedMedia,
)
from hashdb.model import MediaFingerprints, MediaKind, Orientation, View
from matcher.decode.luma import luma_of_rgb
from matcher.decode.pyav import PyAvDecoder
from matcher.fingerprint import fingerprint
from matcher.ports import Limits, Sampling
from matcher.worker import frame_parts
from tests import media_maker as make

MEDIA = Path(__file__).parent.parent / "media"
UPLOAD = Sampling(dense=False, seconds=20)
FILM = make.scenes(4)
GREY = [np.dstack([luma_of_rgb(p)] * 3) for p in FILM]  # 256 colours show it as it is


def judge(data: bytes, sampling: Sampling = UPLOAD, limits: Limits | None = None):
    opened = PyAvDecoder(limits or Limits()).open(io.BytesIO(data))
    return fingerprint(opened, frame_parts(), sampling, ("pdq", "phash"))


def codes(found: MediaFingerprints) -> np.ndarray:
    """The upright PDQ codes of the whole picture."""
    upright = [
        f
        for f in found.fingerprints
        if f.signal_type == "pdq" and f.view is View.FULL and f.orientation is Orientation.ORIGINAL
    ]
    return np.concatenate([f.codes for f in upright])


def bits_apart(found: MediaFingerprints, wanted: MediaFingerprints) -> np.ndarray:
    """From each code to the nearest of the other's."""
    pairs = codes(found)[:, None] ^ codes(wanted)[None]
    nearest: np.ndarray = np.bitwise_count(pairs).sum(axis=2).min(axis=1)
    return nearest


@pytest.fixture(scope="module")
def reference() -> MediaFingerprints:
    return judge(make.video(FILM), Sampling(dense=True))


# --- what cannot be judged says why ------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "problem", "text"),
    [
        pytest.param(b"", EmptyMedia, "0 bytes", id="empty"),
        pytest.param(b"Dear sirs,\n" * 500, UnsupportedMedia, "known format", id="text"),
        pytest.param(b"\0" * 5000, UnsupportedMedia, "known format", id="zeros"),
        pytest.param(os.urandom(5000), UnsupportedMedia, "known format", id="noise"),
        pytest.param(b"x", UnsupportedMedia, "known format", id="one byte"),
        pytest.param(b"PK\x03\x04" + bytes(500), UnsupportedMedia, "known format", id="zip"),
        pytest.param(b"%PDF-1.7\n" + bytes(500), UnsupportedMedia, "known format", id="pdf"),
        pytest.param(
            b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
            UnsupportedMedia,
            "known format",
            id="svg",
        ),
        pytest.param(make.sound(), NoPicture, "no picture", id="wav"),
        pytest.param(make.sound_in_mp4(), NoPicture, "no picture", id="sound in mp4"),
        pytest.param(make.huge_png(20000, 20000), MediaTooLarge, "pixels", id="400 megapixels"),
        pytest.param(make.video(FILM)[:3000], CorruptMedia, "damaged", id="mp4 without an index"),
        pytest.param(
            make.video(FILM, container="matroska")[:40], CorruptMedia, "damaged", id="mkv header"
        ),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(100), CorruptMedia, "damaged", id="png header"),
    ],
)
def test_problems(data: bytes, problem: type[BadMedia], text: str):
    started = time.monotonic()
    with pytest.raises(problem, match=text):
        judge(data)
    assert time.monotonic() - started < 5


def test_too_many_bytes():
    with pytest.raises(MediaTooLarge, match="bytes"):
        judge(make.video(FILM), limits=Limits(max_bytes=10_000))


def test_too_many_pixels_in_a_video():
    with pytest.raises(MediaTooLarge, match="160 x 120"):
        judge(make.video(FILM), limits=Limits(max_pixels=160 * 120 - 1))


def test_a_video_that_grows_beyond_the_pixels_on_its_way():
    large = make.scenes(1, size=(640, 480))
    grown = make.video(FILM[:50], container="mpegts") + make.video(large, container="mpegts")
    opened = PyAvDecoder(Limits(max_pixels=320 * 240)).open(io.BytesIO(grown))
    assert {f.luma.shape for f in opened.frames(Sampling(dense=True))} == {(120, 160)}
    assert opened.truncated
    opened = PyAvDecoder(Limits()).open(io.BytesIO(grown))
    assert {f.luma.shape for f in opened.frames(UPLOAD)} == {(120, 160), (480, 640)}


def test_pictures_of_noise_where_video_should_be():
    data = bytearray(make.video(FILM))
    at = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[at:end] = np.random.default_rng(1).bytes(end - at)
    with pytest.raises(CorruptMedia, match="no frame"):
        judge(bytes(data))


# --- nothing but the file itself is ever opened ------------------------------------------------


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.mp4"
    path.write_bytes(make.video(make.scenes(3, seed=9)))
    return path


@pytest.mark.parametrize("scheme", ["", "file://", "file:", "crypto:"])
def test_an_hls_playlist_is_refused(secret: Path, scheme: str):
    with pytest.raises(UnsupportedMedia):
        judge(make.playlist(f"{scheme}{secret}"))


def test_a_concat_script_is_refused(secret: Path):
    with pytest.raises(UnsupportedMedia):
        judge(make.concat_script(str(secret)))


def test_a_dash_manifest_is_refused(secret: Path):
    manifest = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        f"<Period><AdaptationSet><Representation id='1'><BaseURL>{secret}</BaseURL>"
        "</Representation></AdaptationSet></Period></MPD>"
    )
    with pytest.raises(UnsupportedMedia):
        judge(manifest.encode())


def test_an_external_reference_is_not_followed(secret: Path):
    """The file's own pictures are looked at, or none: never those of the file that it names."""
    own = make.video(FILM, container="mov")
    for target in (str(secret), secret.name):
        try:
            found = judge(make.external_reference(own, target))
        except BadMedia:
            continue
        assert bits_apart(found, judge(secret.read_bytes())).min() > 31


def test_pictures_drawn_by_scripts_are_refused():
    for script in (b"#!/bin/sh\n", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"MVG\n"):
        with pytest.raises(UnsupportedMedia):
            judge(script + b"(/etc/passwd) (r) file\n" * 50)


# --- what is odd is judged all the same --------------------------------------------------------

LOSSLESS = {"codec": "ffv1", "container": "matroska"}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(make.video(FILM, pix_fmt="yuv420p10le"), id="10 bit"),
        pytest.param(make.video(FILM, pix_fmt="yuv444p12le", **LOSSLESS), id="12 bit"),
        pytest.param(make.video(FILM, pix_fmt="gray", **LOSSLESS), id="grey"),
        pytest.param(make.video(FILM, pix_fmt="gray10le", **LOSSLESS), id="grey 10 bit"),
        pytest.param(make.video(FILM, pix_fmt="yuva420p", **LOSSLESS), id="alpha"),
        pytest.param(make.video(FILM, pix_fmt="bgra", **LOSSLESS), id="rgb with alpha"),
        pytest.param(make.video(FILM, pix_fmt="yuvj420p"), id="full range"),
        pytest.param(make.video(FILM, container="mpegts"), id="transport stream"),
        pytest.param(make.damaged_packets(make.video(FILM, gop=25), 0.15), id="refused packets"),
        pytest.param(
            make.video(FILM, times_ms=[40 * i + (i % 7) * 5 for i in range(100)]), id="uneven rate"
        ),
        pytest.param(make.restamped(make.video(FILM), lambda n, ms: 0), id="all stamps alike"),
        pytest.param(
            make.restamped(make.video(FILM), lambda n, ms: ms + 3_000_000_000), id="far away"
        ),
        pytest.param(
            make.restamped(make.video(FILM), lambda n, ms: ms if n < 50 else ms + 90_000_000),
            id="a jump of 25 hours",
        ),
        pytest.param(
            make.restamped(make.video(FILM), lambda n, ms: ms, mark=True), id="all keyframes"
        ),
        pytest.param(
            make.restamped(make.video(FILM), lambda n, ms: ms, mark=False), id="no keyframes"
        ),
        pytest.param(
            make.video(
                FILM, codec="mjpeg", container="mjpeg", pix_fmt="yuvj420p", bit_rate=4_000_000
            ),
            id="no stamps at all",
        ),
        pytest.param(make.animation(GREY[::3], each_ms=120), id="animated gif"),
        pytest.param(make.animation(FILM[::3], "WEBP", each_ms=120), id="animated webp"),
    ],
)
def test_odd_video(data: bytes, reference: MediaFingerprints):
    found = judge(data)
    assert found.kind is MediaKind.VIDEO
    assert found.coverage.frames >= 8
    assert found.coverage.total_s == pytest.approx(4.0, abs=0.4)
    assert found.coverage.fraction > 0.95
    apart = bits_apart(found, reference)
    assert np.median(apart) <= 16
    assert (apart <= 31).mean() > 0.85


@pytest.mark.parametrize("turn", [(90.0, False, False), (180.0, False, False), (0.0, True, False)])
def test_a_turned_video_is_judged_as_it_is_shown(turn, reference: MediaFingerprints):
    """Stored turned, with a display matrix that turns it back."""
    stored = [p[:, ::-1] if turn[1] else np.rot90(p, -round(turn[0] / 90)) for p in FILM]
    found = judge(make.video([np.ascontiguousarray(p) for p in stored], turn=turn))
    assert np.median(bits_apart(found, reference)) <= 16


def test_pixels_that_are_not_square(reference: MediaFingerprints):
    """Half as wide, and shown at twice the width."""
    from fractions import Fraction

    from PIL import Image

    narrow = [np.asarray(Image.fromarray(p).resize((80, 120))) for p in FILM]
    found = judge(make.video(narrow, aspect=Fraction(2, 1)))
    assert np.median(bits_apart(found, reference)) <= 20


@pytest.mark.parametrize(
    "whole",
    [
        pytest.param(make.video(FILM, container="matroska", gop=25), id="matroska"),
        pytest.param(make.index_first(make.video(FILM, gop=25)), id="mp4 with its index first"),
    ],
)
def test_a_truncated_video_matches_with_what_there_is(whole: bytes, reference: MediaFingerprints):
    assert judge(whole).coverage.fraction > 0.99
    found = judge(whole[: len(whole) // 2])
    assert found.coverage.truncated
    assert found.coverage.total_s == pytest.approx(4.0, abs=0.1)
    assert 0.2 < found.coverage.fraction < 0.8
    assert np.median(bits_apart(found, reference)) <= 16


def test_most_packets_refused_is_a_considerable_loss():
    found = judge(make.damaged_packets(make.video(FILM, gop=100), 0.9))
    assert found.coverage.truncated


def test_one_pixel_is_flat():
    found = judge(make.image(np.zeros((1, 1, 3), np.uint8)))
    assert (found.coverage.frames, found.coverage.flat_frames) == (1, 1)
    assert not any(len(f) for f in found.fingerprints)


def test_a_video_of_one_pixel_pair_is_flat():
    tiny = [np.zeros((2, 2, 3), np.uint8)] * 25
    found = judge(make.video(tiny, container="matroska", codec="ffv1"))
    assert found.coverage.flat_frames == found.coverage.frames > 0


def test_a_video_of_two_greys_is_flat():
    """There is something in it, and neither a hash nor a corner describes it."""
    found = judge(make.video(make.halves(3)))
    assert found.coverage.flat_frames == found.coverage.frames >= 8


def test_a_black_video_is_judged_for_nothing_is_in_it():
    found = judge(make.video(make.black(3)))
    assert found.coverage.frames >= 8
    assert found.coverage.flat_frames == 0
    assert found.fingerprints == found.local == ()


def test_a_black_image_is_flat_for_it_may_be_one_that_others_can_read():
    found = judge(make.image(np.zeros((240, 320, 3), np.uint8)))
    assert found.coverage.flat_frames == found.coverage.frames == 1


def test_a_cover_picture_is_seen_as_long_as_the_sound_plays(reference: MediaFingerprints):
    """As a video, whose sound is listened to."""
    found = judge(make.sound_with_cover(FILM[0]))
    assert found.kind is MediaKind.VIDEO
    assert found.coverage.total_s == pytest.approx(40 * 1152 / 44100, abs=0.1)
    assert found.coverage.fraction > 0.9
    assert bits_apart(found, reference).max() <= 16


@pytest.mark.parametrize("before", [b"%PDF-1.7\n", b"PK\x03\x04" + bytes(60), b"some text\n" * 50])
def test_what_holds_pictures_is_no_video(before: bytes):
    picture = make.image(FILM[0], "JPEG")
    with pytest.raises(UnsupportedMedia):
        judge(before + picture + b"\nendstream\n" + picture)


def test_a_long_animation_of_large_pictures_ends_with_the_budget():
    data = make.animation([make.scene(i, size=(800, 600)) for i in range(60)], "WEBP", each_ms=200)
    started = time.process_time()
    found = judge(data, Sampling(dense=False, seconds=0.1))
    assert time.process_time() - started < 4
    assert found.coverage.truncated
    assert found.coverage.fraction < 1


def test_ten_hours_are_looked_at_from_end_to_end():
    """Ten hours, a picture every five seconds, on a budget of two CPU seconds."""
    data = make.stretched(make.video(FILM[:1], options={"crf": "40"}), 36_000, 5.0)
    started = time.process_time()
    found = judge(data, Sampling(dense=False, seconds=2.0))
    assert time.process_time() - started < 4
    assert found.coverage.total_s == pytest.approx(36_000)
    assert found.coverage.truncated
    times = next(f for f in found.fingerprints if f.signal_type == "pdq").offsets
    assert times[-1] > 0.9 * 36_000
    assert np.diff(times).max() < 2_000


def test_ten_hours_within_the_number_of_frames():
    data = make.stretched(make.video(FILM[:1], options={"crf": "40"}), 36_000, 20.0)
    found = judge(data, Sampling(dense=False, max_frames=500))
    assert found.coverage.frames <= 500
    times = next(f for f in found.fingerprints if f.signal_type == "pdq").offsets
    assert times[-1] > 0.9 * 36_000


def test_ten_hours_in_one_group_of_pictures_are_decoded_as_they_come():
    pictures = [make.scene(1 + i % 3, size=(64, 48)) for i in range(600)]
    times = [i * 60_000 for i in range(600)]
    data = make.video(pictures, gop=5000, times_ms=times, options={"x264-params": "scenecut=0"})
    found = judge(data, Sampling(dense=False, seconds=2.0))
    assert found.coverage.total_s == pytest.approx(36_000, rel=0.01)
    assert found.coverage.frames > 50
