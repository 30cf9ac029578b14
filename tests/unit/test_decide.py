"""The decision, rule by rule."""

import math
from dataclasses import replace

import pytest

from hashdb.model import (
    Action,
    Classification,
    Coverage,
    MediaKind,
    Segment,
)
from matcher.decide import Failure
from matcher.findings import combined, covered_s
from matcher.policy import load_policy
from matcher.score import as_match
from tests.rulings import BAD, NEWS, exact, frames, judge, reference, says, scored, shown


class TestMatches:
    def test_nothing_found_is_allowed(self):
        ruling = judge()
        assert says(ruling) == ("allow", "no_match")
        assert ruling.reason.text == "No match: 20.0 s of 20.0 s were looked at."
        assert ruling.matches == ()

    @pytest.mark.parametrize(
        ("score", "expected"),
        [
            (0.65, ("block", "confident_match")),
            (0.64, ("review", "possible_match")),
            (0.35, ("review", "possible_match")),
            (0.34, ("allow", "no_match")),
        ],
    )
    def test_by_score(self, score: float, expected: tuple[str, str]):
        ruling = judge(scored(BAD, score))
        assert says(ruling) == expected
        assert len(ruling.matches) == (score >= 0.35)

    def test_the_text_says_which_reference_by_what_for_how_long_and_how_surely(self):
        ruling = judge(shown(BAD, frames(0, 12)))
        assert ruling.reason.text == (
            "Shows reference ref_bad of bank attacks by pdq: 12.0 s of 20.0 s, score 1.00."
        )

    @pytest.mark.parametrize(
        ("bank", "rules", "score", "expected"),
        [
            ("review", "", 0.9, "review"),
            ("review", "", 0.6, "review"),
            ("review", '[banks.b]\naction = "block"', 0.9, "block"),
            ("block", '[banks.b]\naction = "review"', 0.9, "review"),
            ("block", '[labels.l]\naction = "review"', 0.9, "review"),
            ("block", "[labels.l]\nconfident = 0.95", 0.9, "review"),
            ("block", "[banks.b]\npossible = 0.6", 0.5, "allow"),
        ],
    )
    def test_by_the_banks_rules(self, bank: str, rules: str, score: float, expected: str):
        ruling = judge(scored(reference("r", "b", bank, "l"), score), rules=rules)
        assert ruling.action.value == expected

    def test_signal_types_that_are_switched_off_do_not_count(self):
        match = shown(BAD, frames(0, 12))
        assert says(judge(match, rules="[signals]\npdq = false")) == ("allow", "no_match")
        assert says(judge(exact(BAD), rules="[signals]\nsha256 = false")) == ("allow", "no_match")
        both = as_match(BAD, match.alignments, ["md5"], match.segments[0])
        off = judge(both, rules="[signals]\npdq = false")
        assert says(off) == ("review", "md5_match")
        assert [s.signal_type for s in off.matches[0].signals] == ["md5"]

    def test_the_gravest_match_comes_first(self):
        maybe, grave = reference("ref_a", "attacks"), reference("ref_z", "attacks")
        ruling = judge(scored(maybe, 0.6), scored(grave, 0.9))
        assert [m.reference.id for m in ruling.matches] == ["ref_z", "ref_a"]
        assert ruling.reason.codes == ("confident_match", "possible_match")


