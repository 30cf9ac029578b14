"""Media made on the spot: ordinary, odd and hostile. All functions give a file's bytes."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Rgb = NDArray[np.uint8]

SIZE = (160, 120)  # width, height


def scene(seed: int, seconds: float = 0.0, size: tuple[int, int] = SIZE) -> Rgb:
    """(H, W, 3): a landscape of soft blobs, another for each seed, that drifts with time."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (12, 24, 3), dtype=np.uint8)
    wide = Image.fromarray(coarse).resize((size[0] * 3, size[1]), Image.Resampling.BICUBIC)
    left = int(seconds * size[0] / 10) % (size[0] * 2)
    return np.asarray(wide)[:, left : left + size[0]].copy()


def scenes(
    seconds: float,
    rate: float = 25,
    *,
    seed: int = 1,
    cut: float = 4.0,
    size: tuple[int, int] = SIZE,
) -> list[Rgb]:
    """A film of shots of `cut` seconds."""
    times = np.arange(round(seconds * rate)) / rate
    return [scene(seed * 1000 + int(t // cut), float(t % cut), size) for t in times]


def black(seconds: float, rate: float = 25) -> list[Rgb]:
    return [np.zeros((SIZE[1], SIZE[0], 3), np.uint8)] * round(seconds * rate)


def halves(seconds: float, rate: float = 25) -> list[Rgb]:
    """Two greys side by side: one edge, no corner, and next to no quality."""
    row = np.where(np.arange(SIZE[0]) < SIZE[0] // 2, 100, 140).astype(np.uint8)
    return [np.repeat(np.tile(row, (SIZE[1], 1))[..., None], 3, axis=2)] * round(seconds * rate)


def _frame(picture: NDArray[Any], pix_fmt: str) -> av.VideoFrame:
    layout = "rgba" if picture.shape[-1] == 4 else "rgb24"
    return av.VideoFrame.from_ndarray(picture, format=layout).reformat(format=pix_fmt)


def video(
    pictures: Iterable[NDArray[Any]],
    *,
    container: str = "mp4",
    codec: str = "libx264",
    rate: int = 25,
    gop: int = 50,
    pix_fmt: str = "yuv420p",
    times_ms: Sequence[int] | None = None,
    turn: tuple[float, bool, bool] | None = None,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    **context: Any,
) -> bytes:
    """One picture track. `times_ms`: presentation times (variable frame rate); `turn`: the display
    matrix as degrees, left-right, up-down; `aspect`: the sample aspect ratio; `context`: anything
    else of the codec's context."""
    file = io.BytesIO()
    unit = Fraction(1, 1000) if times_ms else Fraction(1, rate)
    settings = {"preset": "ultrafast", "g": str(gop)} if codec == "libx264" else {"g": str(gop)}
    with av.open(file, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=rate, options={**settings, **(options or {})})
        stream.pix_fmt = pix_fmt
        stream.time_base = stream.codec_context.time_base = unit
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        if aspect is not None:
            stream.sample_aspect_ratio = aspect
        for number, picture in enumerate(pictures):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
                if turn is not None:
                    stream.set_display_rotation(turn[0], hflip=turn[1], vflip=turn[2])
            frame = _frame(picture, pix_fmt)
            frame.pts = times_ms[number] if times_ms else number
            frame.time_base = unit
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def two_tracks(first: Sequence[Rgb], second: Sequence[Rgb], rate: int = 25) -> bytes:
    """An MP4 with two picture tracks."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        streams: list[Any] = []
        for pictures in (first, second):
            stream: Any = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            streams.append(stream)
        for pair in zip(first, second, strict=True):
            for stream, picture in zip(streams, pair, strict=True):
                out.mux(stream.encode(_frame(picture, "yuv420p")))
        for stream in streams:
            out.mux(stream.encode(None))
    return file.getvalue()


def chapters(media: bytes, *, of: int, track: int) -> bytes:
    """The MP4, whose track `of` says that `track` holds the pictures of its chapters (tref, chap);
    from 1. Its samples must lie before its headers."""

    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", 8 + len(body)) + kind + body

    def boxes(data: bytes) -> Iterable[tuple[bytes, bytes]]:
        while data:
            size = int.from_bytes(data[:4], "big")
            yield data[4:8], data[8:size]
            data = data[size:]

    def headers(moov: bytes) -> bytes:
        number, made = 0, b""
        for kind, body in boxes(moov):
            number += kind == b"trak"
            named = kind == b"trak" and number == of
            names = box(b"tref", box(b"chap", struct.pack(">I", track))) if named else b""
            made += box(kind, body + names)
        return made

    return b"".join(box(k, headers(b) if k == b"moov" else b) for k, b in boxes(media))


def behind_avif(picture: NDArray[Any], film: bytes) -> bytes:
    """An AVIF picture with the tracks of an MP4, whose samples must lie before its headers."""
    first = image(picture, "AVIF")
    left = int.from_bytes(film[:4], "big")  # the MP4's own ftyp
    moved = bytearray(film)
    at = film.find(b"stco")
    while at >= 0:
        for entry in range(int.from_bytes(film[at + 8 : at + 12], "big")):
            place = at + 12 + 4 * entry
            offset = int.from_bytes(film[place : place + 4], "big") + len(first) - left
            moved[place : place + 4] = struct.pack(">I", offset)
        at = film.find(b"stco", at + 4)
    return first + bytes(moved[left:])


def stretched(piece: bytes, seconds: float, every: float) -> bytes:
    """A long MP4 made of one short video's first packet, again every `every` seconds, without
    encoding anything."""
    file = io.BytesIO()
    with av.open(io.BytesIO(piece)) as source, av.open(file, "w", format="mp4") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        body = bytes(next(p for p in source.demux(video=0) if p.is_keyframe))
        stream.time_base = Fraction(1, 1000)
        for number in range(round(seconds / every)):
            packet = av.Packet(body)
            packet.stream = stream
            packet.time_base = Fraction(1, 1000)
            packet.pts = packet.dts = round(number * every * 1000)
            packet.duration = round(every * 1000)
            packet.is_keyframe = True
            out.mux(packet)
    return file.getvalue()


def restamped(
    piece: bytes, stamp: Any, *, container: str = "matroska", mark: bool | None = None
) -> bytes:
    """The same packets with other times: `stamp(number, pts_ms)` gives milliseconds, or None; all
    or none of them marked as keyframes where `mark` says so."""
    file = io.BytesIO()
    with av.open(io.BytesIO(piece)) as source, av.open(file, "w", format=container) as out:
        old = source.streams.video[0]
        new = out.add_stream_from_template(old)
        for number, packet in enumerate(p for p in source.demux(old) if p.size):
            milliseconds = round(float((packet.pts or 0) * packet.time_base) * 1000)
            wanted = stamp(number, milliseconds)
            packet.stream = new
            packet.time_base = Fraction(1, 1000)
            packet.pts = packet.dts = wanted
            packet.duration = 0
            if mark is not None:
                packet.is_keyframe = mark
            out.mux_one(packet)
    return file.getvalue()


def index_first(data: bytes) -> bytes:
    """The MP4 with its index (`moov`) before its pictures, as servers like it."""
    at, boxes = 0, {}
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        boxes[data[at + 4 : at + 8]] = data[at : at + size]
        at += size
    index = bytearray(boxes.pop(b"moov"))
    at = index.find(b"stco")
    while at >= 0:
        for number in range(int.from_bytes(index[at + 8 : at + 12], "big")):
            place = at + 12 + 4 * number
            moved = int.from_bytes(index[place : place + 4], "big") + len(index)
            index[place : place + 4] = struct.pack(">I", moved)
        at = index.find(b"stco", at + 4)
    return boxes.pop(b"ftyp") + bytes(index) + b"".join(boxes.values())


def damaged_packets(data: bytes, share: float, seed: int = 1) -> bytes:
    """An MP4 in which that share of the video packets, keyframes apart, holds noise."""
    rng = np.random.default_rng(seed)
    spoiled = bytearray(data)
    with av.open(io.BytesIO(data)) as source:
        for packet in source.demux(video=0):
            if packet.size and not packet.is_keyframe and rng.random() < share:
                assert packet.pos is not None
                spoiled[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    return bytes(spoiled)


def turned_by_matrix(data: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """An MP4 with a, b, c, d of its track's display matrix (16.16 fixed point) written over."""
    at = data.index(b"tkhd") + 4
    at += 4 + (32 if data[at] == 1 else 20) + 8 + 8
    a, b, c, d = (struct.pack(">i", v << 16) for v in matrix)
    rest = bytearray(data)
    rest[at : at + 8] = a + b
    rest[at + 12 : at + 20] = c + d
    return bytes(rest)


def sound(seconds: float = 1.0) -> bytes:
    """A WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        tone = np.sin(np.arange(round(8000 * seconds)) / 5) * 9000
        out.writeframes(tone.astype("<i2").tobytes())
    return file.getvalue()


def sound_in_mp4(seconds: float = 1.0) -> bytes:
    """An MP4 that holds sound only."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=44100)
        quiet = np.zeros((1, 1024), dtype=np.float32)
        for number in range(round(seconds * 43)):
            frame = av.AudioFrame.from_ndarray(quiet, format="fltp", layout="mono")
            frame.sample_rate = 44100
            frame.pts = number * 1024
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def sound_with_cover(
    picture: Rgb, samples: NDArray[np.float32] | None = None, rate: int = 44100
) -> bytes:
    """An MP3 of float samples (46,080 of silence) with a cover picture (ID3v2.3, frame APIC)."""
    if samples is None:
        samples = np.zeros(46_080, np.float32)
    body = b"\0image/png\0\x03\0" + image(picture, "PNG")
    apic = b"APIC" + struct.pack(">IH", len(body), 0) + body
    size = bytes((len(apic) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    file = io.BytesIO()
    with av.open(file, "w", format="mp3", options={"id3v2_version": "0"}) as out:
        stream = out.add_stream("libmp3lame", rate=rate, layout="mono")
        for first in range(0, len(samples) - 575, 576):
            part = np.ascontiguousarray(samples[None, first : first + 576])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, first
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return b"ID3\x03\0\0" + size + apic + file.getvalue()


def image(picture: NDArray[Any], name: str = "PNG", **options: Any) -> bytes:
    """A still picture."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, name, **options)
    return file.getvalue()


def animation(pictures: Sequence[NDArray[Any]], name: str = "GIF", each_ms: int = 100) -> bytes:
    """An animated GIF, WebP or PNG."""
    file = io.BytesIO()
    made = [Image.fromarray(p) for p in pictures]
    if name == "GIF":
        made = [p.quantize(256, dither=Image.Dither.NONE) for p in made]
    first, *rest = made
    first.save(file, name, save_all=True, append_images=rest, duration=each_ms, loop=0)
    return file.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """A grey PNG of any size: a few hundred kilobytes for 400 million pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        sum_of = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", sum_of)

    packer = zlib.compressobj(9)
    row = bytes(width + 1)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def playlist(target: str) -> bytes:
    """An HLS playlist that names another file."""
    return (
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:0\n"
        f"#EXTINF:10.0,\n{target}\n#EXT-X-ENDLIST\n"
    ).encode()


def concat_script(target: str) -> bytes:
    """A script for FFmpeg's concat demuxer."""
    return f"ffconcat version 1.0\nfile '{target}'\nduration 10\n".encode()


def external_reference(data: bytes, target: str) -> bytes:
    """A QuickTime file whose pictures lie in another file: its own bytes are cut off from `mdat`,
    and `dref` names the target by alias and by URL."""
    entry = b"alis" + bytes(4) + _alias(target)
    dref = struct.pack(">I", 0) + struct.pack(">I", 1) + struct.pack(">I", len(entry) + 4) + entry
    return _with_box(data, (b"moov", b"trak", b"mdia", b"minf", b"dinf"), b"dref", dref)


def _alias(target: str) -> bytes:
    """A Mac alias record (version 2) with an absolute path (type 18)."""
    path = target.encode()
    head = bytes(4) + struct.pack(">HH", 0, 2) + bytes(42 + 100)
    name = struct.pack(">HH", 18, len(path)) + path + b"\0" * (len(path) % 2)
    return head + name + struct.pack(">HH", 0xFFFF, 0)


def _with_box(data: bytes, way: tuple[bytes, ...], name: bytes, body: bytes) -> bytes:
    """The ISO file with the box `name`, found along the way, replaced; sizes are put right."""
    at = 0
    built = b""
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big") or len(data) - at
        kind = data[at + 4 : at + 8]
        box = data[at : at + size]
        if way and kind == way[0]:
            inner = _with_box(data[at + 8 : at + size], way[1:], name, body)
            box = struct.pack(">I", len(inner) + 8) + kind + inner
        elif not way and kind == name:
            box = struct.pack(">I", len(body) + 8) + name + body
        built += box
        at += size
    return built
