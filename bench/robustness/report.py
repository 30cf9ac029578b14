"""The answers as tables: Markdown to read, CSV to calculate with, JSON with every answer."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bench.robustness.found import Found
from bench.robustness.metrics import (
    Alarms,
    Rate,
    Recall,
    Wrong,
    alarms,
    alarms_by_kind,
    cpu_per_minute,
    micro_ap,
    news_blocked,
    recall,
    recall_by,
    scored_pairs,
    true_pairs,
    wrongly_blocked,
)
from bench.robustness.samples import TIERS, Sample
from bench.robustness.spans import Ends, Fit, end_errors, fit, found_boxes, segment_ap, true_boxes


@dataclass(frozen=True, slots=True)
class Asked:
    """An engine and its answers, by sample. `unread`: references that it could not take, and why;
    `missing`: why there are no answers at all."""

    name: str
    version: str
    rule: str
    found: Mapping[str, Found]
    unread: Mapping[str, str]
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What the answers of one engine are worth; `kinds` by tier and kind, `negatives` by kind."""

    asked: Asked
    alarms: Alarms
    negatives: Mapping[str, Alarms]
    all: Recall
    tiers: Mapping[str, Recall]
    kinds: Mapping[tuple[str, str], Recall]
    wrong: tuple[Wrong, ...]
    news_blocked: tuple[str, ...]
    micro_ap: float
    segment_ap: float
    fit: Fit
    ends: Ends
    cpu: float
    errors: Mapping[str, str]

    @property
    def has_times(self) -> bool:
        return any(n.segments for f in self.asked.found.values() for n in f.named)


def evaluate(asked: Asked, samples: Sequence[Sample]) -> Result:
    """`samples`: those of one split that the engine answered."""
    found = asked.found
    alarm = alarms(samples, found)
    bar = max(alarm.highest, 0.0)
    kinds: dict[tuple[str, str], Recall] = {}
    for tier in TIERS:
        within = [s for s in samples if s.tier == tier]
        for kind, value in recall_by(within, found, lambda s: s.kind, bar).items():
            kinds[tier, kind] = value
    truth = true_boxes(samples)
    return Result(
        asked=asked,
        alarms=alarm,
        negatives=alarms_by_kind(samples, found),
        all=recall(samples, found, bar),
        tiers=recall_by(samples, found, lambda s: s.tier, bar),
        kinds=kinds,
        wrong=wrongly_blocked(samples, found),
        news_blocked=news_blocked(samples, found),
        micro_ap=micro_ap(true_pairs(samples), scored_pairs(samples, found)),
        segment_ap=segment_ap(truth, found_boxes(samples, found, weak=True)),
        fit=fit(samples, found),
        ends=end_errors(samples, found),
        cpu=cpu_per_minute(samples, found),
        errors={s.id: str(found[s.id].error) for s in samples if found[s.id].error},
    )


def percent(rate: Rate | None, *, bounds: bool = False) -> str:
    """As "93 %" or "93 % (81-98)"; never rounded up to 100 nor down to 0."""
    if rate is None or not rate.of:
        return "-"
    text = f"{_whole(rate.value)} %"
    if not bounds:
        return text
    low, high = rate.bounds
    return f"{text} ({math.floor(100 * low)}-{math.ceil(100 * high)})"


def _whole(share: float) -> str:
    number = 100 * share
    return f"{number:.1f}" if 0 < number < 1 or 99 < number < 100 else f"{number:.0f}"


def number(value: float, digits: int = 2) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def tiers_of(results: Sequence[Result]) -> list[str]:
    return [t for t in TIERS if any(t in r.tiers for r in results)]


def summary(results: Sequence[Result]) -> str:
    """A row an engine: false alarms, recall per tier as shipped, and what localises it."""
    tiers = tiers_of(results)
    head = ["engine", "false blocks", "false reviews", "not judged", *tiers]
    head += ["µAP", "segment AP", "segment F", "ends off, s: median / 90 %", "CPU s a minute"]
    rows = []
    for r in results:
        times = ["-", "-", "-"]
        if r.has_times:
            times = [number(r.segment_ap), number(r.fit.f), ends(r.ends.sample)]
        rows.append(
            [
                r.asked.name,
                f"{r.alarms.block.hits} of {r.alarms.block.of}",
                f"{r.alarms.review.hits} of {r.alarms.review.of}",
                str(len(r.errors)),
                *(percent(r.tiers[t].shipped if t in r.tiers else None) for t in tiers),
                number(r.micro_ap),
                *times,
                number(r.cpu, 1),
            ]
        )
    return table(head, rows)


def ends(errors: Sequence[float] | np.ndarray) -> str:
    if not len(errors):
        return "-"
    return f"{np.median(errors):.2f} / {np.percentile(errors, 90):.2f}"


def side_by_side(results: Sequence[Result], rate: Callable[[Recall], Rate]) -> str:
    """Rows: tiers and their kinds; columns: n, then a column an engine."""
    rows: list[list[str]] = []
    for tier in tiers_of(results):
        rows.append(_row(f"**{tier}**", [r.tiers.get(tier) for r in results], rate, bounds=True))
        kinds = dict.fromkeys(k for r in results for t, k in r.kinds if t == tier)
        for kind in kinds:
            if list(kinds) != [tier]:
                rows.append(_row(kind, [r.kinds.get((tier, kind)) for r in results], rate))
    return table(["", "n", *(r.asked.name for r in results)], rows)


