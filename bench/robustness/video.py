"""Frames and sound out of files, and into them again. A frame is (height, width, 3) uint8, BGR."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, lru_cache
from pathlib import Path

import av
import cv2
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer, OutputContainer
from av.stream import Stream
from av.video.frame import VideoFrame
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Picture = Callable[[Frame, float], Frame]
"""An edit of one frame, told the seconds from the excerpt's start. It leaves its argument alone."""

Sound = NDArray[np.float32]
"""(samples,), one channel from -1 to 1 at `SOUND_RATE` a second."""

SOUND_RATE = 48000
CHUNK = 4096
AV1 = "libsvtav1"
_NOBODY = 65534
os.environ.setdefault("SVT_LOG", "1")  # errors alone


@dataclass(frozen=True, slots=True)
class Facts:
    """`origin`: the first frame's timestamp in seconds. All other seconds count from there."""

    width: int
    height: int
    seconds: float
    origin: float
    loudness: float
    """Root mean square of the sound, 1.0 is full scale; 0 without sound."""


@dataclass(frozen=True, slots=True)
class Coding:
    suffix: str = ".mp4"
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: {"crf": "23", "preset": "veryfast"})
    sound_codec: str = "aac"
    sound_bits: int = 96_000


@cache
def facts(path: Path) -> Facts:
    origin, width, height = 0.0, 0, 0
    for at, frame in _timed(path, None):
        origin, width, height = at, frame.width, frame.height
        break
    sound = read_sound(path)
    loudness = float(np.sqrt(np.mean(np.square(sound)))) if sound.size else 0.0
    return Facts(width, height, _end(path) - origin, origin, loudness)


def _end(path: Path) -> float:
    """The timestamp at which the last frame ends, in seconds; no frame is decoded."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        step = 1 / float(stream.average_rate or 25)
        end, count = 0.0, 0
        for packet in container.demux(stream):
            if packet.size:
                count += 1
                if packet.pts is not None:
                    end = max(end, float(packet.pts * packet.time_base) + step)
        return end or count * step


def _timed(path: Path, seek: float | None) -> Iterator[tuple[float, VideoFrame]]:
    """Timestamps in seconds and frames; `seek`: from a key frame before this timestamp on."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        step = 1 / float(stream.average_rate or 25)
        if seek is not None and stream.time_base is not None:
            container.seek(int(seek / stream.time_base), stream=stream)
        for count, frame in enumerate(_decoded(container, stream)):
            if isinstance(frame, VideoFrame):
                stamped = frame.pts is not None and frame.time_base is not None
                yield (float(frame.pts * frame.time_base) if stamped else count * step), frame


def _decoded(container: InputContainer, stream: Stream) -> Iterator[VideoFrame | AudioFrame]:
    """What can be decoded; packets that can't be are left out."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()  # type: ignore[misc]
        except av.error.FFmpegError:
            continue


def _from(path: Path, start: float) -> Iterator[tuple[float, VideoFrame]]:
    """Frames from at most `start` on, with seconds from the file's first frame."""
    origin = facts(path).origin
    late = True
    if start > 4 and path.suffix != ".mjpeg":
        for at, frame in _timed(path, origin + start - 1):
            if late and at - origin > start:
                break
            late = False
            yield at - origin, frame
    if late:
        yield from ((at - origin, frame) for at, frame in _timed(path, None))


