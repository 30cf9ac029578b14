"""Title cards, slides and pages of text: made videos, the whole way."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from api.settings import Settings
from api.wiring import Parts, build
from hashdb.model import Action, Verdict, new_id
from matcher.digest import digest_file
from tests.media_maker import Rgb, scenes, video

RATE, SIZE = 10, (640, 360)


def card(words: str, under: str, seconds: float = 3) -> list[Rgb]:
    """Large letters on white."""
    page = np.full((SIZE[1], SIZE[0], 3), 250, np.uint8)
    cv2.putText(page, words, (70, 170), 0, 2.4, (30, 90, 200), 8)
    cv2.putText(page, under, (180, 250), 0, 1.0, (40, 40, 40), 3)
    return [page] * round(seconds * RATE)


OURS = card("THE MANIFEST", "first of nine")
FOOTAGE = scenes(6, RATE, seed=7, size=SIZE)


def smaller(frames: list[Rgb]) -> list[Rgb]:
    return [cv2.resize(f, (320, 180), interpolation=cv2.INTER_AREA) for f in frames]


def film(frames: list[Rgb]) -> bytes:
    return video(frames, rate=RATE, gop=20)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    folder: Path = tmp_path_factory.mktemp("cards")
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(folder)}))
    add(made, "attacks", Action.BLOCK, OURS + FOOTAGE)
    yield made
    made.close()


def add(parts: Parts, name: str, action: Action, frames: list[Rgb]) -> None:
    with parts.store.begin() as tx:
        bank = tx.banks.create(name, action=action)
    media = io.BytesIO(film(frames))
    parts.enroller.add_media(bank, media, digest_file(media), actor="here")


def judged(parts: Parts, frames: list[Rgb]) -> Verdict:
    media = io.BytesIO(film(frames))
    return parts.checker.check_media("key_here", new_id("upload"), media, digest_file(media))


def test_an_upload_of_nothing_but_a_references_title_card_asks_for_review(parts: Parts) -> None:
    verdict = judged(parts, smaller(OURS))
    assert verdict.action is Action.REVIEW
    (match,) = verdict.matches
    assert [s.signal_type for s in match.signals] == ["card"]
    (pair,) = match.segments
    assert (pair.query.start, pair.query.end) == (0.0, pytest.approx(3.0, abs=0.2))


def test_however_long_it_is_shown_it_is_no_block(parts: Parts) -> None:
    verdict = judged(parts, OURS * 5)
    assert (verdict.action, verdict.reason.code) == (Action.REVIEW, "possible_match")


@pytest.mark.parametrize(
    "frames",
    [
        card("EVENING NEWS", "at nine"),
        card("THE END", "first of nine"),
        OURS[:10] + card("SOMETHING ELSE", "and more of it") * 2,
    ],
    ids=["another", "another with words in common", "for a moment among others"],
)
def test_other_title_cards_are_none(parts: Parts, frames: list[Rgb]) -> None:
    assert judged(parts, frames).action is Action.ALLOW


def test_before_other_footage_it_says_nothing(parts: Parts) -> None:
    """Anybody's film may begin with a news channel's title card."""
    verdict = judged(parts, OURS + scenes(6, RATE, seed=99, size=SIZE))
    assert (verdict.action, verdict.matches) == (Action.ALLOW, ())


def test_an_allow_list_explains_it(tmp_path: Path) -> None:
    made = build(Settings.from_env({"SEAWALL_DATA_DIR": str(tmp_path)}))
    try:
        add(made, "attacks", Action.BLOCK, OURS + FOOTAGE)
        add(made, "news", Action.ALLOW, smaller(OURS))
        assert judged(made, OURS).action is Action.ALLOW
    finally:
        made.close()