class TestHowMuchMustMatch:
    @pytest.mark.parametrize(
        ("seconds", "total_s", "expected"),
        [
            (3.0, 600.0, "block"),
            (2.5, 600.0, "review"),
            (2.5, 5.0, "block"),
            (2.0, 5.0, "review"),
            (1.0, 2.0, "block"),
            (1.0, 4.0, "review"),
        ],
    )
    def test_three_seconds_or_half(self, seconds: float, total_s: float, expected: str):
        ruling = judge(shown(BAD, frames(0, seconds)), total_s=total_s)
        code = "confident_match" if expected == "block" else "short_match"
        assert says(ruling) == (expected, code)

    def test_a_short_match_says_what_a_block_needs(self):
        text = judge(shown(BAD, frames(0, 2)), total_s=600.0).reason.text
        assert text.endswith("2.0 s of 600.0 s, score 1.00; a block needs 3.0 s.")

    def test_of_what_is_shorter_than_a_second_hundredths_are_said(self):
        text = judge(shown(BAD, frames(0, 0.5)), total_s=0.8).reason.text
        assert ": 0.50 s of 0.80 s, score" in text
        text = judge(shown(BAD, frames(0, 0.5)), total_s=1.5).reason.text
        assert ": 0.5 s of 1.5 s, score" in text
        assert text.endswith("; a block needs 0.75 s.")

    def test_an_image_counts_as_whole(self):
        match = shown(BAD, frames(0, 0.5, 0), video=False)
        ruling = judge(match, kind=MediaKind.IMAGE, coverage=Coverage(0, 0, 1, 0))
        assert says(ruling) == ("block", "confident_match")

    @pytest.mark.parametrize("distance", range(47))
    def test_an_image_must_be_surer(self, distance: int):
        """No other picture could speak against it: what would do of a video asks for review."""
        match = shown(BAD, frames(0, 0.5, distance), video=False)
        ruling = judge(match, kind=MediaKind.IMAGE, coverage=Coverage(0, 0, 1, 0))
        policy = load_policy(None)
        limits, images = policy.defaults, policy.images
        expected = (
            Action.BLOCK if match.score >= images.confident
            else Action.REVIEW if match.score >= limits.possible else Action.ALLOW
        )  # fmt: skip
        assert images.confident > limits.confident
        assert ruling.action is expected

    def test_scattered_segments_of_one_or_several_references_count_together(self):
        a, b = reference("ref_a", "attacks"), reference("ref_b", "more")
        one, other = shown(a, frames(0, 2)), shown(b, frames(10, 12))
        assert judge(one, total_s=600).action is Action.REVIEW
        assert says(judge(one, other, total_s=600)) == ("block", "confident_match")

    def test_the_same_seconds_count_once(self):
        a, b = reference("ref_a", "attacks"), reference("ref_b", "more")
        ruling = judge(shown(a, frames(0, 2)), shown(b, frames(0, 2)), total_s=600)
        assert says(ruling) == ("review", "short_match")

    def test_seconds_that_ask_for_no_block_or_are_not_confident_do_not_count(self):
        short = shown(BAD, frames(0, 2))
        milder = shown(reference("ref_r", "rumours", "review"), frames(10, 20))
        unsure = scored(reference("ref_u", "attacks"), 0.6, 10, 20)
        assert judge(short, milder, unsure, total_s=600).action is Action.REVIEW

    def test_seconds_of_a_stricter_bank_do_not_help_a_laxer_one(self):
        strict = shown(reference("ref_s", "strict"), frames(0, 5))
        lax = shown(BAD, frames(10, 11))
        rules = "[banks.strict]\nmin_seconds = 10.0"
        assert judge(strict, lax, total_s=600, rules=rules).action is Action.REVIEW
        enough = shown(BAD, frames(10, 16))
        assert judge(strict, enough, total_s=600, rules=rules).action is Action.BLOCK

    def test_a_confident_stretch_is_not_made_longer_by_an_unsure_one(self):
        sure, unsure = scored(BAD, 0.95, 0, 2), scored(BAD, 0.6, 10, 20)
        match = as_match(BAD, [*sure.alignments, *unsure.alignments])
        assert says(judge(match, total_s=600)) == ("review", "short_match")


class TestExact:
    def test_sha256_asks_for_the_banks_action(self):
        assert says(judge(exact(BAD))) == ("block", "sha256_match")
        mild = exact(reference("r", "b", "review"))
        assert says(judge(mild)) == ("review", "sha256_match")

    def test_md5_alone_asks_for_review_at_most(self):
        assert says(judge(exact(BAD, "md5"))) == ("review", "md5_match")
        assert says(judge(exact(BAD, "md5"), rules='[banks.attacks]\naction = "block"')) == (
            "review",
            "md5_match",
        )

    def test_md5_beside_pictures_leaves_them_their_say(self):
        match = shown(BAD, frames(0, 12))
        both = as_match(BAD, match.alignments, ["md5"], match.segments[0])
        ruling = judge(both)
        assert says(ruling) == ("block", "confident_match")
        assert ruling.reason.codes == ("confident_match", "md5_match")

    def test_md5_and_sha256_block(self):
        ruling = judge(exact(BAD, "sha256", "md5"))
        assert ruling.action is Action.BLOCK
        assert ruling.reason.codes == ("sha256_match",)

    def test_a_known_file_is_not_said_to_be_unseen_beside_its_block(self):
        unseen = Coverage(0, 0, 0, 0)
        assert judge(exact(BAD), coverage=unseen).reason.codes == ("sha256_match",)
        graver = judge(
            exact(reference("r", "b", "review")),
            coverage=unseen,
            rules='[coverage]\nnothing_judged = "block"',
        )
        assert graver.reason.codes == ("nothing_judged", "sha256_match")


