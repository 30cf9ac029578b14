"""Evidence into a probability: what holds of the form, and of the numbers that are packaged."""

from __future__ import annotations

from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashdb.model import Alignment, FrameMatch, Match, Orientation, View
from matcher.calibration import CALIBRATION, FILE, NAMES, Scale, parse_calibration, restated
from matcher.policy import load_policy
from matcher.score import (
    EVEN,
    as_match,
    as_one_scene,
    bounds,
    by_kind,
    not_sure,
    rescore,
    together,
)
from tests.unit.test_decide import reference

DATA = resources.files("matcher").joinpath(FILE).read_text()
LIMITS = load_policy(None).defaults

evidences = st.dictionaries(st.sampled_from(NAMES), st.floats(0, 500), max_size=len(NAMES))
priors = st.floats(0.001, 0.999)


def frames(
    *distances: int, speed: float = 1.0, signal_type: str = "pdq", video: bool = True
) -> Alignment:
    """An alignment of distinct pictures, one a second."""
    found = [
        FrameMatch(float(i), 20 + speed * i, d, i, 0, View.FULL, 0, 0.5, 0.5)
        for i, d in enumerate(distances)
    ]
    empty = Alignment("r", signal_type, Orientation.ORIGINAL, (), (), 0.0, speed)
    made = rescore(empty, found, video=video)
    assert made is not None
    return made


class TestProbability:
    @given(evidences, st.sampled_from(NAMES), st.floats(0, 100), st.sampled_from(Scale), priors)
    def test_more_evidence_never_lowers(self, evidence, kind, more, scale, prior):
        raised = {**evidence, kind: evidence.get(kind, 0.0) + more}
        before = CALIBRATION.probability(evidence, scale=scale, prior=prior)
        after = CALIBRATION.probability(raised, scale=scale, prior=prior)
        assert 0.0 <= before <= after <= 1.0

    @given(evidences, priors, priors)
    def test_a_higher_prior_never_lowers(self, evidence, one, other):
        low, high = sorted((one, other))
        assert CALIBRATION.probability(evidence, prior=low) <= CALIBRATION.probability(
            evidence, prior=high
        )

    def test_its_own_prior_is_the_default(self):
        evidence = {"hashes": 6.0}
        assert CALIBRATION.probability(evidence, prior=CALIBRATION.prior) == pytest.approx(
            CALIBRATION.probability(evidence)
        )
        assert load_policy(None).score.prior == CALIBRATION.prior

    def test_pictures_of_two_kinds_do_not_add_up_and_sound_does(self):
        one = CALIBRATION.probability({"hashes": 6.0})
        assert CALIBRATION.probability({"hashes": 6.0, "local": 1.0}) == one
        assert CALIBRATION.probability({"hashes": 6.0, "sound": 1.0}) > one


class TestRestated:
    def test_by_hand(self):
        # 3 to 1 at even odds is 1 to 1 where one in four is true
        assert restated(0.75, 0.5, 0.25) == pytest.approx(0.5)

    @given(st.floats(0, 1), priors, priors)
    def test_there_and_back(self, score, one, other):
        assert restated(restated(score, one, other), other, one) == pytest.approx(score, abs=1e-6)

    @pytest.mark.parametrize("certain", [0.0, 1.0])
    def test_what_is_certain_stays_so(self, certain: float):
        assert restated(certain, 0.9, 0.01) == certain


class TestImages:
    """One picture, by weights of its own, and by a threshold of its own."""

    CONFIDENT = load_policy(None).images.confident

    @pytest.mark.parametrize("distance", [0, 8, 16, 25])
    def test_a_close_image_is_confident(self, distance: int):
        assert frames(distance, video=False).score >= self.CONFIDENT

    @pytest.mark.parametrize("distance", [27, 31, 40])
    def test_a_farther_one_is_possible(self, distance: int):
        assert LIMITS.possible <= frames(distance, video=False).score < self.CONFIDENT

    @pytest.mark.parametrize("signal_type", ["pdq", "local"])
    def test_a_picture_of_another_moment_is_possible_at_most(self, signal_type: str):
        seen = not_sure(frames(0, signal_type=signal_type, video=False))
        assert LIMITS.possible <= seen.score <= EVEN < LIMITS.confident

    def test_a_video_of_another_moment_is_not_confident(self):
        assert not_sure(frames(0)).score < LIMITS.confident

    def test_hashes_and_features_of_one_picture_do_not_add_up(self):
        seen, told = ({"hashes": 4.0, "local": 1.0}, {"hashes": 4.0})
        assert CALIBRATION.probability(seen, scale=Scale.IMAGE) == CALIBRATION.probability(
            told, scale=Scale.IMAGE
        )


