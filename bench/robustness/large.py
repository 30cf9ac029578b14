"""What becomes of Seawall's answers, and of what they cost, as its bank grows.

A line of figures for each size of the bank: of its own references, then padded
(`bench.robustness.padding`). The same samples are asked about in all of them.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.robustness.plots import COLOURS, STYLE
from bench.robustness.report import number, table, tiers_of
from bench.robustness.worth import Result


@dataclass(frozen=True, slots=True)
class Grown:
    """What the answers are worth in a bank padded to so many frame hashes and local features; 0 and
    0: it has its references alone."""

    codes: int
    features: int
    result: Result

    @property
    def name(self) -> str:
        if not self.codes and not self.features:
            return "references alone"
        return f"{self.codes / 1e6:g} and {self.features / 1e6:g} million"


def table_of(grown: Sequence[Grown]) -> str:
    """A row a size."""
    tiers = tiers_of([g.result for g in grown])
    head = ["frame hashes, local features", *tiers, "false blocks", "false reviews"]
    head += ["CPU s a minute", "times", "GB by the padding"]
    rows = []
    for g in grown:
        r = g.result
        rows.append(
            [
                g.name,
                *(f"{r.tiers[t].shipped.hits} of {r.tiers[t].shipped.of}" for t in tiers),
                f"{r.alarms.block.hits} of {r.alarms.block.of}",
                f"{r.alarms.review.hits} of {r.alarms.review.of}",
                number(r.cpu, 1),
                number(r.cpu / grown[0].result.cpu),
                number(r.asked.padded_gb, 1),
            ]
        )
    return table(head, rows)


def as_csv(grown: Sequence[Grown], path: Path) -> None:
    """A row a size and tier, and one of all copies."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(
            ["codes", "features", "tier", "n", "found", "found_lo", "found_hi", "negatives"]
            + ["blocked", "reviewed", "cpu_s_a_minute", "padded_gb"]
        )
        for g in grown:
            r = g.result
            for tier, value in {**r.tiers, "all": r.all}.items():
                rate, (low, high) = value.shipped, value.shipped.bounds
                shares = [round(n, 4) for n in (rate.value, low, high)]
                alarm = (r.alarms.block.of, r.alarms.block.hits, r.alarms.review.hits)
                spent = (round(r.cpu, 3), round(r.asked.padded_gb, 2))
                rows.writerow([g.codes, g.features, tier, rate.of, *shares, *alarm, *spent])


def draw(grown: Sequence[Grown], path: Path) -> None:
    """Three curves by size: what is found, what judging costs, what is held."""
    at = range(len(grown))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.0), layout="constrained")
        found, costs, held = figure.subplots(1, 3)
        for i, tier in enumerate(tiers_of([g.result for g in grown])):
            shares = [100 * g.result.tiers[tier].shipped.value for g in grown]
            colour = COLOURS[i % len(COLOURS)]
            found.plot(at, shares, "o-", markersize=3, linewidth=1, color=colour, label=tier)
        alarms = [g.result.alarms.block for g in grown]
        label = "negatives blocked"
        found.plot(at, [100 * a.value for a in alarms], "x--", color="#cc0000", label=label)
        costs.plot(at, [g.result.cpu for g in grown], "o-", markersize=4, color=COLOURS[0])
        held.plot(at, [g.result.asked.padded_gb for g in grown], "o-", color=COLOURS[0])
        found.set_ylim(-2, 104)
        for axes, title in (
            (found, "found, %"),
            (costs, "CPU s a minute of video"),
            (held, "GB by the padding"),
        ):
            axes.set_xticks(at, [g.name.replace(" and ", "\nand ") for g in grown], fontsize=6.5)
            axes.set_title(title, loc="left", fontsize=9)
            axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        costs.set_ylim(bottom=0)
        held.set_ylim(bottom=0)
        found.legend(fontsize=6, frameon=False, loc="center left")
        figure.savefig(path, metadata={"Date": None})
