"""A film that is cropped, and played backwards, looped, shuffled or cut, judged."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
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
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(tmp_path_factory.mktemp("film"))}))
    with made.store.begin() as tx:
        bank = tx.banks.create("films")
    with BUNNY.open("rb") as media:
        made.enroller.add_media(bank, media, digest_file(media), actor="here")
    yield made
    made.close()


@pytest.fixture(scope="module")
def film() -> list[Rgb]:
    """The film, cropped to four ninths."""
    with av.open(str(BUNNY)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
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
