"""Allowed and banned footage in one picture: real videos, the whole way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from api.settings import Settings
from api.wiring import Parts, build
from hashdb.model import Action, Reference, Verdict, new_id
from matcher.digest import digest_file
from tests.media_maker import Rgb, video

MEDIA = Path(__file__).parent.parent / "media"
BUNNY = MEDIA / "o597_bbb.mp4"
ROCKET = MEDIA / "o084_oa4_launch.webm"
RATE, SECONDS = 10, 8
SIZE = (640, 360)

Laid = Callable[[Sequence[Rgb], Sequence[Rgb]], list[Rgb]]


def pictures(path: Path) -> list[Rgb]:
    """Ten a second."""
    found: list[Rgb] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= len(found) / RATE:
                found.append(frame.reformat(*SIZE, format="rgb24").to_ndarray())
            if len(found) == RATE * SECONDS:
                break
    return found


def corner(part: float, *, right: bool, top: bool) -> Laid:
    """The second one, `part` as wide as the picture, in a corner of the first."""
    width, height = round(part * SIZE[0]), round(part * SIZE[1])
    x, y = (SIZE[0] - width if right else 0), (0 if top else SIZE[1] - height)

    def laid(under: Sequence[Rgb], over: Sequence[Rgb]) -> list[Rgb]:
        made = []
        for a, b in zip(under, over, strict=False):
            frame = a.copy()
            small = cv2.resize(b, (width, height), interpolation=cv2.INTER_AREA)
            frame[y : y + height, x : x + width] = small
            made.append(frame)
        return made

    return laid


def halves(left: Sequence[Rgb], right: Sequence[Rgb]) -> list[Rgb]:
    middle = slice(SIZE[0] // 4, SIZE[0] // 4 * 3)
    return [np.hstack([a[:, middle], b[:, middle]]) for a, b in zip(left, right, strict=False)]


def captioned(frames: Sequence[Rgb]) -> list[Rgb]:
    """An edit of the whole: smaller, with letters."""
    made = []
    for frame in frames:
        small = cv2.resize(frame, (480, 270), interpolation=cv2.INTER_AREA)
        cv2.putText(small, "as seen on tv", (60, 50), 0, 1.2, (255, 255, 0), 3)
        made.append(small)
    return made


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(tmp_path / "data")}))
    with made.store.begin() as tx:
        tx.banks.create("attacks")
        tx.banks.create("others")
        tx.banks.create("films", Action.ALLOW)
    yield made
    made.close()


def add(parts: Parts, name: str, path: Path) -> Reference:
    with parts.store.read() as tx:
        bank = tx.banks.get(name)
    with path.open("rb") as media:
        reference, _ = parts.enroller.add_media(
            bank, media, digest_file(media), actor="test", source=path.name
        )
    return reference


def check(parts: Parts, path: Path, *, suspicious: bool = False) -> Verdict:
    with path.open("rb") as media:
        return parts.checker.check_media(
            "key", new_id("upload"), media, digest_file(media), suspicious=suspicious
        )


def saved(tmp_path: Path, frames: Sequence[Rgb], name: str = "laid.mp4") -> Path:
    path = tmp_path / name
    path.write_bytes(video(frames, rate=RATE))
    return path


LAID = {
    "a film over half of the width": corner(0.5, right=True, top=False),
    "a film over 0.6 of the width": corner(0.6, right=False, top=True),
    "side by side": halves,
}


@pytest.mark.parametrize("laid", LAID)
def test_an_allowed_film_over_banned_footage_hides_nothing(parts: Parts, tmp_path: Path, laid: str):
    add(parts, "attacks", ROCKET)
    add(parts, "films", BUNNY)
    verdict = check(parts, saved(tmp_path, LAID[laid](pictures(ROCKET), pictures(BUNNY))))
    assert verdict.action is Action.BLOCK, verdict.reason
    assert {m.reference.source for m in verdict.matches} == {ROCKET.name, BUNNY.name}


@pytest.mark.parametrize("part", [0.4, 0.5])
def test_banned_footage_in_a_corner_of_an_allowed_film_is_blocked(
    parts: Parts, tmp_path: Path, part: float
):
    add(parts, "attacks", ROCKET)
    add(parts, "films", BUNNY)
    laid = corner(part, right=True, top=True)(pictures(BUNNY), pictures(ROCKET))
    verdict = check(parts, saved(tmp_path, laid))
    assert verdict.action is Action.BLOCK, verdict.reason


@pytest.mark.parametrize("laid", LAID)
def test_a_copy_of_an_allowed_report_that_shows_it_so_passes(
    parts: Parts, tmp_path: Path, laid: str
):
    add(parts, "attacks", ROCKET)
    report = LAID[laid](pictures(BUNNY), pictures(ROCKET))
    add(parts, "films", saved(tmp_path, report, "report.mp4"))
    verdict = check(parts, saved(tmp_path, captioned(report), "copy.mp4"))
    assert (verdict.action, verdict.reason.code) == (Action.ALLOW, "allow_listed"), verdict.reason


@pytest.mark.parametrize("laid", LAID)
def test_two_banned_videos_in_one_picture_are_both_found(parts: Parts, tmp_path: Path, laid: str):
    """They are of two incidents, and neither makes the other's pictures common. (What hashes find
    in a pane throughout is blocked without a look at what is around it, if nobody suspects it.)"""
    add(parts, "attacks", ROCKET)
    add(parts, "others", BUNNY)
    both = saved(tmp_path, LAID[laid](pictures(ROCKET), pictures(BUNNY)))
    verdict = check(parts, both, suspicious=True)
    assert verdict.action is Action.BLOCK
    assert {m.reference.source for m in verdict.matches} == {ROCKET.name, BUNNY.name}


def test_what_an_allow_list_holds_in_part_is_not_settled_by_hashes(parts: Parts, tmp_path: Path):
    """They do not tell where in the picture each is."""
    add(parts, "attacks", ROCKET)
    copy = saved(tmp_path, pictures(ROCKET), "copy.mp4")
    for allowed in (False, True):
        if allowed:
            add(parts, "films", saved(tmp_path, pictures(ROCKET)[: 2 * RATE], "report.mp4"))
        verdict = check(parts, copy)
        assert verdict.action is Action.BLOCK
        signals = {s.signal_type for m in verdict.matches for s in m.signals}
        assert ("local" in signals) is allowed
