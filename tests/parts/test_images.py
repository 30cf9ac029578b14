"""Images through the service's own parts: edited copies are found, what only looks alike is not
blocked."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

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
    for shown in (ATTACK, PLACE, SLIDES[0], window(coarse(91))):
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


def window(shown: np.ndarray) -> np.ndarray:
    """A picture as a post in a browser's window, with the same texts each time."""
    return stills.edited(shown, ["screenshot"], {"screenshot": {"phone": False, "seed": 8}}, ())


ATTACK = stills.still(MEDIA / "o597_bbb.mp4", 4.0)
PLACE = place(1)
SLIDES = [scenes.slides(Random(5), 1280, 720)(3.0 * n + 1) for n in range(4)]


def check(parts: Parts, shown: np.ndarray, quality: int = 60) -> Verdict:
    media = file(shown, quality)
    return parts.checker.check_media("key", new_id("upload"), media, digest_file(media))


def test_a_picture_that_shows_only_over_white_is_found(parts: Parts):
    """Most pages are white; over black it shows something else, or nothing."""
    on_white, on_black = (cv2.cvtColor(p, cv2.COLOR_BGR2GRAY) / 2.0 for p in (ATTACK, coarse(55)))
    on_black = cv2.resize(on_black, on_white.shape[::-1])
    alpha = np.clip(128 + on_black - on_white, 1, 255)
    for shade in (np.clip(on_black * 255 / alpha, 0, 255), np.zeros_like(alpha)):
        over = alpha if shade.any() else 255 - 2 * on_white
        _, data = cv2.imencode(".png", np.dstack([shade, shade, shade, over]).astype(np.uint8))
        media = io.BytesIO(data.tobytes())
        verdict = parts.checker.check_media("key", new_id("upload"), media, digest_file(media))
        assert verdict.action is Action.BLOCK, verdict.reason


def test_black_letters_on_nothing_are_looked_at(parts: Parts):
    """A signature, a logo: over black there is nothing to see."""
    letters = np.zeros((300, 600, 4), np.uint8)
    cv2.putText(letters, "John Smith", (30, 180), 4, 3, (0, 0, 0, 255), 6)
    _, data = cv2.imencode(".png", letters)
    media = io.BytesIO(data.tobytes())
    verdict = parts.checker.check_media("key", new_id("upload"), media, digest_file(media))
    assert verdict.action is Action.ALLOW, verdict.reason


EDITED: dict[str, dict[str, Any]] = {
    "encoded again": {},
    "mirrored": {},
    "off-centre crop": {"keep": 0.7, "keep_height": 0.7, "x": 0.1, "y": 0.9},
    "rotated by 2 to 15 degrees": {"degrees": 9.0, "corners": "black"},
    "a quarter of it": {"keep": 0.5, "x": 0.1, "y": 0.9},
    "its middle, enlarged": {"keep": 0.4, "x": 0.5, "y": 0.5},
    "logo": {"width": 0.2, "corner": "top left", "opacity": 1.0, "seed": 2},
    "picture in picture": {},
}


UNSURE = ("logo", "picture in picture")


def part(keep: float, x: float, y: float) -> np.ndarray:
    """So much of each side of it; 0 and 1: from the left and top, from the right and bottom."""
    height, width = ATTACK.shape[:2]
    top, left = int(y * (1 - keep) * height), int(x * (1 - keep) * width)
    return ATTACK[top : top + int(keep * height), left : left + int(keep * width)]


def edited(name: str) -> np.ndarray:
    if name == "picture in picture":
        shown = coarse(90)
        small = stills.within(ATTACK, 640)
        shown[40 : 40 + small.shape[0], 600 : 600 + small.shape[1]] = small
        return shown
    if name in ("a quarter of it", "its middle, enlarged"):
        return cv2.resize(part(**EDITED[name]), (1280, 720))
    names = [name] if name in stills.EDITS else []
    return stills.edited(ATTACK, names, {name: EDITED[name]}, ())


@pytest.mark.parametrize("name", EDITED)
def test_an_edited_image_is_found(parts: Parts, name: str) -> None:
    """A whole picture that its hash is far from, and one that is small, ask for a person."""
    verdict = check(parts, edited(name))
    enough = (Action.REVIEW, Action.BLOCK) if name in UNSURE else (Action.BLOCK,)
    assert verdict.action in enough, verdict.reason
    assert len(verdict.matches) == 1


@pytest.mark.parametrize("phone", [True, False], ids=["phone", "browser"])
def test_a_screenshot_of_a_banned_picture_is_found(parts: Parts, phone: bool) -> None:
    """It fills little of it, so that few features are found; its pane's hash is."""
    shot = {"screenshot": {"phone": phone, "seed": 2}}
    verdict = check(parts, stills.edited(ATTACK, ["screenshot"], shot, ()))
    assert verdict.action is Action.BLOCK, verdict.reason
    assert {s.signal_type for s in verdict.matches[0].signals} >= {"pdq", "local"}
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


def test_the_same_window_around_another_picture_is_not_blocked(parts: Parts) -> None:
    """What the window shares is all over the image; the hash of all of it is another's."""
    assert check(parts, window(coarse(91))).action is Action.BLOCK
    for seed in (92, 93, 94):
        verdict = check(parts, window(coarse(seed)))
        assert verdict.action is not Action.BLOCK, verdict.reason
