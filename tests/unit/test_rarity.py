"""What pictures are worth that several references hold, in lines of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from hashdb.model import Alignment, Codes, Fingerprint, FrameMatch, Orientation, View
from matcher.align import FrameHits
from matcher.cells import cells_within
from matcher.hashers import pdq
from matcher.kinship import FEWEST, MOST_COMPARED, Kinship, akin, sample
from matcher.rarity import (
    UNTOLD,
    Held,
    Sighting,
    held,
    hit_of,
    incidents,
    rarities,
    rarity,
    sightings_of,
)
from matcher.score import rescore

RNG = np.random.default_rng(1972)


def seen(name: str, *distances: int, kind: str = "pdq", start: int = 0) -> Sighting:
    """A reference's hits at the moments `start`, `start + 1`, ..."""
    n = len(distances)
    some = np.zeros(start + n), np.zeros(start + n, dtype=np.uint8)
    offsets = np.arange(start + n, dtype=np.float64)
    query = Fingerprint(kind, "test", codes(start + n), offsets, *some)
    rows = start + np.arange(n)
    return hit_of(name, query, FrameHits(rows, np.zeros(n), np.zeros(n), np.array(distances)))


def shares(*rows: Sequence[float]) -> Held:
    """References a, b, c, ... and what they hold of pictures at 0, 1, ... seconds."""
    pictures = {(0, float(i), ""): i for i in range(len(rows[0]))}
    return Held(tuple("abcdefgh"[: len(rows)]), pictures, np.array(rows, dtype=np.float64))


def codes(n: int, seed: int = 3) -> Codes:
    return np.random.default_rng(seed).integers(0, 256, (n, 32), dtype=np.uint8)


def asked(answers: dict[str, bool]):
    """Kin by pairs such as "ab"; what is not there is not to be found out. And what was asked."""
    pairs: list[str] = []

    def kin(one: str, other: str) -> bool | None:
        pairs.append("".join(sorted(one + other)))
        return answers.get(pairs[-1])

    return kin, pairs


# How much of a picture a reference holds.


def test_a_near_picture_is_held_in_full_and_a_far_one_not_at_all():
    known = held([seen("a", 0, 18, 27, 36, 46)])
    assert known.shares.tolist() == [[1.0, 1.0, 0.5, 0.0, 0.0]]


def test_what_local_features_show_is_held_as_far_as_it_is_likelier_than_not():
    sure, unsure = (replace(alignment(kind="local", n=2), score=s) for s in (0.95, 0.4))
    assert held(sightings_of(sure)).shares.tolist() == [pytest.approx([0.9, 0.9])]
    assert held(sightings_of(unsure)).shares.tolist() == [[0.0, 0.0]]


def test_each_picture_counts_by_its_nearest_hit_of_any_kind():
    known = held([seen("a", 27, 36), seen("a", 6, 4, kind="phash"), seen("b", 27, start=5)])
    assert known.references == ("a", "b")
    assert known.shares.tolist() == [[0.5, 1.0, 0.0], [0.0, 0.0, 0.5]]


def test_hits_are_by_picture():
    n = np.zeros(3)
    query = Fingerprint("pdq", "test", codes(3), np.array([5.0, 6, 7]), n, n.astype(np.uint8), 2)
    one = hit_of("a", query, FrameHits(np.array([2, 0, 2]), n, n, np.array([9, 27, 4])))
    assert (one.track, one.offsets.tolist(), one.shares.tolist()) == (2, [5.0, 7.0], [0.5, 1.0])


# Which references are of one incident.


def test_only_references_with_a_picture_in_common_are_compared():
    kin, pairs = asked({"ab": False})
    labels = incidents(shares([1, 1, 0], [0, 1, 0], [0, 0, 1]), kin, {})
    assert pairs == ["ab"]
    assert len(set(labels.tolist())) == 3


def test_kin_are_one_incident_and_are_not_compared_with_its_others():
    kin, pairs = asked({"ab": True, "ac": True, "bc": True, "ad": False, "bd": False, "cd": False})
    labels = incidents(shares([1], [1], [1], [1]), kin, {}).tolist()
    assert labels[0] == labels[1] == labels[2] != labels[3]
    assert pairs == ["ab", "ac", "ad", "bd", "cd"]


def test_one_that_is_kin_to_two_makes_one_of_them():
    kin, _ = asked({"ab": False, "ac": True, "bc": True})
    assert len(set(incidents(shares([1], [1], [1]), kin, {}).tolist())) == 1


def test_what_is_not_to_be_found_out_stays_untold():
    kin, _ = asked({"ab": False})
    labels = incidents(shares([1], [1], [1]), kin, {}).tolist()
    assert labels[0] != labels[1]
    assert labels[2] == UNTOLD


