"""A camera above a road, judged: a car passes, and at another hour another one, the same way."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from api.settings import Settings
from api.wiring import Parts, build
from hashdb.errors import SandboxFailed
from hashdb.model import Action, MediaFingerprints, Verdict, new_id
from matcher.check import Checker
from matcher.digest import digest_file
from matcher.ports import Sampling
from tests.media_maker import Rgb, video
from tests.parts.test_every_picture_judged import HEIGHT, RATE, WIDTH, place

PIXELS_A_S, LENGTH, TOP = 200, 140, 230
PASSES_AT = 9.3
SECONDS = 24.0


def car(look: int) -> Rgb:
    """A bright or dark body with windows."""
    patches = np.random.default_rng(look).integers(0, 255, (3, 7))
    return np.repeat(np.kron(patches, np.ones((20, 20)))[..., None], 3, axis=2).astype(np.uint8)


def road(hour: int, look: int, passes_at: float, seconds: float, where: int = 11) -> Iterator[Rgb]:
    """A place, with the grain of that hour, and the car that passes."""
    empty, body, rng = place(where), car(look), np.random.default_rng(hour)
    for number in range(round(seconds * RATE)):
        picture = empty.astype(np.int16)
        left = round(PIXELS_A_S * (number / RATE - passes_at)) - LENGTH
        first, last = max(0, left), min(WIDTH, left + LENGTH)
        if last > first:
            picture[TOP : TOP + len(body), first:last] = body[:, first - left : last - left]
        picture += rng.integers(-3, 4, (HEIGHT, WIDTH, 1), dtype=np.int16)
        yield np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("road")
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(folder)}))
    with made.store.begin() as tx:
        bank = tx.banks.create("roads")
    media = io.BytesIO(video(road(1, 1, PASSES_AT, SECONDS), rate=RATE, gop=60))
    made.enroller.add_media(bank, media, digest_file(media), actor="here")
    yield made
    made.close()


def elsewhere(seconds: float) -> Iterator[Rgb]:
    """A camera that is led over another wall."""
    patches = np.random.default_rng(5).integers(0, 255, (40, 60))
    wall = np.kron(patches, np.ones((20, 20))).astype(np.uint8)
    for number in range(round(seconds * RATE)):
        down, across = 100 + number % 200, number % 600
        picture = wall[down : down + HEIGHT, across : across + WIDTH]
        yield np.repeat(picture[..., None], 3, axis=2)


def spliced(some: list[Rgb]) -> list[Rgb]:
    """In the midst of more than half a minute of other footage, so that keyframes alone are looked
    at first."""
    return [*elsewhere(17.0), *some, *elsewhere(20.0)]


def judged(parts: Parts, frames: list[Rgb], checker: Checker | None = None) -> Verdict:
    media = io.BytesIO(video(iter(frames), rate=RATE, gop=48))
    judge = checker or parts.checker
    return judge.check_media("key_here", new_id("upload"), media, digest_file(media))


@pytest.mark.parametrize("look", range(2, 8))
def test_another_car_is_another_moment(parts: Parts, look: int) -> None:
    verdict = judged(parts, list(road(2, look, 4.1, 12.0)))
    assert verdict.action is not Action.BLOCK, verdict.reason


def test_the_same_car_is_found(parts: Parts) -> None:
    first = round(5.2 * RATE)
    some = list(road(1, 1, PASSES_AT, 17.2))[first:]
    verdict = judged(parts, [np.ascontiguousarray(p[20:-20, 20:-20]) for p in some])
    assert verdict.action is Action.BLOCK, verdict.reason


def backwards(some: list[Rgb]) -> list[Rgb]:
    """Cropped, and played backwards."""
    return [np.ascontiguousarray(p[20:-20, 20:-20]) for p in some[::-1]]


def test_the_same_car_that_goes_backwards_is_found(parts: Parts) -> None:
    first = round(5.2 * RATE)
    verdict = judged(parts, backwards(list(road(1, 1, PASSES_AT, 17.2))[first:]))
    assert verdict.action is Action.BLOCK, verdict.reason
    (segment,) = verdict.matches[0].segments
    assert (segment.query.start, segment.query.end) == pytest.approx((0, 12), abs=0.6)
    assert (segment.reference.start, segment.reference.end) == pytest.approx((5.2, 17.2), abs=0.6)


@pytest.mark.parametrize("look", range(2, 6))
def test_another_car_that_goes_backwards_is_another_moment(parts: Parts, look: int) -> None:
    verdict = judged(parts, backwards(list(road(2, look, 4.1, 12.0))))
    assert verdict.action is not Action.BLOCK, verdict.reason


@pytest.mark.parametrize("look", [2, 5])
def test_another_car_among_other_footage_is_another_moment(parts: Parts, look: int) -> None:
    """By keyframes 1.6 seconds apart it was the same."""
    verdict = judged(parts, spliced(list(road(2, look, 4.1, 12.0))))
    assert verdict.action is not Action.BLOCK, verdict.reason
    assert verdict.timings_ms["filling_look"] > 0


def test_the_same_car_among_other_footage_is_found(parts: Parts) -> None:
    first = round(5.2 * RATE)
    verdict = judged(parts, spliced(list(road(1, 1, PASSES_AT, 17.2))[first:]))
    assert verdict.action is Action.BLOCK, verdict.reason
    assert verdict.timings_ms["filling_look"] > 0
    (segment,) = verdict.matches[0].segments
    assert (segment.query.start, segment.query.end) == pytest.approx((17, 29), abs=0.5)


def test_gaps_that_could_not_be_filled_are_said(parts: Parts) -> None:
    def failing(media: BinaryIO, sampling: Sampling, signals: Sequence[str], **more: Any) -> Any:
        if sampling.filling:
            raise SandboxFailed("died")
        return parts.sandbox(media, sampling, signals, **more)

    checker = Checker(parts.store, parts.judge, failing, parts.policy)
    verdict = judged(parts, spliced(list(road(2, 3, 4.1, 9.0))), checker)
    assert verdict.action is Action.REVIEW
    assert "part_failed" in verdict.reason.codes


def test_what_was_seen_stands_where_a_limit_ends_the_filling(parts: Parts) -> None:
    def ending(media: BinaryIO, sampling: Sampling, signals: Sequence[str], **more: Any) -> Any:
        seen = parts.sandbox(media, sampling, signals, **more)
        if not sampling.filling:
            return seen
        return replace(seen, coverage=replace(seen.coverage, truncated=True), local=())

    checker = Checker(parts.store, parts.judge, ending, parts.policy)
    first = round(5.2 * RATE)
    copy = list(road(1, 1, PASSES_AT, 17.2))[first:]
    verdict = judged(parts, spliced(copy), checker)
    assert verdict.action is Action.BLOCK
    assert "part_failed" in verdict.reason.codes


def test_a_search_after_the_filling_that_failed_takes_nothing_away(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, asked = parts.judge.find_local, iter(range(9))

    def failing(look: MediaFingerprints, **more: Any) -> Any:
        if next(asked) == 1:
            raise RuntimeError("no")
        return find(look, **more)

    monkeypatch.setattr(parts.judge, "find_local", failing)
    first = round(5.2 * RATE)
    verdict = judged(parts, spliced(list(road(1, 1, PASSES_AT, 17.2))[first:]))
    assert verdict.action is Action.BLOCK
    assert "index_failed" in verdict.reason.codes


def test_a_second_place_is_held_against_what_moves_too(parts: Parts, tmp_path: Path) -> None:
    """Half a minute of one banked road, of another hour, and another car on the second one."""
    with closing(build(Settings.from_env({"SEAWALL_DATA_DIR": str(tmp_path)}))) as both:
        with both.store.begin() as tx:
            bank = tx.banks.create("roads")
        for some in (road(1, 1, PASSES_AT, SECONDS), road(1, 9, PASSES_AT, SECONDS, 77)):
            media = io.BytesIO(video(some, rate=RATE, gop=60))
            both.enroller.add_media(bank, media, digest_file(media), actor="here")
        upload = [*road(7, 4, 20.0, 34.0, 77), *elsewhere(5.0)]
        upload += [*road(2, 2, 4.1, 14.0), *elsewhere(3.0)]
        verdict = judged(both, upload)
    assert verdict.action is not Action.BLOCK, verdict.reason
    assert verdict.timings_ms["filling_look"] > 0


def test_what_an_allow_list_holds_has_no_gaps_filled(tmp_path: Path) -> None:
    with closing(build(Settings.from_env({"SEAWALL_DATA_DIR": str(tmp_path)}))) as made:
        with made.store.begin() as tx:
            bank = tx.banks.create("roads", action=Action.ALLOW)
        media = io.BytesIO(video(road(1, 1, PASSES_AT, SECONDS), rate=RATE, gop=60))
        made.enroller.add_media(bank, media, digest_file(media), actor="here")
        verdict = judged(made, spliced(list(road(2, 3, 4.1, 9.0))))
    assert verdict.action is Action.ALLOW
    assert "filling_look" not in verdict.timings_ms
