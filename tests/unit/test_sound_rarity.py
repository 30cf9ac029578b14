"""How rare seconds of sound are, and how references are related that sound alike."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from hashdb.model import Alignment, SoundPeaks
from hashdb.ports import Nominee
from matcher.policy import load_policy
from matcher.sound_kinship import MOST_HEARD, SoundKinship
from matcher.sound_rarity import (
    COMPARED_S,
    Known,
    Meeting,
    Relation,
    meeting,
    relation,
    sighting,
    sound_rarities,
)
from tests.unit.test_heard import alignment, joined, match, moved, sound

POLICY = load_policy(None).defaults


def heard(
    name: str, start: float, end: float, at: float = 0.0, evidence: float = 200.0
) -> Alignment:
    """The reference's sound from `at` on, in those seconds of the upload."""
    made = alignment(match((start, end, at, at + end - start), evidence=evidence), name, 1)
    assert made is not None
    return made


def related(answers: Mapping[str, Relation]):
    """Relations by pairs such as "ab"; what is not there is not to be found out. And what was
    asked."""
    pairs: list[str] = []

    def relate(one: str, other: str) -> Relation | None:
        pairs.append("".join(sorted(one + other)))
        return answers.get(pairs[-1])

    return relate, pairs


# What a second is worth.


def test_a_reference_is_heard_a_second_around_what_was_found_of_it_too():
    seen = sighting(heard("a", 5.0, 8.0))
    assert (seen.track, seen.offsets.tolist()) == (1, [4.5, 5.5, 6.5, 7.5, 8.5])
    assert seen.shares.min() > 0.98
    assert sighting(heard("a", 5.0, 8.0, evidence=20.0)).shares.max() < 0.8


def test_what_another_incident_has_too_says_nothing():
    relate, pairs = related({"ab": Relation.PART})
    a, b = heard("a", 0.0, 30.0), heard("b", 0.0, 10.0)
    some = sound_rarities([a, b], relate)
    left = some.weighed(a)
    assert pairs == ["ab"]
    assert left.segments[0].query.start == pytest.approx(11.0, abs=1.1)
    assert 0.5 * a.evidence < left.evidence < 0.7 * a.evidence
    assert some.weighed(b).evidence < 0.05


def test_versions_leave_each_other_as_they_are():
    relate, _ = related({"ab": Relation.INCIDENT})
    a, b = heard("a", 0.0, 30.0), heard("b", 0.0, 30.0)
    some = sound_rarities([a, b], relate)
    assert some.weighed(a) is a
    assert some.weighed(b) is b


def test_what_is_not_to_be_found_out_counts_in_full():
    relate, _ = related({})
    a = heard("a", 0.0, 30.0)
    assert sound_rarities([a, heard("b", 0.0, 30.0)], relate).weighed(a) is a


def test_a_whole_sound_under_unlike_pictures_asks_for_a_review():
    """All that is of one incident with either is doubted, and nothing else."""
    answers = {"ab": Relation.SOUND, "ac": Relation.INCIDENT, "bc": Relation.INCIDENT}
    relate, _ = related(answers)
    each = [heard(name, 0.0, 30.0) for name in "abc"] + [heard("d", 60.0, 90.0)]
    some = sound_rarities(each, relate)
    for one in each[:3]:
        left = some.weighed(one)
        assert POLICY.possible <= left.score < POLICY.confident
        assert left.segments[0].query.seconds == pytest.approx(30.0)
    assert some.weighed(each[3]) is each[3]


def test_what_lies_apart_is_not_compared():
    relate, pairs = related({})
    a, b = heard("a", 0.0, 30.0), heard("b", 40.0, 70.0)
    assert sound_rarities([a, b], relate).weighed(a) is a
    assert sound_rarities([a, heard("a", 0.0, 30.0, 50.0)], relate).weighed(a) is a
    assert pairs == []


def test_other_signals_are_left_alone():
    relate, _ = related({"ab": Relation.PART})
    some = sound_rarities([heard("a", 0.0, 30.0), heard("b", 0.0, 30.0)], relate)
    seen = replace(heard("a", 0.0, 30.0), signal_type="local")
    assert some.weighed(seen) is seen


# How references are related.


def pictures(seed: int, seconds: int, every: float = 1.0) -> list[Nominee]:
    """One a second, each with a hundred features of its own."""
    rng = np.random.default_rng(seed)
    places = rng.uniform([20, 20, 30, 0], [420, 230, 60, 360], (seconds, 100, 4))
    return [
        Nominee(
            0.0,
            0,
            n * every,
            rng.integers(0, 256, (100, 32), dtype=np.uint8),
            places[n].astype(np.float32),
            448,
            252,
        )
        for n in range(seconds)
    ]


SONG = sound(1, 60.0)
AT = Meeting(10.0, 10.0, 1.0)


def test_of_one_incident_is_what_shows_the_same_while_it_sounds_alike():
    shown = pictures(1, 60)
    assert relation(Known(SONG, shown), Known(SONG, shown), AT) is Relation.INCIDENT
    later = [replace(p, offset=p.offset + 7.0) for p in shown]
    there = Known(moved(SONG, 7.0), later)
    assert relation(Known(SONG, shown), there, Meeting(10.0, 17.0, 1.0)) is Relation.INCIDENT
    out_of_step = Known(SONG, later)
    assert relation(Known(SONG, shown), out_of_step, AT) is Relation.SOUND