def even(width: float, height: float, long_side: int) -> tuple[int, int]:
    """Even width and height with the same aspect, the longer at most `long_side`."""
    scale = min(1.0, long_side / max(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def read(
    path: Path, start: float, seconds: float, fps: float, long_side: int = 854
) -> Iterator[Frame]:
    """Frames at `fps` of an excerpt; each is the one that is on the screen at its moment."""
    about = facts(path)
    size = even(about.width, about.height, long_side)
    count = int(seconds * fps + 1e-6)
    held: Frame | None = None
    pending: VideoFrame | None = None
    done = 0
    for at, frame in _from(path, start):
        while pending is not None and done < count and start + done / fps < at - 1e-4:
            if held is None:
                held = _pixels(pending, size)
            yield held
            done += 1
        if done >= count:
            return
        held, pending = None, frame
    while pending is not None and done < count and start + done / fps < about.seconds + 1e-3:
        held = _pixels(pending, size) if held is None else held
        yield held
        done += 1


def _pixels(frame: VideoFrame, size: tuple[int, int]) -> Frame:
    turned = int(frame.rotation // 90)
    scaled = frame.reformat(*size, format="bgr24", interpolation="AREA").to_ndarray()
    return np.ascontiguousarray(np.rot90(scaled, turned)) if turned else scaled


def endless(path: Path, start: float, fps: float, long_side: int = 854) -> Iterator[Frame]:
    """The video from `start` on, again from its beginning after its end, and so on."""
    about = facts(path)
    while True:
        empty = True
        for frame in read(path, min(start, about.seconds / 2), about.seconds, fps, long_side):
            empty = False
            yield frame
        start = 0.0
        if empty:
            raise ValueError(f"{path.name}: no frames")


@lru_cache(maxsize=16)
def read_sound(path: Path) -> Sound:
    """The whole sound, sample 0 at the first video frame; empty if the file has none."""
    origin = 0.0
    for at, _ in _timed(path, None):
        origin = at
        break
    parts: list[Sound] = []
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return np.zeros(0, np.float32)
        resampler = AudioResampler("flt", "mono", SOUND_RATE)
        for frame in _decoded(container, container.streams.audio[0]):
            if not isinstance(frame, AudioFrame):
                continue
            if not parts:
                ahead = float((frame.pts or 0) * (frame.time_base or 0)) - origin
                parts.append(np.zeros(max(0, round(ahead * SOUND_RATE)), np.float32))
                skip = max(0, round(-ahead * SOUND_RATE))
            parts += [f.to_ndarray().reshape(-1) for f in resampler.resample(frame)]
    return np.concatenate(parts)[skip:] if parts else np.zeros(0, np.float32)


def excerpt(path: Path, start: float, seconds: float) -> Sound:
    """Exactly `seconds` of sound, silence after its end; empty if the file has no sound."""
    whole = read_sound(path)
    if not whole.size:
        return whole
    first, size = round(start * SOUND_RATE), round(seconds * SOUND_RATE)
    part = whole[first : first + size]
    return np.pad(part, (0, size - part.size))


def write(
    path: Path, frames: Iterator[Frame], fps: int, coding: Coding, sound: Sound | None = None
) -> float:
    """Write the file; its seconds. The sound is cut where the picture ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name("part-" + path.name)
    count = 0
    with av.open(str(part), "w") as out:
        first = next(frames)
        stream = out.add_stream(coding.codec, rate=fps, options=dict(coding.options))
        stream.height, stream.width = (side // 2 * 2 for side in first.shape[:2])
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 2
        with _unprivileged(coding.codec):
            stream.codec_context.open()
        voice = _Voice(out, coding, sound) if sound is not None and sound.size else None
        for frame in _with_first(first, frames):
            if voice:
                voice.until(count / fps)
            planes = cv2.cvtColor(frame[: stream.height, : stream.width], cv2.COLOR_BGR2YUV_I420)
            image = VideoFrame.from_ndarray(planes, format="yuv420p")
            image.pts, image.time_base = count, Fraction(1, fps)
            out.mux(stream.encode(image))
            count += 1
        if voice:
            voice.until(count / fps)
            voice.close()
        out.mux(stream.encode(None))
    part.replace(path)
    return count / fps


@contextmanager
def _unprivileged(codec: str) -> Iterator[None]:
    """SVT-AV1's threads take real-time priority where root starts them, and the machine with it."""
    user = os.geteuid()
    if codec != AV1 or user != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def _with_first(first: Frame, rest: Iterator[Frame]) -> Iterator[Frame]:
    yield first
    yield from rest


class _Voice:
    """The sound of a file that is being written, fed as far as the picture is."""

    def __init__(self, out: OutputContainer, coding: Coding, sound: Sound) -> None:
        self.out, self.sound, self.done = out, np.clip(sound, -1, 1), 0
        self.stream = out.add_stream(coding.sound_codec, rate=SOUND_RATE, layout="mono")
        self.stream.bit_rate = coding.sound_bits

    def until(self, seconds: float) -> None:
        end = min(self.sound.size, round(seconds * SOUND_RATE))
        while self.done < end:
            chunk = self.sound[self.done : min(end, self.done + CHUNK)].astype(np.float32)
            frame = AudioFrame.from_ndarray(chunk[None, :], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = SOUND_RATE, self.done
            frame.time_base = Fraction(1, SOUND_RATE)
            self.out.mux(self.stream.encode(frame))
            self.done += chunk.size

    def close(self) -> None:
        self.out.mux(self.stream.encode(None))
