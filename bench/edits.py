"""Edited copies of a video, made with PyAV: what people do to footage before they upload it again.

Each edit is a filter chain of libavfilter, an excerpt and an encoder's settings; `make` writes the
copy and tells which seconds of the source it shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.filter import Graph
from av.video.frame import VideoFrame

RATE = 25


@dataclass(frozen=True, slots=True)
class Edit:
    """`filters`: libavfilter's syntax. `start`, `seconds`: the excerpt (None: to the end).
    `splice`: seconds of other footage before and after. `speed`: 2 plays twice as fast."""

    name: str
    filters: str = "null"
    start: float = 0.0
    seconds: float | None = None
    speed: float = 1.0
    splice: float = 0.0
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: {"crf": "28", "preset": "veryfast"})


EDITS = (
    Edit("re-encoded", options={"crf": "37", "preset": "veryfast"}),
    Edit("vp8", codec="libvpx", options={"b": "400k", "deadline": "realtime", "cpu-used": "8"}),
    Edit("mpeg4", codec="mpeg4", options={"b": "600k"}),
    Edit("rescaled", "scale=256:144"),
    Edit("recoloured", "hue=h=25:s=1.7:b=0.8,colorbalance=rs=0.2:bh=-0.2"),
    Edit("grey", "hue=s=0"),
    Edit("gamma", "lutyuv=y=gammaval(0.7)"),
    Edit("letterboxed", "pad=iw:trunc(ih*2/3)*2:0:(oh-ih)/2:black"),
    Edit("pillarboxed white", "pad=trunc(iw*2/3)*2:ih:(ow-iw)/2:0:white"),
    Edit(
        "letterboxed, a box in the bar",
        "pad=iw:trunc(ih*2/3)*2:0:(oh-ih)/2:black,"
        "drawbox=x=iw*0.3:y=ih*0.04:w=iw*0.4:h=ih*0.05:color=white:t=fill",
    ),
    Edit("mirrored", "hflip"),
    Edit("rotated by 90", "transpose=1"),
    Edit("trimmed by 0.37 s", start=0.37),
    Edit("4.3 s from 1.21 s", start=1.21, seconds=4.3),
    Edit("2.0 s from 2.13 s", start=2.13, seconds=2.0),
    Edit("faster by 10 %", speed=1.1),
    Edit("slower by 10 %", speed=0.9),
    Edit("half speed", speed=0.5),
    Edit("spliced, 5 s", start=0.61, seconds=5.0, splice=8.0),
    Edit("spliced, 3.2 s", start=1.33, seconds=3.2, splice=20.0),
    Edit("logo", "drawbox=x=iw*0.8:y=ih*0.05:w=iw*0.15:h=ih*0.12:color=white:t=fill"),
    Edit("blurred", "gblur=sigma=2"),
    Edit("noise", "noise=alls=20:allf=t"),
    Edit("small, mirrored, faster", "hflip,scale=320:-2", start=0.53, speed=1.1),
)


def frames(path: Path, filters: str, start: float, seconds: float | None) -> Iterator[VideoFrame]:
    """The filtered frames of an excerpt at `RATE` a second."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        graph = None
        origin: float | None = None
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except av.error.FFmpegError:
                continue
            for frame in decoded:
                at = float(frame.pts * frame.time_base) if frame.pts is not None else 0.0
                origin = at if origin is None else origin
                at -= origin
                if at < start or not isinstance(frame, VideoFrame):
                    continue
                if seconds is not None and at >= start + seconds:
                    return
                if graph is None:
                    graph = _graph(frame, filters)
                graph.push(frame)
                yield from _pull(graph)


def _graph(frame: VideoFrame, filters: str) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base or Fraction(1, 1000),
    )
    even = "scale=trunc(iw/2)*2:trunc(ih/2)*2"
    chain = f"fps={RATE},{even},format=yuv420p,{filters},{even},format=yuv420p"
    last = source
    for part in chain.split(","):
        name, _, arguments = part.partition("=")
        node = graph.add(name, arguments or None)
        last.link_to(node)
        last = node
    last.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _pull(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, VideoFrame)
        yield frame


def make(edit: Edit, source: Path, target: Path, other: Path | None = None) -> tuple[float, float]:
    """Write the copy; the seconds [start, end] of the copy that show the source."""
    parts: list[tuple[Iterator[VideoFrame], float, bool]] = []
    if edit.splice and other is not None:
        parts.append((frames(other, "null", 0.0, edit.splice), 1.0, False))
    parts.append((frames(source, edit.filters, edit.start, edit.seconds), edit.speed, True))
    if edit.splice and other is not None:
        parts.append((frames(other, "null", edit.splice, edit.splice), 1.0, False))
    with av.open(str(target), "w") as out:
        stream = None
        tick = 0.0
        shown = [0.0, 0.0]
        last = -1
        for part, speed, wanted in parts:
            if wanted:
                shown[0] = tick / RATE
            for frame in part:
                if stream is None:
                    stream = out.add_stream(edit.codec, rate=RATE, options=dict(edit.options))
                    stream.width, stream.height = frame.width, frame.height
                    stream.pix_fmt = "yuv420p"
                frame = frame.reformat(stream.width, stream.height, "yuv420p")
                number, tick = int(tick), tick + 1 / speed
                for copy in range(max(number, last + 1), max(int(tick), number + 1)):
                    if copy <= last:
                        continue
                    last = copy
                    frame.pts, frame.time_base = copy, Fraction(1, RATE)
                    out.mux(stream.encode(frame))
            if wanted:
                shown[1] = tick / RATE
        if stream is not None:
            out.mux(stream.encode(None))
    return shown[0], shown[1]
