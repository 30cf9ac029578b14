"""The decoder of sound on ordinary, odd and damaged files, and in the cage."""

from __future__ import annotations

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from hashdb.errors import BadMedia
from matcher.decode import sound
from matcher.decode.sound import RATE, OpenedSound, SoundBlock
from tests import media_maker as make

MEDIA = Path(__file__).parent.parent / "media"
ROOT = Path(__file__).parent.parent.parent


def hear(data: bytes, **limits: float) -> dict[int, tuple[float, np.ndarray]]:
    """Each track's start and samples; its blocks must follow on one another."""
    tracks: dict[int, list[SoundBlock]] = {}
    for block in OpenedSound(io.BytesIO(data)).blocks(**limits):
        assert block.samples.dtype == np.float32
        assert block.samples.ndim == 1
        before = tracks.setdefault(block.track, [])
        if before:
            due = before[-1].start + len(before[-1].samples) / RATE
            assert block.start == pytest.approx(due, abs=1e-6)
        before.append(block)
    return {n: (b[0].start, np.concatenate([x.samples for x in b])) for n, b in tracks.items()}


def chirp(seconds: float, rate: int = 48_000) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * (300 * t + 100 * t * t))).astype(np.float32)


def encode(
    channels: np.ndarray,
    *,
    codec: str = "pcm_s16le",
    container: str = "matroska",
    rate: int = 48_000,
    gaps: dict[int, float] | None = None,
    picture_at: float | None = None,
) -> bytes:
    """(c, n) samples as a file. `gaps`: seconds by which the stamps leap at a packet's number;
    `picture_at`: when a picture track starts, in seconds."""
    file = io.BytesIO()
    layout = {1: "mono", 2: "stereo"}[len(channels)]
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        video = out.add_stream("mjpeg", rate=25) if picture_at is not None else None
        if video is not None:
            video.width, video.height, video.pix_fmt = 64, 64, "yuvj420p"
            for number in range(5):
                frame = av.VideoFrame.from_ndarray(make.scene(1, size=(64, 64)), format="rgb24")
                frame.pts, frame.time_base = round(picture_at * 25) + number, Fraction(1, 25)
                out.mux(video.encode(frame))
        size = stream.codec_context.frame_size or 1024
        whole = av.AudioFrame.from_ndarray(channels, format="fltp", layout=layout)
        whole.sample_rate, whole.pts = rate, 0
        shaper = av.AudioResampler(
            format=stream.codec_context.format.name, layout=layout, rate=rate, frame_size=size
        )
        shift, number = 0.0, 0
        for frame in [*shaper.resample(whole), *shaper.resample(None), None]:
            for packet in stream.encode(frame):
                shift += (gaps or {}).get(number, 0.0)
                number += 1
                ticks = round(shift / packet.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                out.mux(packet)
    return file.getvalue()


def place(of: np.ndarray, within: np.ndarray) -> float:
    """Where a stretch lies within another, in seconds, by correlation."""
    size = 1 << (len(of) + len(within)).bit_length()
    spectrum = np.fft.rfft(within, size) * np.conj(np.fft.rfft(of, size))
    return int(np.argmax(np.fft.irfft(spectrum, size)[: len(within)])) / RATE


@pytest.mark.parametrize(
    ("name", "tracks", "seconds"),
    [
        ("o554_movie.mp4", 2, 10.0),
        ("o597_bbb.mp4", 1, 20.0),
        ("p555_movie.ogv", 1, 9.9),
        ("o084_oa4_launch.webm", 1, 8.0),
    ],
)
def test_sound_of_real_files(name, tracks, seconds):
    heard = hear((MEDIA / name).read_bytes())
    assert len(heard) == tracks
    for start, samples in heard.values():
        assert start == pytest.approx(0.0, abs=0.1)
        assert len(samples) / RATE == pytest.approx(seconds, abs=0.1)
        assert 0.001 < float(np.abs(samples).max()) <= 1.5


@pytest.mark.parametrize("name", ["o079_Shepard_Calais_1906_FrenchGP.ogv", "made_av1.mp4"])
def test_a_video_without_sound_is_silent(name):
    assert hear((MEDIA / name).read_bytes()) == {}


@pytest.mark.parametrize(
    ("codec", "container", "rate"),
    [
        ("pcm_s16le", "matroska", 48_000),
        ("pcm_s16le", "wav", 11_025),
        ("aac", "mp4", 44_100),
        ("aac", "mpegts", 48_000),
        ("libmp3lame", "avi", 44_100),
        ("libopus", "webm", 48_000),
        ("flac", "matroska", 96_000),
        ("ac3", "matroska", 48_000),
    ],
)
def test_codecs_give_the_same_sound_at_the_same_time(codec, container, rate):
    data = encode(np.stack([chirp(3.0, rate)] * 2), codec=codec, container=container, rate=rate)
    ((start, samples),) = hear(data).values()
    assert len(samples) / RATE == pytest.approx(3.0, abs=0.15)
    wanted = chirp(3.0, RATE)[RATE : 2 * RATE]
    assert start + place(wanted, samples) == pytest.approx(1.0, abs=0.06)
    first = round((1.0 - start) * RATE)
    assert float(np.abs(samples[first : first + RATE]).mean()) == pytest.approx(0.19, abs=0.03)


def test_one_channel_upside_down_does_not_silence_the_mean():
    one = chirp(2.0)
    ((_, samples),) = hear(encode(np.stack([one, -one]))).values()
    assert float(np.abs(samples).mean()) > 0.15


def test_each_stretch_is_mixed_by_itself_however_many_are_mixed_at_once():
    rng = np.random.default_rng(1)
    one = rng.normal(0, 1, (1, 160)).astype(np.float32)
    two = rng.normal(0, 1, (2, 90)).astype(np.float32)
    odd = np.array([[np.nan, 9.0, -9.0], [1.0, 9.0, 0.0]], dtype=np.float32)
    parts = [one, two, np.concatenate([one, -0.99 * one]), odd, np.zeros((2, 5), np.float32), two]
    mixed = sound._mixed([p.copy() for p in parts])
    assert mixed.dtype == np.float32
    alone = [sound._mixed([p.copy()]) for p in parts]
    assert [len(a) for a in alone] == [p.shape[1] for p in parts]
    assert mixed.tolist() == np.concatenate(alone).tolist()
    assert alone[0].tolist() == np.clip(one[0], -4, 4).tolist()
    assert alone[1] == pytest.approx(two.mean(axis=0))
    assert alone[2].tolist() == alone[0].tolist()  # of what cancels itself out the first channel
    assert alone[3].tolist() == [0.5, 4.0, -2.0]


def test_a_gap_in_the_stamps_is_silence_and_what_follows_comes_later():
    data = encode(chirp(4.0)[None], gaps={100: 2.5})
    ((_, samples),) = hear(data).values()
    assert len(samples) / RATE == pytest.approx(6.5, abs=0.1)
    assert not samples[round(2.3 * RATE) : round(4.5 * RATE)].any()
    late = chirp(4.0, RATE)[3 * RATE :]
    assert place(late, samples) == pytest.approx(5.5, abs=0.05)


def test_stamps_that_start_anew_do_not_lose_what_follows():
    one = encode(chirp(4.0)[None], container="mpegts", codec="mp2")
    ((_, samples),) = hear(one + one).values()
    assert len(samples) / RATE == pytest.approx(8.0, abs=0.3)


def test_offsets_count_from_the_first_picture():
    ((start, _),) = hear(encode(chirp(3.0)[None], picture_at=1.0)).values()
    assert start == pytest.approx(-1.0, abs=0.05)


def test_packets_that_the_decoder_refuses_are_skipped():
    data = bytearray(encode(chirp(4.0)[None], codec="aac", container="mpegts"))
    rng = np.random.default_rng(1)
    for at in rng.integers(2000, len(data), 60):
        data[at] ^= 0xFF
    ((_, samples),) = hear(bytes(data)).values()
    assert len(samples) / RATE == pytest.approx(4.0, abs=0.6)


def test_a_file_that_ends_early_gives_what_there_is():
    data = encode(chirp(4.0)[None])
    ((_, samples),) = hear(data[: len(data) // 2]).values()
    assert len(samples) / RATE == pytest.approx(2.0, abs=0.2)


def test_limits_end_the_look_and_say_so():
    data = encode(chirp(30.0)[None])
    opened = OpenedSound(io.BytesIO(data))
    heard = sum(len(b.samples) for b in opened.blocks(max_s=5.0))
    assert heard == 5 * RATE
    assert opened.truncated
    opened = OpenedSound(io.BytesIO(data))
    assert sum(len(b.samples) for b in opened.blocks(seconds=0.0)) < 2 * RATE
    assert sum(len(b.samples) for b in opened.blocks(clock_s=0.0)) < 2 * RATE
    assert opened.truncated


def test_tracks_beyond_the_limit_are_left_out_and_it_says_so():
    data = (MEDIA / "o554_movie.mp4").read_bytes()
    opened = OpenedSound(io.BytesIO(data), max_tracks=1)
    assert {b.track for b in opened.blocks()} == {0}
    assert opened.truncated


@pytest.mark.parametrize("data", [b"", b"not a media file at all" * 30])
def test_what_is_no_media_is_refused(data):
    with pytest.raises(BadMedia):
        hear(data)


IN_THE_CAGE = """
import importlib, pkgutil, sys
import av
from matcher import lockdown
from matcher.decode.sound import OpenedSound
from matcher.hashers.sound import listen
for module in pkgutil.walk_packages(av.__path__, "av."):
    if module.name not in ("av.__main__", "av.datasets"):
        importlib.import_module(module.name)
media = [open(name, "rb") for name in sys.argv[1:]]
in_force = lockdown.apply(memory=1 << 30)
for file in media:
    print(*[len(peaks) for peaks in listen(OpenedSound(file).blocks())])
"""


def test_it_works_in_the_cage():
    names = ["o597_bbb.mp4", "p555_movie.ogv", "o084_oa4_launch.webm"]
    ran = subprocess.run(
        [sys.executable, "-c", IN_THE_CAGE, *(str(MEDIA / name) for name in names)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert all(int(count) > 50 for count in ran.stdout.split())
    assert len(ran.stdout.split()) == 3


@pytest.mark.parametrize(("samples", "layout", "pushed"), [(1000, "mono", 16), (9000, "7.1", 1)])
def test_of_many_samples_few_frames_wait_to_be_resampled(samples: int, layout: str, pushed: int):
    channels = 8 if layout == "7.1" else 1
    frame = av.AudioFrame.from_ndarray(
        np.zeros((1, samples * channels), np.int16), format="s16", layout=layout
    )
    frame.sample_rate = 48_000
    resampler = sound._Resampler(frame)
    answers = [resampler.push(frame) for _ in range(pushed)]
    assert [bool(parts) for parts in answers] == [False] * (pushed - 1) + [True]
