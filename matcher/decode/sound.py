"""Sound of any file into mono samples at one rate, by FFmpeg by way of PyAV.

Only the sound's packets are read and decoded; pictures are passed over. What the decoder refuses
is skipped. Time stamps are respected: a sample's place in the answer is its time in the media, so
gaps become silence, and what overlaps is cut off.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.filter import Graph
from numpy.typing import NDArray

from matcher.decode.pace import CpuClock
from matcher.decode.packets import SPLICED, open_container, packets
from matcher.decode.timeline import LONGEST_GAP_S, SPLICED_GAP_S

Samples = NDArray[np.float32]
Channels = NDArray[np.float32]  # (1 or 2, n)

RATE = 8000
"""Samples a second: phones and speech codecs keep nothing above 3.4 kHz anyway."""

MAX_TRACKS = 4
# FFmpeg's names. Each decoder is a door for strangers' bytes: no more than what media use.
_CODECS = """
    aac aac_latm aac_fixed ac3 ac3_fixed eac3 mp1 mp1float mp2 mp2float mp3 mp3float mp3adu
    mp3adufloat vorbis libvorbis opus libopus flac alac wavpack tta ape truehd mlp dca wmav1 wmav2
    wmapro wmalossless wmavoice speex libspeex amrnb amrwb libopencore_amrnb libopencore_amrwb
    gsm gsm_ms g722 g723_1 g726 g729 adpcm_ima_wav adpcm_ima_qt adpcm_ms adpcm_swf adpcm_yamaha
    nellymoser cook ra_144 ra_288 qdm2 qdmc atrac3 atrac3p mace3 mace6 pcm_alaw pcm_mulaw pcm_u8
    pcm_s8 pcm_s16le pcm_s16be pcm_s24le pcm_s24be pcm_s32le pcm_s32be pcm_f32le pcm_f32be
    pcm_f64le pcm_f64be pcm_s16le_planar pcm_bluray pcm_dvd
