"""A container's picture tracks and packets, read without decoding."""

from __future__ import annotations

import errno
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from hashdb.errors import CorruptMedia, MediaTooLarge, NoPicture, UnsupportedMedia
from matcher.decode import formats
from matcher.decode.timeline import LONGEST_GAP_S, SPLICED_GAP_S, Timeline, timeline
from matcher.ports import Limits

_HEAD = 512
_MOST_PACKETS = 6_000_000  # 50 hours at 30 a second
_MOST_READ_ERRORS = 64
_LONGEST_S = 366 * 86_400.0  # no file is longer: what states more is not believed
SPLICED = frozenset({"mpegts", "mpeg", "mpegvideo", "flv", "asf", "ogg"})
_SIDE_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails

KEPT_BYTES = 8_000_000
"""Of memory for packets that are kept from the first time they are read to the second."""

_PACKET_BYTES = 600  # that a packet takes beside its own
_OPTIONS = {
    "format_whitelist": ",".join(formats.FORMATS),
    "codec_whitelist": ",".join(sorted(formats.CODECS)),
    "protocol_whitelist": "none",  # there is one file, which is handed over open
    "enable_drefs": "0",  # a QuickTime file may not name others
    "use_absolute_path": "0",
}

av.logging.set_level(av.logging.PANIC)


def open_container(media: BinaryIO) -> InputContainer:
    """The container, with its headers read. Raises `UnsupportedMedia` where the format is not
    known or not allowed, `CorruptMedia` where it is known but cannot be read."""
    media.seek(0)
    head = media.read(_HEAD)
    media.seek(0)
    try:
        container = av.open(media, mode="r", options=dict(_OPTIONS), metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError) as error:
        if getattr(error, "errno", None) == errno.ENOMEM:
            raise MemoryError from None
        if formats.is_known(head):
            raise CorruptMedia("the file is damaged: its headers cannot be read") from None
        raise UnsupportedMedia("neither an image nor a video in a known format") from None
    name = container.format.name
    if name not in formats.FORMATS:
        container.close()
        raise UnsupportedMedia(f"the format {name} is not allowed")
    if name in formats.RAW_FORMATS and not formats.is_known(head):
        container.close()  # a document, or an archive, that holds pictures
        raise UnsupportedMedia("neither an image nor a video in a known format")
    return container


def picture_streams(container: InputContainer, limits: Limits) -> tuple[list[VideoStream], bool]:
    """The video tracks, and whether some had to be left out. Cover pictures count only where
    there is nothing else to see; tracks that another one names for its chapters' pictures are
    tracks all the same, which players may show. Raises `NoPicture`, `UnsupportedMedia`,
    `MediaTooLarge`."""
    videos = [s for s in container.streams if s.type == "video"]
    if not videos:
        if container.streams or container.format.name in formats.SOUND_FORMATS:
            raise NoPicture("the file holds no picture, only sound or data")
        raise CorruptMedia("the file holds no track that can be read")
    usable: list[Any] = [
        s for s in videos if s.codec_context is not None and s.codec_context.name in formats.CODECS
    ]
    if not usable:
        raise UnsupportedMedia("the video's codec is not known or not allowed")
    for stream in usable:
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > limits.max_pixels:
            raise MediaTooLarge(
                f"{width} x {height} pixels; at most {limits.max_pixels} are looked at"
            )
    moving = [s for s in usable if not is_cover(s)]
    chosen = moving or usable[:1]
    left_out = len(chosen) > limits.max_tracks or len(usable) < len(videos)
    return chosen[: limits.max_tracks], left_out


def is_cover(stream: VideoStream) -> bool:
    """Whether the track is the cover picture of a sound file, which is seen as long as it plays."""
    return stream.disposition & _SIDE_PICTURES == Disposition.attached_pic


@dataclass(slots=True)
class _Stamps:
    """One track's packets as they are read."""

    unit: float
    pts: array[float] = field(default_factory=lambda: array("d"))
    dts: array[float] = field(default_factory=lambda: array("d"))
    marks: bytearray = field(default_factory=bytearray)
    tail: float = 0.0

    def add(self, packet: Packet[Any]) -> None:
        nan = float("nan")
        self.pts.append(nan if packet.pts is None else packet.pts * self.unit)
        self.dts.append(nan if packet.dts is None else packet.dts * self.unit)
        self.marks.append(packet.is_keyframe | packet.is_discard << 1)
        self.tail = (packet.duration or 0) * self.unit


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """What reading all packets told. `tracks` maps stream numbers to timelines, in the order of
    the tracks; `missing`: seconds that each track should have had beyond what could be read, where
    the file ended, or could not be read, long before its stated end."""

    tracks: dict[int, Timeline]
    missing: dict[int, float]
    cut_short: bool

    def duration(self, track: int) -> float:
        """How long the track is, read or not."""
        return self.tracks[track].duration + self.missing.get(track, 0.0)


