"""The curves of `bench.scale` as one picture: an SVG file, drawn without a display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.robustness.plots import COLOURS, STYLE


class Measured(Protocol):
    """What is drawn of a point: see `bench.scale.Point`."""

    @property
    def kind(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def bytes(self) -> float: ...
    @property
    def cpu_ms(self) -> float: ...
    @property
    def nominated(self) -> float: ...
    @property
    def edits(self) -> dict[str, float]: ...


def draw(points: Sequence[Measured], path: Path) -> None:
    """By size: what is found, what a look-up takes, what is held in memory."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.2), layout="constrained")
        found, took, held = figure.subplots(1, 3)
        for i, kind in enumerate(dict.fromkeys(p.kind for p in points)):
            mine = [p for p in points if p.kind == kind]
            sizes = [p.size for p in mine]
            line = {"marker": "o", "markersize": 4, "color": COLOURS[i], "label": kind}
            found.plot(sizes, [100 * p.nominated for p in mine], **line)
            for edit in mine[0].edits:
                shares = [100 * p.edits[edit] for p in mine]
                found.plot(sizes, shares, color=COLOURS[i], alpha=0.35, linewidth=0.8)
                found.annotate(edit, (sizes[-1], shares[-1]), fontsize=6, alpha=0.7)
            took.plot(sizes, [p.cpu_ms for p in mine], **line)
            held.plot(sizes, [p.bytes * p.size / 2**30 for p in mine], **line)
        found.set_ylim(0, 100)
        took.set_ylim(bottom=0)
        for axes, title in (
            (found, "found, % of edited pictures"),
            (took, "milliseconds of CPU a picture"),
            (held, "GiB in memory"),
        ):
            axes.set_xscale("log")
            axes.set_title(title, loc="left", fontsize=9)
            axes.set_xlabel("in the bank")
            axes.grid(alpha=0.3)
        held.legend(fontsize=7, frameon=False)
        figure.savefig(path, metadata={"Date": None})
