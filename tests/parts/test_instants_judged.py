"""Who passes before a camera that stands still, judged: what is there for an instant only tells the
moment, where something else moves over all of it; and speaks against one where it is missing."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, BinaryIO

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from api.settings import Settings
from api.wiring import Parts, build
from hashdb.errors import SandboxFailed
from hashdb.model import Action, Verdict, new_id
from matcher import moment_finder
from matcher.check import Checker
from matcher.digest import digest_file
from matcher.ports import Sampling
from tests.media_maker import Rgb, video

RATE = 24
WIDTH, HEIGHT, SIZE = 480, 360, 100
SECONDS = 24.0
START, LENGTH = 7.3, 10.0


@lru_cache
def texture(seed: int, height: int, width: int, grain: int) -> Rgb:
    rng = np.random.default_rng(seed)
    rough = rng.integers(40, 216, (height // grain, width // grain)).astype(np.uint8)
    fine = cv2.resize(rough, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.repeat(fine[..., None], 3, axis=2)


def picture(hour: int, at: float) -> Rgb:
    """A wall, and what passes before it, every two seconds another one on a way of its own."""
    shown = texture(0, HEIGHT, WIDTH, 12).copy()
    for number in (int(at // 2), int(at // 2) + 1):
        rng = np.random.default_rng((hour, number))
        start, turn = rng.uniform(0.1, 0.5, 2), rng.uniform(-0.12, 0.12, 2)
        middle = start + 0.1 + turn * (at - 2 * number + 2)
        left, top = (middle * (WIDTH - SIZE, HEIGHT - SIZE)).astype(int).clip(0)
        left, top = min(left, WIDTH - SIZE), min(top, HEIGHT - SIZE)
        shown[top : top + SIZE, left : left + SIZE] = texture(100 * hour + number, SIZE, SIZE, 6)
    return shown


def hour_of(hour: int, start: float, seconds: float, speed: float = 1.0) -> list[Rgb]:
    count = round(seconds / speed * RATE)
    return [picture(hour, start + speed * number / RATE) for number in range(count)]


def cropped(frames: list[Rgb], side: int = 280) -> list[Rgb]:
    return [np.ascontiguousarray(f[40 : 40 + side, 90 : 90 + side]) for f in frames]


def covered(frames: list[Rgb]) -> list[Rgb]:
    """By a card that goes to and fro over it, and flashes."""
    shown = [frame.copy() for frame in frames]
    for number, frame in enumerate(shown):
        left = int(abs(np.sin(number / RATE * 1.3)) * 150)
        frame[120:260, left : left + 130] = number * 7 % 255
    return shown


def zoomed(frames: list[Rgb]) -> list[Rgb]:
    """In and out."""
    shown = []
    for number, frame in enumerate(frames):
        zoom = 1 + 0.2 * abs(np.sin(number / RATE * 2.0))
        turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 0, zoom)
        shown.append(cv2.warpAffine(frame, turn, (WIDTH, HEIGHT)))
    return shown


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("passing")
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(folder)}))
    with made.store.begin() as tx:
        bank = tx.banks.create("passing", action=Action.BLOCK)
    media = io.BytesIO(video(iter(hour_of(1, 0.0, SECONDS)), rate=RATE, gop=48))
    made.enroller.add_media(bank, media, digest_file(media), actor="here")
    yield made
    made.close()


def judged(parts: Parts, frames: list[Rgb]) -> Verdict:
    media = io.BytesIO(video(frames, rate=RATE, gop=48))
    return parts.checker.check_media("key_here", new_id("upload"), media, digest_file(media))


EDITS: dict[str, tuple[float, Callable[[list[Rgb]], list[Rgb]]]] = {
    "covered": (1.0, covered),
    "slower and zoomed": (0.6, zoomed),
    "slower, cropped and covered": (0.6, lambda frames: covered(cropped(frames))),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_copy_is_found_by_who_passes(parts: Parts, edit: str) -> None:
    """All three were allowed before instants were looked for."""
    speed, edited = EDITS[edit]
    verdict = judged(parts, edited(hour_of(1, START, LENGTH, speed)))
    assert verdict.action is Action.BLOCK, verdict.reason
    first, last = verdict.matches[0].segments[0], verdict.matches[0].segments[-1]
    assert first.reference.start == pytest.approx(START + speed * first.query.start, abs=0.5)
    assert last.reference.end == pytest.approx(START + speed * last.query.end, abs=0.5)
    assert last.query.end - first.query.start > 0.8 * LENGTH / speed


@pytest.mark.parametrize("edit", EDITS)
def test_another_hour_is_not(parts: Parts, edit: str) -> None:
    speed, edited = EDITS[edit]
    verdict = judged(parts, edited(hour_of(2, START, LENGTH, speed)))
    assert verdict.action is Action.ALLOW, verdict.reason
    assert verdict.timings_ms["motion_look"] > 0


def asked(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, bits: int | None
) -> tuple[Verdict, list[bool]]:
    """A cropped copy, whose moment is doubted, judged; and what was said when it was asked whether
    instants are missing. `bits`: how far off all of them are said to be, None: as they are."""
    missing = moment_finder.are_missing
    said: list[bool] = []

    def asking(found: Any, pictures: Any, greys: Any, guide: Any) -> bool:
        def none(_: Any, __: Any, reference: Any) -> tuple[NDArray[np.int64], NDArray[Any]]:
            return np.full(len(reference.codes), bits), reference.places[:, :2]

        told = missing(found, pictures, greys, guide if bits is None else none)
        said.extend([told] * bool(greys))
        return told

    monkeypatch.setattr(moment_finder, "are_missing", asking)
    return judged(parts, cropped(hour_of(1, START, LENGTH), 240)), said


def test_what_is_doubtful_and_there_is_a_copy(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict, said = asked(parts, monkeypatch, None)
    assert verdict.action is Action.BLOCK
    assert said
    assert not any(said)
    assert verdict.timings_ms["motion_look"] > 0


def test_what_is_doubtful_and_missing_is_another_moment(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict, said = asked(parts, monkeypatch, 120)
    assert any(said)
    assert verdict.action is Action.ALLOW, verdict.reason


def test_a_check_that_fails_takes_no_block_away(parts: Parts) -> None:
    def failing(media: BinaryIO, sampling: Sampling, signals: Sequence[str], **more: Any) -> Any:
        if sampling.motion:
            raise SandboxFailed("died")
        return parts.sandbox(media, sampling, signals, **more)

    frames = cropped(hour_of(1, START, LENGTH), 240)
    media = io.BytesIO(video(frames, rate=RATE, gop=48))
    checker = Checker(parts.store, parts.judge, failing, parts.policy)
    verdict = checker.check_media("key_here", new_id("upload"), media, digest_file(media))
    assert verdict.action is Action.BLOCK, verdict.reason
    assert verdict.matches
