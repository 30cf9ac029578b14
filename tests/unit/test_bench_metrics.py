"""The benchmark's arithmetic, in plain numbers."""

import math

import pytest

from bench.robustness.found import Answers, Found, Named
from bench.robustness.metrics import (
    Rate,
    alarms,
    alarms_by_kind,
    cpu_per_minute,
    is_found,
    is_wrong,
    micro_ap,
    recall,
    recall_by,
    scored_pairs,
    true_pairs,
    wilson,
    wrongly_blocked,
)
from bench.robustness.report import percent, table
from bench.robustness.samples import Sample, Truth
from bench.robustness.spans import (
    common,
    end_errors,
    fit,
    length,
    precision_recall,
    segment_ap,
    union,
)


def copy(name, *truth, tier="everyday", kind="trim", seconds=60.0):
    """`truth`: (reference, q0, q1, r0, r1) each."""
    shown = tuple(Truth(ref, (q0, q1), (r0, r1)) for ref, q0, q1, r0, r1 in truth)
    return Sample(name, f"{name}.mp4", tier, kind, "test", seconds, truth=shown)


def negative(name):
    return copy(name, tier="negative", kind="unrelated")


def found(name, action, *named, **more):
    """`named`: (reference, score[, box ...]) each."""
    return Found(name, action, tuple(Named(n[0], n[1], tuple(n[2:])) for n in named), **more)


LONG = copy("long", ("r", 0, 10, 5, 15))
SHORT = copy("short", ("r", 0, 2, 5, 7))
NEWS = copy("news", ("r", 20, 23.5, 5, 8.5), tier="news")


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_wilson_as_published(hits, of, low, high):
    assert wilson(hits, of) == pytest.approx((low, high), abs=3e-4)


def test_of_nothing_there_is_no_share():
    assert math.isnan(Rate(0, 0).value)
    assert all(math.isnan(b) for b in Rate(0, 0).bounds)


@pytest.mark.parametrize(
    ("sample", "action", "counts"),
    [
        (LONG, "block", True),
        (LONG, "review", False),
        (LONG, "allow", False),
        (SHORT, "block", True),
        (SHORT, "review", True),
        (SHORT, "allow", False),
        (NEWS, "review", True),
    ],
)
def test_a_review_is_enough_where_little_matches(sample, action, counts):
    assert is_found(sample, found(sample.id, action, ("r", 0.9))) is counts


def test_seconds_that_two_references_share_match_once():
    both = copy("both", ("r", 0, 2, 0, 2), ("s", 1, 2.5, 0, 1.5))
    assert is_found(both, found("both", "review", ("r", 0.9)))


def test_a_block_for_another_reference_finds_nothing():
    answer = found("long", "block", ("other", 0.9))
    assert not is_found(LONG, answer)
    assert is_wrong(LONG, answer)
    assert [w.named for w in wrongly_blocked([LONG], {"long": answer})] == [("other",)]


def test_a_block_for_the_right_one_among_others_is_right():
    answer = found("long", "block", ("other", 0.9), ("r", 0.6))
    assert is_found(LONG, answer)
    assert not is_wrong(LONG, answer)


def test_a_reference_without_a_say_does_not_count():
    seen = Named("r", 0.4, counted=False)
    answer = Found("long", "block", (Named("other", 0.9), seen))
    assert not is_found(LONG, answer)
    assert is_wrong(LONG, answer)


def test_alarms_are_counted_over_the_negatives_alone():
    samples = [LONG, negative("n1"), negative("n2"), negative("n3")]
    answers = {
        "long": found("long", "block", ("r", 0.99)),
        "n1": found("n1", "block", ("r", 0.7)),
        "n2": found("n2", "review", ("r", 0.5)),
        "n3": found("n3", "allow"),
    }
    alarm = alarms(samples, answers)
    assert (alarm.block, alarm.review) == (Rate(1, 3), Rate(1, 3))
    assert (alarm.blocked, alarm.reviewed, alarm.highest) == (("n1",), ("n2",), 0.7)
    assert alarms_by_kind(samples, answers) == {"unrelated": alarm}