def packets(container: InputContainer, streams: list[Any]) -> Iterator[Packet[Any]]:
    """The packets of these streams in the order of the file; what cannot be read is passed over.
    Ends with the file."""
    for _ in range(_MOST_READ_ERRORS):
        try:
            for packet in container.demux(streams):
                if packet.size and not _is_extra(packet):
                    yield packet
            return
        except (av.EOFError, MemoryError):
            return
        except (av.FFmpegError, IndexError):  # IndexError: of a track that turned up on the way
            continue


def _is_extra(packet: Packet[Any]) -> bool:
    """Whether it is the copy, without a stamp, that FFmpeg gives of the first of a chapter track's
    pictures, as of a cover."""
    if packet.pts is not None or packet.dts is not None:
        return False
    return bool(packet.stream.disposition & Disposition.timed_thumbnails)


def read_index(
    container: InputContainer, chosen: list[VideoStream]
) -> tuple[Index, deque[Packet[Any]] | None]:
    """Read every packet once. Those of the chosen tracks are given too, where they are few: up to
    `KEPT_BYTES` of memory. Raises `CorruptMedia` where no track has one, and `MediaTooLarge`."""
    stamps = {s.index: _Stamps(float(s.time_base or 0) or 1 / 90_000) for s in chosen}
    # Where only the container says how long it is, its sound is part of that.
    cover = is_cover(chosen[0])
    by_all = cover or (all(not s.duration for s in chosen) and bool(container.duration))
    wanted: list[Any] = list(container.streams) if by_all else list(chosen)
    wanted = [s for s in wanted if s.type in ("video", "audio")]
    units = {s.index: float(s.time_base or 0) for s in wanted}  # a fraction costs much each time
    latest = 0.0
    kept: deque[Packet[Any]] | None = deque()
    room = KEPT_BYTES
    for count, packet in enumerate(packets(container, wanted)):
        if packet.stream_index in stamps:
            stamps[packet.stream_index].add(packet)
            room -= packet.size + _PACKET_BYTES
            if kept is not None and room >= 0:
                kept.append(packet)
            else:
                kept = None
        if by_all and packet.pts is not None:
            latest = max(latest, packet.pts * units.get(packet.stream_index, 0.0))
        if count >= _MOST_PACKETS:  # what lies behind them would not be judged
            raise MediaTooLarge(f"more than {_MOST_PACKETS} packets")
    gap = SPLICED_GAP_S if container.format.name in SPLICED else LONGEST_GAP_S
    tracks = {s.index: _timeline(s, stamps[s.index], gap) for s in chosen if stamps[s.index].marks}
    if not tracks:
        raise CorruptMedia("the file holds no picture data that can be read")
    if cover and latest > 0:
        tracks = {n: replace(t, duration=latest) for n, t in tracks.items()}
    missing = _missing(container, chosen, tracks, latest if by_all else None)
    cut_short = bool(missing) or len(tracks) < len(chosen)
    return Index(tracks, missing, cut_short), kept


def _timeline(stream: VideoStream, stamps: _Stamps, gap: float) -> Timeline:
    marks = np.frombuffer(stamps.marks, dtype=np.uint8)
    rate = stream.average_rate or stream.guessed_rate
    return timeline(
        np.array(stamps.pts),
        np.array(stamps.dts),
        (marks & 1).astype(bool),
        (marks & 2).astype(bool),
        float(rate) if rate else None,
        stamps.tail,
        gap,
    )


def _missing(
    container: InputContainer,
    chosen: list[VideoStream],
    tracks: dict[int, Timeline],
    latest: float | None,
) -> dict[int, float]:
    """Seconds by which tracks are shorter than the file says, where that is considerable. Of a
    track that begins late, some files count the time before it as well: it is not missed.

    Compared are the pictures that the container lists (ISO media), the tracks' durations, and,
    where only the container has one, the `latest` packet of all tracks.
    """
    listed = container.format.name == "mov,mp4,m4a,3gp,3g2,mj2"
    missing: dict[int, float] = {}
    for stream in chosen:
        read = tracks.get(stream.index)
        if read is None or read.by_count:
            continue
        stated = (stream.duration or 0) - max(0, stream.start_time or 0)
        lost = float(stated * (stream.time_base or 0)) - read.duration
        few = listed and len(read.offsets) < 0.9 * stream.frames
        if few or max(1.0, 0.1 * read.duration) < lost < _LONGEST_S:
            missing[stream.index] = max(lost, 0.0)
    if latest is not None and container.duration:
        lost = container.duration / av.time_base - latest
        if max(2.0, 0.1 * latest) < lost < _LONGEST_S:
            missing = dict.fromkeys(tracks, lost)
    return missing
