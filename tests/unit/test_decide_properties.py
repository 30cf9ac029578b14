"""What must hold of every decision, whatever the evidence and the policy."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    now,
)
from matcher.decide import Evidence, Failure, ReasonCode, decide
from matcher.policy import Policy, load_policy, parse_policy
from matcher.score import as_match, rescore

AT = now()
DIGESTS = Digests("0" * 64, "0" * 32)
BANKS = [
    Bank("b1", "attacks", Action.BLOCK, "terror", True, AT),
    Bank("b2", "gore", Action.BLOCK, "gore", True, AT),
    Bank("b3", "rumours", Action.REVIEW, "terror", True, AT),
    Bank("b4", "plain", Action.BLOCK, None, True, AT),
    Bank("b5", "news", Action.ALLOW, None, True, AT),
    Bank("b6", "films", Action.ALLOW, "terror", True, AT),
]
RULES = """
version = "all"
[signals]
videohash = true
[banks.gore]
min_seconds = 6.0
[coverage]
low_coverage = "{asked}"
only_flat_frames = "{asked}"
digest_only = "{asked}"
nothing_judged = "block"
[failures]
classifier = "{failed}"
[classifier.labels.terror]
review = 0.6
block = 0.9
[combined]
review = 0.7
block = 0.95
[combined.supports]
gore = ["terror"]
"""
POLICIES = [load_policy(None)] + [
    parse_policy(RULES.format(asked=asked, failed=failed).encode(), "p.toml")
    for asked, failed in [("allow", "ignore"), ("review", "review"), ("block", "block")]
]


def reference(number: int, bank: Bank) -> Reference:
    return Reference(
        f"ref_{number}", bank, MediaKind.VIDEO, DIGESTS, None, None, 20.0, 40,
        Standing.POSITIVE, True, AT,
    )  # fmt: skip


@st.composite
def alignments(draw: st.DrawFn, reference_id: str) -> Alignment:
    signal_type = draw(st.sampled_from(["pdq", "phash", "videohash"]))
    radius = {"pdq": 31, "phash": 6, "videohash": 4}[signal_type]
    start = draw(st.integers(0, 15))
    count = draw(st.integers(1, 8))
    view = draw(st.sampled_from(list(View)))
    distance = st.integers(0, radius)
    frames = [
        FrameMatch(s + 0.5, s + 0.5, draw(distance), s, 0, view, 0, 0.5, 0.5)
        for s in range(start, start + count)
    ]
    empty = Alignment(reference_id, signal_type, Orientation.ORIGINAL, (), (), 0.0)
    found = rescore(empty, frames, video=True)
    assert found is not None
    return found


@st.composite
def matches(draw: st.DrawFn, number: int) -> Match:
    ref = reference(number, draw(st.sampled_from(BANKS)))
    exact = draw(st.sampled_from([(), (), (), ("md5",), ("sha256",), ("sha256", "md5")]))
    found = draw(st.lists(alignments(ref.id), min_size=0 if exact else 1, max_size=3))
    whole = SegmentPair(Segment(0, 20), Segment(0, 20)) if exact else None
    return as_match(ref, found, exact, whole)


scores = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 1)
classifications = st.builds(
    Classification, st.sampled_from(["terror", "gore", "cats"]), scores, st.just("caller")
)
failures = st.builds(
    Failure, st.sampled_from(["index", "classifier", "second look"]), st.just("no answer")
)
coverages = st.sampled_from(
    [
        Coverage(20, 20, 40, 0),
        Coverage(20, 20, 40, 40),
        Coverage(5, 20, 10, 0),
        Coverage(5, 20, 10, 0, truncated=True),
        Coverage(19, 20, 10, 0, truncated=True),
        Coverage(0, 0, 0, 0),
        Coverage(0, 0, 1, 0),
    ]
)


@st.composite
def evidence(draw: st.DrawFn) -> Evidence:
    return Evidence(
        Query("u", DIGESTS),
        draw(st.sampled_from(list(MediaKind))),
        draw(coverages),
        tuple(draw(matches(i)) for i in range(draw(st.integers(0, 4)))),
        tuple(draw(st.lists(classifications, max_size=3))),
        tuple(draw(st.lists(failures, max_size=2))),
        draw(st.booleans()),
    )


policies = st.sampled_from(POLICIES)
many = settings(max_examples=200, deadline=None)


def severity(given_evidence: Evidence, policy: Policy) -> int:
    return decide(given_evidence, policy).action.severity


@many
@given(evidence(), policies, st.data())
def test_the_order_of_the_evidence_does_not_matter(
    found: Evidence, policy: Policy, data: st.DataObject
):
    shuffled = replace(
        found,
        matches=tuple(data.draw(st.permutations(found.matches))),
        classifications=tuple(data.draw(st.permutations(found.classifications))),
        failures=tuple(data.draw(st.permutations(found.failures))),
    )
    assert decide(shuffled, policy) == decide(found, policy)


@many
@given(evidence(), policies, classifications)
def test_a_classification_never_lowers(found: Evidence, policy: Policy, one: Classification):
    more = replace(found, classifications=(*found.classifications, one))
    assert severity(more, policy) >= severity(found, policy)


@many
@given(evidence(), policies, failures)
def test_a_failure_never_lowers(found: Evidence, policy: Policy, one: Failure):
    more = replace(found, failures=(*found.failures, one))
    assert severity(more, policy) >= severity(found, policy)


@many
@given(evidence(), policies, st.data())
def test_only_a_removed_allow_list_match_may_raise(
    found: Evidence, policy: Policy, data: st.DataObject
):
    listed = [m for m in found.matches if m.reference.bank.action is not Action.ALLOW]
    if not listed:
        return
    gone = data.draw(st.sampled_from(listed))
    fewer = replace(found, matches=tuple(m for m in found.matches if m is not gone))
    assert severity(fewer, policy) <= severity(found, policy)


@many
@given(evidence(), policies, st.data())
def test_an_alignment_never_lowers(found: Evidence, policy: Policy, data: st.DataObject):
    places = [
        (i, n)
        for i, m in enumerate(found.matches)
        if m.reference.bank.action is not Action.ALLOW
        for n in range(len(m.alignments))
        if m.exact or len(m.alignments) > 1
    ]
    if not places:
        return
    place, number = data.draw(st.sampled_from(places))
    match = found.matches[place]
    fewer = [a for n, a in enumerate(match.alignments) if n != number]
    exact = [s.signal_type for s in match.signals if s.signal_type in ("sha256", "md5")]
    without = as_match(match.reference, fewer, exact, match.segments[0] if exact else None)
    less = replace(found, matches=tuple(without if m is match else m for m in found.matches))
    assert severity(less, policy) <= severity(found, policy)


@many
@given(evidence(), policies, st.data())
def test_an_allow_list_match_never_raises(found: Evidence, policy: Policy, data: st.DataObject):
    match = data.draw(matches(50))
    allow = as_match(
        replace(match.reference, bank=BANKS[4]),
        match.alignments,
        [s.signal_type for s in match.signals if s.signal_type in ("sha256", "md5")],
        match.segments[0] if match.exact else None,
    )
    more = replace(found, matches=(*found.matches, allow))
    assert severity(more, policy) <= severity(found, policy)


@many
@given(evidence(), policies)
def test_an_allow_list_never_lowers_an_exact_match(found: Evidence, policy: Policy):
    """Whatever else is there, a file whose SHA-256 is in a bank that blocks is blocked."""
    known = as_match(
        reference(99, BANKS[0]), (), ("sha256",), SegmentPair(Segment(0, 20), Segment(0, 20))
    )
    ruling = decide(replace(found, matches=(*found.matches, known)), policy)
    assert ruling.action is Action.BLOCK
    assert known in ruling.matches


@many
@given(evidence(), policies)
def test_an_allow_list_lowers_only_by_what_it_explains(found: Evidence, policy: Policy):
    """Without the frames that allow-lists show, the rest decides the same without them."""
    allowed = [m for m in found.matches if m.reference.bank.action is Action.ALLOW]
    listed = tuple(m for m in found.matches if m.reference.bank.action is not Action.ALLOW)
    times = {f.offset for m in allowed for a in m.alignments for f in a.frames}
    if any(s.signal_type == "sha256" for m in allowed for s in m.signals):
        return
    if any(f.offset in times for m in listed for a in m.alignments for f in a.frames):
        return
    alone = decide(replace(found, matches=listed), policy)
    assert decide(found, policy).action is alone.action


@many
@given(evidence(), policies)
def test_the_reason_is_whole(found: Evidence, policy: Policy):
    ruling = decide(found, policy)
    assert ruling.reason.code == ruling.reason.codes[0]
    assert set(ruling.reason.codes) <= {c.value for c in ReasonCode}
    assert ruling.reason.text.endswith(".")
    assert len({m.reference.id for m in ruling.matches}) == len(ruling.matches)
    if ruling.action is Action.ALLOW:
        never = {"sha256_match", "confident_match", "short_match", "possible_match", "md5_match"}
        assert not never & set(ruling.reason.codes)


@many
@given(evidence(), policies)
def test_what_was_not_looked_at_is_never_plainly_allowed(found: Evidence, policy: Policy):
    blind = replace(found, coverage=Coverage(0, 0, 0, 0), digest_only=False, matches=())
    ruling = decide(blind, policy)
    assert ruling.action is not Action.ALLOW
    assert "nothing_judged" in ruling.reason.codes


@pytest.mark.parametrize("policy", POLICIES, ids=["default", "lenient", "middle", "strict"])
def test_the_index_never_fails_silently(policy: Policy):
    clean = Evidence(Query("u", DIGESTS), MediaKind.VIDEO, Coverage(20, 20, 40, 0))
    failed = replace(clean, failures=(Failure("index", "gone"),))
    assert decide(clean, policy).action is Action.ALLOW
    assert decide(failed, policy).action is not Action.ALLOW
