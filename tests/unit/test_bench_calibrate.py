"""The fit of the calibration, on pairs of which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from bench.robustness import calibrate, logistic
from bench.robustness.found import Found, Named
from bench.robustness.samples import Benchmark, Reference, Sample, Truth
from matcher.calibration import NAMES, damped, parse_calibration

LIGHT = np.full(5, 1e-3)


def drawn_pairs(coefficients: list[float], n: int = 4000, seed: int = 1) -> logistic.Pairs:
    """Pairs of random evidence, true as often as those coefficients say."""
    rng = np.random.default_rng(seed)
    evidence = rng.exponential(2.0, (n, len(NAMES))) * (rng.random((n, len(NAMES))) < 0.6)
    p = logistic.predicted(np.array(coefficients), evidence)
    sources = [f"s{i % 20}" for i in range(n)]
    return logistic.Pairs(evidence, rng.random(n) < p, sources)


class TestFit:
    def test_the_coefficients_that_made_the_pairs_are_found(self):
        wanted = [-2.0, 1.2, 0.4, 0.8, 1.5]
        pairs = drawn_pairs(wanted)
        own = float(pairs.true.mean())
        assert logistic.fit(pairs, own, LIGHT) == pytest.approx(np.array(wanted), abs=0.3)

    def test_the_intercept_is_at_the_stated_prior(self):
        pairs = drawn_pairs([-2.0, 1.2, 0.4, 0.8, 1.5])
        own = float(pairs.true.mean())
        here, there = logistic.fit(pairs, own, LIGHT), logistic.fit(pairs, 0.1, LIGHT)
        shift = logistic.log_odds(own) - logistic.log_odds(0.1)
        assert here[0] - there[0] == pytest.approx(shift, abs=0.02)
        assert here[1:] == pytest.approx(there[1:], abs=0.02)

    def test_no_weight_falls_below_0(self):
        pairs = drawn_pairs([0.5, 0.9, 0.4, 0.8, -0.7])
        fitted = logistic.fit(pairs, 0.5, LIGHT)
        assert fitted[4] == 0.0
        assert fitted[3] > 0.5

    def test_what_is_told_apart_wholly_stays_finite_and_near_the_belief(self):
        evidence = np.array([[0.5, 0, 0, 0], [9.0, 0, 0, 0]] * 5)
        pairs = logistic.Pairs(evidence, np.array([False, True] * 5), ["a", "b"] * 5)
        fitted = logistic.fit(pairs, 0.5)
        assert np.abs(fitted - logistic.BELIEF).max() < 1.0

    def test_sources_that_disagree_make_the_bounds_wide(self):
        pairs = drawn_pairs([-2.0, 1.0, 1.0, 1.0, 1.0], n=400)
        draws = logistic.drawn(pairs, 0.5, seed=3, times=40)
        assert draws.shape == (40, 5)
        assert (draws[:, 1:] >= 0).all()
        assert draws[:, 0].std() > 0


class TestReliability:
    P = np.array([0.05, 0.05, 0.95, 0.95, 0.95, 0.95])
    TRUE = np.array([False, False, True, True, True, False])

    def test_bins_count_what_was_so(self):
        low, high = logistic.reliability(self.P, self.TRUE, (0.0, 0.5, 1.0))
        assert (low.hits, low.of, low.mean) == (0, 2, pytest.approx(0.05))
        assert (high.hits, high.of, high.mean) == (3, 4, pytest.approx(0.95))
        assert high.bounds[0] < 0.75 < high.bounds[1]

    def test_measures_by_hand(self):
        assert logistic.brier(self.P, self.TRUE) == pytest.approx((5 * 0.0025 + 0.9025) / 6)
        error = (2 * 0.05 + 4 * 0.2) / 6
        assert logistic.calibration_error(self.P, self.TRUE) == pytest.approx(error)
        loss = -(5 * np.log(0.95) + np.log(0.05)) / 6
        assert logistic.log_loss(self.P, self.TRUE) == pytest.approx(loss)

    def test_certain_and_right_is_no_error(self):
        p = self.TRUE.astype(float)
        assert logistic.brier(p, self.TRUE) == logistic.calibration_error(p, self.TRUE) == 0.0


def benchmark() -> Benchmark:
    references = [
        Reference("r1", "r1.mp4", "one", "train", 9.0),
        Reference("r2", "r2.mp4", "two", "test", 9.0),
    ]
    truth = (Truth("r1", (0.0, 9.0), (0.0, 9.0)),)
    samples = [
        Sample("copy", "c.mp4", "everyday", "k", "train", 9.0, truth=truth),
        Sample("other", "o.mp4", "negative", "k", "train", 9.0),
        Sample("held", "h.mp4", "negative", "k", "test", 9.0),
    ]
    return Benchmark(7, tuple(references), tuple(samples))


def seen(sample: str, *named: tuple[str, dict[str, float]]) -> Found:
    return Found(sample, "allow", tuple(Named(r, 0.5, evidence=e) for r, e in named))


class TestPairs:
    FOUND = (
        seen("copy", ("r1", {"hashes": 9.0, "sound": 2.0}), ("r2", {"local": 1.0})),
        seen("other", ("r1", {"local": 3.0})),
        seen("held", ("r1", {"local": 3.0}), ("r2", {"hashes": 1.0})),
    )

    def test_a_half_has_its_own_samples_and_references_only(self):
        pairs = calibrate.pairs(benchmark(), self.FOUND, "train")
        assert pairs.true.tolist() == [True, False]
        assert pairs.sources == ["one", "one"]
        assert pairs.evidence[0] == pytest.approx([damped(9.0), 0.0, 0.0, damped(2.0)])
        held = calibrate.pairs(benchmark(), self.FOUND, "test")
        assert (held.sources, held.true.tolist()) == (["two"], [False])

    def test_a_half_without_both_kinds_is_refused(self):
        with pytest.raises(SystemExit, match="not both kinds"):
            calibrate.told(benchmark(), self.FOUND)


def test_what_is_written_can_be_read():
    pairs = drawn_pairs([-2.0, 1.0, 0.5, 1.0, 1.0], n=300)
    draws = logistic.drawn(pairs, calibrate.STATED, seed=1, times=20)
    fitted = logistic.fit(pairs, calibrate.STATED)
    told = calibrate.Told(1, pairs, pairs, fitted, draws)
    read = parse_calibration(calibrate.as_toml(told).encode(), "made")
    assert read.prior == calibrate.STATED
    assert read.intercept == pytest.approx(fitted[0], abs=1e-4)
    assert read.weights.odd_hashes == pytest.approx(fitted[2], abs=1e-4)
    assert (read.training.pairs, read.training.sources) == (300, 20)
    page = calibrate.page(told)
    assert "Fitted on 300 pairs" in page
    assert "expected calibration error" in page
