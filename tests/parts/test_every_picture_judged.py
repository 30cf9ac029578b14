"""A fire before a camera that stands still, judged: how every picture changes tells its moment."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import pytest

from api.settings import Settings
from api.wiring import Parts, build
from hashdb.errors import SandboxFailed
from hashdb.model import Action, MediaFingerprints, Verdict, new_id
from matcher.beside import Beside
from matcher.check import Checker
from matcher.digest import digest_file
from matcher.played import NOT_WATCHED
from matcher.ports import Sampling
from tests.media_maker import Rgb, video

RATE = 30
WIDTH, HEIGHT = 480, 360
SECONDS = 24


def place(seed: int = 11) -> Rgb:
    """A wall with many corners."""
    rng = np.random.default_rng(seed)
    wall = np.kron(rng.integers(60, 200, (18, 24)), np.ones((20, 20))).astype(np.uint8)
    for _ in range(60):
        at = tuple(rng.integers(0, (WIDTH, HEIGHT)).tolist())
        cv2.circle(wall, at, int(rng.integers(3, 12)), int(rng.integers(0, 255)), -1)
    return np.repeat(wall[..., None], 3, axis=2)


def fire(hour: int, seconds: float = SECONDS) -> Iterator[Rgb]:
    """The place, and flames before it that are others in each picture."""
    wall = place().astype(np.int16)
    for number in range(round(seconds * RATE)):
        rng = np.random.default_rng((hour, number))
        flames = cv2.resize(rng.normal(0, 45, (6, 6)), (240, 160), interpolation=cv2.INTER_CUBIC)
        picture = wall.copy()
        picture[120:280, 120:360] += flames[..., None].astype(np.int16)
        yield np.clip(picture, 0, 255).astype(np.uint8)


def cropped(hour: int, first: float, last: float) -> list[Rgb]:
    """A square out of the middle of some seconds."""
    some = list(fire(hour, last))[round(first * RATE) :]
    side = 300
    down, across = (HEIGHT - side) // 2, (WIDTH - side) // 2
    return [p[down : down + side, across : across + side].copy() for p in some]


def known(folder: Path, action: Action) -> Parts:
    """A service whose one bank holds the fire."""
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(folder)}))
    with made.store.begin() as tx:
        bank = tx.banks.create("fires", action=action)
    media = io.BytesIO(video(fire(1), rate=RATE, gop=60))
    made.enroller.add_media(bank, media, digest_file(media), actor="here")
    return made


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    made = known(tmp_path_factory.mktemp("fire"), Action.BLOCK)
    yield made
    made.close()


def judged(checker: Checker, frames: list[Rgb]) -> Verdict:
    media = io.BytesIO(video(frames, rate=RATE, gop=48))
    return checker.check_media("key_here", new_id("upload"), media, digest_file(media))


@pytest.fixture(scope="module")
def copy() -> list[Rgb]:
    return cropped(1, 7.37, 17.37)


def test_a_copy_of_what_burns_is_found(parts: Parts, copy: list[Rgb]) -> None:
    verdict = judged(parts.checker, copy)
    assert verdict.action is Action.BLOCK, verdict.reason
    assert verdict.timings_ms["motion_look"] > 0
    (segment,) = verdict.matches[0].segments
    assert segment.query.seconds > 8
    assert segment.reference.start - segment.query.start == pytest.approx(7.37, abs=0.1)


def test_another_fire_at_the_same_place_is_not(parts: Parts) -> None:
    verdict = judged(parts.checker, cropped(2, 0.0, 10.0))
    assert verdict.action is Action.ALLOW, verdict.reason
    assert verdict.timings_ms["motion_look"] > 0


def test_a_look_that_failed_is_said(parts: Parts, copy: list[Rgb]) -> None:
    def failing(media: BinaryIO, sampling: Sampling, signals: Sequence[str], **more: Any) -> Any:
        if sampling.motion:
            raise SandboxFailed("died")
        return parts.sandbox(media, sampling, signals, **more)

    verdict = judged(Checker(parts.store, parts.judge, failing, parts.policy), copy)
    assert verdict.action is Action.REVIEW
    assert "part_failed" in verdict.reason.codes


def test_a_search_that_failed_takes_nothing_away(
    parts: Parts, copy: list[Rgb], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = parts.judge.find_local

    def failing(look: MediaFingerprints, **more: Any) -> Beside:
        if more.get("every", NOT_WATCHED).motion:
            raise RuntimeError("no")
        return find(look, **more)

    monkeypatch.setattr(parts.judge, "find_local", failing)
    verdict = judged(parts.checker, copy)
    assert verdict.action is Action.REVIEW
    assert "index_failed" in verdict.reason.codes
    assert verdict.matches == ()


def test_what_an_allow_list_holds_is_not_asked_for_its_moment(
    tmp_path: Path, copy: list[Rgb]
) -> None:
    made = known(tmp_path, Action.ALLOW)
    try:
        verdict = judged(made.checker, copy)
    finally:
        made.close()
    assert verdict.action is Action.ALLOW
    assert "motion_look" not in verdict.timings_ms