"""
CODECS = frozenset(_CODECS.split())

_BLOCK = RATE * 8  # samples handed over at once
# Frames that are resampled at once, for asking in vain costs as much as a frame does; and of all
# their channels so many samples at most, or those of many channels would fill the memory.
_PUSHED, _PUSHED_SAMPLES = 16, 1 << 16
_SLACK_S = 0.04  # time stamps are rounded: so much off is no gap
_LONGEST_OVERLAP_S = 1.0  # what leaps further back has started anew
_LONGEST_S = 366 * 86_400.0
_MAX_CHANNELS = 64
_SLOWEST, _FASTEST = 4_000, 768_000  # samples a second of a sound that is believed
_LOUDEST = 4.0
_CANCELLED = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class SoundBlock:
    """A stretch of one track: `samples` (n,) float32 mono, full scale 1, at `RATE` a second, the
    first of them at `start` seconds from the start of the media. A track's blocks follow on one
    another without a gap; the first starts where its sound does."""

    track: int
    start: float
    samples: Samples


class OpenedSound:
    """The sound of one file. `truncated` stands once the blocks ended: a limit ended the look
    early, or a considerable part was refused by the decoder, or tracks were left out."""

    def __init__(self, media: BinaryIO, *, max_tracks: int = MAX_TRACKS) -> None:
        self._media = media
        self._max_tracks = max_tracks
        self.truncated = False

    def blocks(
        self, *, seconds: float = 60.0, clock_s: float = math.inf, max_s: float = 86_400.0
    ) -> Iterator[SoundBlock]:
        """All tracks' blocks as they lie in the file; none where there is no sound.

        `seconds` of this thread's CPU time, and `clock_s` by the clock, may be spent here and by
        whoever takes the blocks; `max_s` seconds of sound are looked at. Raises
        `UnsupportedMedia`, `CorruptMedia` where the container cannot be opened.
        """
        spent = CpuClock(time.thread_time)
        until, ends = spent() + seconds, time.monotonic() + clock_s
        with open_container(self._media) as container:
            streams, left_out = sound_streams(container, self._max_tracks)
            self.truncated = left_out
            origin = _origin(container)
            gap = SPLICED_GAP_S if container.format.name in SPLICED else LONGEST_GAP_S
            tracks = {s.index: _Track(n, s, origin, max_s, gap) for n, s in enumerate(streams)}
            for packet in packets(container, list(streams)) if streams else ():
                track = tracks.get(packet.stream_index)
                if track is None:
                    continue
                yield from track.feed(packet)
                if spent() >= until or time.monotonic() > ends:
                    self.truncated = True
                    break
            for track in tracks.values():
                yield from track.finish()
            self.truncated |= any(t.lost for t in tracks.values())


def sound_streams(container: Any, max_tracks: int = MAX_TRACKS) -> tuple[list[AudioStream], bool]:
    """The sound tracks that can be decoded, and whether some had to be left out."""
    all_ = [s for s in container.streams if s.type == "audio"]
    usable = [
        s
        for s in all_
        if s.codec_context is not None
        and s.codec_context.name in CODECS
        and s.codec_context.channels <= _MAX_CHANNELS
    ]
    return usable[:max_tracks], len(usable[:max_tracks]) < len(all_)


def _origin(container: Any) -> float:
    """When the media starts, in the container's seconds: with its first picture, for that is from
    where offsets of frames are counted; a file of sound only with its sound."""
    starts = [
        float(s.start_time * s.time_base)
        for s in container.streams
        if s.type == "video" and s.start_time is not None and s.time_base
    ]
    if starts:
        return min(starts)
    return float(container.start_time or 0) / av.time_base


class _Track:
    """One track's decoder, and where its sound goes in time.

    Places are counted in samples of `RATE` from the media's start.
    """

    def __init__(
        self, number: int, stream: AudioStream, origin: float, max_s: float, longest_gap: float
    ) -> None:
        self._longest_gap = longest_gap  # seconds; stamps that leap further start anew
        self._number = number
        self._context: Any = stream.codec_context
        self._context.thread_count = 1
        self._context.thread_type = "NONE"
        self._origin = origin
        self._left = int(max_s * RATE)
        self._sent = self._refused = 0
        self._cut = False
        self._shift = 0  # added to the places that stamps tell, where stamps have started anew
        self._resampler: _Resampler | None = None
        self._due = 0.0  # where the next decoded frame belongs, by the frames before it
        self._end: int | None = None  # where the next resampled sample goes; None before the first
        self._overlap = 0  # samples to be cut off, since their time was handed over already
        self._waiting: list[Channels] = []
        self._count = 0

    @property
    def lost(self) -> bool:
        """Whether a considerable part was refused by the decoder, or left out."""
        return self._cut or self._refused > max(2, 0.1 * self._sent)

    def feed(self, packet: Any) -> Iterator[SoundBlock]:
        """The blocks that this packet completes."""
        if self._cut:
            return
        self._sent += 1
        try:
            frames = self._context.decode(packet)
        except av.EOFError:
            return
        except (av.FFmpegError, ValueError):
            self._refused += 1
            return
        for frame in frames:
            yield from self._take(frame)

    def finish(self) -> Iterator[SoundBlock]:
        """What the decoder and the resampler still hold."""
        try:
            frames = self._context.decode(None)
        except (av.FFmpegError, ValueError):
            frames = []
        for frame in frames:
            yield from self._take(frame)
        yield from self._flush()
        yield from self._hand_over(1)

    def _take(self, frame: AudioFrame) -> Iterator[SoundBlock]:
        if not frame.samples or not _SLOWEST <= frame.sample_rate <= _FASTEST:
            return
        if self._resampler is None or not self._resampler.suits(frame):
            yield from self._flush()
            self._resampler = _Resampler(frame)
        place = self._place(frame)
        if self._end is None:
            self._end, self._due = place, float(place)
        elif abs(place - self._due) > _SLACK_S * RATE:
            yield from self._leap(place)
        self._due += frame.samples * RATE / frame.sample_rate
        yield from self._append(self._resampler.push(frame))

    def _place(self, frame: AudioFrame) -> int:
        """Where the frame's stamp says it belongs; after the one before where it says nothing."""
        unit = frame.time_base
        if frame.pts is None or not unit:
            return round(self._due)
        seconds = frame.pts * unit.numerator / unit.denominator - self._origin
        if not math.isfinite(seconds) or abs(seconds) > _LONGEST_S:
            return round(self._due)
        return round(seconds * RATE) + self._shift

    def _leap(self, place: int) -> Iterator[SoundBlock]:
        """The stamps leave a gap, which is silence, or go back a little, or start anew."""
        yield from self._flush()
        assert self._end is not None
        gap = place - self._end
        if -_LONGEST_OVERLAP_S * RATE <= gap <= self._longest_gap * RATE:
            self._overlap = max(0, -gap)
            for first in range(0, gap, _BLOCK):
                if not self._cut:
                    silence = np.zeros((1, min(gap - first, _BLOCK)), dtype=np.float32)
                    yield from self._append([silence])
            self._due = float(place)
        else:
            self._shift += self._end - place
            self._due = float(self._end)

    def _flush(self) -> Iterator[SoundBlock]:
        if self._resampler is not None:
            rest = self._resampler.flush()
            self._resampler = self._resampler.renewed()
            yield from self._append(rest)

    def _append(self, some: Iterable[Channels]) -> Iterator[SoundBlock]:
        """Put the samples where the last ones end."""
        for samples in some:
            if self._overlap:
                kept = samples[:, self._overlap :]
                self._overlap -= samples.shape[1] - kept.shape[1]
                samples = kept
            if self._end is None or not samples.shape[1]:
                continue
            samples = samples[:, : self._left]
            count = samples.shape[1]
            self._left -= count
            self._cut |= self._left <= 0
            if count:
                self._waiting.append(samples)
            self._count += count
            self._end += count
            yield from self._hand_over(_BLOCK)

    def _hand_over(self, least: int) -> Iterator[SoundBlock]:
        if self._count < least or self._end is None:
            return
        samples = _mixed(self._waiting)
        start = (self._end - self._count) / RATE
        self._waiting, self._count = [], 0
        yield SoundBlock(self._number, start, samples)


