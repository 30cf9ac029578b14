"""Images through the service's own parts: edited copies are found, what only looks alike is not
blocked."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest

from api.settings import Settings
from api.wiring import Parts, build
from bench.robustness import scenes, stills
from hashdb.model import Action, Verdict, new_id
from matcher.digest import digest_file
from tests.unit.test_local_hasher import textured


MEDIA = Path(__file__).parents[1] / "media"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("images") / "data"
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(folder)}))
    with made.store.begin() as tx:
        bank = tx.banks.create("attacks")
    for shown in (ATTACK, PLACE, SLIDES[0]):
        media = file(shown)
        made.enroller.add_media(bank, media, digest_file(media), actor="test")
    yield made
    made.close()


def colours(luma: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(luma, cv2.COLOR_GRAY2BGR)


def file(shown: np.ndarray, quality: int = 90) -> io.BytesIO:
    _, data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return io.BytesIO(data.tobytes())


def coarse(seed: int) -> np.ndarray:
    """Grain as large as footage has it, so that it outlives a lower quality."""
    return cv2.resize(colours(textured(seed, 360, 640)), (1280, 720))


def place(seed: int) -> np.ndarray:
    """A fixed camera: the same ground, and people who stand elsewhere each time."""
    shown, rng = coarse(77), np.random.default_rng(seed)
    for _ in range(6):
        x, y = int(rng.integers(100, 1180)), int(rng.integers(150, 600))
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        cv2.ellipse(shown, (x, y), (45, 130), 0, 0, 360, colour, -1)
    return shown


ATTACK = stills.still(MEDIA / "o597_bbb.mp4", 4.0)
PLACE = place(1)
SLIDES = [scenes.slides(Random(5), 1280, 720)(3.0 * n + 1) for n in range(4)]


def check(parts: Parts, shown: np.ndarray, quality: int = 60) -> Verdict:
    media = file(shown, quality)
    return parts.checker.check_media("key", new_id("upload"), media, digest_file(media))


EDITED = {
    "encoded again": {},
    "crop to 50-80 %": {"keep": 0.6, "x": 0.5, "y": 0.5},
    "off-centre crop": {"keep": 0.6, "keep_height": 0.7, "x": 0.1, "y": 0.9},
    "rotated by 2 to 15 degrees": {"degrees": 9.0, "corners": "black"},
    "meme text": {"size": 0.07, "seed": 3},
    "screenshot": {"phone": False, "seed": 4},
}


@pytest.mark.parametrize("name", EDITED)
def test_an_edited_image_is_blocked(parts: Parts, name: str) -> None:
    edits = [name] if name in stills.EDITS else []
    verdict = check(parts, stills.edited(ATTACK, edits, {name: EDITED[name]}, ()))
    assert verdict.action is Action.BLOCK, verdict.reason
    assert len(verdict.matches) == 1


def test_another_moment_of_the_same_camera_is_not_blocked(parts: Parts) -> None:
    """Local features see the place; the hash of the whole picture says that it is another one."""
    assert check(parts, PLACE).action is Action.BLOCK
    for seed in (2, 3, 4):
        verdict = check(parts, place(seed))
        assert verdict.action is not Action.BLOCK, verdict.reason


def test_other_slides_of_a_deck_are_not_blocked(parts: Parts) -> None:
    for other in SLIDES[1:]:
        assert check(parts, other).action is not Action.BLOCK


def test_other_pictures_are_nothing(parts: Parts) -> None:
    for seed in (60, 61):
        assert check(parts, coarse(seed)).action is Action.ALLOW
