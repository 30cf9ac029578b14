"""The decision where sound was found, alone or beside pictures."""

import pytest

from hashdb.model import (
    Match,
    Reference,
)
from matcher.score import as_match
from tests.rulings import BAD, VAGUE, frames, judge, reference, says, shown


def heard(ref: Reference, start: float, end: float) -> Match:
    """The reference's sound, found for sure in those seconds."""
    return shown(ref, frames(start, end), "sound")


class TestSoundAlone:
    """A song or a jingle may be under any pictures: sound that nothing else of the reference goes
    with must fill a part of the upload."""

    @pytest.mark.parametrize(
        ("end", "expected"),
        [
            (20.0, ("block", "confident_match")),
            (19.5, ("review", "sound_alone")),
            (2.5, ("review", "sound_alone")),
        ],
    )
    def test_it_blocks_where_it_fills_a_fifth_of_the_upload(
        self, end: float, expected: tuple[str, str]
    ):
        assert says(judge(heard(BAD, 0.0, end), total_s=100.0)) == expected

    def test_it_blocks_no_short_upload_by_less_than_pictures_would(self):
        assert says(judge(heard(BAD, 0.0, 2.5), total_s=10.0)) == ("review", "sound_alone")
        assert says(judge(heard(BAD, 0.0, 3.0), total_s=10.0)) == ("block", "confident_match")

    def test_the_reason_says_what_a_block_needs(self):
        text = judge(heard(BAD, 0.0, 8.0), total_s=100.0).reason.text
        assert text == (
            "Sounds like reference ref_bad of bank attacks by sound: 8.0 s of 100.0 s, score 1.00; "
            "by sound alone a block needs 20.0 s."
        )

    def test_the_reason_says_what_does_not_count(self):
        faint = shown(BAD, frames(3.5, 4.0, distance=45)).alignments
        both = as_match(BAD, [*heard(BAD, 0.0, 2.0).alignments, *faint])
        text = judge(both, total_s=10.0).reason.text
        assert "2.5 s of 10.0 s" in text
        assert "2.0 s of that count, and by sound alone a block needs 3.0 s." in text

    def test_a_policy_may_leave_it_to_moderators(self):
        rules = '[labels.terror]\nsound_alone = "review"'
        terror = reference("ref_terror", "terror", label="terror")
        ruling = judge(heard(terror, 0.0, 20.0), rules=rules)
        assert says(ruling) == ("review", "sound_alone")
        assert "is for a moderator" in ruling.reason.text
        assert says(judge(heard(BAD, 0.0, 20.0), rules=rules))[0] == "block"

    def test_pictures_that_are_sure_need_no_more_than_before(self):
        both = as_match(
            BAD,
            [
                *heard(BAD, 0.0, 8.0).alignments,
                *shown(BAD, frames(0.0, 3.0)).alignments,
            ],
        )
        assert says(judge(both, total_s=100.0)) == ("block", "confident_match")
        rules = '[defaults]\nsound_alone = "review"'
        assert says(judge(both, total_s=100.0, rules=rules)) == ("block", "confident_match")

    def test_pictures_that_ask_for_something_make_the_sound_a_second_witness(self):
        both = as_match(
            BAD,
            [
                *heard(BAD, 0.0, 8.0).alignments,
                *shown(BAD, frames(0.0, 0.5, 26)).alignments,
            ],
        )
        assert says(judge(both, total_s=100.0)) == ("block", "confident_match")

    def test_pictures_that_ask_for_nothing_are_no_second_witness(self):
        weak = shown(BAD, frames(0.0, 0.5, VAGUE))
        assert weak.score < 0.35
        both = as_match(BAD, [*heard(BAD, 0.0, 8.0).alignments, *weak.alignments])
        assert says(judge(both, total_s=100.0)) == ("review", "sound_alone")

    def test_sounds_and_pictures_of_several_references_count_together(self):
        other = reference("ref_other", "attacks")
        some = (heard(BAD, 0.0, 10.0), shown(other, frames(30.0, 32.0)))
        assert says(judge(*some, total_s=100.0)) == ("review", "short_match")
        more = (heard(BAD, 0.0, 18.0), shown(other, frames(30.0, 32.0)))
        assert says(judge(*more, total_s=100.0)) == ("block", "confident_match")


class TestPicturesAndSoundTogether:
    def test_what_both_show_counts_where_neither_is_sure(self):
        seen = shown(BAD, frames(0, 6, 49))
        heard = shown(BAD, frames(0, 6, 94), "sound")
        match = as_match(BAD, [*seen.alignments, *heard.alignments])
        assert max(seen.score, heard.score) < 0.65 < match.score
        assert says(judge(match)) == ("block", "confident_match")

    def test_seconds_that_only_one_of_them_shows_do_not(self):
        seen = shown(BAD, frames(0, 6, 49))
        heard = shown(BAD, frames(5, 11, 94), "sound")
        match = as_match(BAD, [*seen.alignments, *heard.alignments])
        assert says(judge(match)) == ("review", "short_match")
