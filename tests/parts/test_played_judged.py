"""A film that is cropped, and played backwards, looped, shuffled or cut, judged."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest

from api.settings import Settings
from api.wiring import Parts, build
from hashdb.model import Action, Verdict, new_id
from matcher.digest import digest_file
from tests.media_maker import Rgb, video

MEDIA = Path(__file__).parents[1] / "media"
BUNNY, RATE = MEDIA / "o597_bbb.mp4", 24
OPENING, ITS_RATE = MEDIA / "o554_movie.mp4", 25


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with closing(banked(tmp_path_factory.mktemp("film"), BUNNY)) as made:
        yield made


def banked(folder: Path, path: Path) -> Parts:
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(folder)}))
    with made.store.begin() as tx:
        bank = tx.banks.create("films")
    with path.open("rb") as media:
        made.enroller.add_media(bank, media, digest_file(media), actor="here")
    return made


@pytest.fixture(scope="module")
def film() -> list[Rgb]:
    return cropped(BUNNY)


def cropped(path: Path) -> list[Rgb]:
    """A film, to four ninths."""
    with av.open(str(path)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    height, width = shown[0].shape[:2]
    high, left = height * 2 // 3, width // 3
    return [np.ascontiguousarray(p[: high - high % 2, left + (width - left) % 2 :]) for p in shown]


def played(film: Sequence[Rgb], *pieces: tuple[float, float]) -> list[Rgb]:
    """From one second of the film to another, which may be an earlier one, and so on."""
    some: list[Rgb] = []
    for start, end in pieces:
        first, last = round(min(start, end) * RATE), round(max(start, end) * RATE)
        some += film[first:last] if start < end else film[first:last][::-1]
    return some


def judged(parts: Parts, frames: Sequence[Rgb], rate: int = RATE) -> Verdict:
    media = io.BytesIO(video(frames, rate=rate))
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


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_what_moves_backwards_at_another_pace_is_found(tmp_path: Path, speed: float) -> None:
    shown = cropped(OPENING)[::-1]
    frames = [p for p in shown for _ in range(2)] if speed < 1 else shown[::2]
    with closing(banked(tmp_path, OPENING)) as parts:
        verdict = judged(parts, frames, ITS_RATE)
    assert verdict.action is Action.BLOCK, verdict.reason
    (segment,) = verdict.matches[0].segments
    assert segment.backwards
    seconds = len(shown) / ITS_RATE
    assert segment.query.seconds == pytest.approx(seconds / speed, abs=1.0)
    assert segment.reference.seconds == pytest.approx(seconds, abs=1.0)