def test_the_swept_threshold_lies_above_every_negative():
    samples = [copy(f"c{i}", ("r", 0, 10, 0, 10)) for i in range(4)]
    scores = [0.5, 0.7, 0.71, 0.9]
    answers = {f"c{i}": found(f"c{i}", "allow", ("r", s)) for i, s in enumerate(scores)}
    value = recall(samples, answers, 0.7)
    assert (value.shipped, value.swept) == (Rate(0, 4), Rate(2, 4))


def test_recall_by_kind_leaves_negatives_out():
    samples = [LONG, copy("m", ("r", 0, 9, 0, 9), kind="mirror"), negative("n")]
    answers = {
        "long": found("long", "block", ("r", 1)),
        "m": found("m", "review", ("r", 1)),
        "n": found("n", "block", ("r", 1)),
    }
    by = recall_by(samples, answers, lambda s: s.kind, 0.0)
    assert {k: (v.shipped.hits, v.acted.hits) for k, v in by.items()} == {
        "trim": (1, 1),
        "mirror": (0, 1),
    }


@pytest.mark.parametrize(
    ("scored", "ap"),
    [
        # the public code's own examples
        ({("1", "10"): 8.0, ("2", "11"): 4.0, ("99", "99"): 2.0}, 1.0),
        ({("1", "10"): 8.0, ("2", "11"): 4.0, ("99", "99"): 5.0}, (1 + 2 / 3) / 2),
        ({("1", "10"): 3.0, ("2", "10"): 2.0, ("99", "99"): 1.0}, 1 / 2),
        ({("1", "10"): 2.0, ("2", "10"): 3.0, ("99", "99"): 1.0}, 1 / 4),
        # pairs of one score count at once, whatever their order
        ({("1", "10"): 1.0, ("99", "99"): 1.0, ("2", "11"): 1.0}, 2 / 3),
        ({}, 0.0),
    ],
)
def test_micro_ap(scored, ap):
    assert micro_ap([("1", "10"), ("2", "11")], scored) == pytest.approx(ap)


def test_pairs_of_samples_and_answers():
    answers = {"long": found("long", "block", ("r", 0.3), ("r", 0.8), ("s", 0.1))}
    assert true_pairs([LONG]) == {("long", "r")}
    assert scored_pairs([LONG], answers) == {("long", "r"): 0.8, ("long", "s"): 0.1}


def test_spans():
    a, b = [(2, 5), (7, 8)], [(1, 3), (4, 7)]
    assert union([(4, 6), (1, 2), (5, 9), (9, 10)]) == [(1, 2), (4, 10)]
    assert length([(0, 2), (1, 3)]) == 3
    assert common(a, b) == 2
    assert common(a, [(-1, 0), (3.5, 12)]) == 2.5


PAIR = ("q", "r")
TRUE = {PAIR: [(4.0, 14.0, 10.0, 18.0)]}


def ap(*segments, truth=TRUE):
    """`segments`: (score, q0, q1, r0, r1[, pair]) each."""
    return segment_ap(truth, [(s[0], s[5] if len(s) > 5 else PAIR, s[1:5]) for s in segments])


def test_segment_ap_of_the_public_codes_examples():
    halves = ((1.0, 4, 8, 10, 14), (2.0, 8, 14, 14, 18))
    close = ((1.0, 4, 8, 10, 14), (2.0, 8, 14, 16, 18))
    assert ap((1.0, 4, 14, 10, 18)) == pytest.approx(1.0)
    assert ap(*halves) == pytest.approx(1.0)
    assert 0.9 < ap(*close, (0.0, 0, 30, 5, 25)) < 1.0
    assert ap(*close, (3.0, 0, 30, 5, 25)) < 0.5
    others = ((3.0, 4, 14, 10, 18, ("q2", "r")), (2.0, 4, 14, 10, 18, ("q", "r2")))
    assert ap(*others, (1.0, 4, 14, 10, 18)) == pytest.approx(1 / 3)