def _row(
    name: str,
    values: Sequence[Recall | None],
    rate: Callable[[Recall], Rate],
    *,
    bounds: bool = False,
) -> list[str]:
    n = max((v.shipped.of for v in values if v), default=0)
    cells = [percent(rate(v) if v else None, bounds=bounds) for v in values]
    return [name, str(n), *cells]


def false_alarms(results: Sequence[Result]) -> str:
    """Rows: kinds of negatives; a column an engine: false blocks and false reviews."""
    rows = []
    for kind in sorted({k for r in results for k in r.negatives}):
        each = [r.negatives.get(kind) for r in results]
        n = max(a.block.of for a in each if a)
        cells = [f"{a.block.hits} + {a.review.hits}" if a else "-" for a in each]
        rows.append([kind, str(n), *cells])
    return table(["", "n", *(r.asked.name for r in results)], rows)


def details(result: Result) -> str:
    """One engine's table: every kind, with bounds."""
    rows = []
    for tier in tiers_of([result]):
        rows.append(_detail(f"**{tier}**", result.tiers[tier]))
        for (of, kind), value in result.kinds.items():
            if of == tier and kind != tier:
                rows.append(_detail(kind, value))
    rows.append(_detail("**all copies**", result.all))
    return table(["", "n", "found", "at least a review", "by score alone"], rows)


def _detail(name: str, value: Recall) -> list[str]:
    rates = (value.shipped, value.acted, value.swept)
    return [name, str(value.shipped.of), *(percent(r, bounds=True) for r in rates)]


LEGEND = """\
*found*: blocked, for a reference that the sample shows; where less than 3 s match, or the sample is
news, a review counts too. In brackets the 95 % bounds (Wilson). *By score alone*: the share whose
score is above every negative's, whatever the action.
"""


def markdown(results: Sequence[Result], gone: Sequence[Asked], title: str) -> str:
    parts = [f"# {title}\n", summary(results)]
    parts += ["## Found, as shipped\n", side_by_side(results, lambda v: v.shipped), LEGEND]
    parts += ["## By score alone, at no false alarm\n", side_by_side(results, lambda v: v.swept)]
    parts += ["## False alarms: blocks + reviews\n", false_alarms(results)]
    for r in results:
        parts += [f"## {r.asked.name}\n", f"{r.asked.version}\n\nRule: {r.asked.rule}.\n"]
        parts += [details(r), _times(r), _lists(r)]
    if gone:
        parts += ["## Not measured\n"]
        parts += [bullets(f"{asked.name}: {asked.missing}" for asked in gone)]
    return "\n".join(part for part in parts if part)


def bullets(lines: Iterable[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def _times(r: Result) -> str:
    if not r.has_times:
        return ""
    return (
        f"Segments: AP {number(r.segment_ap)}, precision {number(r.fit.precision)}, recall"
        f" {number(r.fit.recall)}, F {number(r.fit.f)} over {r.fit.samples} samples; ends off by"
        f" (median / 90 %) {ends(r.ends.sample)} s in the sample, {ends(r.ends.reference)} s in the"
        " reference.\n"
    )


def _lists(r: Result) -> str:
    parts = [
        ("Blocked without cause", r.alarms.blocked),
        ("Sent to review without cause", r.alarms.reviewed),
        ("News that was blocked, not reviewed", r.news_blocked),
        ("Blocked for the wrong reference", [f"{w.sample}: {', '.join(w.named)}" for w in r.wrong]),
        ("Could not be judged", [f"{i}: {why}" for i, why in r.errors.items()]),
        ("References not taken", [f"{i}: {why}" for i, why in r.asked.unread.items()]),
    ]
    return "".join(f"{name}:\n\n{bullets(lines)}\n" for name, lines in parts if lines)


def write(
    folder: Path,
    results: Sequence[Result],
    gone: Sequence[Asked],
    samples: Sequence[Sample],
    title: str,
) -> None:
    """report.md, report.csv and report.json in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(markdown(results, gone, title))
    with (folder / "report.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["engine", "tier", "kind", "n", *_columns()])
        for r in results:
            for tier, value in r.tiers.items():
                rows.writerow([r.asked.name, tier, "", value.shipped.of, *_numbers(value)])
            for (tier, kind), value in r.kinds.items():
                rows.writerow([r.asked.name, tier, kind, value.shipped.of, *_numbers(value)])
    body = {
        "title": title,
        "missing": {asked.name: asked.missing for asked in gone},
        "engines": [_as_json(r) for r in results],
        "samples": [asdict(s) for s in samples],
    }
    (folder / "report.json").write_text(json.dumps(body, indent=1))


def _columns() -> list[str]:
    return [f"{name}{part}" for name in ("found", "acted", "swept") for part in ("", "_lo", "_hi")]


def _numbers(value: Recall) -> list[float]:
    rates = (value.shipped, value.acted, value.swept)
    return [round(n, 4) for r in rates for n in (r.value, *r.bounds)]


def _as_json(r: Result) -> dict[str, object]:
    return {
        "name": r.asked.name,
        "version": r.asked.version,
        "rule": r.asked.rule,
        "false_blocks": r.alarms.blocked,
        "false_reviews": r.alarms.reviewed,
        "negatives": r.alarms.block.of,
        "highest_negative": _finite(r.alarms.highest),
        "micro_ap": _finite(r.micro_ap),
        "segment_ap": _finite(r.segment_ap) if r.has_times else None,
        "segment_precision": _finite(r.fit.precision) if r.has_times else None,
        "segment_recall": _finite(r.fit.recall) if r.has_times else None,
        "cpu_s_a_minute": _finite(r.cpu),
        "unread": dict(r.asked.unread),
        "answers": [asdict(f) for f in r.asked.found.values()],
    }


def _finite(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else None
