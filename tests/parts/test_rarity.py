"""What many incidents show says little: made codes, a real database, index and policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from api.settings import Settings
from hashdb.model import Action, Codes, Digests, Fingerprint, MediaKind, Verdict, new_id
from matcher.hashers import pdq
from tests.fakes import ServiceParts, build

WIDTHS = {"pdq": 32, "phash": 8}


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[ServiceParts]:
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(tmp_path / "data")}))
    with made.store.begin() as tx:
        tx.banks.create("attacks")
        tx.banks.create("films", Action.ALLOW)
    yield made
    made.close()


def footage(seed: int, seconds: int, kind: str = "pdq") -> Codes:
    """Codes of footage in which every second shows another picture."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (seconds, WIDTHS[kind]), dtype=np.uint8)


def encoded(codes: Codes, bits: int = 4, seed: int = 1) -> Codes:
    """Encoded again: so many bits of each code are turned."""
    rng = np.random.default_rng(seed)
    every = np.unpackbits(codes, axis=1)
    for row in every:
        row[rng.choice(len(row), bits, replace=False)] ^= 1
    return np.packbits(every, axis=1)


def mirrored(codes: Codes) -> Codes:
    return pdq.orientations(codes)[:, 5]


def prints(codes: Codes, kind: str = "pdq", start: float = 0.0) -> Fingerprint:
    n = len(codes)
    seconds = start + np.arange(n, dtype=np.float64)
    return Fingerprint(kind, "made", codes, seconds, np.zeros(n), np.full(n, 100, np.uint8))


def add(
    parts: ServiceParts,
    *fingerprints: Fingerprint,
    bank: str = "attacks",
    kind: MediaKind = MediaKind.VIDEO,
) -> str:
    with parts.store.read() as tx:
        into = tx.banks.get(bank)
    reference, _ = parts.enroller.add_hashes(
        into, Digests(), fingerprints, kind=kind, actor="test", origin=new_id("origin")
    )
    return reference.id


def check(
    parts: ServiceParts, *fingerprints: Fingerprint, kind: MediaKind = MediaKind.VIDEO
) -> Verdict:
    duration = float(len(fingerprints[0])) if kind is MediaKind.VIDEO else None
    return parts.checker.check_hashes(
        "key",
        new_id("upload"),
        Digests(),
        fingerprints,
        request_digest="made",
        kind=kind,
        duration_s=duration,
    )


def score(verdict: Verdict, reference_id: str) -> float:
    return next((m.score for m in verdict.matches if m.reference.id == reference_id), 0.0)


LEADER = footage(1, 10)
ATTACK = np.concatenate([LEADER, footage(2, 60)])
OTHER_ATTACK = np.concatenate([LEADER, footage(3, 80)])
FILM = np.concatenate([encoded(LEADER), footage(4, 40)])


def test_what_only_one_incident_shows_counts_in_full(parts: ServiceParts):
    add(parts, prints(ATTACK))
    assert check(parts, prints(FILM)).action is Action.BLOCK


def test_a_leader_of_unrelated_incidents_alone_asks_for_nothing(parts: ServiceParts):
    add(parts, prints(ATTACK))
    add(parts, prints(OTHER_ATTACK))
    verdict = check(parts, prints(FILM))
    assert verdict.action is Action.ALLOW, verdict.reason
    assert verdict.matches == ()


def test_a_leader_and_an_incidents_own_footage_is_that_incident(parts: ServiceParts):
    attack = add(parts, prints(ATTACK))
    other = add(parts, prints(OTHER_ATTACK))
    verdict = check(parts, prints(encoded(ATTACK[:30])))
    assert verdict.action is Action.BLOCK
    assert score(verdict, attack) > 0.95
    assert score(verdict, other) == 0.0
    (segment,) = verdict.matches[0].segments
    assert segment.query.start == pytest.approx(9.5)  # the leader is no part of what is shown


def test_the_leader_may_be_mirrored_and_lie_elsewhere(parts: ServiceParts):
    add(parts, prints(ATTACK))
    add(parts, prints(np.concatenate([footage(5, 50), mirrored(LEADER), footage(3, 30)])))
    assert check(parts, prints(FILM)).action is Action.ALLOW


def test_phash_is_weighed_as_pdq_is(parts: ServiceParts):
    leader, film = footage(6, 10, "phash"), footage(7, 40, "phash")
    both = [np.concatenate([leader, footage(8 + i, 60, "phash")]) for i in range(2)]
    add(parts, prints(ATTACK), prints(both[0], "phash"))
    upload = prints(np.concatenate([leader, film]), "phash")
    assert check(parts, upload).action is not Action.ALLOW
    add(parts, prints(OTHER_ATTACK), prints(both[1], "phash"))
    assert check(parts, upload).action is Action.ALLOW


