"""What hashes say of a camera that stands still: made codes, a real database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from api.settings import Settings
from hashdb.model import (
    Codes,
    Digests,
    Fingerprint,
    Match,
    MediaKind,
    Motion,
    View,
)
from matcher.hashers import pdq
from matcher.judge import Judge
from tests.fakes import ServiceParts, build

SECONDS = 20


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[ServiceParts]:
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(tmp_path / "data")}))
    yield made
    made.close()


def footage(seed: int) -> Codes:
    return np.random.default_rng(seed).integers(0, 256, (SECONDS, 32), dtype=np.uint8)


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


def known(parts: ServiceParts, codes: Codes, *, still: bool) -> None:
    """A reference whose camera stands still, or moves."""
    with parts.store.begin() as tx:
        bank = tx.banks.create("attacks")
        tx.banks.add_reference(
            bank,
            kind=MediaKind.VIDEO,
            digests=Digests(),
            fingerprints=[prints(codes)],
            origin="here",
            duration_s=float(SECONDS),
            motion=[moving(3, still=still)],
        )


def found(
    parts: ServiceParts, query: Fingerprint, motion: Sequence[Motion] = ()
) -> tuple[Match, ...]:
    judge = Judge(
        parts.store,
        parts.index,
        signal_types=["pdq"],
        orientations=pdq.orientations,
        degenerate=pdq.degenerate,
    )
    total_s = float(query.offsets[-1]) + 1
    return judge.find([query], total_s=total_s, motion=motion)


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
