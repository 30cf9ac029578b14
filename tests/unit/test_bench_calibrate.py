"""The fit of the calibration, on pairs of which the truth is known."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from bench.robustness import calibrate, logistic
from bench.robustness.found import Found, Named
from bench.robustness.samples import Benchmark, Reference, Sample, Truth
from matcher.calibration import (
    CALIBRATION,
    FILE,
    NAMES,
    Calibration,
    damped,
    parse_calibration,
)

LIGHT = logistic.VIDEOS.lighter(np.full(5, 1e-3))


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
        assert np.abs(fitted - logistic.VIDEOS.belief).max() < 1.0

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

    def test_the_numbers_in_force_are_told_of_the_same_pairs(self):
        held = calibrate.Pairs(
            np.array([[4.0, 0.0, 0.0, 0.0]] * 3), np.array([1, 1, 0], bool), ["a"] * 3
        )
        own = calibrate.in_force(calibrate.OF_VIDEOS)
        of = calibrate.Told(7, held, held, np.zeros(5), np.zeros((1, 5)))
        page = calibrate.page_of_those_in_force(of)
        stated = calibrate.chance(own.values["intercept"] + 4.0 * own.values["hashes"])
        p = np.full(3, calibrate.restated(float(stated), calibrate.STATED, 2 / 3))
        assert f"| log loss, nats | {calibrate.log_loss(p, held.true):.4f} |" in page
        assert f"(seed {own.training['seed']})" in page

    def test_a_half_without_both_kinds_is_refused(self):
        with pytest.raises(SystemExit, match="not both kinds"):
            calibrate.told(benchmark(), self.FOUND)


def told_of(part: calibrate.Part, seed: int = 1) -> calibrate.Told:
    """A fit to made pairs."""
    rng = np.random.default_rng(seed)
    kinds = len(part.kinds)
    evidence = rng.exponential(2.0, (300, kinds))
    p = logistic.predicted(part.form.belief, evidence, part.form)
    pairs = logistic.Pairs(evidence, rng.random(300) < p, [f"s{i % 20}" for i in range(300)])
    draws = logistic.drawn(pairs, calibrate.STATED, seed=1, times=20, form=part.form)
    fitted = logistic.fit(pairs, calibrate.STATED, part.form)
    return calibrate.Told(1, pairs, pairs, fitted, draws, part)


class TestImages:
    def test_the_one_that_says_most_counts_and_nothing_adds(self):
        form = logistic.IMAGES
        both = logistic.predicted(form.belief, np.array([[5.0, 4.0]]), form)
        one = logistic.predicted(form.belief, np.array([[5.0, 0.0]]), form)
        assert both == pytest.approx(one)

    def test_evidence_is_not_damped_and_other_stills_of_the_source_say_nothing(self):
        references = tuple(Reference(r, f"{r}.jpg", "one", "train", 0.0) for r in ("a", "b"))
        samples = (
            Sample("copy", "c.jpg", "everyday", "k", "train", 0.0, sources=("one",),
                   truth=(Truth("a", (0.0, 0.0), (0.0, 0.0)),)),
            Sample("other", "o.jpg", "negative", "k", "train", 0.0, sources=("one",)),
            Sample("close", "n.jpg", "near", "k", "train", 0.0, sources=("one",)),
        )  # fmt: skip
        found = (
            seen("copy", ("a", {"hashes": 5.0, "odd_hashes": 5.0}), ("b", {"hashes": 3.0})),
            seen("other", ("b", {"local": 2.0})),
            seen("close", ("a", {"hashes": 4.0})),
        )
        made = Benchmark(7, references, samples)
        pairs = calibrate.pairs(made, found, "train", calibrate.OF_IMAGES)
        assert pairs.evidence.tolist() == [[5.0, 0.0], [0.0, 2.0]]
        assert pairs.true.tolist() == [True, False]


class TestWritten:
    def test_the_numbers_in_force_are_the_file_as_it_is(self):
        both = [calibrate.in_force(part) for part in calibrate.PARTS]
        packaged = resources.files("matcher").joinpath(FILE).read_text()
        assert calibrate.as_toml(*both) == packaged

    def test_what_is_written_is_what_the_matcher_loads(self, tmp_path: Path):
        """In a copy of the package, by a process of its own."""
        for package in ("matcher", "hashdb"):
            shutil.copytree(calibrate.ROOT / package, tmp_path / package)
        (tmp_path / "docs").mkdir()
        all_told = [told_of(part) for part in calibrate.PARTS]
        numbers = {of.part.name: calibrate.fitted(of) for of in all_told}
        calibrate.write(numbers, all_told, tmp_path)
        script = "from matcher.calibration import CALIBRATION as c; print(c.model_dump_json())"
        loaded = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)},
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        read = Calibration.model_validate_json(loaded.stdout)
        for part in calibrate.PARTS:
            now, wanted = calibrate.in_force(part, read), numbers[part.name]
            assert now.values == pytest.approx(wanted.values, abs=1e-4)
            assert now.training == wanted.training
            for name, ends in wanted.ends.items():
                assert now.ends[name] == pytest.approx(ends, abs=1e-4)
        assert "Fitted on 300 pairs" in (tmp_path / "docs/robustness-calibration.md").read_text()
        page = (tmp_path / "docs/robustness-calibration-images.md").read_text()
        assert "expected calibration error" in page

    def test_a_part_without_a_fit_stays_as_it_is(self, tmp_path: Path):
        for folder in ("matcher", "docs"):
            (tmp_path / folder).mkdir()
        of = told_of(calibrate.OF_IMAGES)
        calibrate.write({"images": calibrate.fitted(of)}, [of], tmp_path)
        read = parse_calibration((tmp_path / "matcher" / FILE).read_bytes(), "made")
        kept = calibrate.in_force(calibrate.OF_VIDEOS)
        assert calibrate.in_force(calibrate.OF_VIDEOS, read) == kept
        assert not (tmp_path / "docs/robustness-calibration.md").exists()

    @pytest.mark.parametrize(("anew", "width", "kept"), [
        (False, 0.01, True), (True, 0.01, False), (False, -0.01, False),
    ])  # fmt: skip
    def test_numbers_in_force_stay_where_a_fit_lies_within_their_bounds(
        self, anew: bool, width: float, kept: bool
    ):
        of = told_of(calibrate.OF_IMAGES)
        new = calibrate.fitted(of)
        ends = {n: (v - 1, v + width) for n, v in new.values.items()}
        beside = {n: v - 0.1 for n, v in new.values.items()}
        body = CALIBRATION.model_dump()
        body["images"] |= {"intercept": beside.pop("intercept"), "weights": beside, "bounds": ends}
        force = Calibration.model_validate(body)
        numbers = calibrate.chosen(of, anew=anew, calibration=force)
        assert (numbers == calibrate.in_force(calibrate.OF_IMAGES, force)) is kept
