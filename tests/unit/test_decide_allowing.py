"""The decision where an allow-list explains what was found, or part of it."""

from dataclasses import replace

import pytest

from hashdb.model import (
    Action,
    Classification,
    FrameMatch,
    View,
)
from matcher.allowing import NOTHING_OVER_IT
from matcher.score import as_match
from tests.rulings import (
    BAD,
    LEFT,
    LIKELY,
    NEWS,
    RIGHT,
    WHOLE,
    exact,
    frames,
    judge,
    local,
    reference,
    says,
    scored,
    shown,
)


class TestAllowLists:
    def test_the_same_frames_at_the_same_times_are_explained(self):
        quoted = frames(4, 8)
        ruling = judge(shown(BAD, quoted), shown(NEWS, frames(0, 20)))
        assert says(ruling) == ("allow", "allow_listed")
        assert [m.reference.id for m in ruling.matches] == ["ref_news"]

    def test_an_upload_of_the_original_is_blocked_by_the_seconds_that_are_not_quoted(self):
        ruling = judge(shown(BAD, frames(0, 20)), shown(NEWS, frames(4, 8)))
        assert says(ruling) == ("block", "confident_match")
        left = [m for m in ruling.matches if m.reference.id == "ref_bad"][0]
        assert [(p.query.start, p.query.end) for p in left.segments] == [(0, 4), (8, 20)]
        assert {f.offset for a in left.alignments for f in a.frames} == {
            f.offset for f in frames(0, 4) + frames(8, 20)
        }

    def test_what_is_left_is_scored_anew(self):
        ruling = judge(shown(BAD, frames(0, 10)), shown(NEWS, frames(0, 9)), total_s=600)
        assert says(ruling) == ("review", "short_match")
        one_left = frames(0, 10)[:-1] + frames(9.5, 10, LIKELY)
        weak = judge(shown(BAD, one_left), shown(NEWS, frames(0, 9.5)), total_s=600)
        assert says(weak) == ("allow", "allow_listed")

    @pytest.mark.parametrize(
        "elsewhere",
        [
            frames(0, 10, track=1),
            [replace(f, offset=f.offset + 0.1) for f in frames(0, 10)],
        ],
        ids=["another track", "another time"],
    )
    def test_other_frames_are_not_explained(self, elsewhere: list[FrameMatch]):
        ruling = judge(shown(BAD, frames(0, 10)), shown(NEWS, elsewhere))
        assert says(ruling) == ("block", "confident_match")

    def test_a_frame_is_explained_with_and_without_its_borders(self):
        ruling = judge(shown(BAD, frames(0, 10, view=View.TRIMMED)), shown(NEWS, frames(0, 10)))
        assert says(ruling) == ("allow", "allow_listed")

    def test_all_of_an_allowed_picture_with_nothing_over_it_is_explained(self):
        for banned in (shown(BAD, frames(0, 10, view=View.PANE)), local(BAD, LEFT)):
            ruling = judge(banned, shown(NEWS, frames(0, 10, NOTHING_OVER_IT)))
            assert says(ruling) == ("allow", "allow_listed")
            ruling = judge(banned, shown(NEWS, frames(0, 10, NOTHING_OVER_IT + 1)))
            assert says(ruling) == ("block", "confident_match")

    def test_one_frame_that_is_further_off_does_not_have_something_over_it(self):
        allowed = frames(0, 10)
        allowed[9] = replace(allowed[9], distance=40)
        ruling = judge(shown(BAD, frames(0, 10, view=View.PANE)), shown(NEWS, allowed))
        assert says(ruling) == ("allow", "allow_listed")
        allowed = [replace(f, distance=40 if i % 4 else 8) for i, f in enumerate(allowed)]
        ruling = judge(shown(BAD, frames(0, 10, view=View.PANE)), shown(NEWS, allowed))
        assert says(ruling) == ("block", "confident_match")

    def test_whole_pictures_that_look_alike_explain_each_other(self):
        ruling = judge(shown(BAD, frames(0, 10)), shown(NEWS, frames(0, 10, 30)))
        assert says(ruling) == ("allow", "allow_listed")

    def test_local_features_explain_what_is_at_their_place(self):
        assert says(judge(local(BAD, LEFT), local(NEWS, LEFT))) == ("allow", "allow_listed")
        assert says(judge(local(BAD, LEFT), local(NEWS, WHOLE))) == ("allow", "allow_listed")
        for beside in (RIGHT, 0):
            ruling = judge(local(BAD, LEFT), local(NEWS, beside))
            assert says(ruling) == ("block", "confident_match")

    def test_places_that_several_allowed_references_show_are_taken_together(self):
        sport = reference("ref_sport", "sport", "allow")
        ruling = judge(local(BAD, WHOLE), local(NEWS, LEFT), local(sport, RIGHT))
        assert says(ruling) == ("allow", "allow_listed")
        ruling = judge(local(BAD, WHOLE), local(NEWS, LEFT), local(sport, LEFT))
        assert says(ruling) == ("block", "confident_match")

    def test_a_whole_pictures_hash_is_explained_by_features_all_over_it(self):
        whole = shown(BAD, frames(0, 10, 30))
        assert says(judge(whole, local(NEWS, WHOLE))) == ("allow", "allow_listed")
        assert says(judge(whole, local(NEWS, LEFT))) == ("block", "confident_match")

    def test_hashes_are_where_local_features_see_their_reference(self):
        both = [m.alignments[0] for m in (shown(BAD, frames(0, 10)), local(BAD, RIGHT))]
        ruling = judge(as_match(BAD, both), shown(NEWS, frames(0, 10, 30)), local(NEWS, LEFT))
        assert says(ruling) == ("block", "confident_match")
        ruling = judge(as_match(BAD, both), local(NEWS, RIGHT))
        assert says(ruling) == ("allow", "allow_listed")

    def test_a_pane_is_explained_by_allowed_features_within_it(self):
        pane = [replace(f, cells=LEFT) for f in frames(0, 10, view=View.PANE)]
        assert says(judge(shown(BAD, pane), local(NEWS, WHOLE))) == ("allow", "allow_listed")
        for beside in (RIGHT, 0):
            ruling = judge(shown(BAD, pane), local(NEWS, beside))
            assert says(ruling) == ("block", "confident_match")
        ruling = judge(shown(BAD, frames(0, 10, view=View.PANE)), local(NEWS, WHOLE))
        assert says(ruling) == ("block", "confident_match")  # where it is is not known

    def test_what_is_allowed_in_a_pane_explains_features_within_it(self):
        pane = shown(NEWS, [replace(f, cells=LEFT) for f in frames(0, 10, view=View.PANE)])
        assert says(judge(local(BAD, LEFT), pane)) == ("allow", "allow_listed")
        assert says(judge(local(BAD, RIGHT), pane)) == ("block", "confident_match")

    @pytest.mark.parametrize("view", [View.FULL, View.TRIMMED, View.PANE_2])
    def test_what_is_allowed_in_a_part_of_the_picture_explains_nothing_beside_it(self, view: View):
        allowed = shown(NEWS, frames(0, 10, view=View.PANE))
        ruling = judge(shown(BAD, frames(0, 10, view=view)), allowed)
        assert says(ruling) == ("block", "confident_match")
        ruling = judge(shown(BAD, frames(0, 10, view=View.PANE)), allowed)
        assert says(ruling) == ("allow", "allow_listed")

    def test_a_frame_is_explained_for_every_signal_type_of_frames(self):
        ruling = judge(shown(BAD, frames(0, 10), "phash"), shown(NEWS, frames(0, 10)))
        assert says(ruling) == ("allow", "allow_listed")

    def test_a_whole_videos_hash_is_not_explained_by_a_frame_at_its_offset(self):
        rules = "[signals]\nvideohash = true"
        video = replace(frames(0, 0.5, 0)[0], offset=0.25)
        match = shown(BAD, [video], "videohash")
        assert match.score >= 0.35
        ruling = judge(match, shown(NEWS, frames(0, 10)), rules=rules)
        assert says(ruling) == ("review", "possible_match")

    def test_sound_explains_sound_and_pictures_explain_pictures(self):
        whole = frames(0, 20)
        for signal_type in ("sound", "pdq"):
            quoted = [replace(f, offset=f.offset + 0.2) for f in whole]
            news = shown(NEWS, quoted if signal_type == "sound" else whole, signal_type)
            for other, expected in (("sound", "allow"), ("pdq", "block"), ("local", "block")):
                if signal_type == "pdq":
                    expected = {"sound": "block"}.get(other, "allow")
                ruling = judge(shown(BAD, whole, other), news)
                assert ruling.action.value == expected, (signal_type, other)

    def test_an_allow_list_found_by_pictures_explains_its_sound_as_well(self):
        both = [shown(NEWS, frames(0, 20), s).alignments[0] for s in ("pdq", "sound")]
        ruling = judge(shown(BAD, frames(0, 20), "sound"), as_match(NEWS, both))
        assert says(ruling) == ("allow", "allow_listed")

    def test_seconds_of_sound_that_are_not_explained_are_left(self):
        quoted = shown(NEWS, frames(0, 8), "sound")
        ruling = judge(shown(BAD, frames(0, 20), "sound"), quoted)
        assert says(ruling) == ("block", "confident_match")
        (left,) = [m for m in ruling.matches if m.reference.id == "ref_bad"]
        assert left.segments[0].query.start == pytest.approx(8.5, abs=0.3)

    def test_an_unsure_allow_match_explains_nothing(self):
        ruling = judge(shown(BAD, frames(0, 10)), scored(NEWS, 0.64, 0, 10))
        assert says(ruling) == ("block", "confident_match")
        assert [m.reference.id for m in ruling.matches] == ["ref_bad"]

    def test_a_policy_can_make_a_bank_an_allow_list(self):
        rules = '[banks.known]\naction = "allow"'
        known = shown(reference("k", "known", "block"), frames(0, 20))
        assert says(judge(known, rules=rules)) == ("allow", "allow_listed")

    def test_an_exact_match_is_never_cancelled(self):
        allowed = shown(NEWS, frames(0, 20))
        assert says(judge(exact(BAD), allowed)) == ("block", "sha256_match")
        assert says(judge(exact(BAD, "md5"), allowed)) == ("review", "md5_match")
        assert says(judge(exact(BAD), exact(NEWS))) == ("block", "sha256_match")
        assert says(judge(exact(BAD, "md5"), exact(NEWS))) == ("review", "md5_match")

    def test_the_very_file_of_an_allow_list_is_explained_whole(self):
        other = shown(BAD, frames(0, 20, view=View.TRIMMED))
        ruling = judge(other, exact(NEWS))
        assert says(ruling) == ("allow", "allow_listed")
        assert [m.reference.id for m in ruling.matches] == ["ref_news"]

    def test_an_exact_match_keeps_its_digest_when_its_pictures_are_explained(self):
        pictures = shown(BAD, frames(0, 10))
        both = as_match(BAD, pictures.alignments, ["sha256"], exact(BAD).segments[0])
        ruling = judge(both, exact(NEWS))
        assert says(ruling) == ("block", "sha256_match")
        assert [s.signal_type for s in ruling.matches[0].signals] == ["sha256"]

    def test_the_md5_of_an_allow_list_explains_nothing(self):
        ruling = judge(shown(BAD, frames(0, 10)), exact(NEWS, "md5"))
        assert says(ruling) == ("block", "confident_match")
        assert says(judge(exact(NEWS, "md5"))) == ("allow", "no_match")

    def test_a_classifiers_score_is_not_explained(self):
        rules = "[classifier.labels.gore]\nblock = 0.9"
        gore = [Classification("gore", 0.95, "model")]
        ruling = judge(exact(NEWS), classifications=gore, rules=rules)
        assert says(ruling) == ("block", "classifier_score")


