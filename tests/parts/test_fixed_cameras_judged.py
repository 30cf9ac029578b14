"""What hashes say of a camera that stands still: made codes, a real database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.settings import Settings
from hashdb.model import (
    Alignment,
    Codes,
    Coverage,
    Digests,
    Fingerprint,
    FrameMatch,
    Match,
    MediaFingerprints,
    MediaKind,
    Motion,
    Orientation,
    View,
)
from matcher.beside import NOTHING_BESIDE, Beside, Place
from matcher.correlation import Laid
from matcher.hashers import pdq
from matcher.judge import Judge
from matcher.score import rescore
from matcher.still_scenes import Moment
from tests.fakes import ServiceParts, build

SECONDS = 20
MIRRORED = Orientation.FLIP_HORIZONTAL


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[ServiceParts]:
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(tmp_path / "data")}))
    yield made
    made.close()


def footage(seed: int) -> Codes:
    return np.random.default_rng(seed).integers(0, 256, (SECONDS, 32), dtype=np.uint8)


def faint(codes: Codes) -> Codes:
    """Each three bytes off: too far for hashes alone to tell a moment."""
    off = codes.copy()
    off[:, :3] ^= 0xFF
    return off


def prints(codes: Codes) -> Fingerprint:
    n = len(codes)
    return Fingerprint(
        "pdq", "made", codes, np.arange(n, dtype=np.float64), np.zeros(n), np.full(n, 100, np.uint8)
    )


def moving(seed: int, *, still: bool, slower: int = 1) -> Motion:
    """What moves before a camera that stands still, or all of a picture; so much slower."""
    grids = np.random.default_rng(seed).integers(-90, 90, (4 * SECONDS, 16, 16)).astype(np.int8)
    if still:
        grids[:, 4:] = 0
    return Motion(np.arange(4 * SECONDS) * slower / 4, grids)


def known(parts: ServiceParts, codes: Codes, *, still: bool | None) -> str:
    """The id of a reference whose camera stands still, or moves; None: nobody knows."""
    with parts.store.begin() as tx:
        bank = tx.banks.create("attacks")
        added, _ = tx.banks.add_reference(
            bank,
            kind=MediaKind.VIDEO,
            digests=Digests(),
            fingerprints=[prints(codes)],
            origin="here",
            duration_s=float(SECONDS),
            motion=[] if still is None else [moving(3, still=still)],
        )
    return added.id


def found(
    parts: ServiceParts,
    query: Fingerprint,
    motion: Sequence[Motion] = (),
    beside: Beside = NOTHING_BESIDE,
) -> tuple[Match, ...]:
    judge = judge_of(parts)
    total_s = float(query.offsets[-1]) + 1
    return judge.find([query], total_s=total_s, motion=motion, beside=beside)


def judge_of(parts: ServiceParts) -> Judge:
    return Judge(
        parts.store,
        parts.index,
        signal_types=["pdq"],
        orientations=pdq.orientations,
        degenerate=pdq.degenerate,
    )


def seen_in(view: View, codes: Codes) -> Fingerprint:
    return replace(prints(codes), view=view)


@pytest.mark.parametrize("view", View)
def test_footage_is_found_in_every_view(parts: ServiceParts, view: View) -> None:
    known(parts, footage(1), still=True)
    (match,) = found(parts, seen_in(view, footage(1)))
    assert match.score > 0.99


@pytest.mark.parametrize("still", [True, False])
@pytest.mark.parametrize("view", View)
def test_one_picture_in_a_pane_says_nothing_of_a_camera_that_stands_still(
    parts: ServiceParts, view: View, still: bool
) -> None:
    known(parts, footage(1), still=still)
    other = footage(2)
    other[7] = footage(1)[7]
    assert len(found(parts, seen_in(view, other))) == (0 if still and view.in_part else 1)


@pytest.mark.parametrize(
    ("hour", "found_in"),
    [
        pytest.param(3, [(4.0, 4.0)], id="the same hour"),
        pytest.param(4, [], id="another hour before the same camera"),
    ],
)
def test_what_moves_in_a_pane_tells_its_moment(
    parts: ServiceParts, hour: int, found_in: list[tuple[float, float]]
) -> None:
    """In the left half of other footage, where all pictures hash alike."""
    scene = np.repeat(footage(1)[:1], SECONDS, axis=0)
    known(parts, scene, still=True)
    half = replace(
        seen_in(View.PANE, scene), boxes=np.array([(0, 0, 128, 255)] * SECONDS, np.uint8)
    )
    half = half.take(slice(5, 16))
    halves = [np.repeat(moving(one, still=True).grids, 2, axis=2) for one in (hour, 9)]
    grids = np.repeat(np.concatenate(halves, axis=2), 4, axis=1)
    upload = Motion(moving(hour, still=True).offsets[20:61], grids[20:61])

    matches = found(parts, half, [upload])

    pairs = [pair for match in matches for a in match.alignments for pair in a.segments]
    assert [(p.query.start, p.reference.start) for p in pairs] == [
        pytest.approx(one) for one in found_in
    ]
    assert all(match.score > 0.9 for match in matches)


@pytest.mark.parametrize("way", ["upside down", "negative"])
@pytest.mark.parametrize(
    "hour", [pytest.param(3, id="the same hour"), pytest.param(4, id="another")]
)
def test_what_moves_in_a_turned_picture_or_a_negative_tells_its_moment(
    parts: ServiceParts, hour: int, way: str
) -> None:
    """Where all pictures hash alike; a second earlier than in the reference."""
    scene = np.repeat(footage(1)[:1], SECONDS, axis=0)
    known(parts, scene, still=True)
    grids = np.repeat(np.repeat(moving(hour, still=True).grids, 4, axis=1), 4, axis=2)[20:61]
    if way == "upside down":
        number = list(Orientation).index(Orientation.ROTATE_180)
        codes, grids = pdq.orientations(scene)[:, number], grids[:, ::-1, ::-1]
    else:
        codes, grids = ~scene, -grids
    upload = Motion(moving(hour, still=True).offsets[20:61] - 1.0, grids)

    matches = found(parts, prints(codes).take(slice(5, 16)), [upload])
    sure = [match for match in matches if match.score > 0.95]

    pairs = [pair for match in sure for pair in match.segments]
    told = [(p.query.start, p.reference.start) for p in pairs]
    assert told == ([pytest.approx((4.0, 5.0), abs=0.15)] if hour == 3 else [])


@pytest.mark.parametrize(
    ("elsewhere", "same", "counts"),
    [
        pytest.param(False, False, True, id="features see nothing"),
        pytest.param(True, False, False, id="features see another moment"),
        pytest.param(True, True, True, id="the same moves"),
    ],
)
def test_a_moment_told_in_a_pane_is_held_against_what_features_see(
    parts: ServiceParts,
    elsewhere: bool,
    same: bool,
    counts: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = known(parts, np.repeat(footage(1)[:1], SECONDS, axis=0), still=True)

    def told(one: Alignment, *_: object) -> Moment:
        return Moment(replace(one, speed=1.0), other=False, same=same)

    monkeypatch.setattr("matcher.still_scenes.told_in_part", told)
    beside = Beside(other_moment=frozenset([name] if elsewhere else []))
    pane = seen_in(View.PANE, np.repeat(footage(1)[:1], 8, axis=0))
    assert bool(found(parts, pane, [moving(3, still=True)], beside)) is counts


def slowed(bits: int) -> Fingerprint:
    """The footage at half its speed, each picture so many bits away."""
    codes = np.repeat(footage(1), 2, axis=0)
    for row, code in enumerate(codes):
        flipped = np.zeros(256, dtype=np.uint8)
        flipped[np.random.default_rng(row).choice(256, bits, replace=False)] = 1
        code ^= np.packbits(flipped)
    return prints(codes)


@pytest.mark.parametrize(
    ("bits", "still", "hour", "counts"),
    [
        pytest.param(40, True, 4, False, id="another hour before the same camera"),
        pytest.param(40, True, 3, True, id="the same hour"),
        pytest.param(40, False, 4, True, id="a camera that moves shows it once"),
        pytest.param(10, True, 4, True, id="close pictures are no chance"),
    ],
)
def test_a_line_of_an_odd_speed_before_a_fixed_camera_is_asked_of_what_moves(
    parts: ServiceParts, bits: int, still: bool, hour: int, counts: bool
) -> None:
    known(parts, footage(1), still=still)
    found_by_hashes = found(parts, slowed(bits))
    assert found_by_hashes[0].score > 0.5
    judged = found(parts, slowed(bits), [moving(hour, still=still, slower=2)])
    assert bool(judged) is counts


@pytest.mark.parametrize(
    ("missing", "same", "still", "counts"),
    [
        pytest.param(True, False, True, False, id="another car that goes the same way"),
        pytest.param(True, True, True, True, id="the same car, whatever features miss"),
        pytest.param(False, False, True, True, id="features saw what moves, elsewhere"),
        pytest.param(True, False, False, True, id="a camera that moves"),
    ],
)
def test_a_moment_told_to_hashes_is_held_against_what_features_miss(
    parts: ServiceParts,
    missing: bool,
    same: bool,
    still: bool,
    counts: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = known(parts, footage(1), still=still)
    monkeypatch.setattr(
        "matcher.still_scenes.still_told", lambda one, *_, **__: Moment(one, other=False, same=same)
    )
    monkeypatch.setattr("matcher.judge.close_part", lambda _: 0.0)
    told = frozenset([name])
    beside = Beside(other_moment=told, missing=told if missing else frozenset())
    matches = found(parts, prints(faint(footage(1))), [moving(3, still=still)], beside)
    assert bool(matches) is counts


@pytest.mark.parametrize(
    ("alike", "bits", "still", "counts"),
    [
        pytest.param(False, 8, True, True, id="each moment hashes otherwise"),
        pytest.param(True, 8, True, False, id="all moments hash alike"),
        pytest.param(False, 24, True, False, id="none is close"),
        pytest.param(False, 8, False, False, id="a camera that moves"),
    ],
)
def test_hashes_that_lie_on_one_line_alone_tell_it_whatever_features_miss(
    parts: ServiceParts,
    alike: bool,
    bits: int,
    still: bool,
    counts: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes = np.repeat(footage(1)[:1], SECONDS, axis=0) if alike else footage(1)
    name = known(parts, codes, still=still)
    monkeypatch.setattr("matcher.judge.close_part", lambda _: 0.0)
    off = codes.copy()
    off[:, : bits // 8] ^= 0xFF
    told = frozenset([name])
    assert bool(found(parts, prints(off), beside=Beside(other_moment=told, missing=told))) is counts


@pytest.mark.parametrize(
    ("hour", "still", "kept", "given", "believed"),
    [
        pytest.param(1, True, 1.0, {}, True, id="the same hour"),
        pytest.param(2, True, 1.0, {}, False, id="another hour"),
        pytest.param(2, False, 1.0, {}, True, id="a camera that moves"),
        pytest.param(2, True, 0.6, {}, True, id="a part of the picture hashes otherwise"),
        pytest.param(2, True, 1.0, {"orientation": MIRRORED}, True, id="in a mirror"),
        pytest.param(2, True, 1.0, {"inverted": True}, True, id="as a negative"),
        pytest.param(2, True, 1.0, {"view": View.PANE}, True, id="of a pane"),
        pytest.param(2, True, 1.0, {"track": 1}, True, id="of another track"),
        pytest.param(2, True, 1.0, {"signal_type": "phash"}, True, id="by another hash"),
    ],
)
def test_what_features_find_of_all_of_a_picture_is_held_against_hashes(
    parts: ServiceParts, hour: int, still: bool, kept: float, given: dict[str, Any], believed: bool
) -> None:
    name = known(parts, footage(1), still=still)
    empty = Alignment(name, "local", Orientation.ORIGINAL, (), (), 0.0)
    frames = [
        FrameMatch(float(i), 4.0 + i, 0, i, 0, View.FULL, before=0.5, after=0.5) for i in range(10)
    ]
    alignment = rescore(empty, frames, video=True)
    assert alignment is not None
    laid = Laid(np.array([[1 / kept, 0.0, 0.0], [0.0, 1 / kept, 0.0]]), (64.0, 48.0), (64.0, 48.0))
    beside = Beside((alignment,), places=(Place(name, 0, np.arange(10.0), laid),))
    query = replace(prints(footage(hour)[4:14]), **given)
    seen = [a for m in found(parts, query, beside=beside) for a in m.alignments]
    (score,) = (a.score for a in seen if a.signal_type == "local")
    assert (score == alignment.score) is believed
    assert believed or score < 0.8  # of one scene, where nothing tells the moment


@pytest.mark.parametrize(
    ("repeated", "camera", "pace", "settled"),
    [
        pytest.param(False, "stands", 1.0, True, id="hashes tell the moment"),
        pytest.param(True, "stands", 1.0, False, id="the same comes once more"),
        pytest.param(True, "moves", 1.0, True, id="a camera that moves"),
        pytest.param(True, "moves", 1.05, False, id="a camera that moves, slower"),
        pytest.param(False, "moves", 1.05, True, id="slower, and hashes tell the moment"),
        pytest.param(False, "unknown", 1.0, True, id="hashes alone are known, and tell it"),
        pytest.param(True, "unknown", 1.0, False, id="hashes alone are known, which come twice"),
    ],
)
def test_hashes_settle_what_can_be_no_other_moment(
    parts: ServiceParts, repeated: bool, camera: str, pace: float, settled: bool
) -> None:
    """Then local features are not looked up; they tell of another moment where hashes do not."""
    codes = footage(1)
    shown = len(codes) // 2
    if repeated:
        codes[shown:] = codes[:shown]
    known(parts, codes, still={"stands": True, "moves": False, "unknown": None}[camera])
    query = prints(codes[:shown])
    query = replace(query, offsets=query.offsets * pace)
    total_s = float(query.offsets[-1]) + 1
    matches = found(parts, query)
    assert matches[0].score > 0.99
    coverage = Coverage(total_s, total_s, shown, 0)
    look = MediaFingerprints(MediaKind.VIDEO, (query,), coverage)
    assert judge_of(parts).settled(look, matches) is settled


@pytest.mark.parametrize(
    ("speed", "close", "counts"),
    [
        pytest.param(1.0, 0.11, True, id="some pictures are close"),
        pytest.param(1.0, 0.1, False, id="a picture of many is"),
        pytest.param(-1.0, 0.25, False, id="backwards, hardly any is"),
        pytest.param(-1.0, 0.26, True, id="backwards, more are"),
        pytest.param(1.0, 0.0, False, id="none is"),
    ],
)
def test_hashes_that_lead_elsewhere_than_features_must_be_close(
    parts: ServiceParts,
    speed: float,
    close: float,
    counts: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes = footage(1)
    name = known(parts, codes, still=False)
    monkeypatch.setattr("matcher.judge.close_part", lambda _: close)
    query = prints(codes if speed > 0 else np.ascontiguousarray(codes[::-1]))
    assert bool(found(parts, query, beside=Beside(other_moment=frozenset([name])))) is counts


@pytest.mark.parametrize(
    ("speed", "same", "still", "sure"),
    [
        pytest.param(1.25, False, True, False, id="somebody else, who is faster"),
        pytest.param(0.8, False, True, False, id="or slower"),
        pytest.param(1.05, False, True, True, id="about as fast"),
        pytest.param(1.25, True, True, True, id="the same moves"),
        pytest.param(1.25, False, False, True, id="a camera that moves"),
    ],
)
def test_another_speed_before_a_fixed_camera_may_be_another_who_does_the_same(
    parts: ServiceParts,
    speed: float,
    same: bool,
    still: bool,
    sure: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = known(parts, footage(1), still=still)

    def told(one: Alignment, *_: object, **__: object) -> Moment:
        return Moment(replace(one, speed=speed), other=False, same=same)

    monkeypatch.setattr("matcher.still_scenes.still_told", told)
    monkeypatch.setattr("matcher.judge.close_part", lambda _: 0.0)
    beside = Beside(any_moment=frozenset([name]))
    (match,) = found(parts, prints(faint(footage(1))), [moving(3, still=still)], beside)
    assert (match.score > 0.9) is sure


def by_features(name: str) -> Alignment:
    frame = FrameMatch(0.0, 0.0, 0, 0, 0, View.FULL, 0, 0.0, 0.0)
    empty = Alignment(name, "local", Orientation.ORIGINAL, (), (), 0.0)
    seen = rescore(empty, [frame], video=False)
    assert seen is not None
    return seen


@pytest.mark.parametrize(
    ("whole", "bare", "far", "score"),
    [
        pytest.param(False, False, True, 0.99, id="a part of it"),
        pytest.param(True, False, True, 0.5, id="whole, and its hash is far: any picture"),
        pytest.param(True, False, False, 0.99, id="something lies over it, and its hash is near"),
        pytest.param(True, True, True, 0.5, id="bare, and its hash is far"),
        pytest.param(True, True, False, None, id="bare: the hash counts alone"),
    ],
)
def test_features_of_a_whole_image_are_held_against_its_hash(
    parts: ServiceParts, whole: bool, bare: bool, far: bool, score: float | None
) -> None:
    name = known(parts, footage(1), still=True)
    told = frozenset([name])
    beside = Beside(whole=told if whole else frozenset(), bare=told if bare else frozenset())
    hashed = [] if far else [replace(by_features(name), signal_type="pdq")]
    kept = judge_of(parts)._beside_hash(
        [by_features(name)], beside, hashed, [prints(footage(1)[:1])]
    )
    assert [a.score for a in kept] == ([] if score is None else [pytest.approx(score, abs=0.02)])