def test_one_sound_under_unlike_pictures():
    one, other = Known(SONG, pictures(1, 60)), Known(SONG, pictures(2, 60))
    assert relation(one, other, AT) is Relation.SOUND
    excerpt = Known(joined(SONG.take(SONG.times < 25), moved(sound(2, 20.0), 25.0)))
    assert relation(one, excerpt, AT) is Relation.SOUND


def test_a_jingle_is_a_part_also_where_it_has_pictures_of_its_own():
    jingle, shown = sound(3, 8.0), pictures(3, 8)
    one, other = (
        Known(
            joined(jingle, moved(sound(n, 52.0), 8.0)),
            [*shown, *(replace(p, offset=p.offset + 8.0) for p in pictures(n, 52))],
        )
        for n in (4, 5)
    )
    assert relation(one, other, Meeting(4.0, 4.0, 1.0)) is Relation.PART


def test_half_a_minute_that_sounds_and_looks_alike_is_no_jingle():
    shared, shown = sound(3, 30.0), pictures(3, 30)
    one, other = (
        Known(
            joined(shared, moved(sound(n, 250.0), 30.0)),
            [*shown, *(replace(p, offset=p.offset + 30.0) for p in pictures(n, 250))],
        )
        for n in (4, 5)
    )
    assert relation(one, other, Meeting(4.0, 4.0, 1.0)) is Relation.INCIDENT
    unseen = replace(other, pictures=())
    assert relation(one, unseen, Meeting(4.0, 4.0, 1.0)) is Relation.PART


@pytest.mark.parametrize("higher", [0, 46], ids=["tempo", "speed"])
def test_a_faster_version_is_one(higher: int):
    faster = moved(SONG, 0.0, tempo=1.25)
    faster = replace(faster, pitches=(faster.pitches + higher).astype(np.uint16))
    shown = pictures(1, 60)
    quick = Known(faster, [replace(p, offset=p.offset / 1.25) for p in shown])
    assert relation(quick, Known(SONG, shown), Meeting(8.0, 10.0, 1.25)) is Relation.INCIDENT


def test_of_hours_some_minutes_are_compared(monkeypatch: pytest.MonkeyPatch):
    asked: list[SoundPeaks] = []

    def found(one: SoundPeaks, *args: object, **kwargs: object) -> tuple[()]:
        asked.append(one)
        return ()

    monkeypatch.setattr("matcher.sound_rarity.find_sounds", found)
    hours = Known(sound(1, 7200.0))
    assert relation(hours, hours, Meeting(3600.0, 3600.0, 1.0)) is Relation.PART
    assert np.ptp(asked[0].times) <= COMPARED_S


def test_references_meet_in_the_middle_of_what_both_have():
    a, b = heard("a", 10.0, 40.0, 100.0), heard("b", 30.0, 50.0, 7.0)
    at = meeting([a], [heard("b", 200.0, 220.0), b])
    assert at is not None
    assert at.one - at.other == pytest.approx(113.0, abs=1.5)
    assert 120.0 <= at.one <= 130.0
    assert meeting([a], [heard("b", 60.0, 80.0)]) is None


class CountingStore:
    """Thirty references with one sound; counts what is read of them."""

    def __init__(self) -> None:
        self.reads = 0
        self.banks = self

    @contextmanager
    def read(self):
        yield self

    def sound_peaks(self, names: list[str]):
        self.reads += 1
        return [(name, SONG) for name in names]


class NoLocal:
    def local(self) -> None:
        return None


def test_the_work_for_one_upload_is_bounded_and_its_answers_are_kept():
    store = CountingStore()
    kinship = SoundKinship(store, NoLocal())  # type: ignore[arg-type]
    names = [str(100 + i) for i in range(30)]
    found = [heard(name, 0.0, 30.0) for name in names]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[:i]]
    relate = kinship.of_one_upload(lambda one, other: False, found)
    first = [relate(a, b) for a, b in pairs]
    assert first == [Relation.SOUND] * MOST_HEARD + [None] * (len(pairs) - MOST_HEARD)
    assert store.reads == 2 * MOST_HEARD
    again = kinship.of_one_upload(lambda one, other: False, found)
    assert [again(b, a) for a, b in pairs[:MOST_HEARD]] == [Relation.SOUND] * MOST_HEARD
    assert store.reads == 2 * MOST_HEARD
    other = kinship.of_one_upload(lambda one, other: False, found)
    told = [other(a, b) for a, b in reversed(pairs)]  # the first ones are known, and not told
    assert told == [Relation.SOUND] * MOST_HEARD + [None] * (len(pairs) - MOST_HEARD)
    assert kinship.of_one_upload(lambda one, other: True, found)(*pairs[-1]) is Relation.INCIDENT
    assert kinship.of_one_upload(lambda one, other: None, found)(*pairs[-1]) is None