class TestLikeness:
    """Descriptors: what looks alike is not the same."""

    RULES = "[signals]\nneural = true"

    def test_it_asks_for_review_and_never_for_a_block(self):
        match = shown(BAD, frames(0, 20, 0), "neural")
        assert match.score > 0.99
        ruling = judge(match, rules=self.RULES)
        assert says(ruling) == ("review", "possible_match")
        assert "by neural" in ruling.reason.text

    def test_switched_off_it_says_nothing(self):
        assert says(judge(shown(BAD, frames(0, 20, 0), "neural"))) == ("allow", "no_match")

    def test_beside_another_signal_it_adds_neither_sureness_nor_seconds(self):
        sure = shown(BAD, frames(0, 2)).alignments[0]
        like = shown(BAD, frames(0, 20, 0), "neural").alignments[0]
        short = judge(as_match(BAD, [sure, like]), rules=self.RULES)
        assert says(short) == ("review", "short_match")
        whole = shown(BAD, frames(0, 20)).alignments[0]
        assert says(judge(as_match(BAD, [whole, like]), rules=self.RULES)) == (
            "block",
            "confident_match",
        )

    def test_with_a_classifier_it_makes_no_more_than_alone(self):
        rules = f"{self.RULES}\n[combined]\nblock = 0.95"
        bad = reference("ref_bad", "bad", label="terror")
        score = Classification("terror", 0.9, "m")
        ruling = judge(shown(bad, frames(0, 20, 0), "neural"), rules=rules, classifications=[score])
        assert says(ruling) == ("review", "possible_match")

    def test_one_picture_alone_is_below_every_threshold(self):
        ruling = judge(shown(BAD, frames(0, 0.5, 0), "neural"), rules=self.RULES)
        assert says(ruling) == ("allow", "no_match")

    def test_an_allow_list_found_by_likeness_alone_explains_nothing(self):
        for other in ("pdq", "neural", "sound"):
            news = shown(NEWS, frames(0, 20, 0), "neural")
            alone = judge(shown(BAD, frames(0, 20, 0), other), rules=self.RULES)
            assert judge(shown(BAD, frames(0, 20, 0), other), news, rules=self.RULES) == alone
            assert alone.action is not Action.ALLOW

    def test_an_allow_list_that_is_sure_explains_what_looks_like_it_too(self):
        both = [shown(NEWS, frames(0, 20), s).alignments[0] for s in ("pdq", "neural")]
        ruling = judge(
            shown(BAD, frames(0, 20, 0), "neural"), as_match(NEWS, both), rules=self.RULES
        )
        assert says(ruling) == ("allow", "allow_listed")
