"""The same in pictures: SVG files, drawn without a display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.robustness.metrics import best_scores, wilson
from bench.robustness.report import tiers_of
from bench.robustness.samples import Sample
from bench.robustness.worth import Result

COLOURS = ("#0b5394", "#e69138", "#6aa84f", "#a64d79", "#45818e", "#999999", "#bf9000", "#cc0000")
"""An engine each, in the order of the results; the same in all pictures."""

STYLE = {
    "font.size": 9,
    "svg.hashsalt": "seawall",  # the same picture is the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
}


def recall_per_tier(results: Sequence[Result], path: Path) -> None:
    """Bars: found as shipped, a group a tier, a bar an engine, with the 95 % bounds."""
    tiers = tiers_of(results)
    with mpl.rc_context(STYLE):
        figure, axes = _canvas(max(6.0, 1.35 * len(tiers) + 1), 3.4)
        width = 0.84 / max(1, len(results))
        for i, result in enumerate(results):
            rates = [result.tiers[t].shipped if t in result.tiers else None for t in tiers]
            at = np.arange(len(tiers)) + (i - (len(results) - 1) / 2) * width
            values = np.array([100 * r.value if r else 0.0 for r in rates])
            bounds = np.array([[100 * b for b in r.bounds] if r else [0.0, 0.0] for r in rates])
            off = np.abs(np.stack([values - bounds[:, 0], bounds[:, 1] - values]))
            colour = COLOURS[i % len(COLOURS)]
            axes.bar(at, values, width * 0.92, label=result.asked.name, color=colour)
            axes.errorbar(at, values, off, fmt="none", ecolor="#444444", elinewidth=0.7)
        counts = [max(r.tiers[t].shipped.of for r in results if t in r.tiers) for t in tiers]
        labels = [f"{t}\n(n = {n})" for t, n in zip(tiers, counts, strict=True)]
        axes.set_xticks(np.arange(len(tiers)), labels)
        axes.set_ylim(0, 104)
        axes.set_ylabel("found, %")
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        _legend(axes, len(results))
        _save(figure, path)


def recall_per_edit(results: Sequence[Result], path: Path) -> None:
    """A table as a picture: a row an edit (and a tier, in bold), a column an engine, each cell the
    share that is found as shipped; blank where there is none."""
    rows: list[tuple[str, str | None]] = []
    for tier in tiers_of(results):
        kinds = dict.fromkeys(k for r in results for t, k in r.kinds if t == tier)
        rows += [(tier, None), *((tier, k) for k in kinds if len(kinds) > 1)]
    cells = np.full((len(rows), len(results)), np.nan)
    for column, result in enumerate(results):
        for row, (tier, kind) in enumerate(rows):
            of = result.tiers.get(tier) if kind is None else result.kinds.get((tier, kind))
            if of is not None and of.shipped.of:
                cells[row, column] = 100 * of.shipped.value
    with mpl.rc_context(STYLE | {"font.size": 7.5}):
        figure, axes = _canvas(2.6 + 0.62 * len(results), 0.6 + 0.155 * len(rows))
        axes.imshow(cells, cmap="RdYlGn", vmin=0, vmax=100, aspect="auto", alpha=0.75)
        for (row, column), value in np.ndenumerate(cells):
            if not np.isnan(value):
                weight = "bold" if rows[row][1] is None else "normal"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", weight=weight)
        axes.set_xticks(range(len(results)), [r.asked.name for r in results], rotation=30)
        axes.set_yticks(range(len(rows)), [tier if kind is None else kind for tier, kind in rows])
        for label, (_, kind) in zip(axes.get_yticklabels(), rows, strict=True):
            label.set_fontweight("bold" if kind is None else "normal")
        axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
        axes.spines[:].set_visible(False)
        _save(figure, path)


def scores(results: Sequence[Result], samples: Sequence[Sample], path: Path) -> None:
    """Histograms, an engine each: the best score of copies and of negatives, with a line at the
    negatives' highest. Engines whose scores go beyond 1 are scaled to their highest."""
    with mpl.rc_context(STYLE):
        rows = len(results)
        figure = Figure(figsize=(6.4, 1.0 + 0.95 * rows), layout="constrained")
        grid = figure.subplots(rows, 1, squeeze=False, sharex=True)[:, 0]
        bins = np.linspace(0, 1, 26)
        for axes, result in zip(grid, results, strict=True):
            groups = [np.array(g) for g in best_scores(samples, result.asked.found)]
            top = max([1.0, *(g.max() for g in groups if len(g))])
            axes.hist(
                [np.clip(g / top, 0, 1) for g in groups],
                bins,
                weights=[np.full(len(g), 100 / max(1, len(g))) for g in groups],
                color=[COLOURS[0], COLOURS[7]],
                label=["copies", "negatives"],
            )
            if 0 < result.alarms.highest <= top:
                bar = result.alarms.highest / top
                axes.axvline(bar, color="#444444", linewidth=0.8, linestyle="--")
            axes.set_title(result.asked.name, loc="left", fontsize=9, y=0.94)
            axes.set_yticks([0, 50, 100])
            axes.set_ylim(0, 100)
        figure.supylabel("% of the copies, % of the negatives", fontsize=9)
        grid[0].legend(frameon=False, loc="upper center", ncols=2)
        grid[-1].set_xlabel("best score (0: nothing was seen)")
        _save(figure, path)


