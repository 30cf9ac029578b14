"""What a picture within an upload's picture says of a reference: made codes, a real database."""

from __future__ import annotations

from collections.abc import Iterator
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


def known(parts: ServiceParts, codes: Codes, *, still: bool) -> None:
    """A reference whose camera stands still, or moves."""
    rng = np.random.default_rng(3)
    grids = rng.integers(-90, 90, (4 * SECONDS, 16, 16)).astype(np.int8)
    if still:
        grids[:, 4:] = 0
    with parts.store.begin() as tx:
        bank = tx.banks.create("attacks")
        tx.banks.add_reference(
            bank,
            kind=MediaKind.VIDEO,
            digests=Digests(),
            fingerprints=[prints(codes)],
            origin="here",
            duration_s=float(SECONDS),
            motion=[Motion(np.arange(4 * SECONDS) / 4, grids)],
        )


def found(parts: ServiceParts, codes: Codes, view: View) -> tuple[Match, ...]:
    judge = Judge(
        parts.store,
        parts.index,
        signal_types=["pdq"],
        orientations=pdq.orientations,
        degenerate=pdq.degenerate,
    )
    return judge.find([replace(prints(codes), view=view)], total_s=float(SECONDS))


@pytest.mark.parametrize("view", View)
def test_footage_is_found_in_every_view(parts: ServiceParts, view: View) -> None:
    known(parts, footage(1), still=True)
    (match,) = found(parts, footage(1), view)
    assert match.score > 0.99


@pytest.mark.parametrize("still", [True, False])
@pytest.mark.parametrize("view", View)
def test_one_picture_in_a_pane_says_nothing_of_a_camera_that_stands_still(
    parts: ServiceParts, view: View, still: bool
) -> None:
    known(parts, footage(1), still=still)
    other = footage(2)
    other[7] = footage(1)[7]
    assert len(found(parts, other, view)) == (0 if still and view.in_part else 1)