def test_versions_of_one_incident_do_not_weaken_each_other(parts: ServiceParts):
    attack = add(parts, prints(ATTACK))
    upload = prints(encoded(ATTACK[5:35]))
    alone = check(parts, upload)
    versions = []
    for i in range(50):
        first = i % 4 * 8
        version = encoded(ATTACK[first : first + 40 + i % 3 * 5], 6, seed=i)
        versions.append(add(parts, prints(mirrored(version) if i % 5 == 0 else version)))
    for _ in range(4):  # more pairs are known each time
        verdict = check(parts, upload)
        assert verdict.action is Action.BLOCK
        assert score(verdict, attack) == pytest.approx(score(alone, attack), abs=1e-6)
        assert min(m.score for m in verdict.matches) > 0.99
        assert {m.reference.id for m in verdict.matches} == {attack, *versions}


def test_a_leader_of_many_versions_of_two_incidents_still_says_nothing(parts: ServiceParts):
    for i in range(12):
        add(parts, prints(encoded(ATTACK, 6, seed=i)))
        add(parts, prints(encoded(OTHER_ATTACK, 6, seed=i)))
    for _ in range(3):
        assert check(parts, prints(FILM)).action is Action.ALLOW
        assert check(parts, prints(encoded(ATTACK[:30]))).action is Action.BLOCK


def test_a_long_excerpt_in_two_references_is_no_leader(parts: ServiceParts):
    """Two compilations that share half a minute, which is a small part of either."""
    shared = footage(20, 30)
    for seed in (21, 22):
        add(parts, prints(np.concatenate([footage(seed, 170), shared, footage(seed + 5, 50)])))
    assert check(parts, prints(encoded(shared))).action is Action.BLOCK


def test_a_clip_that_is_banked_itself_is_found_though_others_hold_it(parts: ServiceParts):
    shared = footage(20, 10)
    for seed in (21, 22):
        add(parts, prints(np.concatenate([footage(seed, 90), shared])))
    assert check(parts, prints(encoded(shared))).action is Action.ALLOW
    clip = add(parts, prints(shared))
    verdict = check(parts, prints(encoded(shared)))
    assert verdict.action is Action.BLOCK
    assert score(verdict, clip) > 0.99


def test_what_cannot_be_told_apart_counts_in_full(parts: ServiceParts):
    """Of the other reference no PDQ codes are known."""
    leader = footage(6, 10, "phash")
    add(parts, prints(np.concatenate([leader, footage(8, 60, "phash")]), "phash"))
    add(parts, prints(np.concatenate([leader, footage(9, 60, "phash")]), "phash"))
    assert check(parts, prints(leader, "phash")).action is Action.BLOCK


def test_a_banked_image_keeps_its_weight_and_takes_none(parts: ServiceParts):
    image = prints(LEADER[4:5])
    banked = add(parts, image, kind=MediaKind.IMAGE)
    attack = add(parts, prints(ATTACK))
    assert score(check(parts, prints(encoded(ATTACK[:9]))), attack) > 0.99
    other = add(parts, prints(OTHER_ATTACK))
    verdict = check(parts, prints(encoded(LEADER[4:5])), kind=MediaKind.IMAGE)
    assert verdict.action is Action.BLOCK
    assert score(verdict, banked) > 0.8
    assert score(verdict, attack) == score(verdict, other) == 0.0


def test_an_allow_listed_film_is_an_incident_too_and_explains_as_before(parts: ServiceParts):
    add(parts, prints(ATTACK))
    film = add(parts, prints(np.concatenate([LEADER, footage(30, 90)])), bank="films")
    verdict = check(parts, prints(FILM))
    assert verdict.action is Action.ALLOW
    assert verdict.reason.code == "allow_listed"
    assert score(verdict, film) > 0.99
    assert check(parts, prints(encoded(ATTACK[:30]))).action is Action.BLOCK


def test_a_withdrawn_reference_weakens_nothing(parts: ServiceParts):
    add(parts, prints(ATTACK))
    other = add(parts, prints(OTHER_ATTACK))
    assert check(parts, prints(FILM)).action is Action.ALLOW
    parts.enroller.withdraw(other, actor="test")
    assert check(parts, prints(FILM)).action is Action.BLOCK
