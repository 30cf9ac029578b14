"""The decision, rule by rule. The builders at the top make a match out of a few numbers."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hashdb.model import (
    Action,
    Alignment,
    Bank,
    Classification,
    Coverage,
    Digests,
    FrameMatch,
    Match,
    MediaKind,
    Orientation,
    Query,
    Reference,
    Segment,
    SegmentPair,
    Standing,
    View,
)
from matcher.allowing import NOTHING_OVER_IT
from matcher.cells import cells_within
from matcher.decide import Evidence, Failure, Ruling, decide
from matcher.findings import combined, covered_s
from matcher.policy import Policy, load_policy, parse_policy
from matcher.score import as_match, rescore

AT = datetime(2026, 11, 1, tzinfo=UTC)
DIGESTS = Digests("0" * 64, "0" * 32)
SURE, LIKELY, VAGUE = 4, 30, 44
"""PDQ distances of a lone picture that say much, some and little."""


def policy(text: str = "") -> Policy:
    return parse_policy(f'version = "t"\n{text}'.encode(), "p.toml")


def reference(name: str, bank: str, action: str = "block", label: str | None = None) -> Reference:
    return Reference(
        id=name,
        bank=Bank(f"bank_{bank}", bank, Action(action), label, True, AT),
        kind=MediaKind.VIDEO,
        digests=DIGESTS,
        source=None,
        origin=None,
        duration_s=60.0,
        frames=600,
        standing=Standing.POSITIVE,
        enabled=True,
        added_at=AT,
    )


def frames(
    start: float, end: float, distance: int = 8, view: View = View.FULL, track: int = 0
) -> list[FrameMatch]:
    """A distinct frame every half second from `start` up to `end`, at the reference's own time."""
    times = [start + i / 2 for i in range(round((end - start) * 2))]
    return [
        FrameMatch(t + 0.25, t + 0.25, distance, round(t * 2), track, view, 0, 0.25, 0.25)
        for t in times
    ]


def shown(
    ref: Reference, found: Sequence[FrameMatch], signal_type: str = "pdq", *, video: bool = True
) -> Match:
    """The match that those frames make."""
    empty = Alignment(ref.id, signal_type, Orientation.ORIGINAL, (), (), 0.0)
    alignment = rescore(empty, found, video=video)
    assert alignment is not None
    return as_match(ref, [alignment])


LEFT = cells_within(0, 0, 112, 255)
RIGHT = cells_within(143, 0, 255, 255)
WHOLE = cells_within(0, 0, 255, 255)


def local(ref: Reference, cells: int) -> Match:
    """The match that local features in those cells make."""
    return shown(ref, [replace(f, cells=cells) for f in frames(0, 10)], "local")


def scored(ref: Reference, score: float, start: float = 0.0, end: float = 20.0) -> Match:
    """A match of that score over those seconds."""
    segment = Segment(start, end)
    alignment = Alignment(
        ref.id,
        "pdq",
        Orientation.ORIGINAL,
        (SegmentPair(segment, segment),),
        tuple(frames(start, end)),
        score,
    )
    return as_match(ref, [alignment])


def exact(ref: Reference, *names: str) -> Match:
    whole = SegmentPair(Segment(0.0, 20.0), Segment(0.0, 20.0))
    return as_match(ref, [], names or ("sha256",), whole)


def judge(
    *matches: Match,
    rules: str = "",
    coverage: Coverage | None = None,
    total_s: float = 20.0,
    kind: MediaKind = MediaKind.VIDEO,
    classifications: Sequence[Classification] = (),
    failures: Sequence[Failure] = (),
    digest_only: bool = False,
) -> Ruling:
    return decide(
        Evidence(
            Query("u1", DIGESTS),
            kind,
            coverage or Coverage(total_s, total_s, 40, 0),
            tuple(matches),
            tuple(classifications),
            tuple(failures),
            digest_only,
        ),
        policy(rules),
    )


def says(ruling: Ruling) -> tuple[str, str]:
    return ruling.action.value, ruling.reason.code


BAD = reference("ref_bad", "attacks")
NEWS = reference("ref_news", "news", "allow")


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
