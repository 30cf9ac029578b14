"""The answers as tables: Markdown to read, CSV to calculate with, JSON with every answer."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bench.robustness.metrics import Rate, Recall
from bench.robustness.samples import TIERS, Sample
from bench.robustness.worth import Asked, Result, Worth


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


def side_by_side(
    results: Sequence[Result], rate: Callable[[Recall], Rate], *, kinds: bool = True
) -> str:
    """Rows: tiers and, with `kinds`, theirs; columns: n, then a column an engine."""
    rows: list[list[str]] = []
    for tier in tiers_of(results):
        rows.append(_row(f"**{tier}**", [r.tiers.get(tier) for r in results], rate, bounds=True))
        every = dict.fromkeys(k for r in results for t, k in r.kinds if t == tier)
        for kind in every:
            if kinds and list(every) != [tier]:
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


def by_tier(result: Result) -> str:
    """One engine's tiers: all that is measured of them."""
    head = ["", "n", "found", "by score alone", "µAP", "segment AP", "precision", "recall", "F"]
    head += ["ends off, s", "in the reference", "scores: 10 / 50 / 90 %", "CPU s a minute"]
    rows = []
    for tier in tiers_of([result]):
        value, worth = result.tiers[tier], result.worth[tier, ""]
        of = worth.fit
        rows.append(
            [
                tier,
                str(value.shipped.of),
                percent(value.shipped, bounds=True),
                percent(value.swept),
                number(worth.micro_ap),
                *(number(n) for n in (worth.segment_ap, of.precision, of.recall, of.f)),
                ends(worth.ends.sample),
                ends(worth.ends.reference),
                " / ".join(number(n) for n in worth.scores),
                number(worth.cpu, 1),
            ]
        )
    return table(head, rows)


def standing(results: Sequence[Result], name: str = "seawall") -> str:
    """In which rows another engine finds more than this one, and in which as much."""
    mine = next((r for r in results if r.asked.name == name), None)
    others = [r for r in results if r.asked.name != name]
    if mine is None or not others:
        return ""
    ahead, level = [], []
    every = {(tier, ""): value for tier, value in mine.tiers.items()} | dict(mine.kinds)
    for (tier, kind), value in every.items():
        if not kind and any(t == tier and k == tier for t, k in mine.kinds):
            continue  # it has one kind, of its own name
        rates = {r.asked.name: _rate(r, tier, kind) for r in others}
        most = max(rates.values())
        best = [other for other, rate in rates.items() if rate == most]
        row = f"{kind or f'all {tier}'} ({', '.join(best)})"
        if most > value.shipped.value:
            ahead.append(row)
        elif most and most == value.shipped.value:
            level.append(row)
    return (
        f"Rows in which another engine finds more than {name}: {'; '.join(ahead) or 'none'}.\n\n"
        f"Rows in which one finds as much: {'; '.join(level) or 'none'}.\n"
    )


def _rate(r: Result, tier: str, kind: str) -> float:
    value = r.kinds.get((tier, kind)) if kind else r.tiers.get(tier)
    return 0.0 if value is None else value.shipped.value


def news(result: Result) -> str:
    """What became of quotes in the news: a review is what they should ask for."""
    if "news" not in result.tiers:
        return ""
    value, blocked = result.tiers["news"].shipped, len(result.news_blocked)
    return (
        f"Of {value.of} quotes in the news {result.asked.name} sends {value.hits - blocked} to "
        f"review, as it should, and blocks {blocked}.\n"
    )


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
    as_csv(folder / "report.csv", results)
    body = {
        "title": title,
        "missing": {asked.name: asked.missing for asked in gone},
        "engines": [_as_json(r) for r in results],
        "samples": [asdict(s) for s in samples],
    }
    (folder / "report.json").write_text(json.dumps(body, indent=1))


_RATES = ("found", "acted", "swept")
_WORTH = (
    "micro_ap", "segment_ap", "segment_precision", "segment_recall", "segment_f",
    "ends_s_median", "ends_s_90", "reference_ends_s_median", "reference_ends_s_90",
    "score_10", "score_50", "score_90", "cpu_s_a_minute",
)  # fmt: skip
_ALARMS = ("blocked", "reviewed", "highest_score")


def as_csv(path: Path, results: Sequence[Result]) -> None:
    """A row for each engine, tier and kind; a tier as a whole has no kind. Of negatives how many
    were blocked, and asked for a review; of copies all else."""
    rates = [f"{name}{part}" for name in _RATES for part in ("", "_lo", "_hi")]
    columns = ("engine", "tier", "kind", "n", *rates, *_WORTH, *_ALARMS)
    with path.open("w", newline="") as file:
        rows = csv.DictWriter(file, columns)
        rows.writeheader()
        for r in results:
            every = {(tier, ""): value for tier, value in r.tiers.items()} | dict(r.kinds)
            for (tier, kind), value in every.items():
                about = {"engine": r.asked.name, "tier": tier, "kind": kind, "n": value.shipped.of}
                numbers = _worths(r.worth[tier, kind], timed=r.has_times)
                rows.writerow(about | dict(zip(rates, _numbers(value), strict=True)) | numbers)
            for kind, alarm in {"": r.alarms, **r.negatives}.items():
                about = {"engine": r.asked.name, "tier": "negative", "kind": kind}
                counts = (alarm.block.hits, alarm.review.hits, _short(alarm.highest))
                rows.writerow(
                    about | {"n": alarm.block.of} | dict(zip(_ALARMS, counts, strict=True))
                )


def _numbers(value: Recall) -> list[float]:
    rates = (value.shipped, value.acted, value.swept)
    return [round(n, 4) for r in rates for n in (r.value, *r.bounds)]


def _worths(worth: Worth, *, timed: bool) -> dict[str, object]:
    """`timed`: the engine says when; without that what is of times stays empty."""
    off = [
        float(np.percentile(errors, part)) if len(errors) else math.nan
        for errors in (worth.ends.sample, worth.ends.reference)
        for part in (50, 90)
    ]
    of = worth.fit
    times = [worth.segment_ap, of.precision, of.recall, of.f, *off]
    times = times if timed else [math.nan] * len(times)
    numbers = (worth.micro_ap, *times, *worth.scores, worth.cpu)
    return {name: _short(n) for name, n in zip(_WORTH, numbers, strict=True)}


def _short(value: float) -> float | None:
    known = _finite(value)
    return None if known is None else round(known, 4)


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