class _Resampler:
    """Frames of one shape into one or two channels of `RATE`. It starts no thread."""

    def __init__(self, like: AudioFrame) -> None:
        self._like = like
        self._channels = 1 if like.layout.nb_channels == 1 else 2
        self._unit = Fraction(1, like.sample_rate)
        self._shape = _shape(like)
        graph = Graph()
        graph.threads = 1
        source = graph.add(
            "abuffer",
            sample_rate=str(like.sample_rate),
            sample_fmt=like.format.name,
            channel_layout=like.layout.name,
            time_base=f"1/{like.sample_rate}",
        )
        wanted = graph.add(
            "aformat",
            sample_rates=str(RATE),
            sample_fmts="flt",
            channel_layouts="mono" if self._channels == 1 else "stereo",
        )
        sink = graph.add("abuffersink")
        source.link_to(wanted)
        wanted.link_to(sink)
        graph.configure()
        self._graph = graph
        self._count = 0
        self._waiting = self._samples = 0  # frames that were pushed, and samples of them

    def suits(self, frame: AudioFrame) -> bool:
        return _shape(frame) == self._shape

    def renewed(self) -> _Resampler:
        """A fresh one for frames of the same shape."""
        return _Resampler(self._like)

    def push(self, frame: AudioFrame) -> list[Channels]:
        """The samples that are there once this frame is, each frame's by themselves; those of some
        frames come together."""
        frame.pts = self._count  # gaps are ours to fill
        frame.time_base = self._unit
        self._count += frame.samples
        self._graph.push(frame)
        self._waiting += 1
        self._samples += frame.samples * frame.layout.nb_channels
        enough = self._waiting >= _PUSHED or self._samples >= _PUSHED_SAMPLES
        return self._pull() if enough else []

    def flush(self) -> list[Channels]:
        """What is held back; nothing can be pushed afterwards."""
        if not self._count:
            return []
        self._graph.push(None)
        return self._pull()

    def _pull(self) -> list[Channels]:
        self._waiting = self._samples = 0
        parts: list[Channels] = []
        while True:
            try:
                pulled: Any = self._graph.pull()
            except (av.EOFError, av.BlockingIOError):
                return parts
            count, channels = pulled.samples, self._channels
            samples = np.frombuffer(pulled.planes[0], np.float32, count * channels)
            parts.append(samples.reshape(count, channels).T)


def _shape(frame: AudioFrame) -> tuple[object, ...]:
    return frame.format.name, frame.layout.name, frame.layout.nb_channels, frame.sample_rate


def _mixed(parts: Sequence[Channels]) -> Samples:
    """Stretches of (1 or 2, n) into one of mono: of each the mean, or the first channel where the
    two cancel each other out (a channel turned upside down is not heard on a phone's one
    loudspeaker, nor in a mean)."""
    most = max(len(p) for p in parts)
    both = np.concatenate([p if len(p) == most else np.repeat(p, most, axis=0) for p in parts], 1)
    both = np.clip(np.nan_to_num(both, copy=False), -_LOUDEST, _LOUDEST)
    mean: Samples = both.mean(axis=0, dtype=np.float32)
    if most == 1:
        return mean
    sizes = [p.shape[1] for p in parts]
    starts = np.cumsum([0, *sizes[:-1]])
    left = np.add.reduceat(np.square(mean), starts)
    cancelled = left < _CANCELLED * np.add.reduceat(np.square(both[0]), starts)
    return np.where(np.repeat(cancelled, sizes), both[0], mean)
