"""The benchmark's single pictures: how they are edited and written, and what counts as found."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from bench.robustness import stills
from bench.robustness.found import Found, Named
from bench.robustness.metrics import is_found
from bench.robustness.pictures import draw
from bench.robustness.samples import Sample, Truth


def scene(seed: int = 1, height: int = 360, width: int = 640) -> np.ndarray:
    """Coarse noise, in colours."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 40, width // 40, 3))
    return noise.astype(np.uint8).repeat(40, 0).repeat(40, 1)


@pytest.mark.parametrize("name", [n for n, e in stills.EDITS.items() if not e.others])
def test_every_edit_of_one_picture_changes_it_and_gives_the_same_twice(name: str) -> None:
    params = {name: draw(stills.EDITS[name].ranges, Random(3))}
    one, other = (stills.edited(scene(), [name], params, ()) for _ in range(2))
    assert (one == other).all()
    changed = one.shape != scene().shape or bool((one != scene()).any())
    assert changed is (stills.EDITS[name].build is not None)


@pytest.mark.parametrize(
    "codec",
    [{"format": "jpeg", "quality": 20}, {"format": "webp", "quality": 20}, {"format": "png"}],
)
def test_what_is_written_is_that_kind_of_file(codec, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    stills.write(path, scene(), codec)
    head = path.read_bytes()[:12]
    signs = {"jpeg": b"\xff\xd8\xff", "webp": b"RIFF", "png": b"\x89PNG"}
    assert head.startswith(signs[codec["format"]])
    off = np.abs(stills.picture(path).astype(int) - scene().astype(int)).mean()
    assert off == 0 if codec["format"] == "png" else 0 < off < 20


def test_the_same_to_the_eye() -> None:
    one, moved = scene(), scene()
    moved[100:140, 100:140] = 255 - moved[100:140, 100:140]
    brighter = np.clip(scene().astype(int) + 4, 0, 255).astype(np.uint8)
    assert stills.same_picture(stills.grid(one), stills.grid(brighter))
    assert not stills.same_picture(stills.grid(one), stills.grid(moved))


def test_a_picture_is_made_smaller_only() -> None:
    assert stills.within(scene(), 320).shape == (180, 320, 3)
    assert stills.within(scene(), 1280).shape == scene().shape


@pytest.mark.parametrize(("tier", "seconds", "found"), [
    ("everyday", 0.0, False), ("everyday", 2.0, True), ("news", 9.0, True),
])  # fmt: skip
def test_a_review_of_an_image_is_not_enough(tier: str, seconds: float, found: bool) -> None:
    truth = (Truth("r", (0.0, seconds), (0.0, seconds)),)
    sample = Sample("s", "s.jpg", tier, "k", "test", seconds, truth=truth)
    assert is_found(sample, Found("s", "review", (Named("r", 0.5),))) is found
    assert is_found(sample, Found("s", "block", (Named("r", 0.9),)))