class TestCombined:
    """Default: prior 0.1, review from 0.9, so that the two scores must make 1 together."""

    REF = reference("r", "b", "block", "gore")

    def both(self, match: float, score: float, rules: str = "", label: str = "gore", **more):
        given = [Classification(label, score, "model")]
        return judge(scored(self.REF, match, **more), classifications=given, rules=rules)

    def test_the_formula(self):
        assert combined(0.4, 0.6, 0.1) == pytest.approx(0.9)
        assert combined(0.3, 0.1, 0.1) == pytest.approx(0.3)
        assert combined(0.3, 0.05, 0.1) < 0.3
        assert 0.99 < combined(1.0, 1.0, 0.1) <= 1.0
        assert 0.0 <= combined(0.0, 0.0, 0.1) < 0.01

    def test_two_weak_signals_ask_for_review(self):
        assert judge(scored(self.REF, 0.34)).action is Action.ALLOW
        ruling = self.both(0.34, 0.7)
        assert says(ruling) == ("review", "combined_signals")
        assert "uncalibrated" in ruling.reason.text
        assert [m.reference.id for m in ruling.matches] == ["r"]

    @pytest.mark.parametrize(
        ("match", "score"), [(0.34, 0.55), (0.2, 0.99), (0.34, 0.0)], ids=["", "match", "score"]
    )
    def test_what_is_too_weak_stays_allowed(self, match: float, score: float):
        assert self.both(match, score).action is Action.ALLOW

    def test_the_labels_must_agree(self):
        assert self.both(0.34, 0.9, label="nudity").action is Action.ALLOW
        rules = '[combined.supports]\nnudity = ["gore"]'
        assert self.both(0.34, 0.9, label="nudity", rules=rules).action is Action.REVIEW
        unlabelled = scored(reference("r", "b"), 0.34)
        given = [Classification("gore", 0.9, "model")]
        assert judge(unlabelled, classifications=given).action is Action.ALLOW

    def test_off(self):
        assert self.both(0.34, 0.9, rules="[combined]\nenabled = false").action is Action.ALLOW

    def test_it_blocks_only_where_set_and_where_enough_matches(self):
        assert self.both(0.6, 0.9).action is Action.REVIEW
        rules = "[combined]\nblock = 0.98"
        assert self.both(0.6, 0.9, rules).action is Action.BLOCK
        assert self.both(0.6, 0.6, rules).action is Action.REVIEW
        assert self.both(0.6, 0.9, rules, start=0.0, end=1.0).action is Action.REVIEW

    def test_a_sure_moment_in_a_longer_unsure_stretch_counts_with_it(self):
        sure, unsure = scored(self.REF, 0.95, 0, 1), scored(self.REF, 0.6, 1, 10)
        match = as_match(self.REF, [*sure.alignments, *unsure.alignments])
        given = [Classification("gore", 0.9, "model")]
        assert judge(match, classifications=given).reason.codes == ("short_match",)
        rules = "[combined]\nblock = 0.98"
        ruling = judge(match, classifications=given, rules=rules)
        assert says(ruling) == ("block", "combined_signals")
        rules = "[combined]\nblock = 0.998"
        assert judge(match, classifications=given, rules=rules).action is Action.REVIEW

    def test_it_never_asks_for_more_than_the_bank(self):
        mild = scored(reference("r", "b", "review", "gore"), 0.7)
        given = [Classification("gore", 0.99, "model")]
        rules = "[combined]\nblock = 0.9"
        assert judge(mild, classifications=given, rules=rules).action is Action.REVIEW

    def test_what_an_allow_list_explains_is_not_combined(self):
        news = shown(NEWS, frames(0, 20))
        given = [Classification("gore", 0.99, "model")]
        ruling = judge(scored(self.REF, 0.4), news, classifications=given)
        assert says(ruling) == ("allow", "allow_listed")