class TestKinds:
    def test_hashes_at_an_odd_speed_say_less(self):
        usual, odd = frames(20, 20, 20, 20), frames(20, 20, 20, 20, speed=-1.0)
        assert odd.evidence == usual.evidence
        assert odd.score < usual.score

    def test_a_line_of_normal_speed_beside_an_odd_one_counts_in_full(self):
        alone = frames(4, 4, 4)
        beside = [
            FrameMatch(30.0 + i, 90 - i, 4, 10 + i, 0, View.FULL, 1, 0.5, 0.5) for i in range(3)
        ]
        told = by_kind("pdq", [*alone.frames, *beside])
        assert told["hashes"] == pytest.approx(alone.evidence)
        assert told["odd_hashes"] == pytest.approx(2 * alone.evidence)

    def test_one_picture_has_no_speed(self):
        still = [FrameMatch(float(i), 7.0, 10, 0, 0, View.FULL, 0) for i in range(4)]
        told = by_kind("pdq", still)
        assert told["hashes"] == told["odd_hashes"] > 0

    def test_a_hash_of_a_whole_video_may_be_possible_alone(self):
        assert frames(0, signal_type="videohash").score >= LIMITS.possible

    def test_one_phash_may_not(self):
        assert frames(0, signal_type="phash").score < LIMITS.possible

    def test_pictures_and_sound_together_are_more_than_each(self):
        seen, heard = frames(24, 24), frames(60, 60, 60, signal_type="sound")
        assert together([seen, heard]) > max(seen.score, heard.score)
        assert together([seen]) == together([heard]) == 0.0


class TestBounds:
    PRIOR = CALIBRATION.prior

    @pytest.mark.parametrize("signal_type", ["pdq", "phash", "local", "sound"])
    @pytest.mark.parametrize("distances", [(0, 0, 0), (6, 6), (20, 20, 20, 20), (30,) * 12])
    @pytest.mark.parametrize("speed", [1.0, 0.5])
    def test_they_hold_the_score(self, signal_type: str, distances, speed: float):
        found = frames(*distances, speed=speed, signal_type=signal_type)
        ends = bounds(as_match(reference("r", "b"), [found]), self.PRIOR)
        assert ends is not None
        assert 0.0 <= ends[0] <= found.score <= ends[1] <= 1.0
        assert ends[0] < ends[1] or found.evidence == 0

    def test_those_of_pictures_and_sound_together_hold_what_both_say(self):
        seen, heard = frames(24, 24), frames(60, 60, 60, signal_type="sound")
        match = as_match(reference("r", "b"), [seen, heard])
        ends = bounds(match, self.PRIOR)
        assert ends is not None
        assert seen.score < match.score
        assert ends[0] <= match.score <= ends[1]

    @pytest.mark.parametrize("signal_type", ["pdq", "local"])
    @pytest.mark.parametrize("distance", [0, 16, 28, 44])
    def test_those_of_an_image_hold_its_score(self, signal_type: str, distance: int):
        found = frames(distance, signal_type=signal_type, video=False)
        ends = bounds(as_match(reference("r", "b"), [found]), self.PRIOR)
        assert ends is not None
        assert 0.0 <= ends[0] <= found.score <= ends[1] <= 1.0

    def test_at_another_prior(self):
        found = frames(20, 20, 20)
        low, high = bounds(as_match(reference("r", "b"), [found]), 0.5) or (1.0, 0.0)
        assert low <= restated(found.score, CALIBRATION.prior, 0.5) <= high

    @pytest.mark.parametrize(
        "match",
        [
            as_match(reference("r", "b"), [frames(4, 4, 4)], exact=("sha256",)),
            as_match(reference("r", "b"), [frames(0, signal_type="videohash")]),
            as_match(reference("r", "b"), [frames(0, 0, 0, signal_type="neural")]),
        ],
        ids=["exact", "whole video", "likeness"],
    )
    def test_where_nothing_is_calibrated_there_are_none(self, match: Match):
        assert bounds(match, self.PRIOR) is None


class TestFile:
    @pytest.mark.parametrize(
        ("old", "new", "complaint"),
        [
            ("version = 1", "version = 2", "version: "),
            ("prior = ", "prior = 1", "prior: "),
            ("hashes = ", "hashes = -", "weights.hashes: "),
            ("local = ", "locale = ", "weights.local: "),
            ("[training]", "[trained]", "training: "),
            ("seed = ", 'seed = "', "is not TOML"),
        ],
    )
    def test_a_bad_one_is_refused(self, old: str, new: str, complaint: str):
        assert old in DATA
        with pytest.raises(ValueError, match="c.toml: ") as refused:
            parse_calibration(DATA.replace(old, new, 1).encode(), "c.toml")
        assert complaint in str(refused.value)

    def test_bounds_that_stand_on_their_heads_are_refused(self):
        low, high = CALIBRATION.bounds.local
        turned = DATA.replace(f"[{low:.4f}, {high:.4f}]", "[2.0, 1.0]")
        assert turned != DATA
        with pytest.raises(ValueError, match=r"bounds\.local: 2\.0 is above 1\.0"):
            parse_calibration(turned.encode(), "c.toml")

    def test_the_packaged_ones_coefficients_lie_within_their_bounds(self):
        values = {"intercept": CALIBRATION.intercept, **CALIBRATION.weights.model_dump()}
        for name, (low, high) in CALIBRATION.bounds.model_dump().items():
            assert low <= values[name] <= high, name
        assert 0 < CALIBRATION.training.true < CALIBRATION.training.pairs


class TestOneScene:
    def test_a_line_of_an_odd_speed_is_one_picture(self):
        odd = frames(20, 20, 20, 20, speed=-1.0)
        assert as_one_scene(odd).evidence == frames(20).evidence

    def test_a_line_of_the_normal_speed_stays_as_it_is(self):
        usual = frames(20, 20, 20, 20)
        assert as_one_scene(usual) == usual