def test_segments_that_cross_the_true_ones_match_nothing():
    truth = {PAIR: [(4.0, 14.0, 10.0, 18.0), (20.0, 28.0, 21.0, 29.0)]}
    assert ap((1.0, 4, 14, 21, 29), (1.0, 20, 28, 10, 18), truth=truth) == 0.0


def test_segment_ap_without_segments_or_truth():
    assert ap() == 0.0
    assert math.isnan(ap(truth={}))


def test_precision_and_recall_of_segments():
    true = [(0.0, 10.0, 0.0, 10.0)]
    assert precision_recall(true, true) == (1.0, 1.0)
    assert precision_recall([(0.0, 5.0, 0.0, 5.0)], true) == (1.0, 0.25)
    assert precision_recall([(0.0, 20.0, 0.0, 10.0)], true) == (0.5, 1.0)
    assert precision_recall([], true) == (1.0, 0.0)
    assert precision_recall(true, []) == (0.0, 1.0)
    assert precision_recall([(20.0, 30.0, 0.0, 10.0)], true) == (0.0, 0.0)


def test_the_fit_is_a_mean_over_pairs_and_then_over_samples():
    exact = found("long", "block", ("r", 1, (0, 10, 5, 15)), ("other", 1, (0, 1, 0, 1)))
    answers = {"long": exact, "short": found("short", "allow"), "n": found("n", "allow")}
    value = fit([LONG, SHORT, negative("n")], answers)
    # long: (1, 1) and, for a reference that is not shown, (0, 1); short: (1, 0)
    assert (value.precision, value.recall, value.samples) == (0.75, 0.5, 2)
    assert value.f == pytest.approx(0.6)


def test_ends_are_measured_at_the_outermost():
    answer = found("long", "block", ("r", 1, (0.5, 4, 5.5, 9), (6, 10.25, 11, 15.25)))
    ends = end_errors([LONG], {"long": answer})
    assert ends.sample.tolist() == [0.5, 0.25]
    assert ends.reference.tolist() == [0.5, 0.25]


def test_ends_of_what_was_not_found_are_not_measured():
    elsewhere = found("long", "block", ("r", 1, (20, 30, 5, 15)))
    assert not len(end_errors([LONG], {"long": elsewhere}).sample)


def test_cpu_leaves_out_what_could_not_be_judged():
    samples = [LONG, copy("bad", ("r", 0, 9, 0, 9))]
    answers = {
        "long": found("long", "block", cpu_s=3.0),
        "bad": found("bad", "allow", cpu_s=99.0, error="CorruptMedia"),
    }
    assert cpu_per_minute(samples, answers) == 3.0


def test_answers_are_kept_by_tag_and_file(tmp_path):
    path = tmp_path / "answers.jsonl"
    answer = found("long", "block", ("r", 0.9, (0.0, 10.0, 5.0, 15.0)), cpu_s=1.5)
    Answers(path, "v1").add(found("long", "allow"), "file1")
    Answers(path, "v1").add(answer, "file1")
    assert Answers(path, "v1").get("long", "file1") == answer
    assert Answers(path, "v1").get("long", "file2") is None
    assert Answers(path, "v2").get("long", "file1") is None


def test_shares_are_rounded_but_never_to_all_or_nothing():
    assert [percent(Rate(h, 1000)) for h in (0, 4, 567, 996, 1000)] == [
        "0 %",
        "0.4 %",
        "57 %",
        "99.6 %",
        "100 %",
    ]
    assert percent(Rate(5, 10), bounds=True) == "50 % (23-77)"
    assert percent(Rate(0, 0)) == percent(None) == "-"


def test_a_table():
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"
