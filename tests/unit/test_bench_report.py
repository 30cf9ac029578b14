"""What the benchmark's report says of each tier and edit, of peers, and of larger banks."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench.robustness import large, report
from bench.robustness.found import Found, Named
from bench.robustness.samples import Sample, Truth
from bench.robustness.worth import Asked, Result, evaluate


def copy(name: str, kind: str, tier: str = "everyday") -> Sample:
    truth = (Truth("r", (0.0, 10.0), (5.0, 15.0)),)
    return Sample(name, f"{name}.mp4", tier, kind, "test", 60.0, truth=truth)


SAMPLES = (
    copy("one", "mirrored"),
    copy("two", "cropped"),
    copy("three", "cropped"),
    copy("four", "quoted", "news"),
    Sample("five", "five.mp4", "negative", "unrelated", "test", 60.0),
    Sample("six", "six.mp4", "negative", "look-alike", "test", 60.0),
)


def told(name: str, actions: str, *, late: float = 0.0, gb: float = 0.0) -> Result:
    """`actions`: what an engine does with each sample, by its first letter."""
    found = {}
    for sample, letter in zip(SAMPLES, actions, strict=True):
        action = {"a": "allow", "r": "review", "b": "block"}[letter]
        score = {"a": 0.1, "r": 0.5, "b": 0.9}[letter]
        box = (late, 10.0, 5.0 + late, 15.0)
        found[sample.id] = Found(sample.id, action, (Named("r", score, (box,)),), cpu_s=2.0)
    return evaluate(Asked(name, "1", "a rule", found, {}, padded_gb=gb), SAMPLES)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_each_tier_and_each_edit_has_all_measures(tmp_path: Path) -> None:
    report.as_csv(tmp_path / "r.csv", [told("seawall", "bbabar", late=1.0)])
    found = {(r["tier"], r["kind"]): r for r in rows(tmp_path / "r.csv")}
    assert set(found) == {
        ("everyday", ""), ("everyday", "mirrored"), ("everyday", "cropped"),
        ("news", ""), ("news", "quoted"),
        ("negative", ""), ("negative", "unrelated"), ("negative", "look-alike"),
    }  # fmt: skip
    mirrored, cropped = found["everyday", "mirrored"], found["everyday", "cropped"]
    assert (mirrored["found"], cropped["found"]) == ("1.0", "0.5")
    assert (mirrored["micro_ap"], cropped["micro_ap"]) == ("1.0", "0.75")
    assert (mirrored["ends_s_median"], mirrored["ends_s_90"]) == ("0.5", "0.9")
    assert mirrored["segment_recall"] == "0.81"
    assert (cropped["score_10"], cropped["score_50"], cropped["score_90"]) == (
        "0.18",
        "0.5",
        "0.82",
    )
    assert mirrored["cpu_s_a_minute"] == "2.0"
    assert mirrored["blocked"] == ""
    negative = found["negative", ""]
    assert (negative["n"], negative["blocked"], negative["reviewed"]) == ("2", "0", "1")
    assert negative["highest_score"] == "0.5"


def test_an_engine_that_says_no_times_has_none(tmp_path: Path) -> None:
    asked = Asked("peer", "1", "", {s.id: Found(s.id, "allow") for s in SAMPLES}, {})
    report.as_csv(tmp_path / "r.csv", [evaluate(asked, SAMPLES)])
    first = rows(tmp_path / "r.csv")[0]
    assert (first["found"], first["segment_ap"], first["ends_s_median"]) == ("0.0", "", "")


@pytest.mark.parametrize(
    ("peer", "ahead", "level"),
    [
        ("aaaaaa", "none", "none"),
        ("baaaaa", "none", "mirrored (peer)"),
        ("bbbaaa", "all everyday (peer); cropped (peer)", "mirrored (peer)"),
    ],
)
def test_rows_in_which_a_peer_is_ahead_are_named(peer: str, ahead: str, level: str) -> None:
    text = report.standing([told("seawall", "bbabaa"), told("peer", peer)])
    assert f"finds more than seawall: {ahead}.\n" in text
    assert f"finds as much: {level}.\n" in text


def test_alone_it_stands_beside_nobody() -> None:
    assert report.standing([told("seawall", "bbabaa")]) == ""


def test_quotes_in_the_news_that_are_blocked_are_told_from_those_that_are_reviewed() -> None:
    assert "sends 0 to review, as it should, and blocks 1" in report.news(told("s", "aaabaa"))
    assert "sends 1 to review, as it should, and blocks 0" in report.news(told("s", "aaaraa"))


def test_the_table_of_tiers_has_no_rows_of_edits() -> None:
    results = [told("seawall", "bbabaa")]
    assert "cropped" in report.side_by_side(results, lambda v: v.swept)
    assert "cropped" not in report.side_by_side(results, lambda v: v.swept, kinds=False)
    assert "**everyday**" in report.side_by_side(results, lambda v: v.swept, kinds=False)


def test_a_larger_bank_has_a_line_in_table_figures_and_picture(tmp_path: Path) -> None:
    grown = [
        large.Grown(0, 0, told("seawall", "bbbbaa")),
        large.Grown(1_000_000, 5_000_000, told("seawall", "bbabab", gb=5.6)),
    ]
    first, second = large.table_of(grown).splitlines()[2:]
    assert first == "| references alone | 3 of 3 | 1 of 1 | 0 of 2 | 0 of 2 | 2.0 | 1.00 | 0.0 |"
    assert second == "| 1 and 5 million | 2 of 3 | 1 of 1 | 1 of 2 | 0 of 2 | 2.0 | 1.00 | 5.6 |"
    large.as_csv(grown, tmp_path / "l.csv")
    everyday = [r for r in rows(tmp_path / "l.csv") if r["tier"] == "everyday"]
    assert [(r["codes"], r["found"], r["blocked"]) for r in everyday] == [
        ("0", "1.0", "0"),
        ("1000000", "0.6667", "1"),
    ]
    large.draw(grown, tmp_path / "l.svg")
    assert "references alone" in (tmp_path / "l.svg").read_text()