class TestCoverage:
    def test_low_coverage(self):
        ruling = judge(coverage=Coverage(79.0, 100.0, 50, 0))
        assert says(ruling) == ("review", "low_coverage")
        assert ruling.reason.text == "Only 79.0 s of 100.0 s were looked at."
        assert says(judge(coverage=Coverage(80.0, 100.0, 50, 0))) == ("allow", "no_match")

    def test_a_policy_that_allows_low_coverage_still_says_so(self):
        rules = '[coverage]\nlow_coverage = "allow"'
        ruling = judge(coverage=Coverage(10.0, 100.0, 50, 0), rules=rules)
        assert says(ruling) == ("allow", "low_coverage")

    def test_truncated(self):
        ruling = judge(coverage=Coverage(10.0, 100.0, 50, 0, truncated=True))
        assert ruling.action is Action.REVIEW
        assert ruling.reason.codes == ("low_coverage", "truncated")
        rules = '[coverage]\nlow_coverage = "allow"'
        ruling = judge(coverage=Coverage(10.0, 100.0, 50, 0, truncated=True), rules=rules)
        assert says(ruling) == ("review", "truncated")
        late = judge(coverage=Coverage(95.0, 100.0, 50, 0, truncated=True))
        assert says(late) == ("allow", "truncated")

    def test_only_flat_frames(self):
        assert says(judge(coverage=Coverage(20, 20, 40, 40))) == ("review", "only_flat_frames")
        assert says(judge(coverage=Coverage(20, 20, 40, 39))) == ("allow", "no_match")
        image = Coverage(0, 0, 1, 1)
        assert says(judge(coverage=image, kind=MediaKind.IMAGE)) == ("review", "only_flat_frames")

    def test_nothing_judged_and_digests_only(self):
        nothing = Coverage(0, 0, 0, 0)
        assert says(judge(coverage=nothing)) == ("review", "nothing_judged")
        assert says(judge(coverage=nothing, digest_only=True)) == ("review", "digest_only")
        rules = '[coverage]\ndigest_only = "allow"'
        ruling = judge(coverage=nothing, digest_only=True, rules=rules)
        assert says(ruling) == ("allow", "digest_only")

    def test_a_file_that_an_allow_list_knows_needs_no_look(self):
        nothing = Coverage(0, 0, 0, 0)
        assert says(judge(exact(NEWS), coverage=nothing)) == ("allow", "allow_listed")
        assert says(judge(exact(NEWS, "md5"), coverage=nothing)) == ("review", "nothing_judged")

    def test_an_allow_list_that_matches_by_pictures_does_not_make_up_for_it(self):
        ruling = judge(shown(NEWS, frames(0, 10)), coverage=Coverage(10.0, 100.0, 50, 0))
        assert says(ruling) == ("review", "low_coverage")


class TestFailures:
    @pytest.mark.parametrize(
        ("part", "code"),
        [
            ("index", "index_failed"),
            ("classifier", "classifier_failed"),
            ("second look", "part_failed"),
        ],
    )
    def test_a_part_that_failed_asks_for_review(self, part: str, code: str):
        ruling = judge(failures=[Failure(part, "no answer")])
        assert says(ruling) == ("review", code)
        assert ruling.reason.text == f"The {part} failed: no answer."

    def test_not_even_an_allow_lists_file_passes_without_the_index(self):
        ruling = judge(exact(NEWS), failures=[Failure("index", "no answer")])
        assert says(ruling) == ("review", "index_failed")

    def test_an_ignored_classifier_is_still_named(self):
        rules = '[failures]\nclassifier = "ignore"'
        ruling = judge(failures=[Failure("classifier", "no answer")], rules=rules)
        assert says(ruling) == ("allow", "classifier_failed")

    def test_a_match_whose_score_is_no_number_is_a_failure(self):
        ruling = judge(replace(scored(BAD, 0.9), score=math.nan))
        assert says(ruling) == ("review", "part_failed")


def test_the_text_spells_out_a_few_findings_and_counts_the_rest():
    many = [scored(reference(f"r{i}", "attacks"), 0.9) for i in range(6)]
    ruling = judge(*many)
    assert ruling.reason.text.count("Shows reference") == 4
    assert ruling.reason.text.endswith("And 2 more.")
    assert len(ruling.matches) == 6
    assert ruling.reason.codes == ("confident_match",)


@pytest.mark.parametrize(
    ("segments", "seconds"),
    [([], 0), ([(0, 2), (1, 3)], 3), ([(0, 1), (5, 6)], 2), ([(0, 9), (1, 2)], 9), ([(4, 4)], 0)],
)
def test_seconds_of_a_union(segments: list[tuple[float, float]], seconds: float):
    assert covered_s(Segment(*s) for s in segments) == seconds