def reliability(pairs: Sequence[tuple[float, bool]], path: Path, *, bins: int = 10) -> None:
    """`pairs`: the probability that was given, and whether it was so. A point per tenth of the
    probabilities that holds any, with 95 % bounds; below it how many there are."""
    given = np.array([p for p, _ in pairs], dtype=float)
    true = np.array([t for _, t in pairs], dtype=bool)
    edges = np.linspace(0, 1, bins + 1)
    of = np.clip(np.digitize(given, edges) - 1, 0, bins - 1)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2, 4.6), layout="constrained")
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle="--")
        for i in range(bins):
            inside = of == i
            if inside.any():
                hits, n = int(true[inside].sum()), int(inside.sum())
                low, high = wilson(hits, n)
                x, y = float(given[inside].mean()), hits / n
                off = [[max(0.0, y - low)], [max(0.0, high - y)]]
                axes.errorbar([x], [y], off, fmt="o", color=COLOURS[0], markersize=4, elinewidth=1)
        axes.set_ylabel("share that was so")
        axes.set_ylim(-0.02, 1.02)
        axes.grid(color="#dddddd", linewidth=0.6)
        below.hist(given, edges, color="#999999", rwidth=0.9)
        below.set_yscale("symlog")
        below.set_ylabel("pairs")
        below.set_xlabel("probability given")
        _save(figure, path)


def end_errors(results: Sequence[Result], path: Path, *, most: float = 3.0) -> None:
    """Histogram of the ends of found segments, seconds off; the last bar holds all above. Engines
    without times are left out; nothing is drawn where none has any."""
    timed = [r for r in results if len(r.ends.sample)]
    if not timed:
        return
    with mpl.rc_context(STYLE):
        figure, axes = _canvas(6.0, 2.8)
        bins = np.linspace(0, most, 31)
        for result in timed:
            colour = COLOURS[results.index(result) % len(COLOURS)]
            errors = np.clip(result.ends.sample, 0, most - 1e-9)
            share = np.full(len(errors), 100 / len(errors))
            axes.hist(errors, bins, weights=share, color=colour, alpha=0.7, label=result.asked.name)
        axes.set_xlabel(f"seconds off (the last bar: {most - most / 30:.1f} s or more)")
        axes.set_ylabel("% of segment ends")
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        _legend(axes, len(timed))
        _save(figure, path)


def draw(results: Sequence[Result], samples: Sequence[Sample], folder: Path) -> None:
    """All pictures that answers give, into the folder, named robustness-*.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    recall_per_tier(results, folder / "robustness-recall.svg")
    recall_per_edit(results, folder / "robustness-edits.svg")
    scores(results, samples, folder / "robustness-scores.svg")
    end_errors(results, folder / "robustness-ends.svg")


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _legend(axes: Axes, engines: int) -> None:
    axes.legend(frameon=False, ncols=min(engines, 4), loc="lower left", bbox_to_anchor=(0, 1))


def _save(figure: Figure, path: Path) -> None:
    metadata = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(path, metadata=metadata, dpi=110)
