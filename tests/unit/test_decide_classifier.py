"""The decision on a classifier's score, and at a stated prior."""

import math

import pytest

from hashdb.model import (
    Action,
    Classification,
)
from tests.rulings import (
    BAD,
    LIKELY,
    NEWS,
    exact,
    frames,
    judge,
    says,
    scored,
    shown,
)


class TestClassifier:
    RULES = "[classifier.labels.gore]\nreview = 0.7\nblock = 0.9"

    @pytest.mark.parametrize(
        ("score", "expected"), [(0.69, "allow"), (0.7, "review"), (0.89, "review"), (0.9, "block")]
    )
    def test_alone(self, score: float, expected: str):
        ruling = judge(classifications=[Classification("gore", score, "model")], rules=self.RULES)
        assert ruling.action.value == expected
        code = "no_match" if expected == "allow" else "classifier_score"
        assert ruling.reason.code == code

    def test_off_unless_set(self):
        certain = [Classification("gore", 1.0, "caller")]
        assert judge(classifications=certain).action is Action.ALLOW
        other = "[classifier.labels.other]\nblock = 0.5"
        assert judge(classifications=certain, rules=other).action is Action.ALLOW
        only_block = "[classifier.labels.gore]\nblock = 0.9"
        near = [Classification("gore", 0.89, "caller")]
        assert judge(classifications=near, rules=only_block).action is Action.ALLOW

    def test_the_text_says_whose_score_it_is(self):
        ruling = judge(classifications=[Classification("gore", 0.95, "caller")], rules=self.RULES)
        assert ruling.reason.text == "caller gives gore a score of 0.95."

    def test_a_low_score_does_not_lower(self):
        low = [Classification("gore", 0.0, "caller")]
        assert judge(scored(BAD, 0.9), classifications=low, rules=self.RULES).action is Action.BLOCK

    def test_no_number_is_a_failure_of_the_classifier(self):
        ruling = judge(classifications=[Classification("gore", math.nan, "m")], rules=self.RULES)
        assert says(ruling) == ("review", "classifier_failed")
        assert ruling.classifications == ()

    @pytest.mark.parametrize(("score", "expected"), [(7.0, "block"), (-1.0, "allow")])
    def test_out_of_range_is_brought_into_it(self, score: float, expected: str):
        ruling = judge(classifications=[Classification("gore", score, "m")], rules=self.RULES)
        assert ruling.action.value == expected
        assert 0 <= ruling.classifications[0].score <= 1


class TestPrior:
    """Scores come at the calibration's prior and are ruled at the policy's."""

    LOW = "[score]\nprior = 0.1"

    def test_at_a_lower_prior_the_same_evidence_is_less_sure(self):
        match = scored(BAD, 0.8)
        assert judge(match).action is Action.BLOCK
        assert judge(match, rules=self.LOW).action is Action.ALLOW

    def test_the_verdict_states_its_own(self):
        (match,) = judge(scored(BAD, 0.99), rules=self.LOW).matches
        assert match.score == pytest.approx(0.99 / (0.99 + 0.01 * 81))
        assert match.signals[0].score == match.score

    def test_what_is_exact_stays_certain(self):
        ruling = judge(exact(BAD), rules="[score]\nprior = 0.001")
        assert (ruling.action, ruling.matches[0].score) == (Action.BLOCK, 1.0)

    def test_what_an_allow_list_leaves_is_at_it_too(self):
        quoted = shown(NEWS, frames(0, 2))
        rest = judge(shown(BAD, frames(0, 4, LIKELY)), quoted, rules="[score]\nprior = 0.95")
        (left,) = [m for m in rest.matches if m.reference.id == "ref_bad"]
        plain = shown(BAD, frames(2, 4, LIKELY))
        (same,) = judge(plain, rules="[score]\nprior = 0.95").matches
        assert left.score == pytest.approx(same.score)
