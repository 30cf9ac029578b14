"""What unrelated incidents sound like says little: made sounds and pictures, a real database, index
and policy."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from api.settings import Settings
from api.wiring import Parts, build
from hashdb.model import (
    Action,
    Codes,
    Coverage,
    Digests,
    LocalFeatures,
    MediaFingerprints,
    MediaKind,
    SoundPeaks,
    Verdict,
    new_id,
)
from matcher.digest import digest_file
from tests.parts.test_rarity import encoded, footage, prints, score
from tests.unit.test_heard import joined, moved, sound

JINGLE = sound(1, 8.0)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(tmp_path / "data")}))
    with made.store.begin() as tx:
        tx.banks.create("attacks")
        tx.banks.create("songs", Action.ALLOW)
    yield made
    made.close()


def after(first: SoundPeaks, then: SoundPeaks) -> SoundPeaks:
    return joined(first, moved(then, first.seconds + 0.5))


def copied(of: SoundPeaks, seed: int = 1, kept: float = 0.8) -> SoundPeaks:
    """Encoded again: a part of the peaks is lost."""
    return of.take(np.random.default_rng(seed).random(len(of)) < kept)


def features(seed: int, seconds: int) -> LocalFeatures:
    """Of footage in which every second shows another picture, with a hundred features."""
    rng = np.random.default_rng(seed)
    n = 100 * seconds
    places = rng.uniform([20, 20, 30, 0], [420, 230, 60, 360], (n, 4)).astype(np.float32)
    return LocalFeatures(
        "made",
        np.arange(seconds, dtype=np.float64),
        np.arange(seconds + 1, dtype=np.int64) * 100,
        np.full((seconds, 2), (448, 252), np.uint16),
        rng.integers(0, 256, (n, 32), dtype=np.uint8),
        places,
    )


def cropped(of: LocalFeatures, seed: int = 2) -> LocalFeatures:
    """A crop of the middle: what is left of each picture is larger and elsewhere."""
    places = of.places.copy()
    places[:, :3] *= 1.3
    places[:, :2] -= 60
    return replace(of, places=places, codes=encoded(of.codes, 12, seed))


def add(
    parts: Parts,
    codes: Codes,
    heard: SoundPeaks,
    bank: str = "attacks",
    local: LocalFeatures | None = None,
) -> str:
    with parts.store.begin() as tx:
        made, _ = tx.banks.add_reference(
            tx.banks.get(bank),
            kind=MediaKind.VIDEO,
            digests=Digests(),
            fingerprints=[prints(codes)] if len(codes) else [],
            duration_s=heard.seconds,
            sound=[heard],
            local=[] if local is None else [local],
        )
    return made.id


def check(parts: Parts, codes: Codes, heard: SoundPeaks) -> Verdict:
    seconds = float(heard.times.max())
    look = MediaFingerprints(
        MediaKind.VIDEO,
        (prints(codes),),
        Coverage(seconds, seconds, len(codes), 0),
        sound=(heard,),
    )
    parts.checker._looker._fingerprint = lambda media, sampling, signals, **_: look
    file = io.BytesIO(new_id("file").encode())
    return parts.checker.check_media("key", new_id("upload"), file, digest_file(file))


def no_codes() -> Codes:
    return np.empty((0, 32), np.uint8)


ATTACK, OTHER = footage(2, 60), footage(3, 80)
ATTACK_SOUND = after(JINGLE, sound(12, 50.0))
OTHER_SOUND = after(JINGLE, sound(13, 70.0))
FILM, FILM_SOUND = footage(4, 30), after(copied(JINGLE), sound(14, 20.0))


def test_what_only_one_incident_sounds_like_counts_in_full(parts: Parts):
    add(parts, ATTACK, ATTACK_SOUND)
    assert check(parts, FILM, FILM_SOUND).action is Action.BLOCK


def test_a_jingle_of_unrelated_incidents_asks_for_nothing(parts: Parts):
    add(parts, ATTACK, ATTACK_SOUND)
    add(parts, OTHER, OTHER_SOUND)
    verdict = check(parts, FILM, FILM_SOUND)
    assert verdict.action is Action.ALLOW, verdict.reason
    assert verdict.matches == ()


def test_a_jingle_and_an_incidents_own_sound_is_that_incident(parts: Parts):
    attack = add(parts, ATTACK, ATTACK_SOUND)
    other = add(parts, OTHER, OTHER_SOUND)
    excerpt = copied(ATTACK_SOUND.take(ATTACK_SOUND.times < 30))
    verdict = check(parts, FILM, excerpt)
    assert verdict.action is Action.BLOCK
    assert score(verdict, attack) > 0.95
    assert score(verdict, other) == 0.0
    (segment,) = verdict.matches[0].segments
    assert segment.query.start == pytest.approx(9.0, abs=1.6)


def test_versions_of_one_incident_do_not_weaken_each_other(parts: Parts):
    attack = add(parts, ATTACK, ATTACK_SOUND)
    upload = copied(ATTACK_SOUND.take((ATTACK_SOUND.times > 10) & (ATTACK_SOUND.times < 40)), 5)
    alone = score(check(parts, FILM, upload), attack)
    versions = []
    for i in range(20):
        first = i % 4 * 2
        cut = ATTACK_SOUND.take(ATTACK_SOUND.times >= first)
        codes = encoded(ATTACK[first : first + 50], 6, seed=i)
        versions.append(add(parts, codes, copied(moved(cut, -first), i)))
    for _ in range(2):
        verdict = check(parts, FILM, upload)
        assert verdict.action is Action.BLOCK
        assert score(verdict, attack) == pytest.approx(alone, abs=1e-6)
        assert min(score(verdict, one) for one in versions) > 0.99


def test_versions_that_hashes_do_not_see_do_not_weaken_each_other(parts: Parts):
    shown = features(5, 58)
    attack = add(parts, ATTACK, ATTACK_SOUND, local=shown)
    upload = copied(ATTACK_SOUND.take(ATTACK_SOUND.times > 20), 5)
    alone = score(check(parts, FILM, upload), attack)
    version = add(parts, footage(40, 58), copied(ATTACK_SOUND, 6), local=cropped(shown))
    verdict = check(parts, FILM, upload)
    assert verdict.action is Action.BLOCK
    assert score(verdict, attack) == pytest.approx(alone, abs=1e-6)
    assert score(verdict, version) > 0.99


def test_the_whole_sound_of_unrelated_pictures_asks_for_a_review(parts: Parts):
    """A song, or a copy of one's sound under the other's pictures: that cannot be told."""
    add(parts, ATTACK, ATTACK_SOUND, local=features(5, 58))
    upload = copied(ATTACK_SOUND.take(ATTACK_SOUND.times > 15), 5)
    assert check(parts, FILM, upload).action is Action.BLOCK
    add(parts, OTHER, copied(ATTACK_SOUND, 6), local=features(6, 80))
    verdict = check(parts, FILM, upload)
    assert (verdict.action, verdict.reason.code) == (Action.REVIEW, "possible_match")
    assert check(parts, encoded(ATTACK[20:50]), upload).action is Action.BLOCK


def test_a_sound_that_is_banked_without_pictures_is_of_all_that_have_it(parts: Parts):
    add(parts, ATTACK, ATTACK_SOUND)
    add(parts, OTHER, OTHER_SOUND)
    assert check(parts, FILM, FILM_SOUND).action is Action.ALLOW
    alone = add(parts, no_codes(), JINGLE)
    verdict = check(parts, FILM, FILM_SOUND)
    assert verdict.action is Action.BLOCK
    assert score(verdict, alone) > 0.9


def test_an_allow_listed_film_is_an_incident_too_and_explains_as_before(parts: Parts):
    add(parts, ATTACK, ATTACK_SOUND)
    film = add(parts, OTHER, OTHER_SOUND, bank="songs")
    verdict = check(parts, FILM, FILM_SOUND)
    assert (verdict.action, verdict.reason.code) == (Action.ALLOW, "allow_listed")
    assert score(verdict, film) > 0.9
    excerpt = copied(ATTACK_SOUND.take(ATTACK_SOUND.times < 30))
    assert check(parts, FILM, excerpt).action is Action.BLOCK


def test_a_withdrawn_reference_weakens_nothing(parts: Parts):
    add(parts, ATTACK, ATTACK_SOUND)
    other = add(parts, OTHER, OTHER_SOUND)
    assert check(parts, FILM, FILM_SOUND).action is Action.ALLOW
    parts.enroller.withdraw(other, actor="test")
    assert check(parts, FILM, FILM_SOUND).action is Action.BLOCK


def test_an_upload_that_sounds_like_one_reference_compares_nothing(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
):
    add(parts, ATTACK, ATTACK_SOUND)
    add(parts, OTHER, sound(70, 70.0))
    monkeypatch.setattr(parts.checker._judge._kinship, "_sample", None)
    monkeypatch.setattr(parts.checker._judge._sound_kinship, "_known", None)
    assert check(parts, FILM, ATTACK_SOUND).action is Action.BLOCK
