"""What judging an upload costs, beside one full decode of it, in CPU seconds.

    python -m bench.cost FOLDER [--most 12] [--seconds 60] [--runs 1] [--csv FILE] [--plot FILE]

Takes videos of FOLDER, cuts each to at most so many seconds (no re-encoding: the upload is what it
was), enrols the first third of them, and judges all: by what a first look by hashes alone tells
(the first pass), by a policy of hashes alone, which looks again where those leave a match unsure,
and with all signals of the packaged policy. "Decode" is PyAV over every frame, in this process,
one thread. What a child costs to start is in the figures. Load beside it makes everything dearer,
and so do others on a machine that is shared: read the ratios, of the least of some runs.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from unittest.mock import patch

import av
import matplotlib as mpl
from matplotlib.figure import Figure
from tqdm import tqdm

from api.wiring import Parts, build
from bench import settings
from bench.copies import enrol
from bench.robustness.engines import cpu_seconds
from bench.robustness.plots import COLOURS, STYLE
from hashdb.errors import SeawallError
from hashdb.model import new_id
from matcher.decode.pace import MAX_GAP_S
from matcher.digest import digest_file

FIRST_PASS = """
version = "first-pass"
[signals]
local = false
sound = false
"""
SMALL_SIDE = 720  # of the shorter side: from here on the bar is one full decode
SMALL_BAR_S = 2.0  # below it, seconds a minute
CLOSE_BAR, FAR_BAR = 0.25, 0.8  # of it, of the first pass: keyframes 2 s apart at most, and others


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
    hashes_alone_s: float
    all_signals_s: float

    @property
    def bar_s(self) -> float:
        """What judging it may cost."""
        return self.decode_s if self.height >= SMALL_SIDE else SMALL_BAR_S * self.seconds / 60


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


def judged_once(parts: Parts, path: Path) -> float:
    """CPU seconds of judging an upload by a first look, whatever it leaves open."""
    with patch("matcher.looker.dense_windows", lambda *_: ()):
        return judged(parts, path)


def judged(parts: Parts, path: Path) -> float:
    """CPU seconds of judging an upload."""
    began = cpu_seconds()
    with path.open("rb") as media:
        parts.checker.check_media("bench", new_id("upload"), media, digest_file(media))
    return cpu_seconds() - began


def measured(folder: Path, work: Path, most: int, seconds: float, runs: int) -> Iterator[Cost]:
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
    every = build(settings(work / "data"))
    enrol(every, [target for _, target, _ in clips[: len(clips) // 3]])
    first = build(settings(work / "data", SEAWALL_POLICY=str(rules)))
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
                round(min(decoded(target) for _ in range(runs)), 3),
                round(min(judged_once(first, target) for _ in range(runs)), 3),
                round(min(judged(first, target) for _ in range(runs)), 3),
                round(min(judged(every, target) for _ in range(runs)), 3),
            )
        except SeawallError as error:
            print(f"{source.name}: {error}", file=sys.stderr)
    every.close()
    first.close()


def row(cost: Cost) -> str:
    return (
        f"{cost.name[:32]:32} {cost.height:5} {cost.seconds:6.1f} {cost.gap_s:5.1f} "
        f"{'yes' if cost.known else 'no':5} {cost.decode_s:7.2f} {cost.first_pass_s:7.2f} "
        f"{cost.hashes_alone_s:7.2f} {cost.all_signals_s:7.2f} "
        f"{cost.all_signals_s / cost.seconds * 60:8.2f} "
        f"{cost.first_pass_s / cost.bar_s:10.2f} {cost.all_signals_s / cost.bar_s:9.2f}"
    )


def summary(costs: Sequence[Cost]) -> Iterator[str]:
    """How many lie within what they may cost, and what all take together of what they may."""
    close = [(c.first_pass_s, c.bar_s) for c in costs if c.gap_s <= MAX_GAP_S]
    far = [(c.first_pass_s, c.bar_s) for c in costs if c.gap_s > MAX_GAP_S]
    for what, some, most in (
        ("all signals", [(c.all_signals_s, c.bar_s) for c in costs], 1.0),
        ("first pass, keyframes close", close, CLOSE_BAR),
        ("first pass, gaps filled", far, FAR_BAR),
    ):
        if some:
            shares = [spent / bar for spent, bar in some]
            within = sum(share <= most for share in shares)
            together = sum(spent for spent, _ in some) / sum(bar for _, bar in some)
            yield (
                f"{what}: {within} of {len(shares)} within {most:g} of the bar; "
                f"median {median(shares):.2f}, most {max(shares):.2f}, together {together:.2f}"
            )


def plot(costs: Sequence[Cost], path: Path) -> None:
    """A line a video, the dearest at the top: what judging it takes of what it may."""
    order = sorted(costs, key=lambda c: c.all_signals_s / c.bar_s)
    at = range(len(order))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 1.0 + 0.17 * len(order)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(1.0, color="#444444", linewidth=0.9)
        for label, colour, shares in (
            ("all signals", COLOURS[0], [c.all_signals_s / c.bar_s for c in order]),
            ("first pass", COLOURS[1], [c.first_pass_s / c.bar_s for c in order]),
        ):
            axes.plot(shares, at, "o", markersize=4, color=colour, label=label)
        labels = [f"{c.height} lines, {c.seconds:.0f} s{', known' * c.known}" for c in order]
        axes.set_yticks(at, labels, fontsize=6)
        axes.set_ylim(-0.7, len(order) - 0.3)
        axes.set_xlim(left=0)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_xlabel(f"CPU time, of one decode ({SMALL_SIDE} lines and more) or of 2 s a minute")
        axes.legend(frameon=False, loc="lower right")
        figure.savefig(path, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=12, help="videos")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each, at most")
    parser.add_argument("--runs", type=int, default=1, help="of each; the least counts")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--plot", type=Path, help="an SVG file")
    options = parser.parse_args()
    print(
        f"{'video':32} {'lines':>5} {'s':>6} {'gap':>5} known  decode   first  hashes     all "
        f"all/min  first/bar   all/bar\n"
        f"CPU seconds; the bar: one decode from {SMALL_SIDE} lines on, else "
        f"{SMALL_BAR_S:g} s a minute"
    )
    costs = []
    with tempfile.TemporaryDirectory(prefix="seawall-cost-") as work:
        some = (options.most, options.seconds, options.runs)
        for cost in measured(options.folder, Path(work), *some):
            print(row(cost), flush=True)
            costs.append(cost)
    print(*summary(costs), sep="\n")
    if options.plot and costs:
        plot(costs, options.plot)
    if options.csv and costs:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, asdict(costs[0]))
            writer.writeheader()
            writer.writerows(asdict(c) for c in costs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
