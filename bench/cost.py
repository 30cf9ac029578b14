"""What judging an upload costs, beside one full decode of it, in CPU seconds.

    python -m bench.cost FOLDER [--most 12] [--seconds 60] [--csv FILE]

Takes videos of FOLDER, cuts each to at most so many seconds (no re-encoding: the upload is what it
was), enrols the first third of them, and judges all: by hashes alone (the first pass), and with all
signals of the packaged policy. "Decode" is PyAV over every frame, in this process, one thread.
What a child costs to start is in the figures. Load beside it makes everything dearer: read the
ratios.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import av
from tqdm import tqdm

from api.settings import Settings
from api.wiring import Parts, build
from bench.copies import enrol
from bench.robustness.engines import cpu_seconds
from hashdb.errors import SeawallError
from hashdb.model import new_id
from matcher.digest import digest_file

FIRST_PASS = """
version = "first-pass"
[signals]
local = false
sound = false
"""
SMALL_SIDE = 720  # of the shorter side: from here on the bar is one full decode
SMALL_BAR_S = 2.0  # below it, seconds a minute


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of one video. `gap_s`: the longest time between two of its keyframes."""

    name: str
    height: int
    seconds: float
    gap_s: float
    known: bool
    decode_s: float
    first_pass_s: float
    all_signals_s: float


def remuxed(source: Path, target: Path, seconds: float) -> tuple[int, float, float] | None:
    """The beginning of a video's first track, and of its sound, as it is; its height, seconds and
    longest gap between keyframes. None where the container cannot be copied."""
    try:
        with av.open(str(source)) as given, av.open(str(target), "w") as made:
            streams = [*given.streams.video[:1], *given.streams.audio[:1]]
            copies = {s.index: made.add_stream_from_template(s) for s in streams}
            keys, last = [], 0.0
            for packet in given.demux(streams):
                if packet.dts is None or packet.pts is None:
                    continue
                at = float(packet.pts * packet.time_base)
                if at >= seconds:
                    continue
                if packet.stream.type == "video":
                    last = max(last, at)
                    keys += [at] if packet.is_keyframe else []
                packet.stream = copies[packet.stream.index]
                made.mux(packet)
            gaps = [b - a for a, b in zip(keys, [*keys[1:], last], strict=True)]
            return streams[0].height, last, max(gaps, default=last)
    except (av.FFmpegError, ValueError, IndexError, TypeError):
        return None


def decoded(path: Path, skip: str = "DEFAULT") -> float:
    """CPU seconds of decoding a video, all of it or without what FFmpeg's `skip_frame` says."""
    began = time.process_time()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.skip_frame = skip
        try:
            for _ in container.decode(stream):
                pass
        except av.FFmpegError:
            pass  # to where it can be read
    return time.process_time() - began


def judged(parts: Parts, path: Path) -> float:
    began = cpu_seconds()
    with path.open("rb") as media:
        parts.checker.check_media("bench", new_id("upload"), media, digest_file(media))
    return cpu_seconds() - began


def measured(folder: Path, work: Path, most: int, seconds: float) -> Iterator[Cost]:
    clips = []
    for source in sorted(p for p in folder.iterdir() if p.is_file()):
        target = work / f"{len(clips):03d}{source.suffix}"
        told = remuxed(source, target, seconds)
        if told is not None and told[1] >= min(10.0, seconds):
            clips.append((source, target, told))
        if len(clips) >= most:
            break
    rules = work / "first-pass.toml"
    rules.write_text(FIRST_PASS)
    every = build(Settings.from_env({"SEAWALL_DATA_DIR": str(work / "data")}))
    enrol(every, [target for _, target, _ in clips[: len(clips) // 3]])
    first = build(
        Settings.from_env({"SEAWALL_DATA_DIR": str(work / "data"), "SEAWALL_POLICY": str(rules)})
    )
    for parts in (every, first):
        parts.judge.exact = lambda *_, **__: ()  # type: ignore[method-assign]
        judged(parts, clips[0][1])  # what is made once
    for i, (source, target, (height, length, gap)) in enumerate(tqdm(clips, disable=None)):
        try:
            yield Cost(
                source.name,
                height,
                round(length, 1),
                round(gap, 1),
                i < len(clips) // 3,
                round(decoded(target), 2),
                round(judged(first, target), 2),
                round(judged(every, target), 2),
            )
        except SeawallError as error:
            print(f"{source.name}: {error}", file=sys.stderr)
    every.close()
    first.close()


def row(cost: Cost) -> str:
    minutes = cost.seconds / 60
    large = cost.height >= SMALL_SIDE
    bar = cost.decode_s if large else SMALL_BAR_S * minutes
    return (
        f"{cost.name[:32]:32} {cost.height:5} {cost.seconds:6.1f} {cost.gap_s:5.1f} "
        f"{'yes' if cost.known else 'no':5} {cost.decode_s:7.2f} {cost.first_pass_s:7.2f} "
        f"{cost.all_signals_s:7.2f} {cost.all_signals_s / minutes:8.2f} "
        f"{cost.first_pass_s / bar:10.2f} {cost.all_signals_s / bar:9.2f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=12, help="videos")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each, at most")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    print(
        f"{'video':32} {'lines':>5} {'s':>6} {'gap':>5} known  decode   first     all "
        f"all/min  first/bar   all/bar\n"
        f"CPU seconds; the bar: one decode from {SMALL_SIDE} lines on, else "
        f"{SMALL_BAR_S:g} s a minute"
    )
    costs = []
    with tempfile.TemporaryDirectory(prefix="seawall-cost-") as work:
        for cost in measured(options.folder, Path(work), options.most, options.seconds):
            print(row(cost), flush=True)
            costs.append(cost)
    if options.csv and costs:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, asdict(costs[0]))
            writer.writeheader()
            writer.writerows(asdict(c) for c in costs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