def test_many_distinct_pictures_in_common_are_no_leader():
    both = shares([1] * 20, [1] * 20)
    pictures = dict(zip(both.pictures, codes(20), strict=True))
    kin, pairs = asked({"ab": False})
    assert len(set(incidents(both, kin, pictures).tolist())) == 1
    assert pairs == []
    still = dict.fromkeys(both.pictures, codes(1)[0])
    assert len(set(incidents(both, kin, still).tolist())) == 2
    fewer = dict(list(pictures.items())[:19])
    assert len(set(incidents(both, kin, fewer).tolist())) == 2


def test_pictures_of_one_moment_are_not_many():
    keys = [(0, i / 10, "") for i in range(40)]
    both = Held(("a", "b"), {key: i for i, key in enumerate(keys)}, np.ones((2, 40)))
    kin, _ = asked({"ab": False})
    labels = incidents(both, kin, dict(zip(keys, codes(40), strict=True)))
    assert len(set(labels.tolist())) == 2


# What a picture is worth.


def test_what_one_incident_holds_counts_in_full_however_many_references_it_has():
    assert rarity(shares([1, 0.5], [1, 1], [0, 1]), np.array([0, 0, 0])).tolist() == [[1, 1]] * 3


def test_what_another_incident_holds_too_says_nothing():
    rare = rarity(shares([1, 1, 1, 1], [1, 0, 0.5, 0.1]), np.array([0, 1]))
    assert rare[0] == pytest.approx([0.0, 1.0, 0.172, 0.744], abs=0.001)


def test_the_more_incidents_the_less():
    one, two = (rarity(shares([1.0], *[[0.3]] * n), np.arange(n + 1))[0, 0].item() for n in (1, 2))
    assert 1 > one > two > 0
    assert rarity(shares(*[[1]] * 5), np.arange(5)).tolist() == [[0.0]] * 5


def test_an_untold_reference_may_be_of_any_one_incident():
    rare = rarity(shares([1, 1], [1, 0], [1, 1]), np.array([0, 1, UNTOLD]))
    assert rare[2].tolist() == [0.0, 1.0]


def alignment(name: str = "a", n: int = 5, kind: str = "pdq") -> Alignment:
    frames = [FrameMatch(float(i), float(i), 4, i, 0, View.FULL, 0, 0.5, 0.5) for i in range(n)]
    made = rescore(Alignment(name, kind, Orientation.ORIGINAL, (), (), 0.0), frames, video=True)
    assert made is not None
    return made


def test_shared_pictures_stay_in_an_alignment_without_weight_or_seconds():
    kin, _ = asked({"ab": False})
    some = [*sightings_of(alignment()), seen("b", 4, 4)]
    before = alignment()
    after = rarities(some, kin, dict).weighed(before, video=True)
    assert [f.rarity for f in after.frames] == [0, 0, 1, 1, 1]
    assert after.evidence == pytest.approx(before.evidence * 3 / 5)
    assert after.score < before.score
    assert (after.segments[0].query.start, after.segments[0].query.end) == (1.5, 4.5)


def test_what_nobody_else_holds_is_left_as_it_is():
    kin, pairs = asked({})
    before = alignment()
    alone = rarities(sightings_of(before), kin, dict)
    apart = rarities([*sightings_of(before), seen("b", 4, start=9)], kin, dict)
    assert alone.weighed(before, video=True) is before
    assert apart.weighed(before, video=True) is before
    assert pairs == []


LEFT = cells_within(0, 0, 112, 255)
RIGHT = cells_within(143, 0, 255, 255)
WHOLE = cells_within(0, 0, 255, 255)


def at(cells: int, name: str = "a", kind: str = "local", view: View = View.FULL) -> Alignment:
    """Sure evidence in those cells of five pictures."""
    made = alignment(name, kind=kind)
    frames = tuple(replace(f, cells=cells, view=view) for f in made.frames)
    return replace(made, frames=frames, score=1.0)


def weight_beside(one: Alignment, *others: Alignment) -> list[float]:
    """What pictures of one reference are worth beside those of another incident."""
    kin, _ = asked({"ab": False})
    some = [s for alignment in (one, *others) for s in sightings_of(alignment)]
    return [f.rarity for f in rarities(some, kin, dict).weighed(one, video=True).frames]


def test_two_that_lie_side_by_side_make_each_other_no_rarer():
    assert weight_beside(at(LEFT), at(RIGHT, "b")) == [1.0] * 5
    assert weight_beside(at(LEFT), at(LEFT, "b")) == [0.0] * 5
    assert weight_beside(at(LEFT), at(WHOLE, "b")) == [0.0] * 5
    assert weight_beside(at(WHOLE), at(LEFT, "b")) == [1.0] * 5


