"""A film that is cropped, and played backwards, looped, shuffled or cut, judged."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from api.settings import Settings
from api.wiring import Parts, build
from hashdb.model import Action, Verdict, new_id
from matcher.digest import digest_file
from tests.media_maker import Rgb, video

BUNNY, RATE = Path(__file__).parents[1] / "media" / "o597_bbb.mp4", 24


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with closing(banked(tmp_path_factory.mktemp("film"), BUNNY.read_bytes())) as made:
        yield made


def banked(folder: Path, film: bytes) -> Parts:
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(folder)}))
    with made.store.begin() as tx:
        bank = tx.banks.create("films")
    media = io.BytesIO(film)
    made.enroller.add_media(bank, media, digest_file(media), actor="here")
    return made


@pytest.fixture(scope="module")
def film() -> list[Rgb]:
    with av.open(str(BUNNY)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return cropped(shown)


def cropped(shown: Sequence[Rgb]) -> list[Rgb]:
    height, width = shown[0].shape[:2]
    return [np.ascontiguousarray(p[: height * 2 // 3, width // 3 :]) for p in shown]


def played(film: Sequence[Rgb], *pieces: tuple[float, float]) -> list[Rgb]:
    """From one second of the film to another, which may be an earlier one, and so on."""
    some: list[Rgb] = []
    for start, end in pieces:
        first, last = round(min(start, end) * RATE), round(max(start, end) * RATE)
        some += film[first:last] if start < end else film[first:last][::-1]
    return some


def judged(parts: Parts, frames: Sequence[Rgb]) -> Verdict:
    media = io.BytesIO(video(frames, rate=RATE))
    return parts.checker.check_media("key", new_id("upload"), media, digest_file(media))


@pytest.mark.parametrize(
    "pieces",
    [
        [(12.0, 3.0)],
        [(4.0, 6.5)] * 4,
        [(16.0, 18.0), (2.0, 4.0), (9.0, 11.0), (5.0, 7.0)],
        [(2.0, 4.5), (4.5, 2.0), (2.0, 4.5), (4.5, 2.0)],
    ],
    ids=["backwards", "looped", "shuffled", "to and fro"],
)
def test_it_is_found(parts: Parts, film: list[Rgb], pieces: Sequence[tuple[float, float]]) -> None:
    verdict = judged(parts, played(film, *pieces))
    assert verdict.action is Action.BLOCK, verdict.reason
    segments = verdict.matches[0].segments
    assert {p.backwards for p in segments} == {start > end for start, end in pieces}
    shown = [(p.reference.start, p.reference.end) for p in segments]
    first, last = min(min(p) for p in pieces), max(max(p) for p in pieces)
    assert (min(s for s, _ in shown), max(e for _, e in shown)) == pytest.approx(
        (first, last), abs=0.6
    )


def led_over(seconds: float) -> list[Rgb]:
    """A place over which a camera is led, by a hand that shakes a little."""
    rng = np.random.default_rng(7)
    rough = rng.integers(30, 226, (150, 240, 3)).astype(np.uint8)
    place = cv2.resize(rough, (1920, 1200), interpolation=cv2.INTER_CUBIC)
    at = np.arange(round(seconds * RATE)) / RATE
    x = (20 + 55 * at + 3 * np.sin(4 * at)).round().astype(int)
    y = (200 + 25 * at + 4 * np.sin(5 * at)).round().astype(int)
    return [place[b : b + 360, a : a + 480] for a, b in zip(x.tolist(), y.tolist(), strict=True)]


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_a_camera_that_moves_is_found_backwards_at_another_pace(
    tmp_path: Path, speed: float
) -> None:
    seconds = 12.0
    film = led_over(seconds)
    shown = cropped(film)[::-1]
    frames = [p for p in shown for _ in range(2)] if speed < 1 else shown[::2]
    with closing(banked(tmp_path, video(film, rate=RATE))) as parts:
        verdict = judged(parts, frames)
    assert verdict.action is Action.BLOCK, verdict.reason
    (segment,) = verdict.matches[0].segments
    assert segment.backwards
    assert segment.query.seconds == pytest.approx(seconds / speed, abs=1.0)
    assert segment.reference.seconds == pytest.approx(seconds, abs=1.0)
