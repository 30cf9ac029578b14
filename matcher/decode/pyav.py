"""The decoder: FFmpeg by way of PyAV for video, Pillow for pictures.

A video is read twice. First its packets only, which costs little and tells when every picture is
shown, where the keyframes are, and how long the video truly is; few and small ones are kept for
the second time. Then, with that known, each group of pictures is passed over, or its keyframe
decoded alone, or the group decoded forward (`matcher.decode.pace` says which). Nothing is ever
sought: seeking is where damaged and odd files go wrong, and passing over packets is cheap.
"""

from __future__ import annotations

import errno
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, BinaryIO, cast

import av
from av.codec.context import CodecContext, Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from hashdb.errors import CorruptMedia, EmptyMedia, MediaTooLarge
from hashdb.model import MediaKind
from matcher.decode import behind, formats
from matcher.decode.instead import Instead
from matcher.decode.luma import displayed_picture, on_each_backdrop
from matcher.decode.pace import MAX_GAP_S, Look, Pace, Picker
from matcher.decode.packets import (
    Index,
    is_cover,
    open_container,
    packets,
    picture_streams,
    read_index,
)
from matcher.decode.still import OpenedPicture
from matcher.decode.timeline import SAME_S, Timeline
from matcher.ports import Frame, Limits, MediaInfo, Sampling

_REMEMBERED = 512  # packets whose picture has not come out yet
_SHORT_S = 0.05  # a standing picture is not given again so shortly before the next
_REFUSED_SHARE = 0.1
_REFUSED_FEW = 2


class PyAvDecoder:
    """Opens media within `limits`: see `matcher.ports.Decoder`."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def open(self, media: BinaryIO) -> OpenedVideo | OpenedPicture:
        """Raises `EmptyMedia`, `UnsupportedMedia`, `CorruptMedia`, `NoPicture`, `MediaTooLarge`.

        `media` is seekable, and stays the caller's to close.
        """
        size = media.seek(0, 2)
        if size == 0:
            raise EmptyMedia("the file has 0 bytes")
        if size > self.limits.max_bytes:
            raise MediaTooLarge(f"{size} bytes; at most {self.limits.max_bytes} are looked at")
        media.seek(0)
        still = formats.still_format(media.read(64))
        media.seek(0)
        following = None
        if still == "jpeg":
            following = formats.behind_jpeg(media.read(self.limits.max_pixels))
            if following == "jpeg":
                still = None
        if still == "avif" and behind.holds_video(media):
            still = None  # its picture is a track like the others
        media.seek(0)
        if still is not None:
            picture = OpenedPicture(media, still, self.limits)
            at = media.tell()
            hidden = following is not None or behind.holds_picture(media, still)
            picture.truncated |= hidden  # it is not looked at, which is said
            media.seek(at)
            return picture
        return OpenedVideo(media, self.limits)


class OpenedVideo:
    """A video, or a sound file with a cover picture: see `matcher.ports.OpenedMedia`."""

    def __init__(self, media: BinaryIO, limits: Limits) -> None:
        self._media = media
        self._limits = limits
        with ExitStack() as stack:
            container = stack.enter_context(open_container(media))
            self.format = container.format.name
            streams, left_out = picture_streams(container, limits)
            alone = is_cover(streams[0]) and not container.streams.audio
            self._index, kept = read_index(container, streams)
            self._kept = None if kept is None else (container, kept)
            if kept is not None:
                stack.pop_all()  # it stays open for the first look
        self.truncated = left_out or self._index.cut_short
        self.info = _info(self._index, alone=alone)

    def frames(self, sampling: Sampling) -> Iterator[Frame]:
        """Frames of several tracks come as they lie in the file. What shows something else over
        white than over black is given over both, over white as tracks behind all others."""
        pace = Pace(sampling)
        kept, self._kept = self._kept, None
        with open_container(self._media) if kept is None else kept[0] as container:
            tracks = self._tracks(container, sampling, pace)
            streams = [t.stream for t in tracks.values()]
            for packet in packets(container, streams) if kept is None else _taken_out(kept[1]):
                yield from tracks[packet.stream_index].feed(packet)
                if pace.exhausted:
                    self.truncated = True
                    break
            else:
                for track in tracks.values():
                    yield from track.finish()
            self.truncated |= any(t.lost for t in tracks.values())
            if not pace.frames and any(t.starved for t in tracks.values()):
                raise MemoryError
            if not pace.frames and not sampling.windows:
                raise CorruptMedia("no frame could be decoded")

    def _tracks(self, container: Any, sampling: Sampling, pace: Pace) -> dict[int, _Track]:
        tracks = {}
        for number, (index, line) in enumerate(self._index.tracks.items()):
            stream = container.streams[index]
            context = _decoder_of(stream)
            context.thread_count = 1
            context.thread_type = "NONE"
            context.flags |= Flags.unaligned  # crop to the pixel
            context.options = {"max_pixels": str(self._limits.max_pixels)}
            every = self.format in formats.UNTIMED
            picker = Picker.of(sampling, line.duration, every=every, picture_s=line.step)
            numbers = (number, number + len(self._index.tracks))
            tracks[index] = _Track(numbers, stream, context, line, picker, pace)
        return tracks

    def close(self) -> None:
        """Of what was kept for a look that did not come; nothing else stays open."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept[0].close()