def test_a_picture_held_as_a_whole_is_held_everywhere():
    assert weight_beside(at(LEFT), alignment("b")) == [0.0] * 5
    assert weight_beside(at(LEFT), alignment("b"), at(RIGHT, "b")) == [0.0] * 5
    assert weight_beside(alignment(), at(WHOLE, "b")) == [0.0] * 5
    assert weight_beside(alignment(), at(LEFT, "b")) == [1.0] * 5


def test_a_pane_is_a_picture_of_its_own():
    pane = at(LEFT, kind="pdq", view=View.PANE)
    assert weight_beside(pane, at(LEFT, "b", "pdq", View.PANE)) == [0.0] * 5
    assert weight_beside(pane, at(LEFT, "b", "pdq", View.PANE_2)) == [1.0] * 5
    assert weight_beside(pane, alignment("b")) == [1.0] * 5
    assert weight_beside(alignment(), at(LEFT, "b", "pdq", View.PANE)) == [1.0] * 5


@pytest.mark.parametrize("kind", ["videohash", "sound"])
def test_what_tells_no_single_pictures_is_not_weighed(kind: str):
    kin, _ = asked({"ab": False})
    whole = alignment(kind=kind)
    assert sightings_of(whole) == []
    some = rarities([*sightings_of(alignment()), seen("b", *[4] * 5)], kin, dict)
    assert some.weighed(whole, video=True) is whole
    assert some.weighed(alignment(), video=True).evidence == 0.0


# Kinship by the references' own codes.


def flipped(some: Codes, bits: int) -> Codes:
    every = np.unpackbits(some, axis=1)
    for row in every:
        row[RNG.choice(256, bits, replace=False)] ^= 1
    return np.packbits(every, axis=1)


def related(one: Codes, other: Codes) -> bool:
    return akin(sample(one, pdq.orientations), sample(other, pdq.orientations))


def test_versions_are_kin():
    one = codes(60)
    assert related(one, flipped(one, 60))
    assert related(one, pdq.orientations(flipped(one, 20))[:, 3])
    assert related(one[:40], flipped(one[30:], 20))  # a quarter of each
    assert related(one, np.concatenate([codes(4000, 5), flipped(one, 20)]))
    assert related(np.concatenate([codes(4000, 5), one]), flipped(one, 20))


def test_a_shared_leader_makes_no_kin():
    leader = codes(10)
    assert not related(codes(60, 4), codes(60, 5))
    assert not related(
        np.concatenate([leader, codes(60, 4)]), np.concatenate([leader, codes(400, 5)])
    )


def test_of_too_few_distinct_pictures_nothing_can_be_told():
    assert related(codes(FEWEST - 1, 4), codes(60, 5))
    assert related(np.repeat(codes(1, 4), 90, axis=0), codes(60, 5))
    assert related(np.empty((0, 32), np.uint8), codes(60, 5))
    assert not related(codes(FEWEST, 4), codes(60, 5))


class CountingStore:
    """Thirty references that share nothing; counts what is read of them."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.banks = self

    @contextmanager
    def read(self):
        yield self

    def fingerprints(self, reference_id: str) -> list[Fingerprint]:
        self.reads.append(reference_id)
        n = np.zeros(20)
        own = codes(20, int(reference_id))
        return [Fingerprint("pdq", "test", own, n, n, n.astype(np.uint8))]


def test_the_work_for_one_upload_is_bounded_and_its_answers_are_kept():
    store = CountingStore()
    kinship = Kinship(store, pdq.orientations)
    names = [str(100 + i) for i in range(30)]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[:i]]
    kin = kinship.of_one_upload()
    first = [kin(a, b) for a, b in pairs]
    assert first == [False] * MOST_COMPARED + [None] * (len(pairs) - MOST_COMPARED)
    assert len(store.reads) == len(set(store.reads))
    again = kinship.of_one_upload()
    reads = len(store.reads)
    assert [again(b, a) for a, b in pairs[:MOST_COMPARED]] == [False] * MOST_COMPARED
    assert len(store.reads) == reads
    assert again(*pairs[0]) is False  # as often as it is asked for


def test_what_is_told_of_one_upload_hangs_on_no_other():
    """Which pairs are told hangs on the order in which this one asks for them."""
    kinship = Kinship(CountingStore(), pdq.orientations)
    names = [str(100 + i) for i in range(10)]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[:i]]
    uploads = [kinship.of_one_upload() for _ in range(3)]
    first, second, third = ([kin(a, b) for a, b in pairs] for kin in uploads)
    assert first == second == third
    turned = kinship.of_one_upload()
    told = [turned(a, b) for a, b in reversed(pairs)]
    assert told == [False] * MOST_COMPARED + [None] * (len(pairs) - MOST_COMPARED)