def _decoder_of(stream: VideoStream) -> VideoCodecContext:
    """The track's decoder: one that knows transparency, where the track has it."""
    name = formats.WITH_ALPHA.get(stream.codec_context.name)
    if name is None or stream.metadata.get("alpha_mode") != "1":
        return stream.codec_context
    return cast(VideoCodecContext, CodecContext.create(name, "r"))


def _taken_out(kept: deque[Packet[Any]]) -> Iterator[Packet[Any]]:
    while kept:
        yield kept.popleft()


def _info(index: Index, *, alone: bool) -> MediaInfo:
    """`alone`: it is a cover without sound, a picture."""
    if alone:
        return MediaInfo(MediaKind.IMAGE, 0.0, 1, (0.0,))
    durations = tuple(index.duration(track) for track in index.tracks)
    return MediaInfo(MediaKind.VIDEO, max(durations), len(durations), durations)


class _Track:
    """One track's decoder, and which of its pictures are taken."""

    def __init__(
        self,
        numbers: tuple[int, int],
        stream: VideoStream,
        context: VideoCodecContext,
        line: Timeline,
        picker: Picker,
        pace: Pace,
    ) -> None:
        """`numbers`: of its pictures, and of those that show something else over white."""
        self.stream = stream
        self._numbers = numbers
        self._context = context
        self._line = line
        self._pace = pace
        self._picker = picker
        self._ordinal = -1  # of the packet at hand
        self._group = -1
        self._end, self._final = 0.0, False  # when the group at hand ends, and if the track does
        self._forward = False  # whether the group at hand is being decoded
        self._instead = Instead(picker, line)
        self._fresh = True  # whether the decoder holds nothing
        self._floor = float("-inf")  # pictures before it lack what they refer to
        self._waiting: OrderedDict[int, float] = OrderedDict()
        self._latest = float("-inf")  # when the last decoded picture is shown
        self._taken = float("-inf")  # when the last one that was taken is shown
        self._sent = 0
        self._refused = 0
        self._thinned = False
        self.starved = False  # whether the decoder asked for more memory than there is

    @property
    def lost(self) -> bool:
        """Whether a considerable part was refused by the decoder, or left out for its cost."""
        few = max(_REFUSED_FEW, _REFUSED_SHARE * self._sent)
        return self._thinned or self._refused > few

    def feed(self, packet: Packet[Any]) -> Iterator[Frame]:
        """The frames that this packet brings forth."""
        self._ordinal += 1
        if self._ordinal >= len(self._line.offsets):
            return
        following = self._group + 1
        if following < len(self._line.keys) and self._ordinal == self._line.keys[following]:
            self._group = following
            yield from self._begin_group(packet)
        elif self._forward:
            yield from self._go_forward(packet)

    def finish(self) -> Iterator[Frame]:
        """The frames that the decoder still holds."""
        if self._forward:
            yield from self._drain()
        yield from self._or_the_keyframe()

    def _or_the_keyframe(self) -> Iterator[Frame]:
        """The keyframe after all, where no picture came in its place."""
        keyframe = self._instead.end()
        if keyframe is not None:
            yield from self._give(*keyframe)

    def _begin_group(self, packet: Packet[Any]) -> Iterator[Frame]:
        start = float(self._line.offsets[self._ordinal])
        self._end, self._final = self._line.group_end(start)
        wanted = self._picker.look(start, self._end, self._taken, final=self._final)
        look = self._affordable(wanted, start)
        if self._forward and (look is not Look.FORWARD or self._instead.wanted):
            yield from self._drain()
        yield from self._or_the_keyframe()
        if look is Look.FORWARD:
            if not self._forward:
                self._restart(start)
            yield from self._go_forward(packet)
        elif look is Look.KEYFRAME and self._looks_behind(start):
            self._restart(start)
            yield from self._go_forward(packet)
        elif look is Look.KEYFRAME:
            self._restart(start)
            before = self._latest
            frames = list(self._send(packet)) + list(self._drain())
            if self._latest == before:  # no keyframe after all: it needs what follows
                self._restart(start)
                yield from self._go_forward(packet)
            yield from frames

    def _looks_behind(self, start: float) -> bool:
        """Whether of a group, of which its keyframe would do, another picture is looked at."""
        if not self._pace.affords(Look.FORWARD, self._progress(start)):
            return False
        keys, following = self._line.keys, self._group + 1
        end = int(keys[following]) if following < len(keys) else len(self._line.offsets)
        return self._instead.choose(self._ordinal, end)

    def _progress(self, at: float) -> float:
        return self._picker.progress(at, self._line.duration)

    def _affordable(self, look: Look, start: float) -> Look:
        progress = self._progress(start)
        for choice in (Look.FORWARD, Look.KEYFRAME):
            if look is choice and not self._pace.affords(choice, progress):
                self._thinned = True
                look = Look.KEYFRAME if choice is Look.FORWARD else Look.SKIP
                if self._picker.windows:
                    look = Look.SKIP
        return look

    def _go_forward(self, packet: Packet[Any]) -> Iterator[Frame]:
        self._forward = True
        yield from self._send(packet)
        if self._instead.is_in(self._ordinal):
            yield from self._drain()
        if self._is_done():
            self._forward = False
        elif not self._pace.affords(Look.KEYFRAME, self._progress(self._end)):
            self._forward = False
            self._thinned = True

    def _is_done(self) -> bool:
        """Whether the rest of the group holds nothing that is wanted."""
        if self._instead.wanted:
            return not self._forward
        last = self._latest if self._picker.windows else self._taken
        return self._picker.is_done(self._end, last, final=self._final)

    def _restart(self, floor: float) -> None:
        """Forget what was decoded: what comes next does not follow on it."""
        if not self._fresh:
            self._context.flush_buffers()
        self._fresh = True
        self._waiting.clear()
        self._floor = floor - SAME_S
        self._latest = min(self._latest, self._floor)

    def _send(self, packet: Packet[Any]) -> Iterator[Frame]:
        self._sent += 1
        self._fresh = False
        self._context.skip_frame = "DEFAULT"
        if packet.pts is not None and not self._line.by_count:
            offset = float(self._line.offsets[self._ordinal])
            due = self._picker.is_due(offset, self._taken, self._line)
            due |= self._instead.is_in(self._ordinal)
            if not (due or packet.is_keyframe):
                self._context.skip_frame = "NONREF"  # it need not be decoded for its own sake
            self._waiting[packet.pts] = offset
            if len(self._waiting) > _REMEMBERED:
                self._waiting.popitem(last=False)
        try:
            decoded = self._context.decode(packet)
        except av.EOFError:
            decoded = []
        except av.FFmpegError as error:
            self._refused += 1
            self.starved |= error.errno == errno.ENOMEM
            return
        for picture in decoded:
            yield from self._take(picture)

    def _drain(self) -> Iterator[Frame]:
        """What the decoder holds back; afterwards it is empty."""
        try:
            decoded = self._context.decode(None)
        except av.FFmpegError:
            decoded = []
        for picture in decoded:
            yield from self._take(picture)
        self._forward = False
        self._context.flush_buffers()
        self._fresh = True

    def _take(self, picture: VideoFrame) -> Iterator[Frame]:
        """The picture as a frame, if it is wanted; again while it stands still for long."""
        offset = self._offset(picture)
        if offset < self._floor or offset < 0:
            return
        self._latest = offset
        if not self._takes(offset):
            self._instead.pass_over(picture, offset)
            return
        keyframe = self._instead.contradicted(picture)
        if keyframe is not None:
            yield from self._give(*keyframe)
        yield from self._give(picture, offset)

    def _give(self, picture: VideoFrame, offset: float) -> Iterator[Frame]:
        backdrops = on_each_backdrop(picture)
        draw = partial(displayed_picture, picture)
        until = self._line.held_until(offset)
        while True:
            self._taken = offset
            for number, luma in zip(self._numbers, backdrops, strict=False):
                self._pace.frames += 1
                yield Frame(offset, luma, number, draw, apart=not self._forward)
            offset += MAX_GAP_S
            if offset >= until - _SHORT_S or self._pace.exhausted:
                return

    def _takes(self, offset: float) -> bool:
        if self._instead.wanted:
            return self._instead.is_it(offset) and not self._instead.is_it(self._taken)
        return self._picker.takes(offset, self._taken, self._step(offset))

    def _step(self, offset: float) -> float:
        """Seconds from the last picture that was taken to the next."""
        if self._line.is_key(offset):
            return self._picker.key_pause(self._taken)
        end, final = self._line.group_end(offset)
        return self._picker.pause(self._taken, end, final=final)

    def _offset(self, picture: VideoFrame) -> float:
        """When it is shown: by its stamp, or one step after the one before."""
        known = self._waiting.pop(picture.pts, None) if picture.pts is not None else None
        if known is not None and (known > self._latest or self._latest < 0):
            return known
        return max(self._floor + SAME_S, self._latest + self._line.step)
